//! Programs that bpftrace generates: read from the ELF file that it writes, equal to what it hands
//! to bpf(2) itself.
//!
//! bpftrace (0.17) writes the number of a map into the instruction, without a relocation, and puts
//! the descriptor there before it loads; so map loads are compared by which of them load the same
//! map.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use loader::Object;

/// What is traced, and how many programs that makes.
const ONE_LINERS: &[(&str, usize)] = &[
    (r#"BEGIN { printf("hi %d\n", pid); exit(); }"#, 1),
    ("interval:s:1 { @a = count(); @b = sum(2); @a = count(); }", 1),
    ("kprobe:do_nanosleep { @[comm] = hist(nsecs); }", 1),
    ("tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }", 1),
    ("profile:hz:99 { @[kstack] = count(); @t = max(nsecs); }", 1),
    ("software:faults:100 { @s[pid, tid] = nsecs; if (@s[pid, 0]) { delete(@s[pid, tid]); } }", 1),
    (r#"uprobe:/bin/sh:1024 { printf("%s %d\n", str(arg0), arg1); }"#, 1),
    (r#"BEGIN { $i = 1; while ($i <= 50) { printf("%d ", $i); $i++; } }"#, 1),
    (
        "kprobe:vfs_read { @start[tid] = nsecs; } kretprobe:vfs_read /@start[tid]/ { @ = hist(nsecs - @start[tid]); }",
        2,
    ),
];

/// bpftrace under a library that stands in for the kernel; `None`, with a visible line, where one
/// of them is missing.
fn bpftrace(work: &Path) -> Option<PathBuf> {
    if !Command::new("bpftrace").arg("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: no bpftrace here");
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/bpftrace.c");
    let library = work.join("capture.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-w", "-o"]).arg(&library).arg(source);
    if cc.status().is_ok_and(|status| status.success()) {
        return Some(library);
    }
    eprintln!("skipped: no C compiler here (comparison with bpftrace)");
    None
}

fn run(library: &Path, capture: &Path, args: &[&str]) {
    let mut command = Command::new("timeout");
    command.arg("20").arg("bpftrace").args(args);
    command.env("LD_PRELOAD", library).env("CAPTURE", capture);
    command.output().expect("bpftrace runs");
}

/// Slots as hexadecimal text, maps by the order of their first use.
fn normal(slots: impl Iterator<Item = [u8; 8]>) -> Vec<String> {
    /// The opcode of a 64-bit load, and what says that it loads a map.
    const LOAD: u8 = 0x18;
    const MAP: u8 = 1;
    let mut maps: Vec<[u8; 4]> = Vec::new();
    slots
        .map(|mut slot| {
            if slot[0] == LOAD && slot[1] >> 4 == MAP {
                let map = [slot[4], slot[5], slot[6], slot[7]];
                let at = maps.iter().position(|known| *known == map).unwrap_or_else(|| {
                    maps.push(map);
                    maps.len() - 1
                });
                slot[4..].copy_from_slice(&(at as u32).to_le_bytes());
            }
            support::hex(slot)
        })
        .collect()
}

/// What bpftrace loads; its trials of the kernel come first.
fn loaded(capture: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(capture).unwrap_or_default();
    let programs = text.lines().filter_map(|line| line.rsplit_once(' '));
    programs
        .map(|(_, digits)| {
            let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
            let slots = (0..digits.len() / 16).map(|slot| {
                let start = slot * 16;
                std::array::from_fn(|index| byte(start + index * 2))
            });
            normal(slots)
        })
        .collect()
}

#[test]
fn generated_programs_are_those_that_bpftrace_loads() {
    let work = tempfile::tempdir().expect("temporary folder");
    let Some(library) = bpftrace(work.path()) else { return };
    let mut compared = 0;
    for (number, (program, count)) in ONE_LINERS.iter().enumerate() {
        let file = |end: &str| work.path().join(format!("{number}.{end}"));
        let (object, capture) = (file("o"), file("txt"));
        run(&library, &file("dry"), &["--emit-elf", &object.to_string_lossy(), "-e", program]);
        run(&library, &capture, &["-e", program]);
        let loads = loaded(&capture);
        let Ok(bytes) = std::fs::read(&object) else {
            eprintln!("skipped: bpftrace cannot compile here: {program}");
            continue;
        };
        let spec = Object::parse_named("bpftrace", &bytes).expect("the object is read");
        assert_eq!(spec.programs.len(), *count, "{program}");
        let own: Vec<Vec<String>> = spec
            .programs
            .iter()
            .map(|program| normal(program.insns.iter().map(|insn| insn.to_bytes())))
            .collect();
        let at = loads.len().checked_sub(1).unwrap_or_else(|| panic!("nothing loaded: {program}"));
        // It attaches, and ends, after the first of several.
        assert!(own.contains(&loads[at]), "{program}: {:?} is none of {own:?}", loads[at]);
        compared += 1;
    }
    eprintln!("{compared} of {} one-liners compared with bpftrace", ONE_LINERS.len());
}

/// libbpf, which bpftrace does not use for this, finds the same programs in its files.
#[test]
fn generated_objects_are_read_as_libbpf_reads_them() {
    let work = tempfile::tempdir().expect("temporary folder");
    let Some(library) = bpftrace(work.path()) else { return };
    let object = work.path().join("generated.o");
    let (program, _) = ONE_LINERS[ONE_LINERS.len() - 1];
    run(
        &library,
        &work.path().join("dry"),
        &["--emit-elf", &object.to_string_lossy(), "-e", program],
    );
    let Some(answer) = support::ask(&object, "generated") else { return };
    let spec = support::parse_file(&object).expect("the object is read");
    let own: Vec<String> = spec
        .programs
        .iter()
        .map(|p| format!("{} {} {}", p.name, p.section, u8::from(p.autoload)))
        .collect();
    assert_eq!(answer.open_error, None);
    assert_eq!((own, spec.maps.len()), (answer.programs, answer.maps.len()));
}
