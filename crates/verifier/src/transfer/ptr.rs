//! Pointer plus or minus a number.

use isa::{AluOp, Src, Width};

use super::alu::{immediate, symbol};
use super::sanitize::AluLimit;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadPtr, Reg, RegType};
use crate::state::{RegFlags, RegKind, RegState};

/// Offsets stay below this, so that sums of a few cannot overflow.
pub(crate) const MAX_VAR_OFF: i64 = 1 << 29;

impl Env<'_> {
    /// `dst op= src` where one is a pointer and the other a number.
    pub(super) fn adjust_pointer(
        &mut self,
        width: Width,
        op: AluOp,
        dst: usize,
        src: Src,
        pointer_is_dst: bool,
    ) -> Checked {
        let dst_reg = *self.reg(dst);
        let src_reg = match src {
            Src::Imm(imm) => immediate(imm),
            Src::Reg(src) => *self.reg(src.index()),
        };
        let (ptr, by) = if pointer_is_dst { (dst_reg, src_reg) } else { (src_reg, dst_reg) };
        let known = by.v.as_const().is_some();
        let v = &by.v;
        if known && (v.smin != v.smax || v.umin != v.umax) || v.smin > v.smax || v.umin > v.umax {
            // A number with contradictory ranges comes from a dead branch.
            self.mark_reg_unknown(dst);
            return Ok(());
        }
        if width == Width::W32 {
            if op == AluOp::Sub && self.caps.allow_ptr_leaks {
                self.mark_reg_unknown(dst);
                return Ok(());
            }
            return reject!(EACCES, BadPtr::Arithmetic32 { reg: Reg(dst) });
        }
        if ptr.may_be_null() {
            return reject!(EACCES, BadPtr::MaybeNull { reg: Reg(dst), is: RegType::of(&ptr) });
        }
        if ptr.kind == RegKind::Mem && ptr.flags.contains(RegFlags::UNTRUSTED) {
            return Ok(());
        }
        if !may_move(&ptr, &by, op) {
            return reject!(EACCES, BadPtr::Fixed { reg: Reg(dst), is: RegType::of(&ptr) });
        }
        let is = RegType::of(&ptr);
        check_sane_offset(&by, is)?;
        check_sane_offset(&ptr, is)?;
        let window = if matches!(op, AluOp::Add | AluOp::Sub) {
            self.sanitize_pointer(op, dst, src, &ptr, &by, pointer_is_dst)?
        } else {
            AluLimit::default()
        };
        let moved = match op {
            AluOp::Add => self.add_to_pointer(&ptr, &by),
            AluOp::Sub => self.sub_from_pointer(dst, &ptr, &by, pointer_is_dst)?,
            AluOp::And | AluOp::Or | AluOp::Xor => {
                return reject!(EACCES, BadPtr::Bitwise { reg: Reg(dst), op: symbol(op) });
            }
            _ => {
                return reject!(EACCES, BadPtr::Operator { reg: Reg(dst), op: symbol(op) });
            }
        };
        check_sane_offset(&moved, is)?;
        let mut moved = moved;
        moved.v.sync();
        *self.reg_mut(dst) = moved;
        let bounded = self.check_pointer_stays_inside(dst);
        if let Err(reject) = &bounded
            && reject.errno() == uapi::Errno::EACCES
        {
            return bounded;
        }
        if matches!(op, AluOp::Add | AluOp::Sub) {
            self.commit_sanitized(op, dst, src, &by, window)?;
        }
        Ok(())
    }

    fn add_to_pointer(&mut self, ptr: &RegState, by: &RegState) -> RegState {
        let mut moved = *ptr;
        moved.v.forget32();
        if let Some(off) = fixed(by, ptr.off, i64::checked_add) {
            moved.off = off;
            return moved;
        }
        let (p, b) = (&ptr.v, &by.v);
        (moved.v.smin, moved.v.smax) =
            match (p.smin.checked_add(b.smin), p.smax.checked_add(b.smax)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i64::MIN, i64::MAX),
            };
        (moved.v.umin, moved.v.umax) =
            match (p.umin.checked_add(b.umin), p.umax.checked_add(b.umax)) {
                (Some(min), Some(max)) => (min, max),
                _ => (0, u64::MAX),
            };
        moved.v.var_off = p.var_off.add(b.var_off);
        if ptr.is_packet() {
            moved.id = self.new_id();
            (moved.data, moved.data2) = (0, 0);
        }
        moved
    }

    fn sub_from_pointer(
        &mut self,
        dst: usize,
        ptr: &RegState,
        by: &RegState,
        pointer_is_dst: bool,
    ) -> Checked<RegState> {
        if !pointer_is_dst {
            return reject!(EACCES, BadPtr::FromScalar { reg: Reg(dst) });
        }
        if ptr.kind == RegKind::Stack {
            return reject!(EACCES, BadPtr::FromStack { reg: Reg(dst) });
        }
        let mut moved = *ptr;
        moved.v.forget32();
        if let Some(off) = fixed(by, ptr.off, i64::checked_sub) {
            moved.off = off;
            return Ok(moved);
        }
        let (p, b) = (&ptr.v, &by.v);
        (moved.v.smin, moved.v.smax) =
            match (p.smin.checked_sub(b.smax), p.smax.checked_sub(b.smin)) {
                (Some(min), Some(max)) => (min, max),
                _ => (i64::MIN, i64::MAX),
            };
        (moved.v.umin, moved.v.umax) = if p.umin < b.umax {
            (0, u64::MAX)
        } else {
            (p.umin - b.umax, p.umax.wrapping_sub(b.umin))
        };
        moved.v.var_off = p.var_off.sub(b.var_off);
        if ptr.is_packet() {
            moved.id = self.new_id();
            if b.smin < 0 {
                (moved.data, moved.data2) = (0, 0);
            }
        }
        Ok(moved)
    }
}

