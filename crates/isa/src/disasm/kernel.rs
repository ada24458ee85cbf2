//! The text of Linux's own disassembler (kernel/bpf/disasm.c, v6.18). It is an output format
//! that tools parse, and it has a text for every slot, however malformed.

use std::fmt::{self, Write};

use super::Names;
use crate::Insn;
use crate::table::{self, ADDR_SPACE_CAST, LOAD_ACQUIRE, PERCPU_ADDR, STORE_RELEASE};

/// One instruction as Linux prints it, opcode first: `(07) r1 += 17`. Empty past the end.
pub fn kernel(insns: &[Insn], pc: usize, names: &dyn Names) -> String {
    let mut out = String::with_capacity(32);
    // Writing to a string cannot fail.
    let _ = write_kernel(&mut out, insns, pc, names);
    out
}

/// Like [`kernel`], into a writer.
pub fn write_kernel(
    out: &mut dyn Write,
    insns: &[Insn],
    pc: usize,
    names: &dyn Names,
) -> fmt::Result {
    let Some(insn) = insns.get(pc) else { return Ok(()) };
    if !matches!(shape(insn), Shape::Bug(_)) {
        write!(out, "({:02x}) ", insn.code)?;
    }
    write_kernel_text(out, insns, pc, names)
}

/// Like [`write_kernel`] without the opcode: `r1 += 17`.
pub fn write_kernel_text(
    out: &mut dyn Write,
    insns: &[Insn],
    pc: usize,
    names: &dyn Names,
) -> fmt::Result {
    let Some(insn) = insns.get(pc) else { return Ok(()) };
    match shape(insn) {
        Shape::Bug(prefix) => write!(out, "{prefix}{:02x}", insn.code),
        Shape::Alu => alu(out, insn),
        Shape::Atomic => atomic(out, insn),
        Shape::Store => store(out, insn),
        Shape::NoSpec => out.write_str("nospec"),
        Shape::Load => load(out, insn),
        Shape::Packet => packet(out, insn),
        Shape::Imm64 => imm64(out, insn, insns.get(pc + 1), names),
        Shape::Jump => jump(out, insn, names),
    }
}

