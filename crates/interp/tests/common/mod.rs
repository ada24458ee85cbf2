//! What the tests share: memory for runs, a fact table reader, random numbers with a seed.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod asm;
pub(crate) mod kernel;
pub(crate) mod model;

use interp::{Callback, Host, Region, Trap, TrapKind};
use isa::Insn;

/// A host of some buffers and no helpers.
#[derive(Default)]
pub(crate) struct Buffers(pub(crate) Vec<Region>);

impl Buffers {
    pub(crate) fn of(words: &mut [u64]) -> (Buffers, u64) {
        let start = words.as_mut_ptr().expose_provenance() as u64;
        let end = start + 8 * words.len() as u64;
        (Buffers(vec![Region { start, end, writable: true }]), start)
    }
}

impl Host for Buffers {
    fn region(&mut self, addr: u64) -> Option<Region> {
        self.0.iter().copied().find(|r| r.start <= addr && addr < r.end)
    }

    fn call(&mut self, id: u32, _: [u64; 5], _: &mut dyn Callback) -> Result<u64, Trap> {
        Err(Trap::here(TrapKind::NoHelper(id)))
    }
}

/// xorshift64*; the seed is printed by whoever starts it.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        eprintln!("seed {seed:#x}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Values near the edges of all widths, and others.
    pub(crate) fn operand(&mut self) -> u64 {
        const EDGES: [u64; 20] = [
            0,
            1,
            2,
            7,
            31,
            32,
            33,
            63,
            64,
            0x7f,
            0x80,
            0xff,
            0x8000,
            0xffff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            0x7fff_ffff_ffff_ffff,
            0x8000_0000_0000_0000,
        ];
        let pick = self.next();
        let edge = EDGES[(pick >> 8) as usize % EDGES.len()];
        match pick & 7 {
            0..=2 => edge,
            3 => edge.wrapping_neg(),
            4 => edge ^ u64::MAX << 32,
            5 => self.next() >> (pick >> 58),
            _ => self.next(),
        }
    }
}

/// One instruction form of the fact table.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) group: String,
    pub(crate) name: String,
    /// The second operand is an immediate to vary.
    pub(crate) takes_imm: bool,
    pub(crate) insn: Insn,
}

/// The forms with operands and a result, all of facts/insns.json but control flow, calls, packet
/// loads and 64-bit immediates.
pub(crate) fn forms() -> Vec<Form> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../facts/insns.json");
    let text = std::fs::read_to_string(path).unwrap();
    let table: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = table["insns"].as_array().unwrap();
    rows.iter().filter_map(form).collect()
}

fn form(row: &serde_json::Value) -> Option<Form> {
    let text = |key: &str| row[key].as_str().unwrap_or("").to_owned();
    let (group, name, src) = (text("group"), text("name"), text("src"));
    let regular = matches!(
        group.as_str(),
        "alu64" | "alu32" | "end" | "jmp64" | "jmp32" | "ldx" | "stx" | "st" | "atomic"
    );
    let no_operands = src.is_empty() && matches!(group.as_str(), "alu64" | "jmp64" | "jmp32");
    if !regular || no_operands {
        return None;
    }
    let hex = text("bytes");
    let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
    let insn = Insn::from_bytes(std::array::from_fn(byte));
    let takes_imm = (src == "imm" && !name.starts_with("neg")) || group == "st";
    Some(Form { group, name, takes_imm, insn })
}
