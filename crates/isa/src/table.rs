//! The one table of opcodes: decoder, encoder, assembler and disassemblers derive from it.
//!
//! [`ALU`], [`COND`], [`SIZES`] and [`ATOMIC`] list the operations with their bits and
//! spellings; [`TABLE`] lists every opcode byte Linux 6.18 knows, built from those lists when
//! compiling, with the fields that must be zero and Linux's name for the group.

use crate::error::Family;
use crate::{AluOp, AtomicOp, Cond, Size, Width};

/// Whether the second operand is a register (the source bit, 0x08).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operand {
    Imm,
    Reg,
}

/// The shape of an opcode: how the fields beside the opcode byte are to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// `off` may refine the operation: see [`AluRow::off`].
    Alu(Width, AluOp, Operand),
    /// `off` 0 moves; 8, 16, 32 sign-extend; 1 casts address spaces.
    Mov(Width, Operand),
    Neg(Width),
    ToLe,
    ToBe,
    Swap,
    LdImm64,
    LdAbs(Size),
    LdInd(Size),
    Load(Size, bool),
    Store(Size, Operand),
    Atomic(Size),
    Ja,
    JaLong,
    MayGoto,
    Jmp(Width, Cond, Operand),
    Call,
    Exit,
}

/// Fields that must be zero, as bits.
pub(crate) mod field {
    pub(crate) const DST: u8 = 1;
    pub(crate) const SRC: u8 = 2;
    pub(crate) const OFF: u8 = 4;
    pub(crate) const IMM: u8 = 8;
}
use field::{DST, IMM, OFF, SRC};

/// One opcode byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) code: u8,
    pub(crate) form: Form,
    pub(crate) family: Family,
    /// Which fields must be zero: bits of [`field`].
    pub(crate) reserved: u8,
}

/// Classes, the low three bits.
mod class {
    pub(crate) const ALU: u8 = 4;
    pub(crate) const JMP: u8 = 5;
    pub(crate) const JMP32: u8 = 6;
    pub(crate) const ALU64: u8 = 7;
}

/// An arithmetic operation: high nibble of the opcode, the `off` that selects it, its spelling.
pub(crate) struct AluRow {
    pub(crate) op: AluOp,
    pub(crate) nibble: u8,
    pub(crate) off: i16,
    pub(crate) text: &'static str,
}

const fn alu(op: AluOp, nibble: u8, off: i16, text: &'static str) -> AluRow {
    AluRow { op, nibble, off, text }
}

/// RFC 9669 section 4.1, in the order of [`AluOp`].
pub(crate) const ALU: [AluRow; 14] = [
    alu(AluOp::Add, 0x00, 0, "+="),
    alu(AluOp::Sub, 0x10, 0, "-="),
    alu(AluOp::Mul, 0x20, 0, "*="),
    alu(AluOp::Div, 0x30, 0, "/="),
    alu(AluOp::Sdiv, 0x30, 1, "s/="),
    alu(AluOp::Or, 0x40, 0, "|="),
    alu(AluOp::And, 0x50, 0, "&="),
    alu(AluOp::Lsh, 0x60, 0, "<<="),
    alu(AluOp::Rsh, 0x70, 0, ">>="),
    alu(AluOp::Mod, 0x90, 0, "%="),
    alu(AluOp::Smod, 0x90, 1, "s%="),
    alu(AluOp::Xor, 0xa0, 0, "^="),
    alu(AluOp::Mov, 0xb0, 0, "="),
    alu(AluOp::Arsh, 0xc0, 0, "s>>="),
];

/// A condition: high nibble of the opcode, spelling.
pub(crate) struct CondRow {
    pub(crate) cond: Cond,
    pub(crate) nibble: u8,
    pub(crate) text: &'static str,
}

const fn cond(cond: Cond, nibble: u8, text: &'static str) -> CondRow {
    CondRow { cond, nibble, text }
}

/// RFC 9669 section 4.3, in the order of [`Cond`].
pub(crate) const COND: [CondRow; 11] = [
    cond(Cond::Eq, 0x10, "=="),
    cond(Cond::Ne, 0x50, "!="),
    cond(Cond::Set, 0x40, "&"),
    cond(Cond::Gt, 0x20, ">"),
    cond(Cond::Ge, 0x30, ">="),
    cond(Cond::Lt, 0xa0, "<"),
    cond(Cond::Le, 0xb0, "<="),
    cond(Cond::Sgt, 0x60, "s>"),
    cond(Cond::Sge, 0x70, "s>="),
    cond(Cond::Slt, 0xc0, "s<"),
    cond(Cond::Sle, 0xd0, "s<="),
];

