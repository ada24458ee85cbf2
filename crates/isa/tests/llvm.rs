//! Random well-formed instructions against LLVM 19: what llvm-objdump prints of our bytes, and
//! what clang assembles our text to.

mod common;

use std::path::Path;
use std::process::Command;

use common::random::Random;
use isa::disasm::{self, Plain};
use isa::{Insn, Op, decode, encode};

const COUNT: usize = 3000;

#[test]
fn llvm_prints_and_reads_the_same() {
    let dir = std::env::temp_dir().join(format!("ring3-isa-llvm-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for temporary files");
    let result = compare(&dir);
    let _ = std::fs::remove_dir_all(&dir);
    if let Err(missing) = result {
        eprintln!("skipped: {missing}");
    }
}

fn compare(dir: &Path) -> Result<(), String> {
    let mut random = Random::new();
    let ops: Vec<(Op, Vec<Insn>)> = (0..COUNT).map(|_| op(&mut random)).collect();
    let bytes: Vec<Insn> = ops.iter().flat_map(|(_, slots)| slots.clone()).collect();

    let theirs = objdump(&object_of(dir, &byte_directives(&bytes))?)?;
    let ours: Vec<String> = ops.iter().map(|(_, slots)| disasm::llvm(slots, 0, &Plain)).collect();
    assert_eq!(theirs.len(), ours.len());
    for ((theirs, ours), (op, _)) in theirs.iter().zip(&ours).zip(&ops) {
        assert_eq!(theirs, ours, "{op:?}");
    }

    let source: String = ours.iter().map(|line| format!("{line}\n")).collect();
    let again = objdump(&object_of(dir, &source)?)?;
    assert_eq!(again, ours, "clang reads our text as it prints it");
    Ok(())
}

/// A random operation that LLVM 19 knows and prints in full, and its slots.
fn op(random: &mut Random) -> (Op, Vec<Insn>) {
    loop {
        let code = random.next() as u8;
        let slots = [random.insn(code), Insn { imm: random.insn(0).imm, ..Insn::default() }];
        let Ok(op) = decode(&slots, 0) else { continue };
        let mut out = Vec::new();
        encode(&op, &mut out).expect("what decodes has an encoding");
        if is_llvms(&op) {
            return (op, out);
        }
    }
}

fn is_llvms(op: &Op) -> bool {
    match op {
        Op::LoadAcquire { .. } | Op::StoreRelease { .. } => false,
        // clang's own text for references and relative calls is symbols and relocations.
        Op::LdImm64 { imm, .. } => matches!(imm, isa::Imm64::Value(_)),
        // clang 19 reads no further jumps, though llvm-objdump prints them.
        Op::Ja { off, .. } => i16::try_from(*off).is_ok(),
        Op::LdInd { imm, .. } => *imm == 0,
        Op::Call(callee) => matches!(callee, isa::Callee::Helper(_)),
        _ => true,
    }
}

fn byte_directives(insns: &[Insn]) -> String {
    let line = |insn: &Insn| {
        let bytes: Vec<String> = insn.to_bytes().iter().map(|b| b.to_string()).collect();
        format!(".byte {}\n", bytes.join(","))
    };
    insns.iter().map(line).collect()
}

fn object_of(dir: &Path, source: &str) -> Result<std::path::PathBuf, String> {
    let (input, output) = (dir.join("x.s"), dir.join("x.o"));
    std::fs::write(&input, source).map_err(|e| e.to_string())?;
    run(Command::new("clang-19")
        .args(["-target", "bpfel", "-mcpu=v4", "-c", "-o"])
        .args([&output, &input]))?;
    Ok(output)
}

/// The instruction column of a disassembly, without the labels of jumps.
fn objdump(object: &Path) -> Result<Vec<String>, String> {
    let text = run(Command::new("llvm-objdump-19")
        .args(["-d", "--no-show-raw-insn", "--mcpu=v4"])
        .arg(object))?;
    let insn = |line: &str| {
        let (_, text) = line.strip_prefix(' ')?.split_once('\t')?;
        Some(text.split(" <.text").next().unwrap_or(text).to_owned())
    };
    Ok(text.lines().filter_map(insn).collect())
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
