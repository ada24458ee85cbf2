//! Explanations of programs with one mistake each: `explain/*.bpf.c` with the expected output
//! beside it (`BLESS=1` writes it). What they name is held against the marks in the sources and
//! against the running kernel's log.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use common::{can_compile, have, text};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain")
}

/// Names of the programs, without `.bpf.c`.
fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the folder of programs");
    let files = entries.map(|entry| entry.expect("an entry").file_name());
    let names = files.filter_map(|file| Some(file.to_str()?.strip_suffix(".bpf.c")?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert!(names.len() >= 40, "only {} programs", names.len());
    names
}

fn ring3(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ring3"))
        .args(args)
        .current_dir(folder())
        .stdin(Stdio::null())
        .output()
        .expect("ring3 starts")
}

/// What is said of each program, as JSON: one run for all tests.
fn explanations() -> &'static BTreeMap<String, Value> {
    static ALL: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    ALL.get_or_init(|| {
        let out = ring3(&["verify", "--json", "."]);
        let rows: Vec<Value> = serde_json::from_slice(&out.stdout).expect("a JSON array");
        let explained = rows.into_iter().map(|mut row| {
            let explanation = row["explanation"].take();
            assert!(explanation.is_object(), "{row}");
            (name_of(row["file"].as_str().expect("a file")).to_owned(), explanation)
        });
        let explained: BTreeMap<_, _> = explained.collect();
        assert!(explained.keys().eq(&names()), "one program a file");
        explained
    })
}

/// What is said of each program, as text.
fn blocks() -> BTreeMap<String, String> {
    let out = ring3(&["verify", "."]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    let all = text(&out.stdout);
    let starts = all.split_inclusive("\n\n").map(|block| {
        let file = block.strip_prefix("reject  ").and_then(|rest| rest.split(':').next());
        (name_of(file.expect("a rejection")).to_owned(), block.to_owned())
    });
    starts.collect()
}

fn name_of(file: &str) -> &str {
    file.strip_prefix("./").unwrap_or(file).strip_suffix(".bpf.c").expect("a source")
}

/// Listings are those of one compiler.
fn have_blessed_clang() -> bool {
    if !can_compile() {
        return false;
    }
    let clang = ["clang-19", "clang"]
        .iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok());
    let version = clang.and_then(|name| Command::new(name).arg("--version").output().ok());
    let ok = version.is_some_and(|out| text(&out.stdout).contains("version 19."));
    if !ok {
        eprintln!("skipped: the expected output is that of clang 19");
    }
    ok
}