/// A memory size: bits 3 and 4 of the opcode, spellings unsigned and sign-extending.
pub(crate) struct SizeRow {
    pub(crate) size: Size,
    pub(crate) bits: u8,
    pub(crate) text: &'static str,
    pub(crate) signed: &'static str,
}

/// RFC 9669 section 5, in the order of [`Size`].
pub(crate) const SIZES: [SizeRow; 4] = [
    SizeRow { size: Size::B, bits: 0x10, text: "u8", signed: "s8" },
    SizeRow { size: Size::H, bits: 0x08, text: "u16", signed: "s16" },
    SizeRow { size: Size::W, bits: 0x00, text: "u32", signed: "s32" },
    SizeRow { size: Size::DW, bits: 0x18, text: "u64", signed: "s64" },
];

/// A read-modify-write operation: its immediate, operator without fetch, name with fetch.
pub(crate) struct AtomicRow {
    pub(crate) op: AtomicOp,
    pub(crate) fetch: bool,
    pub(crate) imm: i32,
    pub(crate) text: &'static str,
}

const fn atomic(op: AtomicOp, fetch: bool, imm: i32, text: &'static str) -> AtomicRow {
    AtomicRow { op, fetch, imm, text }
}

/// RFC 9669 section 5.3.
pub(crate) const ATOMIC: [AtomicRow; 10] = [
    atomic(AtomicOp::Add, false, 0x00, "+="),
    atomic(AtomicOp::Or, false, 0x40, "|="),
    atomic(AtomicOp::And, false, 0x50, "&="),
    atomic(AtomicOp::Xor, false, 0xa0, "^="),
    atomic(AtomicOp::Add, true, 0x01, "fetch_add"),
    atomic(AtomicOp::Or, true, 0x41, "fetch_or"),
    atomic(AtomicOp::And, true, 0x51, "fetch_and"),
    atomic(AtomicOp::Xor, true, 0xa1, "fetch_xor"),
    atomic(AtomicOp::Xchg, true, 0xe1, "xchg"),
    atomic(AtomicOp::Cmpxchg, true, 0xf1, "cmpxchg"),
];

/// Immediate of an atomic instruction that is an ordered load (Linux 6.15).
pub(crate) const LOAD_ACQUIRE: i32 = 0x100;
/// Immediate of an atomic instruction that is an ordered store (Linux 6.15).
pub(crate) const STORE_RELEASE: i32 = 0x110;
/// `off` of a move that converts an arena pointer (Linux 6.9).
pub(crate) const ADDR_SPACE_CAST: i16 = 1;
/// `off` of the move with which Linux itself makes per-CPU pointers; never accepted in input.
pub(crate) const PERCPU_ADDR: i16 = -1;

const fn row(code: u8, form: Form, family: Family, reserved: u8) -> Row {
    Row { code, form, family, reserved }
}

