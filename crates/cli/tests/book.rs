//! `examples/book/chapter3.sh` as a reader runs it, against its transcript.
//!
//! The transcript's verdicts and counters are those of the other tests of the same capture: 316
//! packets, all passed, counted once each. `BLESS=1` writes it anew.

mod common;

use std::process::Command;

/// What differs from run to run, by a word for it.
fn without_chance(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = match line.split_once("bpf_trace_printk: ") {
            Some((_, said)) => format!("TASK-PID [CPU] TIME: bpf_trace_printk: {said}"),
            None => line.split(' ').map(word).collect::<Vec<_>>().join(" "),
        };
        let line = match (line.split_once("loaded_at "), line.split_once("\"loaded_at\": ")) {
            (Some((head, _)), _) => format!("{head}loaded_at TIME  uid UID"),
            (_, Some((head, _))) => format!("{head}\"loaded_at\": TIME,"),
            _ => line,
        };
        let line = match line.split_once("\"uid\": ") {
            Some((head, _)) => format!("{head}\"uid\": UID,"),
            None => line,
        };
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// Addresses of this process, and the folder of the repository.
fn word(word: &str) -> String {
    let address = |rest: &str| rest.len() > 11 && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    if let Some(at) = word.find("0x").filter(|at| address(&word[at + 2..])) {
        return format!("{}ADDRESS", &word[..at]);
    }
    if let Some((head, number)) = word.split_once("movabsq\t$").filter(|(_, n)| n.len() > 11) {
        let end = if number.ends_with(',') { "," } else { "" };
        return format!("{head}movabsq\t$ADDRESS{end}");
    }
    match word.find("/examples/captures") {
        Some(at) => word[at + 1..].to_owned(),
        None => word.to_owned(),
    }
}

#[test]
fn the_chapter_goes_as_written() {
    if Command::new("clang-19").arg("--version").output().is_err() {
        eprintln!("skipped: no clang-19 here");
        return;
    }
    let book = common::root().join("examples/book");
    let script = Command::new("sh")
        .arg(book.join("chapter3.sh"))
        .arg(env!("CARGO_BIN_EXE_ring3"))
        .output()
        .expect("sh starts");
    let told = String::from_utf8_lossy(&script.stderr);
    assert!(script.status.success(), "{told}");
    let said = without_chance(&String::from_utf8_lossy(&script.stdout));
    assert!(said.contains("packets 316") && said.contains("\"counter\": 316"), "{said}");
    let path = book.join("chapter3.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &said).expect("the transcript can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(said, kept, "examples/book/chapter3.txt: run with BLESS=1");
}