#[test]
fn explanations_are_as_expected() {
    if !have_blessed_clang() {
        return;
    }
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for (name, got) in blocks() {
        assert!(!got.contains('\x1b'), "{name}: colour outside a terminal");
        let file = folder().join(format!("{name}.txt"));
        if name == "field_missing" && !Path::new("/sys/kernel/btf/vmlinux").exists() {
            eprintln!("skipped: {name}: no BTF of the kernel");
            continue;
        }
        if got.contains("error[not-modelled]") {
            eprintln!("skipped: {name}: its rules are not modelled");
            continue;
        }
        if bless {
            fs::write(&file, &got).expect("the expected output is written");
        }
        let want = fs::read_to_string(&file).unwrap_or_default();
        if got != want {
            wrong.push(format!("{name}:\n{got}\n-- expected --\n{want}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_line_with_the_mistake_is_named() {
    if !can_compile() {
        return;
    }
    for (name, explanation) in explanations() {
        let source =
            fs::read_to_string(folder().join(format!("{name}.bpf.c"))).expect("the source");
        let Some(marked) = source.lines().position(|line| line.ends_with("// fault")) else {
            continue;
        };
        if explanation["cause"] == "not-modelled" {
            eprintln!("skipped: {name}: {}", explanation["title"]);
            continue;
        }
        let place = &explanation["place"]["source"];
        assert_eq!(place["line"], marked + 1, "{name}: {place}");
    }
}

#[test]
fn explanations_are_short_and_complete() {
    if !can_compile() {
        return;
    }
    for (name, explanation) in explanations() {
        for part in ["cause", "title", "message", "required"] {
            assert_ne!(explanation[part], "", "{name}: {part}");
        }
        assert_ne!(explanation["cause"], "other", "{name}");
        assert!(explanation["suggestion"].is_string(), "{name}: {explanation}");
    }
    for (name, block) in blocks() {
        assert!(block.lines().count() <= 36, "{name}:\n{block}");
    }
}

/// The kernel's log of loading this program, which it must refuse.
fn kernel_log(name: &str, dir: &Path) -> String {
    let object = dir.join(format!("{name}.o"));
    let out = ring3(&["compile", &format!("{name}.bpf.c"), "-o", &object.display().to_string()]);
    assert!(out.status.success(), "{name}: {}", text(&out.stderr));
    let pin = format!("/sys/fs/bpf/ring3_explain_{}", std::process::id());
    let out = Command::new("bpftool")
        .args(["-d", "prog", "load"])
        .arg(&object)
        .arg(&pin)
        .output()
        .expect("bpftool starts");
    if out.status.success() {
        let _ = fs::remove_file(&pin);
        panic!("{name}: the kernel accepts it");
    }
    text(&out.stderr)
}

fn can_load() -> bool {
    if !can_compile() || !have("bpftool") {
        return false;
    }
    let ok = is_root() && Path::new("/sys/fs/bpf").exists();
    if !ok {
        eprintln!("skipped: loading programs into the kernel needs root");
    }
    ok
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().take(2).eq(["Uid:", "0"]))
}

#[test]
fn what_is_named_is_what_the_kernel_names() {
    if !can_load() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (mut lines, mut states) = (0, 0);
    for (name, explanation) in explanations() {
        if explanation["cause"] == "not-modelled" {
            eprintln!("skipped: {name}: {}", explanation["title"]);
            continue;
        }
        if explanation["cause"] == "too-many-instructions" {
            eprintln!("skipped: {name}: the kernel's log would have a million lines");
            continue;
        }
        let log = kernel_log(name, dir.path());
        let message = explanation["message"].as_str().expect("a message");
        assert!(log.lines().any(|line| line.trim_end() == message), "{name}: {message}\n{log}");
        lines += usize::from(same_line(name, explanation, &log));
        for fact in explanation["known"].as_array().expect("facts") {
            states += usize::from(same_state(name, fact, &log));
        }
    }
    eprintln!("{lines} lines and {states} register states as in the kernel's log");
    assert!(lines >= 30 && states >= 10, "{lines} lines, {states} states");
}

/// The line at fault is the last one in the kernel's log; `false` if there is none.
fn same_line(name: &str, explanation: &Value, log: &str) -> bool {
    let last = log.lines().rfind(|l| l.starts_with("; ") && l.contains(" @ "));
    let (Some(last), Some(line)) = (last, explanation["place"]["source"]["line"].as_u64()) else {
        return false;
    };
    assert!(last.ends_with(&format!(" @ {name}.bpf.c:{line}")), "{name}: line {line}, but {last}");
    true
}

/// The largest value told of a register is that of the kernel's last print of it; `false` if the
/// kernel prints none.
fn same_state(name: &str, fact: &Value, log: &str) -> bool {
    let register = fact["name"].as_str().expect("a name");
    // Instruction lines show what has changed; the last one counts.
    let key = format!(" {register}=");
    let Some(at) = log.rfind(&key) else { return false };
    let state = log[at + key.len()..].split_whitespace().next().unwrap_or("");
    let state = state.trim_start_matches('P');
    let told = |member: &str| fact["range"][member].as_u64();
    let number = state.parse::<i64>().ok();
    let umax = number.map(|n| n as u64).or_else(|| member(state, "umax"));
    let (Some(umax), Some(told)) = (umax, told("umax")) else { return false };
    assert_eq!(told, umax, "{name}: {fact} but {state}");
    true
}

/// `umax` of `scalar(smin=smin32=0,smax=umax=255,…)`.
fn member(state: &str, name: &str) -> Option<u64> {
    let mut parts = state.split(['(', ',', ')']);
    let part = parts.find(|part| part.split('=').any(|word| word == name))?;
    let value = part.rsplit('=').next()?;
    match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => value.parse().ok(),
    }
}
