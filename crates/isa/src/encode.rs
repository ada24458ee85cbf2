//! Operations to slots.

use crate::decode::is_addr_space_cast;
use crate::table::{self, ADDR_SPACE_CAST, Form, LOAD_ACQUIRE, Operand, STORE_RELEASE};
use crate::{AluOp, Callee, EncodeError, Endian, Imm64, Insn, Op, Reg, Size, Src, Width};

/// Appends the slots of `op` to `out`; on an error `out` is as before.
pub fn encode(op: &Op, out: &mut Vec<Insn>) -> Result<(), EncodeError> {
    if let Op::LdImm64 { dst, imm } = *op {
        let (kind, low, high) = imm64_parts(imm);
        out.push(slot(Form::LdImm64, dst, Reg(kind), 0, low)?);
        out.push(Insn { imm: high, ..Insn::default() });
        return Ok(());
    }
    out.push(single(op)?);
    Ok(())
}

/// The slots of a sequence of operations.
pub fn encode_program<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Result<Vec<Insn>, EncodeError> {
    let mut out = Vec::new();
    for op in ops {
        encode(op, &mut out)?;
    }
    Ok(out)
}

const NO_REG: Reg = Reg(0);

fn single(op: &Op) -> Result<Insn, EncodeError> {
    match *op {
        Op::Alu { width, op, dst, src } => alu(width, op, dst, src),
        Op::Neg { width, dst } => slot(Form::Neg(width), dst, NO_REG, 0, 0),
        Op::MovSx { width, bits, dst, src } => mov_sx(width, bits, dst, src),
        Op::End { kind, bits, dst } => end(kind, bits, dst),
        Op::AddrSpaceCast { dst, src, imm } => addr_space_cast(dst, src, imm),
        Op::LdImm64 { .. } => Err(EncodeError::NoOpcode),
        Op::LdAbs { size, imm } => slot(Form::LdAbs(size), NO_REG, NO_REG, 0, imm),
        Op::LdInd { size, src, imm } => slot(Form::LdInd(size), NO_REG, src, 0, imm),
        Op::Load { size, signed, dst, base, off } => {
            slot(Form::Load(size, signed), dst, base, off, 0)
        }
        Op::Store { size, base, off, src } => {
            let (operand, reg, imm) = operand(src);
            slot(Form::Store(size, operand), base, reg, off, imm)
        }
        Op::Atomic { size, op, fetch, base, off, src } => {
            let row = table::atomic_row(op, fetch).ok_or(EncodeError::NoOpcode)?;
            if size < Size::W {
                return Err(EncodeError::NoOpcode);
            }
            slot(Form::Atomic(size), base, src, off, row.imm)
        }
        Op::LoadAcquire { size, dst, base, off } => {
            slot(Form::Atomic(size), dst, base, off, LOAD_ACQUIRE)
        }
        Op::StoreRelease { size, base, off, src } => {
            slot(Form::Atomic(size), base, src, off, STORE_RELEASE)
        }
        Op::Ja { long: true, off } => slot(Form::JaLong, NO_REG, NO_REG, 0, off),
        Op::Ja { long: false, off } => slot(Form::Ja, NO_REG, NO_REG, short(off)?, 0),
        Op::MayGoto { off } => slot(Form::MayGoto, NO_REG, NO_REG, off, 0),
        Op::Jmp { width, cond, dst, src, off } => {
            let (operand, reg, imm) = operand(src);
            slot(Form::Jmp(width, cond, operand), dst, reg, off, imm)
        }
        Op::Call(callee) => call(callee),
        Op::Exit => slot(Form::Exit, NO_REG, NO_REG, 0, 0),
    }
}

fn slot(form: Form, dst: Reg, src: Reg, off: i16, imm: i32) -> Result<Insn, EncodeError> {
    for reg in [dst, src] {
        if !reg.is_valid() {
            return Err(EncodeError::BadRegister { reg });
        }
    }
    let row = table::of_form(form).ok_or(EncodeError::NoOpcode)?;
    Ok(Insn::new(row.code, dst.0, src.0, off, imm))
}

fn operand(src: Src) -> (Operand, Reg, i32) {
    match src {
        Src::Reg(reg) => (Operand::Reg, reg, 0),
        Src::Imm(imm) => (Operand::Imm, NO_REG, imm),
    }
}

fn short(off: i32) -> Result<i16, EncodeError> {
    i16::try_from(off).map_err(|_| EncodeError::OffsetRange { off })
}

fn alu(width: Width, op: AluOp, dst: Reg, src: Src) -> Result<Insn, EncodeError> {
    let (operand, reg, imm) = operand(src);
    if op == AluOp::Mov {
        return slot(Form::Mov(width, operand), dst, reg, 0, imm);
    }
    let row = table::alu_row(op);
    let base = table::alu_base(row);
    slot(Form::Alu(width, base, operand), dst, reg, row.off, imm)
}

fn mov_sx(width: Width, bits: u8, dst: Reg, src: Reg) -> Result<Insn, EncodeError> {
    match (bits, width) {
        (8 | 16, _) | (32, Width::W64) => {
            slot(Form::Mov(width, Operand::Reg), dst, src, bits.into(), 0)
        }
        _ => Err(EncodeError::BadBits { bits }),
    }
}

fn end(kind: Endian, bits: u8, dst: Reg) -> Result<Insn, EncodeError> {
    let form = match kind {
        Endian::ToLe => Form::ToLe,
        Endian::ToBe => Form::ToBe,
        Endian::Swap => Form::Swap,
    };
    match bits {
        16 | 32 | 64 => slot(form, dst, NO_REG, 0, bits.into()),
        _ => Err(EncodeError::BadBits { bits }),
    }
}

fn addr_space_cast(dst: Reg, src: Reg, imm: i32) -> Result<Insn, EncodeError> {
    if !is_addr_space_cast(imm) {
        return Err(EncodeError::BadAddrSpaceCast { imm });
    }
    slot(Form::Mov(Width::W64, Operand::Reg), dst, src, ADDR_SPACE_CAST, imm)
}

fn call(callee: Callee) -> Result<Insn, EncodeError> {
    let (kind, off, imm) = match callee {
        Callee::Helper(id) => (0, 0, id),
        Callee::Subprog(rel) => (1, 0, rel),
        Callee::Kfunc { id, off } => (2, off, id),
    };
    slot(Form::Call, NO_REG, Reg(kind), off, imm)
}

/// Kind for the `src` field, immediates of the first and the second slot.
fn imm64_parts(imm: Imm64) -> (u8, i32, i32) {
    match imm {
        Imm64::Value(v) => (0, v as i32, (v >> 32) as i32),
        Imm64::MapFd(fd) => (1, fd, 0),
        Imm64::MapValue { fd, off } => (2, fd, off as i32),
        Imm64::BtfId { id, btf_fd } => (3, id, btf_fd),
        Imm64::Func(rel) => (4, rel, 0),
        Imm64::MapIdx(idx) => (5, idx, 0),
        Imm64::MapIdxValue { idx, off } => (6, idx, off as i32),
    }
}