/// The opcodes that do not come in the regular grids of [`ALU`], [`COND`] and [`SIZES`].
const SINGLE: [Row; 23] = [
    // Linux judges `off` after the second slot.
    row(0x18, Form::LdImm64, Family::LdImm64, 0),
    row(0x20, Form::LdAbs(Size::W), Family::LdAbs, DST | SRC | OFF),
    row(0x28, Form::LdAbs(Size::H), Family::LdAbs, DST | SRC | OFF),
    row(0x30, Form::LdAbs(Size::B), Family::LdAbs, DST | SRC | OFF),
    row(0x40, Form::LdInd(Size::W), Family::LdAbs, DST | OFF),
    row(0x48, Form::LdInd(Size::H), Family::LdAbs, DST | OFF),
    row(0x50, Form::LdInd(Size::B), Family::LdAbs, DST | OFF),
    row(0x81, Form::Load(Size::W, true), Family::Ldx, IMM),
    row(0x89, Form::Load(Size::H, true), Family::Ldx, IMM),
    row(0x91, Form::Load(Size::B, true), Family::Ldx, IMM),
    row(0x84, Form::Neg(Width::W32), Family::Neg, SRC | OFF | IMM),
    row(0x87, Form::Neg(Width::W64), Family::Neg, SRC | OFF | IMM),
    row(0xd4, Form::ToLe, Family::End, SRC | OFF),
    row(0xdc, Form::ToBe, Family::End, SRC | OFF),
    row(0xd7, Form::Swap, Family::End, SRC | OFF),
    row(0xb4, Form::Mov(Width::W32, Operand::Imm), Family::Mov, SRC | OFF),
    row(0xb7, Form::Mov(Width::W64, Operand::Imm), Family::Mov, SRC | OFF),
    // `off` and `imm` of register moves are judged by the decoder.
    row(0xbc, Form::Mov(Width::W32, Operand::Reg), Family::Mov, 0),
    row(0xbf, Form::Mov(Width::W64, Operand::Reg), Family::Mov, 0),
    row(0x05, Form::Ja, Family::Ja, DST | SRC | IMM),
    row(0x06, Form::JaLong, Family::Ja, DST | SRC | OFF),
    // Which of `src` and `off` a call uses depends on `src`.
    row(0x85, Form::Call, Family::Call, DST),
    // Linux does not look at `off` here (probed on 6.18), so neither do we.
    row(0x95, Form::Exit, Family::Exit, DST | SRC | IMM),
];

const MAY_GOTO: Row = row(0xe5, Form::MayGoto, Family::MayGoto, DST | SRC | IMM);
const COUNT: usize = SINGLE.len() + 1 + 4 * 11 + 4 * COND.len() + 4 * SIZES.len();

/// Every opcode of Linux 6.18.
const TABLE: [Row; COUNT] = rows();

/// [`TABLE`], in memory once.
static ROWS: [Row; COUNT] = TABLE;

/// Index into [`TABLE`] by opcode byte, or [`NONE`].
static INDEX: [u8; 256] = index();
const NONE: u8 = u8::MAX;

/// The row of an opcode byte.
pub(crate) fn lookup(code: u8) -> Option<&'static Row> {
    ROWS.get(INDEX[code as usize] as usize)
}

/// The row of a form; every form the encoder builds from an `Op` is checked before, so `None`
/// means a combination that the instruction set lacks.
pub(crate) fn of_form(form: Form) -> Option<&'static Row> {
    ROWS.iter().find(|r| r.form == form)
}

const fn rows() -> [Row; COUNT] {
    let mut out = [MAY_GOTO; COUNT];
    let mut n = 1;
    let mut i = 0;
    while i < SINGLE.len() {
        out[n] = SINGLE[i];
        n += 1;
        i += 1;
    }
    i = 0;
    while i < ALU.len() {
        let AluRow { op, nibble, off, .. } = ALU[i];
        // The signed forms share the opcode of the unsigned ones.
        if off == 0 && !matches!(op, AluOp::Mov) {
            let off = if has_signed_form(nibble) { 0 } else { OFF };
            let (w, d) = (Width::W32, Width::W64);
            let (k, x) = (Operand::Imm, Operand::Reg);
            out[n] = row(nibble | class::ALU, Form::Alu(w, op, k), Family::Alu, SRC | off);
            out[n + 1] = row(nibble | 8 | class::ALU, Form::Alu(w, op, x), Family::Alu, IMM | off);
            out[n + 2] = row(nibble | class::ALU64, Form::Alu(d, op, k), Family::Alu, SRC | off);
            out[n + 3] =
                row(nibble | 8 | class::ALU64, Form::Alu(d, op, x), Family::Alu, IMM | off);
            n += 4;
        }
        i += 1;
    }
    i = 0;
    while i < COND.len() {
        let CondRow { cond, nibble, .. } = COND[i];
        let (w, d) = (Width::W32, Width::W64);
        let (k, x) = (Operand::Imm, Operand::Reg);
        out[n] = row(nibble | class::JMP, Form::Jmp(d, cond, k), Family::Jmp, SRC);
        out[n + 1] = row(nibble | 8 | class::JMP, Form::Jmp(d, cond, x), Family::Jmp, IMM);
        out[n + 2] = row(nibble | class::JMP32, Form::Jmp(w, cond, k), Family::Jmp, SRC);
        out[n + 3] = row(nibble | 8 | class::JMP32, Form::Jmp(w, cond, x), Family::Jmp, IMM);
        n += 4;
        i += 1;
    }
    i = 0;
    while i < SIZES.len() {
        let SizeRow { size, bits, .. } = SIZES[i];
        out[n] = row(0x61 | bits, Form::Load(size, false), Family::Ldx, IMM);
        out[n + 1] = row(0x62 | bits, Form::Store(size, Operand::Imm), Family::St, SRC);
        out[n + 2] = row(0x63 | bits, Form::Store(size, Operand::Reg), Family::Stx, IMM);
        out[n + 3] = row(0xc3 | bits, Form::Atomic(size), Family::Atomic, 0);
        n += 4;
        i += 1;
    }
    assert!(n == COUNT, "every row is filled");
    out
}

