//! Arithmetic on registers.

use isa::{AluOp, Endian, Op, Src, Width};

use crate::domain::Bounds;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadMem, BadPtr, Bug, Note, Ranges, Reg};
use crate::state::{ADD_CONST, ADD_CONST32, ADD_CONST64, RegKind, RegState};

/// Linux's spelling of an operator.
pub(super) fn symbol(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div | AluOp::Sdiv => "/=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Mod | AluOp::Smod => "%=",
        AluOp::Xor => "^=",
        AluOp::Mov => "=",
        AluOp::Arsh => "s>>=",
    }
}

/// A number for the immediate operand.
pub(super) fn immediate(imm: i32) -> RegState {
    RegState::constant(i64::from(imm) as u64)
}

impl Env<'_> {
    /// Any arithmetic instruction.
    pub(crate) fn check_alu(&mut self, op: Op) -> Checked {
        let dst = match op {
            Op::Alu { width, op: AluOp::Mov, dst, src } => {
                self.check_mov(width, dst.index(), src)?;
                dst
            }
            Op::Alu { width, op, dst, src } => {
                self.check_binary(width, op, dst.index(), src)?;
                dst
            }
            Op::MovSx { width, bits, dst, src } => {
                self.check_mov_sx(width, bits, dst.index(), src.index())?;
                dst
            }
            Op::AddrSpaceCast { dst, src, imm } => {
                self.check_addr_space_cast(dst.index(), src.index(), imm)?;
                dst
            }
            Op::Neg { width, dst } => {
                self.check_unary(dst.index())?;
                self.check_neg(width, dst.index())?;
                dst
            }
            Op::End { kind, bits, dst } => {
                self.check_unary(dst.index())?;
                self.check_end(kind, bits, dst.index())?;
                dst
            }
            _ => return Ok(()),
        };
        self.check_bounds(dst.index(), "alu")
    }

    fn check_unary(&mut self, dst: usize) -> Checked {
        self.check_reg_read(dst)?;
        if self.is_pointer_value(dst) {
            return reject!(EACCES, BadPtr::Arithmetic { reg: Reg(dst) });
        }
        Ok(())
    }

    fn check_neg(&mut self, width: Width, dst: usize) -> Checked {
        if !self.reg(dst).is_scalar() {
            return self.check_reg_write(dst);
        }
        self.check_reg_write_keep(dst)?;
        let reg = self.reg_mut(dst);
        (reg.id, reg.off) = (0, 0);
        reg.v.neg();
        if width == Width::W32 {
            reg.v.zero_extend32();
        }
        reg.v.sync();
        Ok(())
    }

    /// Byte order: bits move with their bytes, ranges are lost.
    fn check_end(&mut self, kind: Endian, bits: u8, dst: usize) -> Checked {
        if !self.reg(dst).is_scalar() {
            return self.check_reg_write(dst);
        }
        self.check_reg_write_keep(dst)?;
        let swaps = kind != Endian::ToLe;
        let reg = self.reg_mut(dst);
        if swaps || bits < 64 {
            (reg.id, reg.off) = (0, 0);
        }
        if swaps {
            reg.v.var_off = reg.v.var_off.swap_bytes(u32::from(bits) / 8);
            reg.v.forget_ranges();
        }
        if bits < 64 {
            reg.v.truncate(u32::from(bits) / 8);
        }
        reg.v.sync();
        Ok(())
    }

    fn check_binary(&mut self, width: Width, op: AluOp, dst: usize, src: Src) -> Checked {
        if let Src::Reg(src) = src {
            self.check_reg_read(src.index())?;
        }
        self.check_reg_read(dst)?;
        if let Src::Imm(imm) = src {
            check_immediate(width, op, imm)?;
        }
        self.check_reg_write_keep(dst)?;
        self.apply_binary(width, op, dst, src)
    }

    /// Sorts the operands into numbers and pointers.
    fn apply_binary(&mut self, width: Width, op: AluOp, dst: usize, src: Src) -> Checked {
        let dst_reg = *self.reg(dst);
        if dst_reg.kind == RegKind::Arena {
            let aux = &mut self.aux[self.insn_idx];
            aux.access = crate::Access::Arena;
            aux.arena_alu = true;
            return if aux.plain_alu { reject!(EINVAL, BadMem::TwoKinds) } else { Ok(()) };
        }
        let aux = &mut self.aux[self.insn_idx];
        aux.plain_alu = true;
        if aux.arena_alu {
            return reject!(EINVAL, BadMem::TwoKinds);
        }
        let src_reg = match src {
            Src::Imm(imm) => immediate(imm),
            Src::Reg(src) => *self.reg(src.index()),
        };
        match (dst_reg.is_scalar(), src_reg.is_scalar()) {
            (false, false) => return self.two_pointers(op, dst),
            (true, false) => {
                self.mark_chain_precision(dst)?;
                return self.adjust_pointer(width, op, dst, src, false);
            }
            (false, true) => {
                if let Src::Reg(src) = src {
                    self.mark_chain_precision(src.index())?;
                }
                return self.adjust_pointer(width, op, dst, src, true);
            }
            (true, true) => {
                if let Src::Reg(src) = src
                    && dst_reg.precise
                {
                    self.mark_chain_precision(src.index())?;
                }
            }
        }
        self.adjust_scalar(width, op, dst, src, &src_reg)?;
        let doubled = matches!(src, Src::Reg(src) if src.index() == dst);
        let fits32 = dst_reg.v.umax <= u64::from(u32::MAX);
        let delta = if doubled || width == Width::W32 && !fits32 {
            None
        } else {
            distance(width, op, &src_reg.v)
        };
        self.link_constant_distance(width, dst, delta);
        Ok(())
    }

    fn two_pointers(&mut self, op: AluOp, dst: usize) -> Checked {
        if op == AluOp::Sub && self.caps.allow_ptr_leaks {
            self.mark_reg_unknown(dst);
            return Ok(());
        }
        reject!(EACCES, BadPtr::TwoPointers { reg: Reg(dst), op: symbol(op) })
    }

    fn adjust_scalar(
        &mut self,
        width: Width,
        op: AluOp,
        dst: usize,
        src: Src,
        by: &RegState,
    ) -> Checked {
        if !is_computable(width, op, &by.v) {
            self.mark_reg_unknown(dst);
            return Ok(());
        }
        if matches!(op, AluOp::Add | AluOp::Sub) {
            self.sanitize_scalar(dst, src)?;
        }
        if matches!(op, AluOp::And | AluOp::Or) && by.v.as_const().is_some() {
            self.fork_sign_mask(dst)?;
        }
        let reg = self.reg_mut(dst);
        compute(width, op, &mut reg.v, &by.v);
        if width == Width::W32 {
            reg.v.zero_extend32();
        }
        reg.v.sync();
        Ok(())
    }

    /// A number that is 0 or -1 (a sign spread by a shift) is about to select: each value is walked
    /// on its own.
    fn fork_sign_mask(&mut self, dst: usize) -> Checked {
        let v = self.reg(dst).v;
        let whole = v.smin == -1 && v.smax == 0;
        let low = v.s32_min == -1 && v.s32_max == 0;
        if !whole && !low {
            return Ok(());
        }
        self.push_branch(self.insn_idx, self.insn_idx, false)?;
        let known = |reg: &mut RegState, value: u64| {
            if whole {
                (reg.id, reg.off) = (0, 0);
                reg.v = Bounds::constant(value);
            } else {
                reg.v.set_low(value as u32);
            }
        };
        if let Some(other) = self.other_branch() {
            known(other.reg_mut(dst), 0);
        }
        known(self.reg_mut(dst), u64::MAX);
        Ok(())
    }

    /// `r1 = r2; r1 += 8` keeps the two linked at that distance; anything else cuts the link.
    fn link_constant_distance(&mut self, width: Width, dst: usize, delta: Option<i32>) {
        let capable = self.caps.bpf_capable;
        let reg = self.reg_mut(dst);
        match delta {
            Some(delta) if capable && reg.id != 0 && reg.id & ADD_CONST == 0 => {
                reg.id |= if width == Width::W32 { ADD_CONST32 } else { ADD_CONST64 };
                reg.off = delta;
            }
            _ => (reg.id, reg.off) = (0, 0),
        }
    }

    /// Contradictory ranges: Linux forgets them, or with BPF_F_TEST_REG_INVARIANTS gives up.
    pub(crate) fn check_bounds(&mut self, regno: usize, context: &'static str) -> Checked {
        let mut reg = *self.state.reg(regno);
        if !Self::is_violated(&reg.v) {
            return Ok(());
        }
        self.check_bounds_of(&mut reg, context)?;
        *self.reg_mut(regno) = reg;
        Ok(())
    }

    fn is_violated(v: &Bounds) -> bool {
        let out_of_sync = v.as_const().is_some_and(|n| {
            v.umin != n || v.umax != n || v.smin != n as i64 || v.smax != n as i64
        });
        let out_of_sync32 = v.as_const32().is_some_and(|n| {
            v.u32_min != n || v.u32_max != n || v.s32_min != n as i32 || v.s32_max != n as i32
        });
        !v.is_consistent() || out_of_sync || out_of_sync32
    }

    /// As [`Env::check_bounds`], of a register held elsewhere.
    pub(crate) fn check_bounds_of(&mut self, reg: &mut RegState, context: &'static str) -> Checked {
        let v = reg.v;
        if !Self::is_violated(&v) {
            return Ok(());
        }
        let what = if !v.is_consistent() {
            "range bounds violation"
        } else if v
            .as_const()
            .is_some_and(|n| v.umin != n || v.umax != n || v.smin != n as i64 || v.smax != n as i64)
        {
            "const tnum out of sync with range bounds"
        } else {
            "const subreg tnum out of sync with range bounds"
        };
        let reason = Bug::Invariants { context, what, ranges: Ranges(Box::new(v)) };
        if self.test_reg_invariants {
            return reject!(EFAULT, reason);
        }
        crate::log::say!(self, Note::Refused(&reason.into()));
        reg.v.forget_ranges();
        Ok(())
    }
}

