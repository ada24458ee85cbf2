//! The few instructions that translations are made of.

use isa::Insn;

pub(crate) const W: u8 = 0x00;
pub(crate) const H: u8 = 0x08;
pub(crate) const B: u8 = 0x10;
pub(crate) const DW: u8 = 0x18;
pub(crate) const LDX: u8 = 0x61;
pub(crate) const CLASS: u8 = 0x07;
pub(crate) const SIZE: u8 = 0x18;
pub(crate) const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

/// `dst = *(size *)(src + off)`
pub(crate) const fn load(size: u8, dst: u8, src: u8, off: i16) -> Insn {
    Insn::new(LDX | size, dst, src, off, 0)
}

/// `w_dst = imm`
pub(crate) const fn mov32(dst: u8, imm: i32) -> Insn {
    Insn::new(0xb4, dst, 0, 0, imm)
}

/// `w_dst = w_src`
pub(crate) const fn mov32_reg(dst: u8, src: u8) -> Insn {
    Insn::new(0xbc, dst, src, 0, 0)
}

/// `r_dst = r_src`
pub(crate) const fn mov64_reg(dst: u8, src: u8) -> Insn {
    Insn::new(0xbf, dst, src, 0, 0)
}

/// `w_dst += imm`
pub(crate) const fn add32(dst: u8, imm: i32) -> Insn {
    Insn::new(0x04, dst, 0, 0, imm)
}

/// `r_dst += imm`
pub(crate) const fn add64(dst: u8, imm: i32) -> Insn {
    Insn::new(0x07, dst, 0, 0, imm)
}

/// `r_dst += r_src`
pub(crate) const fn add64_reg(dst: u8, src: u8) -> Insn {
    Insn::new(0x0f, dst, src, 0, 0)
}

/// `goto +off`
pub(crate) const fn ja(off: i16) -> Insn {
    Insn::new(0x05, 0, 0, off, 0)
}

/// `if w_dst s>= imm goto +off`
pub(crate) const fn jsge32(dst: u8, imm: i32, off: i16) -> Insn {
    Insn::new(0x76, dst, 0, off, imm)
}

/// `if r_dst > r_src goto +off`
pub(crate) const fn jgt(dst: u8, src: u8, off: i16) -> Insn {
    Insn::new(0x2d, dst, src, off, 0)
}

/// `if r_dst >= imm goto +off`
pub(crate) const fn jge(dst: u8, imm: i32, off: i16) -> Insn {
    Insn::new(0x35, dst, 0, off, imm)
}

/// `dst = be<bits> dst`
pub(crate) const fn to_be(dst: u8, bits: i32) -> Insn {
    Insn::new(0xdc, dst, 0, 0, bits)
}

/// Bytes of a load or store, from its opcode.
pub(crate) const fn size_of_access(code: u8) -> u32 {
    match code & SIZE {
        W => 4,
        H => 2,
        B => 1,
        _ => 8,
    }
}

/// The size bits of an access of `bytes`.
pub(crate) const fn size_code(bytes: u32) -> u8 {
    match bytes {
        1 => B,
        2 => H,
        4 => W,
        _ => DW,
    }
}
