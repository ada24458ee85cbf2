//! Slots to operations, as strictly as Linux 6.18.

use crate::error::Family;
use crate::table::{self, Form, LOAD_ACQUIRE, Operand, Row, STORE_RELEASE, field};
use crate::{AluOp, AtomicOp, Callee, DecodeError, Endian, Imm64, Insn, Op, Reg, Size, Src, Width};

/// The operation at slot `pc` of `insns`.
///
/// Refuses what Linux refuses about an instruction by itself: opcodes, reserved fields,
/// register numbers. What depends on its surroundings or on values (jump targets, writes to
/// r10, constant shift counts and divisors) is left to the verifier.
pub fn decode(insns: &[Insn], pc: usize) -> Result<Op, DecodeError> {
    let insn = insns.get(pc).ok_or(DecodeError::OutOfRange { pc })?;
    let row = table::lookup(insn.code).ok_or_else(|| unknown(insn, pc))?;
    check_reserved(row, insn, pc)?;
    Decoder { insns, insn: *insn, pc, family: row.family }.op(row.form)
}

/// All operations of `insns` with the slots they start at.
pub fn decode_program(insns: &[Insn]) -> Result<Vec<(usize, Op)>, DecodeError> {
    let mut ops = Vec::with_capacity(insns.len());
    let mut pc = 0;
    while pc < insns.len() {
        let op = decode(insns, pc)?;
        ops.push((pc, op));
        pc += op.slots();
    }
    Ok(ops)
}

/// Whether Linux 6.18 has an instruction with this opcode byte.
pub fn is_known_opcode(code: u8) -> bool {
    table::lookup(code).is_some()
}

/// Linux looks at the mode and the immediate of loads before it looks up the opcode.
fn unknown(insn: &Insn, pc: usize) -> DecodeError {
    const LDX: u8 = 1;
    let mode = insn.code & 0xe0;
    if insn.class() == LDX && (insn.imm != 0 || (mode != 0x60 && mode != 0x80)) {
        return DecodeError::ReservedField { pc, family: Family::Ldx };
    }
    DecodeError::UnknownOpcode { pc, code: insn.code }
}

fn check_reserved(row: &Row, insn: &Insn, pc: usize) -> Result<(), DecodeError> {
    let mut used = 0;
    for (value, bit) in [
        (insn.dst().0 as i32, field::DST),
        (insn.src().0 as i32, field::SRC),
        (insn.off as i32, field::OFF),
        (insn.imm, field::IMM),
    ] {
        if value != 0 {
            used |= bit;
        }
    }
    match (used & row.reserved, row.family) {
        (0, _) => Ok(()),
        (_, Family::MayGoto) => Err(DecodeError::BadMayGoto { pc, imm: insn.imm }),
        // Linux looks at the first register of a jump before its reserved fields.
        (_, Family::Jmp) if !insn.dst().is_valid() => {
            Err(DecodeError::BadRegister { pc, reg: insn.dst() })
        }
        (_, family) => Err(DecodeError::ReservedField { pc, family }),
    }
}

struct Decoder<'a> {
    insns: &'a [Insn],
    insn: Insn,
    pc: usize,
    family: Family,
}

