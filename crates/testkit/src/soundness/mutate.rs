//! Small changes to programs: what grammars of safe programs never write.

use isa::Insn;
use verifier::Program;

use crate::generate::Rng;

const INTERESTING: &[i32] = &[
    0,
    1,
    -1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    31,
    32,
    33,
    63,
    64,
    127,
    128,
    255,
    256,
    511,
    512,
    513,
    4095,
    65535,
    -2,
    -8,
    -16,
    -511,
    -512,
    -513,
    1 << 29,
    -(1 << 29),
    i32::MAX,
    i32::MIN,
    0x7fff_fffe,
];
const ALU_OPS: &[u8] =
    &[0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0];
const JMP_OPS: &[u8] =
    &[0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0];
const ATOMIC: &[i32] = &[0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1, 0x100, 0x110];
/// Helpers that random calls name: maps, packets, sizes, scratch memory.
const HELPERS: &[i32] = &[1, 2, 3, 4, 5, 7, 8, 12, 23, 28, 44, 51, 54, 65, 87, 130, 164, 181];

/// Changes `program` in one to three places.
pub fn mutate(program: &mut Program, rng: &mut Rng) {
    for _ in 0..1 + rng.below(3).min(rng.below(3)) {
        mutate_once(program, rng);
    }
}

fn mutate_once(program: &mut Program, rng: &mut Rng) {
    let at = pick_insn(&program.insns, rng);
    match rng.below(16) {
        0..=2 => program.insns[at].imm = other_imm(program.insns[at].imm, rng),
        3..=5 => program.insns[at].off = other_off(program.insns[at], rng),
        6..=7 => change_register(&mut program.insns[at], rng),
        8..=10 => change_code(&mut program.insns[at], rng),
        11 => swap(&mut program.insns, at),
        12 => remove(program, at),
        13 => {
            let other = program.insns[pick_insn(&program.insns, rng)];
            if !other.is_ld_imm64() && !program.insns[at].is_ld_imm64() {
                program.insns[at] = other;
            }
        }
        _ => {
            let insn = random_insn(program, rng);
            insert(program, at, insn);
        }
    }
}

/// A slot that is not the second half of a 64-bit immediate.
fn pick_insn(insns: &[Insn], rng: &mut Rng) -> usize {
    let at = rng.below(insns.len() as u64) as usize;
    if at > 0 && insns[at - 1].is_ld_imm64() { at - 1 } else { at }
}

fn other_imm(imm: i32, rng: &mut Rng) -> i32 {
    match rng.below(4) {
        0 => imm.wrapping_add(1),
        1 => imm.wrapping_sub(1),
        2 => imm ^ (1 << rng.below(32)),
        _ => rng.pick(INTERESTING),
    }
}

fn other_off(insn: Insn, rng: &mut Rng) -> i16 {
    let off = insn.off;
    match rng.below(6) {
        0 => off.wrapping_add(1),
        1 => off.wrapping_sub(1),
        2 => off.wrapping_add(8),
        3 => off.wrapping_sub(8),
        4 => off ^ (1 << rng.below(16)),
        _ => rng.below(16) as i16 - 8,
    }
}

fn change_register(insn: &mut Insn, rng: &mut Rng) {
    let reg = rng.below(11) as u8;
    let (dst, src) = if rng.one_in(2) { (reg, insn.src().0) } else { (insn.dst().0, reg) };
    *insn = Insn::new(insn.code, dst, src, insn.off, insn.imm);
}

fn change_code(insn: &mut Insn, rng: &mut Rng) {
    let class = insn.code & 7;
    insn.code = match (class, rng.below(6)) {
        (_, 0) => insn.code ^ (1 << rng.below(8)),
        (4 | 7, 1) => insn.code ^ 3,
        (5 | 6, 1) => insn.code ^ 3,
        (4 | 7, 2) => insn.code ^ 8,
        (5 | 6, 2) => insn.code ^ 8,
        (4 | 7, _) => insn.code & 0x0f | rng.pick(ALU_OPS),
        (5 | 6, _) => insn.code & 0x0f | rng.pick(JMP_OPS),
        (0..=3, 1..=3) => insn.code & !0x18 | (rng.below(4) as u8) << 3,
        (1, _) => insn.code ^ 0xe0, // zero- and sign-extending
        (2 | 3, _) => insn.code ^ 1,
        _ => rng.next() as u8,
    };
}

fn swap(insns: &mut [Insn], at: usize) {
    let next = at + 1;
    if next < insns.len() && !insns[at].is_ld_imm64() && !insns[next].is_ld_imm64() {
        insns.swap(at, next);
    }
}

