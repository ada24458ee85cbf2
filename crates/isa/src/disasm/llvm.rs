//! The text of `llvm-objdump -d --mcpu=v4`, LLVM 19; ordered loads and stores as LLVM 20 has
//! them, for 19 misreads them.

use std::fmt::{self, Write};

use super::Names;
use crate::table::{alu_row, atomic_row, cond_row, size_row};
use crate::{AtomicOp, Callee, Endian, Imm64, Insn, Op, Reg, Size, Src, Width, decode};

/// One instruction as LLVM prints it: `r1 += 0x11`; `<unknown>` if it is malformed.
pub fn llvm(insns: &[Insn], pc: usize, names: &dyn Names) -> String {
    let mut out = String::with_capacity(32);
    // Writing to a string cannot fail.
    let _ = write_llvm(&mut out, insns, pc, names);
    out
}

/// Like [`llvm`], into a writer.
pub fn write_llvm(
    out: &mut dyn Write,
    insns: &[Insn],
    pc: usize,
    names: &dyn Names,
) -> fmt::Result {
    match decode(insns, pc) {
        Ok(op) => write_op(out, &op, pc, names),
        Err(_) => out.write_str("<unknown>"),
    }
}

/// A signed number as LLVM prints it: `-0x8`.
struct Hex(i64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}

/// A register under the name of its width.
struct Name(Width, Reg);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.0 == Width::W32 { 'w' } else { 'r' }, self.1.0)
    }
}

/// The second operand at a width.
struct Operand(Width, Src);

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Src::Reg(reg) => Name(self.0, reg).fmt(f),
            Src::Imm(imm) => Hex(imm.into()).fmt(f),
        }
    }
}

/// A base register and an offset: `r10 - 0x8`.
struct Addr(Reg, i16);

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.1 < 0 { '-' } else { '+' };
        write!(f, "r{} {sign} {:#x}", self.0.0, self.1.unsigned_abs())
    }
}

/// Values narrower than eight bytes are named by half registers.
fn width_of(size: Size) -> Width {
    if size == Size::DW { Width::W64 } else { Width::W32 }
}

fn write_op(out: &mut dyn Write, op: &Op, pc: usize, names: &dyn Names) -> fmt::Result {
    match *op {
        Op::Alu { width, op, dst, src } => {
            write!(out, "{} {} {}", Name(width, dst), alu_row(op).text, Operand(width, src))
        }
        Op::Neg { width, dst } => write!(out, "{0} = -{0}", Name(width, dst)),
        Op::MovSx { width, bits, dst, src } => {
            write!(out, "{} = (s{bits}){}", Name(width, dst), Name(width, src))
        }
        Op::End { kind, bits, dst } => write!(out, "{dst} = {}{bits} {dst}", end_name(kind)),
        Op::AddrSpaceCast { dst, src, imm } => {
            let (to, from) = (imm as u32 >> 16, imm as u16);
            write!(out, "{dst} = addr_space_cast({src}, {to:#x}, {from:#x})")
        }
        Op::LdImm64 { dst, imm } => imm64(out, dst, imm),
        Op::LdAbs { size, imm } => {
            write!(out, "r0 = *({} *)skb[{}]", size_row(size).text, Hex(imm.into()))
        }
        // LLVM never prints the immediate, which its compiler leaves zero.
        Op::LdInd { size, src, .. } => write!(out, "r0 = *({} *)skb[{src}]", size_row(size).text),
        Op::Load { size, signed: true, dst, base, off } => {
            write!(out, "{dst} = *({} *)({})", size_row(size).signed, Addr(base, off))
        }
        Op::Load { size, dst, base, off, .. } => {
            let (dst, ty) = (Name(width_of(size), dst), size_row(size).text);
            write!(out, "{dst} = *({ty} *)({})", Addr(base, off))
        }
        Op::Store { size, base, off, src } => {
            let (src, ty) = (Operand(width_of(size), src), size_row(size).text);
            write!(out, "*({ty} *)({}) = {src}", Addr(base, off))
        }
        Op::Atomic { size, op, fetch, base, off, src } => {
            atomic(out, size, (op, fetch), Addr(base, off), Name(width_of(size), src))
        }
        Op::LoadAcquire { size, dst, base, off } => {
            let (dst, ty) = (Name(width_of(size), dst), size_row(size).text);
            write!(out, "{dst} = load_acquire(({ty} *)({}))", Addr(base, off))
        }
        Op::StoreRelease { size, base, off, src } => {
            let (src, ty) = (Name(width_of(size), src), size_row(size).text);
            write!(out, "store_release(({ty} *)({}), {src})", Addr(base, off))
        }
        Op::Ja { long, off } => jump(out, if long { "gotol" } else { "goto" }, pc, off, names),
        Op::MayGoto { off } => jump(out, "may_goto", pc, off.into(), names),
        Op::Jmp { width, cond, dst, src, off } => {
            let (dst, src) = (Name(width, dst), Operand(width, src));
            write!(out, "if {dst} {} {src} ", cond_row(cond).text)?;
            jump(out, "goto", pc, off.into(), names)
        }
        Op::Call(Callee::Helper(n) | Callee::Subprog(n) | Callee::Kfunc { id: n, .. }) => {
            write!(out, "call {}", Hex(n.into()))
        }
        Op::Exit => out.write_str("exit"),
    }
}

fn end_name(kind: Endian) -> &'static str {
    match kind {
        Endian::ToLe => "le",
        Endian::ToBe => "be",
        Endian::Swap => "bswap",
    }
}

fn imm64(out: &mut dyn Write, dst: Reg, imm: Imm64) -> fmt::Result {
    let (kind, low) = match imm {
        Imm64::Value(v) => return write!(out, "{dst} = {} ll", Hex(v as i64)),
        Imm64::MapFd(n) => (1, n),
        Imm64::MapValue { fd, .. } => (2, fd),
        Imm64::BtfId { id, .. } => (3, id),
        Imm64::Func(rel) => (4, rel),
        Imm64::MapIdx(idx) => (5, idx),
        Imm64::MapIdxValue { idx, .. } => (6, idx),
    };
    write!(out, "ld_pseudo\t{dst}, {kind:#x}, {}", Hex(low.into()))
}

fn atomic(
    out: &mut dyn Write,
    size: Size,
    (op, fetch): (AtomicOp, bool),
    addr: Addr,
    src: Name,
) -> fmt::Result {
    let Some(row) = atomic_row(op, fetch) else { return out.write_str("<unknown>") };
    let (ty, name) = (size_row(size).text, row.text);
    let suffix = if size == Size::DW { "_64" } else { "32_32" };
    let r0 = Name(src.0, Reg::R0);
    match (op, fetch) {
        (AtomicOp::Xchg, _) => write!(out, "{src} = xchg{suffix}({addr}, {src})"),
        (AtomicOp::Cmpxchg, _) => write!(out, "{r0} = cmpxchg{suffix}({addr}, {r0}, {src})"),
        (_, true) => write!(out, "{src} = atomic_{name}(({ty} *)({addr}), {src})"),
        (_, false) => write!(out, "lock *({ty} *)({addr}) {name} {src}"),
    }
}

fn jump(out: &mut dyn Write, name: &str, pc: usize, off: i32, names: &dyn Names) -> fmt::Result {
    let sign = if off < 0 { '-' } else { '+' };
    write!(out, "{name} {sign}{:#x}", off.unsigned_abs())?;
    let target = pc.checked_add(1).and_then(|next| next.checked_add_signed(off as isize));
    match target.and_then(|pc| names.label(pc)) {
        Some(label) => write!(out, " <{label}>"),
        None => Ok(()),
    }
}
