//! C headers against the installed bpftool (7.1), recorded runs of a current one, and clang.

mod common;

use std::process::Command;

use btf::c::{Options, declaration, header};
use btf::{Btf, Kind};

fn compare(ours: &str, theirs: &str, what: &str) {
    let mut lines = ours.lines().zip(theirs.lines()).enumerate();
    if let Some((at, _)) = lines.find(|(_, (ours, theirs))| ours != theirs) {
        let around = |text: &str| {
            text.lines().skip(at.saturating_sub(6)).take(12).collect::<Vec<_>>().join("\n")
        };
        panic!(
            "{what}, line {}\n--- ours\n{}\n--- theirs\n{}",
            at + 1,
            around(ours),
            around(theirs)
        );
    }
    assert_eq!(ours.trim_end().len(), theirs.trim_end().len(), "{what}");
}

#[test]
fn objects_as_bpftool_writes_them() {
    for path in common::objects() {
        let Some(bytes) = common::section(&path, ".BTF") else { continue };
        let btf = Btf::parse(&bytes).expect("clang's BTF");
        let path = path.to_str().expect("UTF-8 path");
        let args = ["btf", "dump", "file", path, "format", "c"];
        let Some(theirs) = common::bpftool(&args) else { return };
        compare(&header(&btf, None, Options::OLD).expect("a header"), &theirs, path);
    }
}

#[test]
fn vmlinux_as_bpftool_writes_it() {
    let Some(bytes) = common::vmlinux() else { return };
    let btf = Btf::parse(&bytes).expect("the kernel's own BTF");
    let start = std::time::Instant::now();
    let ours = header(&btf, None, Options::OLD).expect("a header");
    eprintln!("vmlinux.h: {} bytes in {:?}", ours.len(), start.elapsed());
    let args = ["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"];
    let Some(theirs) = common::bpftool(&args) else { return };
    compare(&ours, &theirs, "vmlinux");
}