const fn has_signed_form(nibble: u8) -> bool {
    let mut i = 0;
    while i < ALU.len() {
        if ALU[i].nibble == nibble && ALU[i].off != 0 {
            return true;
        }
        i += 1;
    }
    false
}

const fn index() -> [u8; 256] {
    let mut out = [NONE; 256];
    let mut i = 0;
    while i < COUNT {
        assert!(out[TABLE[i].code as usize] == NONE, "one row for each opcode");
        out[TABLE[i].code as usize] = i as u8;
        i += 1;
    }
    out
}

/// The arithmetic row that an opcode's base operation and `off` select.
pub(crate) fn alu_by_off(base: AluOp, off: i16) -> Option<&'static AluRow> {
    let nibble = alu_row(base).nibble;
    ALU_ROWS.iter().find(|r| r.nibble == nibble && r.off == off)
}

/// The operation under whose opcode `row` is encoded: itself, or its unsigned sibling.
pub(crate) fn alu_base(row: &AluRow) -> AluOp {
    ALU_ROWS.iter().find(|r| r.nibble == row.nibble && r.off == 0).map_or(row.op, |r| r.op)
}

static ALU_ROWS: &[AluRow] = &ALU;
static COND_ROWS: &[CondRow] = &COND;
static SIZE_ROWS: &[SizeRow] = &SIZES;
static ATOMIC_ROWS: &[AtomicRow] = &ATOMIC;

/// The row of an arithmetic operation.
pub(crate) fn alu_row(op: AluOp) -> &'static AluRow {
    &ALU_ROWS[op as usize]
}

/// The spelling of an arithmetic opcode's high nibble, `off` chosen as Linux's printer does.
pub(crate) fn alu_text(nibble: u8, off: i16) -> Option<&'static str> {
    let of = |off| ALU_ROWS.iter().find(|r| r.nibble == nibble && r.off == off);
    of(off).or_else(|| of(0)).map(|r| r.text)
}

/// The spelling of a conditional opcode's high nibble.
pub(crate) fn cond_text(nibble: u8) -> Option<&'static str> {
    COND_ROWS.iter().find(|r| r.nibble == nibble).map(|r| r.text)
}

/// The row of the size bits of an opcode.
pub(crate) fn size_by_code(code: u8) -> &'static SizeRow {
    match code & 0x18 {
        0x10 => size_row(Size::B),
        0x08 => size_row(Size::H),
        0x00 => size_row(Size::W),
        _ => size_row(Size::DW),
    }
}

/// The row of a condition.
pub(crate) fn cond_row(cond: Cond) -> &'static CondRow {
    &COND_ROWS[cond as usize]
}

/// The row of a memory size.
pub(crate) fn size_row(size: Size) -> &'static SizeRow {
    &SIZE_ROWS[size as usize]
}

/// The row of a read-modify-write operation, by what it does.
pub(crate) fn atomic_row(op: AtomicOp, fetch: bool) -> Option<&'static AtomicRow> {
    ATOMIC_ROWS.iter().find(|r| r.op == op && r.fetch == fetch)
}

/// The row of a read-modify-write operation, by immediate.
pub(crate) fn atomic_by_imm(imm: i32) -> Option<&'static AtomicRow> {
    ATOMIC_ROWS.iter().find(|r| r.imm == imm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_the_order_of_their_enums() {
        assert!(ALU.iter().enumerate().all(|(i, r)| r.op as usize == i));
        assert!(COND.iter().enumerate().all(|(i, r)| r.cond as usize == i));
        assert!(SIZES.iter().enumerate().all(|(i, r)| r.size as usize == i));
    }
}
