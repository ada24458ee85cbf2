//! Instructions by hand, named as in RFC 9669.

use isa::Insn;

pub(crate) const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

pub(crate) fn mov(dst: u8, imm: i32) -> Insn {
    Insn::new(0xb7, dst, 0, 0, imm)
}

pub(crate) fn mov_reg(dst: u8, src: u8) -> Insn {
    Insn::new(0xbf, dst, src, 0, 0)
}

pub(crate) fn add(dst: u8, imm: i32) -> Insn {
    Insn::new(0x07, dst, 0, 0, imm)
}

pub(crate) fn add_reg(dst: u8, src: u8) -> Insn {
    Insn::new(0x0f, dst, src, 0, 0)
}

pub(crate) fn ja(off: i16) -> Insn {
    Insn::new(0x05, 0, 0, off, 0)
}

pub(crate) fn gotol(off: i32) -> Insn {
    Insn::new(0x06, 0, 0, 0, off)
}

pub(crate) fn may_goto(off: i16) -> Insn {
    Insn::new(0xe5, 0, 0, off, 0)
}

pub(crate) fn jne(dst: u8, imm: i32, off: i16) -> Insn {
    Insn::new(0x55, dst, 0, off, imm)
}

/// `dst = *(u64 *)(src + off)`
pub(crate) fn ldx(dst: u8, src: u8, off: i16) -> Insn {
    Insn::new(0x79, dst, src, off, 0)
}

/// `*(u64 *)(dst + off) = src`
pub(crate) fn stx(dst: u8, off: i16, src: u8) -> Insn {
    Insn::new(0x7b, dst, src, off, 0)
}

pub(crate) fn helper(id: i32) -> Insn {
    Insn::new(0x85, 0, 0, 0, id)
}

pub(crate) fn subprog(rel: i32) -> Insn {
    Insn::new(0x85, 0, 1, 0, rel)
}

pub(crate) fn kfunc(id: i32) -> Insn {
    Insn::new(0x85, 0, 2, 0, id)
}

pub(crate) fn ld_imm64(dst: u8, value: u64) -> [Insn; 2] {
    [
        Insn::new(0x18, dst, 0, 0, value as i32),
        Insn { imm: (value >> 32) as i32, ..Insn::default() },
    ]
}

/// Address of the subprogram `rel` slots after the next one.
pub(crate) fn func(dst: u8, rel: i32) -> [Insn; 2] {
    [Insn::new(0x18, dst, 4, 0, rel), Insn::default()]
}