/// Any instruction, with registers and offsets that are likely to mean something.
fn random_insn(program: &Program, rng: &mut Rng) -> Insn {
    let (dst, src) = (rng.below(11) as u8, rng.below(11) as u8);
    let near = rng.below(16) as i16 - 4;
    let slot = -8 * (1 + rng.below(8) as i16) + rng.pick(&[0i16, 0, 0, 1, 2, 4]);
    let imm = if rng.one_in(2) { rng.pick(INTERESTING) } else { rng.below(64) as i32 };
    let size = (rng.below(4) as u8) << 3;
    match rng.below(16) {
        0..=2 => Insn::new(0x07 | rng.pick(ALU_OPS), dst, 0, 0, imm),
        3 => Insn::new(0x04 | rng.pick(ALU_OPS), dst, 0, 0, imm),
        4 => Insn::new(0x0f | rng.pick(ALU_OPS), dst, src, 0, 0),
        5 => Insn::new(0x0c | rng.pick(ALU_OPS), dst, src, 0, 0),
        6 => Insn::new(0xbf, dst, src, rng.pick(&[0, 0, 0, 8, 16, 32]), 0),
        7 => Insn::new(0x05 | rng.pick(JMP_OPS), dst, 0, near, imm),
        8 => Insn::new(0x0d | rng.pick(JMP_OPS), dst, src, near, 0),
        9 => Insn::new(0x06 | rng.pick(JMP_OPS), dst, 0, near, imm),
        10 => Insn::new(0x61 | size, dst, if rng.one_in(2) { 10 } else { src }, slot, 0),
        11 => Insn::new(0x61 | size, dst, src, near, 0),
        12 => Insn::new(0x63 | size, 10, src, slot, 0),
        13 => Insn::new(0xc3 | size & 0x18, dst, src, near, rng.pick(ATOMIC)),
        14 => Insn::new(0x85, 0, 0, 0, rng.pick(HELPERS)),
        _ => {
            let insns = &program.insns;
            let copy = insns[pick_insn(insns, rng)];
            if copy.is_ld_imm64() { Insn::new(0xbf, dst, src, 0, 0) } else { copy }
        }
    }
}

/// Whether the slot jumps or calls to a place relative to itself, and by how much.
fn relative(insn: Insn) -> Option<i64> {
    match insn.code {
        0x85 if insn.src().0 == 1 => Some(insn.imm.into()),
        0x85 | 0x95 => None,
        0x06 => Some(insn.imm.into()),
        0x18 if insn.src().0 == 4 => Some(insn.imm.into()),
        code if matches!(code & 7, 5 | 6) => Some(insn.off.into()),
        _ => None,
    }
}

fn set_relative(insn: &mut Insn, to: i64) {
    match insn.code {
        0x85 | 0x06 | 0x18 => insn.imm = to as i32,
        _ => insn.off = to as i16,
    }
}

/// Puts an instruction before `at`; jumps over the place stay right.
pub(super) fn insert(program: &mut Program, at: usize, insn: Insn) {
    retarget(&mut program.insns, |slot| if slot >= at as i64 { slot + 1 } else { slot });
    program.insns.insert(at, insn);
    // A jump to `at` goes on to what was there, or to the new one if that is a line's start.
    let moved = |off: &mut u32| *off += u32::from(*off > at as u32);
    program.func_info.iter_mut().for_each(|f| moved(&mut f.insn_off));
    program.line_info.iter_mut().for_each(|l| moved(&mut l.insn_off));
}

/// Takes an instruction out; jumps to it go to its successor.
pub(super) fn remove(program: &mut Program, at: usize) {
    let len = if program.insns[at].is_ld_imm64() { 2 } else { 1 };
    let starts = program.func_info.iter().any(|f| f.insn_off == at as u32);
    if program.insns.len() <= at + len || starts {
        return;
    }
    let taken = len as i64;
    let at64 = at as i64;
    retarget(&mut program.insns, |slot| if slot > at64 { (slot - taken).max(at64) } else { slot });
    program.insns.drain(at..at + len);
    let moved = |off: &mut u32| {
        if *off > at as u32 {
            *off = (*off - len as u32).max(at as u32);
        }
    };
    program.func_info.iter_mut().for_each(|f| moved(&mut f.insn_off));
    program.line_info.iter_mut().for_each(|l| moved(&mut l.insn_off));
    program.line_info.dedup_by_key(|l| l.insn_off);
}

/// Rewrites every relative target as if each slot had moved to where `place` says.
fn retarget(insns: &mut [Insn], place: impl Fn(i64) -> i64) {
    let mut pc = 0;
    while pc < insns.len() {
        let at = pc as i64;
        if let Some(rel) = relative(insns[pc]) {
            let target = place(at + 1 + rel);
            set_relative(&mut insns[pc], target - place(at) - 1);
        }
        pc += if insns[pc].is_ld_imm64() { 2 } else { 1 };
    }
}
