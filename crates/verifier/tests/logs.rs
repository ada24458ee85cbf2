//! Small programs and all that Linux 6.18.44 printed about them at level 2, register for
//! register. Each file of `logs/`: a comment with the type, the program, a line `----`, the
//! errno, the log (addresses of maps as 0, no times).

mod common;

use std::fmt::Write as _;
use std::path::PathBuf;

use common::asm;
use uapi::{MapDef, MapType, ProgType};
use verifier::{LogOptions, MapInfo, Policy, Program, World};

/// A hash (1) and an array (2) of 16-byte values.
fn world() -> World {
    let map = |fd, map_type| {
        let mut def = MapDef::new(map_type, 4, 16, 8);
        def.name = "mapx".into();
        MapInfo { fd, def, btf: None, inner_btf: None, frozen: false, value: None }
    };
    World { maps: vec![map(1, MapType::Hash), map(2, MapType::Array)], ..common::world() }
}

fn program(text: &str) -> Program {
    let prog_type = match text.lines().next() {
        Some("; xdp") => ProgType::Xdp,
        Some("; socket filter") => ProgType::SocketFilter,
        other => panic!("no type of program: {other:?}"),
    };
    Program {
        prog_type: Some(prog_type),
        license: "GPL".into(),
        insns: asm(text),
        ..Program::default()
    }
}

/// What ring3 says, in the form of the files.
fn report(text: &str) -> String {
    let options = LogOptions { level: 2, ..LogOptions::default() };
    let outcome = verifier::verify(&program(text), &world(), &Policy::default(), &options);
    let errno = outcome.verdict.as_ref().err().map_or(0, |r| r.errno.0);
    let mut out = format!("errno {errno}\n");
    for line in outcome.log.lines().filter(|l| !l.starts_with("verification time")) {
        let _ = writeln!(out, "{line}");
    }
    out
}

#[test]
fn logs_are_linux_s_to_the_letter() {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/logs"));
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("in the repository")
        .map(|f| f.expect("file").path())
        .collect();
    files.sort();
    assert!(files.len() > 20);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        let (program, log) = text.split_once("\n----\n").expect("a program and its log");
        let ours = report(program);
        let differs = ours.lines().zip(log.lines()).position(|(a, b)| a.trim_end() != b.trim_end());
        if let Some(at) = differs {
            let line = |text: &str| text.lines().nth(at).unwrap_or("").to_owned();
            panic!("{}\n Linux: {}\n ring3: {}", file.display(), line(log), line(&ours));
        }
        assert_eq!(ours.lines().count(), log.lines().count(), "{}", file.display());
    }
}

/// Linux 6.18 forgets that a fetched number was precise on the stack, prunes the second way and
/// accepts a write 48 bytes behind the value. Not followed.
#[test]
fn numbers_fetched_from_the_stack_stay_precise() {
    let text = "; socket filter
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map_fd 2
call 1
if r0 == 0 goto out
r6 = r0
call 7
r7 = 64
if r0 != 0 goto join
r7 = 0
join:
*(u64 *)(r10 - 16) = r7
r8 = 0
r7 = 0
call 7
if r0 == 5 goto +0
if r0 == 6 goto +0
if r0 == 7 goto +0
if r0 == 8 goto +0
r8 = 0
r7 = 0
r0 = 0
r8 = atomic_fetch_add((u64 *)(r10 - 16), r8)
r6 += r8
*(u8 *)(r6 + 0) = 1
out:
r0 = 0
exit";
    let report = report(text);
    assert!(report.starts_with("errno 13\n"), "{report}");
    assert!(
        report.contains("invalid access to map value, value_size=16 off=64 size=1"),
        "{report}"
    );
}