enum Shape {
    /// Linux prints this and the opcode.
    Bug(&'static str),
    Alu,
    Atomic,
    Store,
    /// Speculation barrier, only in translated programs.
    NoSpec,
    Load,
    Packet,
    Imm64,
    Jump,
}

/// By class, and by mode: the high three bits of loads and stores.
fn shape(insn: &Insn) -> Shape {
    match (insn.class(), insn.code & 0xe0) {
        (4 | 7, _) => Shape::Alu,
        (3, 0xc0) if atomic_is_known(insn.imm) => Shape::Atomic,
        (3 | 2, 0x60) => Shape::Store,
        (3, _) => Shape::Bug("BUG_"),
        (2, 0xc0) => Shape::NoSpec,
        (2, _) => Shape::Bug("BUG_st_"),
        (1, 0x60 | 0x80) => Shape::Load,
        (1, _) => Shape::Bug("BUG_ldx_"),
        (0, 0x20 | 0x40) => Shape::Packet,
        (0, _) if insn.is_ld_imm64() => Shape::Imm64,
        (0, _) => Shape::Bug("BUG_ld_"),
        _ => Shape::Jump,
    }
}

const NULL: &str = "(null)";
const SOURCE_BIT: u8 = 0x08;

const fn is_reg_source(insn: &Insn) -> bool {
    insn.code & SOURCE_BIT != 0
}

fn alu(out: &mut dyn Write, insn: &Insn) -> fmt::Result {
    const ALU: u8 = 4;
    let (dst, src, imm) = (insn.dst().0, insn.src().0, insn.imm);
    let is_32 = insn.class() == ALU;
    let r = if is_32 { 'w' } else { 'r' };
    let nibble = insn.code & 0xf0;
    match nibble {
        0xd0 => {
            let name = match (is_32, is_reg_source(insn)) {
                (true, false) => "le",
                (true, true) => "be",
                _ => "bswap",
            };
            return write!(out, "r{dst} = {name}{imm} r{dst}");
        }
        0x80 => return write!(out, "{r}{dst} = -{r}{dst}"),
        _ => {}
    }
    match (insn.code, insn.off) {
        (0xbf, ADDR_SPACE_CAST) => {
            let (to, from) = (imm as u32 >> 16, imm as u16);
            return write!(out, "r{dst} = addr_space_cast(r{src}, {to}, {from})");
        }
        (0xbf, PERCPU_ADDR) => return write!(out, "r{dst} = &(void __percpu *)(r{src})"),
        _ => {}
    }
    let op = table::alu_text(nibble, insn.off).unwrap_or(NULL);
    if !is_reg_source(insn) {
        return write!(out, "{r}{dst} {op} {imm}");
    }
    let sx = match (nibble, insn.off) {
        (0xb0, 8) => "(s8)",
        (0xb0, 16) => "(s16)",
        (0xb0, 32) => "(s32)",
        _ => "",
    };
    write!(out, "{r}{dst} {op} {sx}{r}{src}")
}

fn atomic_is_known(imm: i32) -> bool {
    imm == LOAD_ACQUIRE || imm == STORE_RELEASE || table::atomic_by_imm(imm).is_some()
}

fn atomic(out: &mut dyn Write, insn: &Insn) -> fmt::Result {
    let (dst, src, off) = (insn.dst().0, insn.src().0, insn.off);
    let size = table::size_by_code(insn.code);
    let (ty, suffix) = (size.text, if size.size == crate::Size::DW { "64" } else { "" });
    match insn.imm {
        LOAD_ACQUIRE => return write!(out, "r{dst} = load_acquire(({ty} *)(r{src} {off:+}))"),
        STORE_RELEASE => return write!(out, "store_release(({ty} *)(r{dst} {off:+}), r{src})"),
        _ => {}
    }
    let Some(row) = table::atomic_by_imm(insn.imm) else { return Ok(()) };
    let name = row.text;
    if !row.fetch {
        return write!(out, "lock *({ty} *)(r{dst} {off:+}) {name} r{src}");
    }
    let (old, extra) = match row.op {
        crate::AtomicOp::Cmpxchg => (0, "r0, "),
        _ => (src, ""),
    };
    write!(out, "r{old} = atomic{suffix}_{name}(({ty} *)(r{dst} {off:+}), {extra}r{src})")
}

fn store(out: &mut dyn Write, insn: &Insn) -> fmt::Result {
    const STX: u8 = 3;
    let ty = table::size_by_code(insn.code).text;
    write!(out, "*({ty} *)(r{} {:+}) = ", insn.dst().0, insn.off)?;
    if insn.class() == STX { write!(out, "r{}", insn.src().0) } else { write!(out, "{}", insn.imm) }
}

fn load(out: &mut dyn Write, insn: &Insn) -> fmt::Result {
    let size = table::size_by_code(insn.code);
    let ty = match (insn.code & 0xe0, size.size) {
        (0x60, _) => size.text,
        (_, crate::Size::DW) => NULL,
        _ => size.signed,
    };
    write!(out, "r{} = *({ty} *)(r{} {:+})", insn.dst().0, insn.src().0, insn.off)
}

fn packet(out: &mut dyn Write, insn: &Insn) -> fmt::Result {
    const ABS: u8 = 0x20;
    let ty = table::size_by_code(insn.code).text;
    if insn.code & 0xe0 == ABS {
        return write!(out, "r0 = *({ty} *)skb[{}]", insn.imm);
    }
    write!(out, "r0 = *({ty} *)skb[r{} + {}]", insn.src().0, insn.imm)
}

fn imm64(
    out: &mut dyn Write,
    insn: &Insn,
    second: Option<&Insn>,
    names: &dyn Names,
) -> fmt::Result {
    let high = second.map_or(0, |s| s.imm as u32);
    let value = u64::from(high) << 32 | u64::from(insn.imm as u32);
    write!(out, "r{} = ", insn.dst().0)?;
    match names.imm64(insn, value) {
        Some(text) => out.write_str(&text),
        None => write!(out, "{value:#x}"),
    }
}

fn jump(out: &mut dyn Write, insn: &Insn, names: &dyn Names) -> fmt::Result {
    const JMP32: u8 = 6;
    let (dst, src, off, imm) = (insn.dst().0, insn.src().0, insn.off, insn.imm);
    match (insn.code, insn.code & 0xf0) {
        (_, 0x80) => return call(out, insn, names),
        (0x05, _) => return write!(out, "goto pc{off:+}"),
        (0x06, _) => return write!(out, "gotol pc{imm:+}"),
        (0xe5, _) if src == 0 => return write!(out, "may_goto pc{off:+}"),
        (0x95, _) => return out.write_str("exit"),
        _ => {}
    }
    let r = if insn.class() == JMP32 { 'w' } else { 'r' };
    let op = match insn.code & 0xf0 {
        0x00 => "jmp",
        0x90 => "exit",
        nibble => table::cond_text(nibble).unwrap_or(NULL),
    };
    write!(out, "if {r}{dst} {op} ")?;
    if is_reg_source(insn) {
        write!(out, "{r}{src} goto pc{off:+}")
    } else {
        write!(out, "{imm:#x} goto pc{off:+}")
    }
}

fn call(out: &mut dyn Write, insn: &Insn, names: &dyn Names) -> fmt::Result {
    const SUBPROG: u8 = 1;
    let (kind, imm) = (insn.src().0, insn.imm);
    if kind == SUBPROG {
        return match names.callee(insn) {
            Some(text) => write!(out, "call pc{text}"),
            None => write!(out, "call pc{imm:+}"),
        };
    }
    let helper = match (kind, imm) {
        (0, 0) => Some("bpf_unspec"),
        (0, id) => names.helper(id),
        _ => None,
    };
    if let Some(name) = helper {
        return write!(out, "call {name}#{imm}");
    }
    match names.callee(insn) {
        Some(name) => write!(out, "call {name}#{imm}"),
        None => write!(out, "call unknown#{imm}"),
    }
}
