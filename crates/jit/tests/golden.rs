//! Small programs and the machine code they become, as text: changes of code quality show here.
//!
//! Each file of `golden/` holds a program, a line `----`, and the code. `BLESS=1` rewrites the
//! code. What it computes is checked elsewhere.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::{fs, path::Path};

use jit::{ArrayMap, Env, HashMap, Input, Options, Program, Target, dump};
use support::Helpers;

const RULE: &str = "----\n";

/// Maps at addresses that are the same in every run: 1 and 2 are arrays, 4 to 16 hash maps with
/// keys of that size.
struct Fixed;

impl Env for Fixed {
    fn helper(&self, id: i32) -> Option<Target> {
        Helpers.helper(id)
    }

    fn array(&self, map: u64) -> Option<ArrayMap> {
        let values = 0x7000_0000_0000;
        match map {
            1 => Some(ArrayMap { values, stride: 8, len: 256, cpu_stride: 0 }),
            2 => Some(ArrayMap { values, stride: 48, len: 256, cpu_stride: 24 }),
            _ => None,
        }
    }

    fn hash(&self, map: u64) -> Option<HashMap> {
        let key_size = u32::try_from(map).ok().filter(|size| [4, 8, 16].contains(size))?;
        Some(HashMap {
            heads: 0x7000_0000_0000,
            slots: 0x7100_0000_0000,
            slot_size: 40,
            next: 0,
            hash: 8,
            key: 16,
            value: 32,
            used: None,
            key_size,
            multipliers: [0x1111_1111_1111_1111, 0x2222, 0x3333, 0x4444],
            bits: 10,
            cpu_stride: 0,
        })
    }
}

fn code(text: &str) -> String {
    let (text, options) = match text.strip_prefix("; blind\n") {
        Some(rest) => (rest, Options { blind: Some(1), bmi: true, ..Options::default() }),
        None => (text, Options { bmi: true, ..Options::default() }),
    };
    let insns = isa::asm::assemble(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut starts = vec![0];
    for (pc, insn) in insns.iter().enumerate() {
        if insn.code == 0x85 && insn.src().0 == 1 {
            starts.push((pc as i64 + 1 + i64::from(insn.imm)) as u32);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let input = Input { insns: &insns, starts: &starts };
    let program = Program::new(input, &Fixed, &options).unwrap();
    let name = |address: u64| {
        let known = address == support::pair as *const () as usize as u64;
        Some(if known { "pair" } else { "mix" }.into())
    };
    let lines = dump::instructions(&program, &name);
    let body = lines.iter().take_while(|line| (line.offset as usize) < program.body_len());
    body.map(|line| format!("{}\n", line.text)).collect()
}

#[test]
fn code_is_as_blessed() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let bless = std::env::var_os("BLESS").is_some();
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 24, "the files are there");
    let mut differing = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let (program, expected) = text.split_once(RULE).unwrap_or((&text, ""));
        let got = code(program);
        if got == expected {
            continue;
        }
        if bless {
            fs::write(&path, format!("{program}{RULE}{got}")).unwrap();
        } else {
            differing.push(format!("{}\n{program}expected\n{expected}got\n{got}", path.display()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
