//! Every program of the kernel's selftests that Linux accepts compiles.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, path::Path};

use isa::Insn;
use jit::{Arena, Env, Input, JitError, Options, Target, machine_code};

/// Any number is a function; nothing is ever called.
struct Anything;

impl Env for Anything {
    fn helper(&self, id: i32) -> Option<Target> {
        Some(Target { addr: 0x1000, args: 5, may_stop: id % 2 == 0, tag: Some(id as u32) })
    }

    fn kfunc(&self, id: i32, _: i16) -> Option<Target> {
        self.helper(id)
    }
}

/// As after translation: addresses of maps and variables are numbers.
fn translated(hex: &str) -> Vec<Insn> {
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    let mut insns = Insn::slots(&bytes).unwrap();
    for insn in &mut insns {
        if insn.is_ld_imm64() && insn.src().0 != 4 {
            insn.regs = insn.dst().0;
        }
    }
    insns
}

fn starts(insns: &[Insn]) -> Vec<u32> {
    let mut starts = vec![0];
    for (pc, insn) in insns.iter().enumerate() {
        let names =
            insn.code == 0x85 && insn.src().0 == 1 || insn.is_ld_imm64() && insn.src().0 == 4;
        if names {
            starts.push((pc as i64 + 1 + i64::from(insn.imm)) as u32);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

#[test]
fn accepted_programs_compile() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/verdicts/cases.jsonl.xz");
    let Ok(packed) = fs::read(&path) else {
        eprintln!("skipped: no {}", path.display());
        return;
    };
    let mut text = Vec::new();
    lzma_rs::xz_decompress(&mut &*packed, &mut text).unwrap();
    let (mut compiled, mut slots) = (0, 0);
    for line in String::from_utf8(text).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        if case["verdict"] != "accept" {
            continue;
        }
        let insns = translated(case["insns"].as_str().unwrap());
        let starts = starts(&insns);
        // Where a runtime would map one.
        let arena = Some(Arena { base: 0x7f00_0000_0000, user_high: 1 });
        let usual = Options { arena, ..Options::default() };
        for options in [usual, Options { bmi: false, blind: Some(3), interruptible: true, ..usual }]
        {
            let input = Input { insns: &insns, starts: &starts };
            match machine_code(input, &Anything, &options) {
                Ok(_) => compiled += 1,
                // Packet loads are translated before; arenas' atomic operations are interpreted.
                Err(JitError::Untranslated { .. } | JitError::Interpreted { .. }) => {}
                Err(error) => panic!("{} {}: {error}", case["file"], case["program"]),
            }
        }
        slots += insns.len();
    }
    eprintln!("{compiled} compilations, {slots} slots");
    assert!(compiled > 2000);
}
