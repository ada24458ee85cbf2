//! What the tests of the command share.
#![allow(dead_code, unreachable_pub, reason = "shared: no test file uses all of it")]

pub mod elf;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

pub fn example(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

pub fn capture(name: &str) -> PathBuf {
    example("captures").join(name)
}

/// `ring3 ARGS`, in the folder of the examples.
pub fn ring3<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ring3"))
        .args(args)
        .current_dir(root().join("examples"))
        .stdin(Stdio::null())
        .output()
        .expect("ring3 starts")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The standard output of a run that must succeed.
pub fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

pub fn json(output: &Output) -> Value {
    let text = ok(output);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The message of a run that must fail with this status, without a panic.
pub fn refused(output: &Output, status: i32) -> String {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{}{message}", text(&output.stdout));
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// Whether a program can be started; says so if not.
pub fn have(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: no {program} here");
    }
    there
}

/// Whether the examples can be compiled; says so if not.
pub fn can_compile() -> bool {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("hello.o");
    let made = ring3([Path::new("compile"), &example("hello.bpf.c"), Path::new("-o"), &out]);
    if !made.status.success() {
        eprintln!("skipped: cannot compile here: {}", text(&made.stderr));
    }
    made.status.success()
}

/// Packets of a capture that tcpdump counts under a filter.
pub fn tcpdump_count(file: &Path, filter: &[&str]) -> u64 {
    let run = Command::new("tcpdump").args(["-nr"]).arg(file).args(filter).output();
    text(&run.expect("tcpdump runs").stdout).lines().count() as u64
}

/// Elements of a map in the JSON of `ring3 run`.
pub fn elements<'a>(report: &'a Value, map: &str) -> &'a Vec<Value> {
    let maps = report["maps"].as_array().expect("maps");
    let found = maps.iter().find(|m| m["name"] == map);
    found.and_then(|m| m["elements"].as_array()).unwrap_or_else(|| panic!("{map}: {maps:?}"))
}
