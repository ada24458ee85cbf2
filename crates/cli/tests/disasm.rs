//! `ring3 disasm`, checked against llvm-objdump and bpftool's spelling.

mod common;

use std::path::Path;
use std::process::Command;

use common::{can_compile, example, ok, ring3, text};

#[test]
fn llvm_style_is_llvm_objdump_s() {
    if !can_compile() || !common::have("llvm-objdump-19") {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["hello", "firewall", "balancer", "protocols"] {
        let object = dir.path().join("x.o");
        let source = example(&format!("{name}.bpf.c"));
        ok(&ring3([Path::new("compile"), &source, Path::new("-o"), &object]));
        let llvm = Command::new("llvm-objdump-19").args(["-d", "--mcpu=v4"]).arg(&object).output();
        let llvm = text(&llvm.expect("llvm-objdump runs").stdout);
        let args = ["disasm", "--style", "llvm", object.to_str().expect("UTF-8")];
        let ours = ok(&ring3(args));
        // Offsets into data are in relocations there, in the instruction here.
        let plain = |text: &str| -> Vec<String> {
            let is_insn = |l: &&str| l.trim_start().split(':').next().is_some_and(is_number);
            let loads = |l: &&str| !l.ends_with(" ll") && !l.contains("R_BPF_64_64");
            text.lines().filter(is_insn).filter(loads).map(str::to_owned).collect()
        };
        assert!(plain(&ours).len() > 5);
        assert_eq!(plain(&ours), plain(&llvm), "{name}");
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn kernel_style_interleaves_the_source() {
    if !can_compile() {
        return;
    }
    let ours = ok(&ring3(["disasm", "hello.bpf.c"]));
    // Slots and opcodes as llvm-objdump shows them, texts as bpftool prints them.
    let want =
        "; counter++; @ hello.bpf.c:13\n   7: (61) r1 = *(u32 *)(r6 +0)\n   8: (07) r1 += 1\n";
    assert!(ours.contains(want), "{ours}");
    assert!(ours.contains("   0: (18) r6 = map[hello.bss][0]+0\n"), "{ours}");
    assert!(ours.contains("   6: (85) call bpf_trace_printk#6\n"), "{ours}");
}

#[test]
fn machine_code_interleaves_the_source() {
    if !can_compile() || !cfg!(target_arch = "x86_64") {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let object = dir.path().join("x.o");
    let source = example("protocols.bpf.c");
    ok(&ring3([Path::new("compile"), &source, Path::new("-o"), &object]));
    let object = object.to_str().expect("UTF-8");
    let plain = ok(&ring3(["disasm", "--jited", object]));
    assert!(plain.lines().any(|line| line.starts_with("; ") && line.contains("protocols.bpf.c:")));
    assert!(plain.lines().any(|line| line.trim_end().ends_with("\tretq")), "{plain}");
    let with_bytes = ok(&ring3(["disasm", "--jited", "--opcodes", object]));
    // A line of bytes below each instruction, the last of which is a return.
    let insns = plain.lines().filter(|l| l.contains(":\t")).count();
    assert_eq!(with_bytes.lines().filter(|l| l.starts_with('\t')).count(), insns);
    assert!(with_bytes.lines().any(|line| line == "\tc3"));
}