/// The new constant offset, if the number is known and the sum fits.
fn fixed(by: &RegState, off: i32, op: fn(i64, i64) -> Option<i64>) -> Option<i32> {
    by.v.as_const()?;
    op(i64::from(off), by.v.smin).and_then(|sum| i32::try_from(sum).ok())
}

/// Which pointers arithmetic may move.
fn may_move(ptr: &RegState, by: &RegState, op: AluOp) -> bool {
    match ptr.kind {
        RegKind::Ctx
        | RegKind::MapValue
        | RegKind::MapKey
        | RegKind::Stack
        | RegKind::PktMeta
        | RegKind::Pkt
        | RegKind::TpBuffer
        | RegKind::BtfId
        | RegKind::Mem
        | RegKind::Buf
        | RegKind::Func
        | RegKind::Dynptr => true,
        RegKind::FlowKeys if by.v.as_const().is_some() => true,
        RegKind::FlowKeys | RegKind::MapPtr => by.v.as_const() == Some(0) && op == AluOp::Add,
        _ => false,
    }
}

/// Offsets that cannot overflow when added up.
fn check_sane_offset(reg: &RegState, is: RegType) -> Checked {
    let v = &reg.v;
    if let Some(value) = v.as_const() {
        let value = value as i64;
        if !(-MAX_VAR_OFF + 1..MAX_VAR_OFF).contains(&value) {
            return reject!(EINVAL, BadPtr::Constant { is, value });
        }
    }
    if !(-MAX_VAR_OFF + 1..MAX_VAR_OFF).contains(&i64::from(reg.off)) {
        return reject!(EINVAL, BadPtr::Offset { is, off: reg.off });
    }
    if v.smin == i64::MIN {
        return reject!(EINVAL, BadPtr::UnboundedMin { is });
    }
    if !(-MAX_VAR_OFF + 1..MAX_VAR_OFF).contains(&v.smin) {
        return reject!(EINVAL, BadPtr::OutOfBounds { value: v.smin, is });
    }
    Ok(())
}