/// Of two bad registers the one that Linux looks at first is reported: the destination of
/// jumps, else the source. Hence the order of fields below.
impl Decoder<'_> {
    fn op(&self, form: Form) -> Result<Op, DecodeError> {
        let Insn { off, imm, .. } = self.insn;
        Ok(match form {
            Form::Alu(width, base, operand) => self.alu(width, base, operand)?,
            Form::Mov(width, operand) => self.mov(width, operand)?,
            Form::Neg(width) => Op::Neg { width, dst: self.dst()? },
            Form::ToLe => self.end(Endian::ToLe)?,
            Form::ToBe => self.end(Endian::ToBe)?,
            Form::Swap => self.end(Endian::Swap)?,
            Form::LdImm64 => self.ld_imm64()?,
            Form::LdAbs(size) => Op::LdAbs { size, imm },
            Form::LdInd(size) => Op::LdInd { size, src: self.src()?, imm },
            Form::Load(size, signed) => {
                Op::Load { size, signed, base: self.src()?, dst: self.dst()?, off }
            }
            Form::Store(size, operand) => {
                Op::Store { size, src: self.operand(operand)?, base: self.dst()?, off }
            }
            Form::Atomic(size) => self.atomic(size)?,
            Form::Ja => Op::Ja { long: false, off: off.into() },
            Form::JaLong => Op::Ja { long: true, off: imm },
            Form::MayGoto => Op::MayGoto { off },
            Form::Jmp(width, cond, operand) => {
                Op::Jmp { width, cond, dst: self.dst()?, src: self.operand(operand)?, off }
            }
            Form::Call => Op::Call(self.callee()?),
            Form::Exit => Op::Exit,
        })
    }

    fn reg(&self, reg: Reg) -> Result<Reg, DecodeError> {
        if reg.is_valid() { Ok(reg) } else { Err(DecodeError::BadRegister { pc: self.pc, reg }) }
    }

    fn dst(&self) -> Result<Reg, DecodeError> {
        self.reg(self.insn.dst())
    }

    fn src(&self) -> Result<Reg, DecodeError> {
        self.reg(self.insn.src())
    }

    fn operand(&self, operand: Operand) -> Result<Src, DecodeError> {
        match operand {
            Operand::Imm => Ok(Src::Imm(self.insn.imm)),
            Operand::Reg => self.src().map(Src::Reg),
        }
    }

    fn reserved(&self) -> DecodeError {
        DecodeError::ReservedField { pc: self.pc, family: self.family }
    }

    fn alu(&self, width: Width, base: AluOp, operand: Operand) -> Result<Op, DecodeError> {
        let row = table::alu_by_off(base, self.insn.off).ok_or_else(|| self.reserved())?;
        Ok(Op::Alu { width, op: row.op, src: self.operand(operand)?, dst: self.dst()? })
    }

    fn mov(&self, width: Width, operand: Operand) -> Result<Op, DecodeError> {
        let Insn { off, imm, .. } = self.insn;
        if operand == Operand::Reg && width == Width::W64 && off == table::ADDR_SPACE_CAST {
            if !is_addr_space_cast(imm) {
                return Err(DecodeError::BadAddrSpaceCast { pc: self.pc, imm });
            }
            return Ok(Op::AddrSpaceCast { src: self.src()?, dst: self.dst()?, imm });
        }
        if operand == Operand::Reg && imm != 0 {
            return Err(self.reserved());
        }
        let dst = self.dst();
        match (off, width) {
            (0, _) => Ok(Op::Alu { width, op: AluOp::Mov, src: self.operand(operand)?, dst: dst? }),
            (8 | 16, _) | (32, Width::W64) => {
                Ok(Op::MovSx { width, bits: off as u8, src: self.src()?, dst: dst? })
            }
            _ => Err(self.reserved()),
        }
    }

    fn end(&self, kind: Endian) -> Result<Op, DecodeError> {
        match self.insn.imm {
            bits @ (16 | 32 | 64) => Ok(Op::End { kind, bits: bits as u8, dst: self.dst()? }),
            _ => Err(self.reserved()),
        }
    }

    fn ld_imm64(&self) -> Result<Op, DecodeError> {
        let imm = self.imm64()?;
        if self.insn.off != 0 {
            return Err(self.reserved());
        }
        Ok(Op::LdImm64 { dst: self.dst()?, imm })
    }

    fn imm64(&self) -> Result<Imm64, DecodeError> {
        let pc = self.pc;
        let second = self.insns.get(pc + 1).ok_or(DecodeError::TruncatedImm64 { pc })?;
        if second.code != 0 || second.regs != 0 || second.off != 0 {
            return Err(DecodeError::BadImm64 { pc });
        }
        let (low, high) = (self.insn.imm, second.imm);
        let kind = self.insn.src().0;
        Ok(match (kind, high) {
            (0, _) => Imm64::Value((high as u32 as u64) << 32 | low as u32 as u64),
            (1, 0) => Imm64::MapFd(low),
            (2, _) => Imm64::MapValue { fd: low, off: high as u32 },
            (3, _) => Imm64::BtfId { id: low, btf_fd: high },
            // Linux overwrites the high half without having looked at it.
            (4, _) => Imm64::Func(low),
            (5, 0) => Imm64::MapIdx(low),
            (6, _) => Imm64::MapIdxValue { idx: low, off: high as u32 },
            _ => return Err(DecodeError::BadImm64Kind { pc, kind }),
        })
    }

    fn atomic(&self, size: Size) -> Result<Op, DecodeError> {
        let (pc, Insn { off, imm, .. }) = (self.pc, self.insn);
        let (dst, src) = (self.dst(), self.src());
        if imm == LOAD_ACQUIRE {
            return Ok(Op::LoadAcquire { size, base: src?, dst: dst?, off });
        }
        if imm == STORE_RELEASE {
            return Ok(Op::StoreRelease { size, src: src?, base: dst?, off });
        }
        let row = table::atomic_by_imm(imm).ok_or(DecodeError::BadAtomic { pc, imm })?;
        if size < Size::W {
            return Err(DecodeError::BadAtomicSize { pc });
        }
        let (op, fetch): (AtomicOp, bool) = (row.op, row.fetch);
        Ok(Op::Atomic { size, op, fetch, src: src?, base: dst?, off })
    }

    fn callee(&self) -> Result<Callee, DecodeError> {
        let Insn { off, imm, .. } = self.insn;
        match (self.insn.src().0, off) {
            (0, 0) => Ok(Callee::Helper(imm)),
            (1, 0) => Ok(Callee::Subprog(imm)),
            (2, off) => Ok(Callee::Kfunc { id: imm, off }),
            _ => Err(self.reserved()),
        }
    }
}

/// From space 1 to 0 (`imm` 1) or from 0 to 1.
pub(crate) const fn is_addr_space_cast(imm: i32) -> bool {
    imm == 1 || imm == 1 << 16
}