fn check_immediate(width: Width, op: AluOp, imm: i32) -> Checked {
    match op {
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod if imm == 0 => {
            reject!(EINVAL, BadPtr::DivByZero)
        }
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if !(0..bits(width)).contains(&imm) => {
            reject!(EINVAL, BadPtr::Shift { by: imm })
        }
        _ => Ok(()),
    }
}

/// How far a sum or difference with a known number is away.
fn distance(width: Width, op: AluOp, by: &Bounds) -> Option<i32> {
    let delta = match width {
        Width::W64 => i32::try_from(by.as_const()? as i64).ok()?,
        Width::W32 => by.as_const32()? as i32,
    };
    match op {
        AluOp::Add => Some(delta),
        AluOp::Sub => delta.checked_neg(),
        _ => None,
    }
}

fn bits(width: Width) -> i32 {
    if width == Width::W64 { 64 } else { 32 }
}

/// Whether a range of the result is worked out: shifts only by known, sensible amounts; quotients
/// and remainders never.
fn is_computable(width: Width, op: AluOp, by: &Bounds) -> bool {
    match op {
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            let known = match width {
                Width::W32 => {
                    by.as_const32().is_some()
                        && by.s32_min == by.s32_max
                        && by.u32_min == by.u32_max
                }
                Width::W64 => by.as_const().is_some() && by.smin == by.smax && by.umin == by.umax,
            };
            known && by.umax < bits(width) as u64
        }
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => false,
        _ => true,
    }
}

fn compute(width: Width, op: AluOp, a: &mut Bounds, b: &Bounds) {
    let low = width == Width::W32;
    let by = if low { b.u32_min } else { b.umin as u32 };
    match op {
        AluOp::Add => a.add(b),
        AluOp::Sub => a.sub(b),
        AluOp::Mul => a.mul(b),
        AluOp::And => a.and(b),
        AluOp::Or => a.or(b),
        AluOp::Xor => a.xor(b),
        AluOp::Lsh if low => a.shl32(by),
        AluOp::Lsh => a.shl64(by),
        AluOp::Rsh if low => a.shr32(by),
        AluOp::Rsh => a.shr64(by),
        AluOp::Arsh if low => a.sar32(by),
        AluOp::Arsh => a.sar64(by),
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod | AluOp::Mov => *a = Bounds::UNKNOWN,
    }
}
