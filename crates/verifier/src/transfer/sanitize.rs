//! Spectre v1 for loaders without CAP_PERFMON: pointer arithmetic is masked at run time, so its
//! limits must be the same on every path, and what a CPU might do wrongly is walked as a path of
//! its own.

use isa::{AluOp, Src};

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadStack, Bits, Reg, Speculation};
use crate::state::{RegKind, RegState};

/// Bits of [`InsnAux::alu_state`](crate::env::InsnAux).
mod alu_state {
    pub(super) const SANITIZE_SRC: u8 = 1;
    pub(super) const SANITIZE_DST: u8 = 2;
    pub(super) const NEG_VALUE: u8 = 4;
    pub(super) const NON_POINTER: u8 = 8;
    pub(super) const IMMEDIATE: u8 = 16;
}

/// The masking worked out before the pointer moved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AluLimit {
    state: u8,
    limit: u32,
    mask_to_left: bool,
}

/// Why arithmetic cannot be masked.
enum Reason {
    Bounds,
    Type,
    Paths,
    Limit,
}

impl Env<'_> {
    fn skips_sanitation(&self, src: Src) -> bool {
        self.caps.bypass_spec_v1 || matches!(src, Src::Imm(_)) || self.aux[self.insn_idx].nospec
    }

    /// Arithmetic on numbers at an instruction that is masked elsewhere is refused.
    pub(super) fn sanitize_scalar(&mut self, dst: usize, src: Src) -> Checked {
        if self.skips_sanitation(src) {
            return Ok(());
        }
        self.set_alu_state(alu_state::NON_POINTER, 0)
            .or_else(|why| self.refuse(why, AluOp::Add, dst, src, None))
    }

    /// Before the pointer moves: whether masking is possible; pushes the path on which the mask
    /// made the number zero.
    pub(super) fn sanitize_pointer(
        &mut self,
        op: AluOp,
        dst: usize,
        src: Src,
        ptr: &RegState,
        by: &RegState,
        pointer_is_dst: bool,
    ) -> Checked<AluLimit> {
        let mut window = AluLimit::default();
        if self.skips_sanitation(src) {
            return Ok(window);
        }
        let imm = by.v.as_const().is_some();
        if !self.state.speculative {
            let negative = by.v.smin < 0;
            if !imm && negative != (by.v.smax < 0) {
                return self
                    .refuse(Reason::Bounds, op, dst, src, Some(!pointer_is_dst))
                    .map(|()| window);
            }
            window.mask_to_left = op == AluOp::Add && negative || op == AluOp::Sub && !negative;
            window.limit = match self.pointer_limit(ptr, window.mask_to_left) {
                Ok(limit) => limit,
                Err(why) => {
                    return self.refuse(why, op, dst, src, Some(!pointer_is_dst)).map(|()| window);
                }
            };
            let side =
                if pointer_is_dst { alu_state::SANITIZE_SRC } else { alu_state::SANITIZE_DST };
            window.state = side
                | if negative { alu_state::NEG_VALUE } else { 0 }
                | if imm { alu_state::IMMEDIATE } else { 0 };
            if !imm {
                self.store.explore_alu_limits = true;
            }
        }
        if imm {
            return Ok(window);
        }
        // The mask may have made the number zero: walk on with the pointer unmoved.
        let saved = *self.reg(dst);
        if !pointer_is_dst {
            *self.state.reg_mut(dst) = *ptr;
        }
        self.push_branch(self.insn_idx + 1, self.insn_idx, true).map_err(|reject| {
            reject.with_errno(uapi::Errno::ENOMEM).then(Speculation::NotPushed { reg: Reg(dst) })
        })?;
        if !pointer_is_dst {
            *self.state.reg_mut(dst) = saved;
        }
        Ok(window)
    }

    /// After the pointer moved: the mask's window is how far it went.
    pub(super) fn commit_sanitized(
        &mut self,
        op: AluOp,
        dst: usize,
        src: Src,
        by: &RegState,
        window: AluLimit,
    ) -> Checked {
        if self.skips_sanitation(src) || self.state.speculative {
            return Ok(());
        }
        let moved = *self.reg(dst);
        let _ = by;
        let limit = match self.pointer_limit(&moved, window.mask_to_left) {
            Ok(limit) => limit,
            Err(why) => return self.refuse(why, op, dst, src, Some(false)),
        };
        self.set_alu_state(window.state, window.limit.abs_diff(limit))
            .or_else(|why| self.refuse(why, op, dst, src, Some(false)))
    }

    /// How far the pointer may go towards the masked side.
    fn pointer_limit(&self, ptr: &RegState, mask_to_left: bool) -> Result<u32, Reason> {
        let (max, limit) = match ptr.kind {
            RegKind::Stack if ptr.flags.is_empty() => {
                let off = ptr.v.var_off.value as i64 + i64::from(ptr.off);
                (uapi::MAX_STACK as u32 + u32::from(mask_to_left), -off as u32)
            }
            RegKind::MapValue if ptr.flags.is_empty() => {
                let var = if mask_to_left { ptr.v.smin as u64 } else { ptr.v.umax };
                (self.map_def(ptr).value_size, var.wrapping_add(ptr.off as u64) as u32)
            }
            _ => return Err(Reason::Type),
        };
        if limit >= max { Err(Reason::Limit) } else { Ok(limit) }
    }

    fn set_alu_state(&mut self, state: u8, limit: u32) -> Result<(), Reason> {
        let aux = &mut self.aux[self.insn_idx];
        if aux.alu_state != 0 && (aux.alu_state != state || aux.alu_limit != limit) {
            return Err(Reason::Paths);
        }
        (aux.alu_state, aux.alu_limit) = (state, limit);
        Ok(())
    }

    /// `number_is_dst`: which operand is the number; `None` if no pointer is involved.
    fn refuse(
        &self,
        why: Reason,
        op: AluOp,
        dst: usize,
        src: Src,
        number_is_dst: Option<bool>,
    ) -> Checked {
        let verb = if op == AluOp::Sub { "sub" } else { "add" };
        let src = match src {
            Src::Reg(reg) => reg.index(),
            Src::Imm(_) => 0,
        };
        // Without a pointer both operands are unnamed to Linux, and so equal.
        let number_is_dst = number_is_dst.unwrap_or(true);
        let (number, pointer) = if number_is_dst { (dst, src) } else { (src, dst) };
        let reason = match why {
            Reason::Bounds => Speculation::MixedBounds { reg: Reg(number) },
            Reason::Type => Speculation::Operation { reg: Reg(pointer) },
            Reason::Paths => Speculation::Paths { reg: Reg(dst), verb },
            Reason::Limit => Speculation::Limit { reg: Reg(dst), verb },
        };
        reject!(EACCES, reason)
    }

    /// Without CAP_PERFMON a moved pointer must stay inside its object.
    pub(super) fn check_pointer_stays_inside(&mut self, dst: usize) -> Checked {
        if self.caps.bypass_spec_v1 {
            return Ok(());
        }
        let reg = *self.reg(dst);
        if !reg.flags.is_empty() {
            return reject!(EOPNOTSUPP);
        }
        match reg.kind {
            RegKind::Stack => {
                let off = i64::from(reg.off).wrapping_add(reg.v.var_off.value as i64);
                if !reg.v.var_off.is_const() {
                    return reject!(
                        EACCES,
                        BadStack::VariableMoved {
                            reg: Reg(dst),
                            var_off: Bits(reg.v.var_off),
                            off
                        }
                    );
                }
                if !(-(uapi::MAX_STACK as i64)..0).contains(&off) {
                    return reject!(EACCES, BadStack::MovedOut { reg: Reg(dst), off });
                }
                Ok(())
            }
            RegKind::MapValue => self.check_map_access(dst, reg.off, 1, false).map_err(|reject| {
                reject
                    .with_errno(uapi::Errno::EACCES)
                    .then(Speculation::ValueMovedOut { reg: Reg(dst) })
            }),
            _ => reject!(EOPNOTSUPP),
        }
    }
}
