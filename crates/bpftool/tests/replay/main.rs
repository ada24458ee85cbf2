//! Every recorded command of bpftool, in the recorded order, on an empty target in this process.
//!
//! `facts/bpftool-golden/cases.jsonl` was recorded from bpftool 7.8 on Linux 6.18. Ids, times and
//! addresses are taken out of both sides; `-j` is compared as JSON, text line by line. What
//! differs has a row in [`reasons`], and `docs/parity/cli.md` is made of the outcome
//! (`BLESS=1` writes it).

mod compare;
mod reasons;
mod stage;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use bpftool::{Session, Target};
use compare::{Ids, Verdict};
use ring3::Kernel;
use runtime::{Config, Deterministic, Runtime};
use serde_json::Value;

struct Case {
    id: String,
    words: Vec<String>,
    exit: i64,
    stdout: String,
    stderr: String,
    /// The recording has only the beginning.
    cut: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn cases() -> Vec<Case> {
    let file = root().join("facts/bpftool-golden/cases.jsonl");
    let text = fs::read_to_string(file).expect("the facts are in the repository");
    let parse = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a case is JSON");
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let cmd = text("cmd");
        let words = cmd.strip_prefix("bpftool")?.split_whitespace().map(str::to_owned).collect();
        Some(Case {
            id: text("id"),
            words,
            exit: value["exit"].as_i64()?,
            stdout: text("stdout"),
            stderr: text("stderr"),
            cut: value.get("stdout_len").is_some(),
        })
    };
    text.lines().filter_map(parse).collect()
}

/// Packets and contexts that the recorded commands read, made from what they printed.
fn inputs(dir: &Path, cases: &[Case]) {
    let ran = cases.iter().find(|case| case.id == "run.out.j").expect("the case is there");
    let ran: Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    let packet: Vec<u8> = ran["data_out"]
        .as_array()
        .expect("the packet went through unchanged")
        .iter()
        .map(|byte| byte.as_u64().expect("a byte") as u8)
        .collect();
    fs::write(dir.join("pk.bin"), packet).expect("a temporary file");
    fs::write(dir.join("ctx.bin"), [0; 192]).expect("a temporary file");
    fs::create_dir(dir.join("mnt")).expect("a temporary folder");
}

/// What a case had on standard input.
fn stdin(id: &str) -> &'static [u8] {
    match id {
        "run.short" => b"abc",
        "batch.stdin" => b"version\nprog show id 999999\n",
        "batch.stdin.j" => b"version\nmap show name per_proto\n",
        "batch.file" => b"prog show name count\nmap show name per_proto\n",
        _ => &[0; 64],
    }
}

/// A verb as the table names it: `map update`.
fn verb(case: &Case) -> String {
    let words: Vec<_> = case.words.iter().filter(|word| !word.starts_with('-')).collect();
    match words.as_slice() {
        [] => "(options)".into(),
        [one] => (*one).clone(),
        [noun, verb, ..] => format!("{noun} {verb}"),
    }
}

#[derive(Default)]
struct Row {
    same: usize,
    different: BTreeMap<&'static str, usize>,
}

#[test]
fn recorded_commands_answer_as_recorded() {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        eprintln!("skipped: the kernel's types (/sys/kernel/btf/vmlinux) are not here");
        return;
    }
    let cases = cases();
    assert!(cases.len() > 700, "the recording is whole");
    // Names in the BPF file system have no dots.
    let dir = tempfile::Builder::new().prefix("replay").tempdir().expect("a temporary folder");
    inputs(dir.path(), &cases);
    // The recorded commands name objects relative to their folder.
    std::env::set_current_dir(root().join("facts/bpftool-golden/objects")).expect("it is there");
    let kernel_btf = Kernel::running().types().ok();
    // Random numbers and the order of hash tables are the same in each replay.
    let deterministic = Some(Deterministic { now_ns: 1_000_000_000, seed: 1 });
    let config = Config { kernel_btf, cpus: 2, deterministic, ..Config::default() };
    let runtime = Runtime::new(config);
    let stage = stage::Stage::new(runtime.process(), &dir.path().join("mnt"));
    let opener = Box::new(move |_| Ok(Box::new(runtime.process()) as Box<dyn runtime::door::Bpf>));
    let mut session = Session::new(Target::Memory, opener);
    let build = format!("{}/", dir.path().display());
    let mut ids = Ids::default();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut unexplained = String::new();
    let mut used = vec![0_usize; reasons::REASONS.len()];
    for case in &cases {
        stage.before(&case.id);
        let words = ids.translate(&case.words);
        let words = words.iter().map(|word| word.replace("/src/facts/build/", &build));
        let words = words.map(|word| if word == "/dev/stdin" { "-".into() } else { word });
        let args = std::iter::once("bpftool".into()).chain(words).map(OsString::from);
        session.set_input(Cursor::new(stdin(&case.id)));
        let output = session.run(args.collect());
        let back = |text: String| text.replace(&build, "/src/facts/build/");
        let stdout = back(String::from_utf8_lossy(&output.stdout).into_owned());
        let stderr = back(output.stderr.clone());
        ids.learn(&case.words, &case.stdout, &stdout);
        let verdict = compare::compare(case_view(case), &stdout, &stderr, output.status.into());
        let row = rows.entry(verb(case)).or_default();
        let reason = reasons::REASONS.iter().position(|(prefix, _)| case.id.starts_with(prefix));
        match (verdict, reason) {
            (Verdict::Same, _) => row.same += 1,
            (Verdict::Different(_), Some(reason)) => {
                used[reason] += 1;
                *row.different.entry(reasons::REASONS[reason].1).or_default() += 1;
            }
            (Verdict::Different(how), None) => {
                *row.different.entry("?").or_default() += 1;
                let cmd = case.words.join(" ");
                let _ = writeln!(unexplained, "{} ({cmd}): {how}", case.id);
            }
        }
    }
    if let Ok(file) = std::env::var("REPLAY_OUT") {
        fs::write(file, &unexplained).expect("the file can be written");
    }
    assert!(unexplained.is_empty(), "differences without a reason:\n{unexplained}");
    for (reason, count) in reasons::REASONS.iter().zip(used) {
        assert!(count > 0, "nothing differs any more for {reason:?}");
    }
    table(&rows);
}

fn case_view(case: &Case) -> compare::Recorded<'_> {
    compare::Recorded {
        id: &case.id,
        words: &case.words,
        stdout: &case.stdout,
        stderr: &case.stderr,
        exit: case.exit,
        cut: case.cut,
    }
}

/// The table of parity; fails when the committed one tells something else.
fn table(rows: &BTreeMap<String, Row>) {
    let mut out = String::from(reasons::HEAD);
    let total: usize = rows.values().map(|row| row.same).sum();
    let all: usize =
        rows.values().map(|row| row.same + row.different.values().sum::<usize>()).sum();
    let _ = writeln!(out, "{total} of {all} recorded commands answer the same.\n");
    out.push_str("| command | same | different | why |\n|---|---|---|---|\n");
    for (verb, row) in rows {
        let different: usize = row.different.values().sum();
        let why: Vec<_> =
            row.different.iter().map(|(why, count)| format!("{why} ({count})")).collect();
        let _ = writeln!(out, "| {verb} | {} | {different} | {} |", row.same, why.join("; "));
    }
    out.push_str(reasons::TAIL);
    let file = root().join("docs/parity/cli.md");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, &out).expect("the table can be written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == out, "docs/parity/cli.md is not what the replay gives: BLESS=1 writes it");
}
