//! Iterators that programs step themselves, and saved interrupt flags.

use btf::{Btf, Kind, TypeId};

use super::object::NoSlots;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::BadObject;
use crate::state::{
    ITER_ACTIVE, ITER_DRAINED, LockHome, RefKind, Reference, RegFlags, RegKind, RegState, SlotByte,
};

const ITER: &str = "iter";
const IRQ: &str = "irq_flag";

/// A kind of iterator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IterType {
    /// `struct bpf_iter_*` in the kernel's BTF.
    pub(crate) id: u32,
    /// Slots it takes.
    pub(crate) slots: usize,
}

/// Where an iterator lives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IterPlace {
    pub(crate) frame: usize,
    pub(crate) spi: usize,
}

/// What saved interrupt flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IrqKind {
    /// `bpf_local_irq_save`.
    Native = 0,
    /// A lock.
    Lock = 1,
}

impl IrqKind {
    fn text(self) -> &'static str {
        if self == IrqKind::Native { "native" } else { "lock" }
    }
}

/// The iterator that a parameter points to.
pub(crate) fn iter_type(btf: &Btf, param: TypeId) -> Option<IterType> {
    let pointer = btf.resolved(param).filter(|t| t.kind == Kind::Ptr)?;
    let t = btf.resolved(TypeId(pointer.size_or_type)).filter(|t| t.kind.is_composite())?;
    let fits = t.name.starts_with("bpf_iter_") && t.size_or_type != 0 && t.size_or_type % 8 == 0;
    fits.then_some(IterType { id: t.id.0, slots: (t.size_or_type / 8) as usize })
}

impl Env<'_> {
    /// The program makes an iterator; `guarded`: it works on what RCU protects.
    pub(crate) fn make_iter(
        &mut self,
        regno: usize,
        insn_idx: usize,
        ty: IterType,
        guarded: bool,
    ) -> Checked {
        let reg = *self.reg(regno);
        let in_use = || BadObject::IterInUse { iter: self.iter_name(ty.id).into(), arg: regno - 1 };
        match self.object_slots(&reg, ITER, ty.slots) {
            Err(NoSlots::Beyond) => {}
            Err(place) => return Err(place.then(in_use())),
            Ok(first) => {
                let stack = &self.state.frame(reg.frameno.into()).stack;
                let used = |n| stack.slot(first - n).bytes.contains(&SlotByte::Iter);
                if (0..ty.slots).any(used) {
                    return reject!(EINVAL, in_use());
                }
            }
        }
        self.write_object(insn_idx, regno, ty.slots)?;
        let first = self.written_slots(&reg, ITER, ty.slots)?;
        let id = self.acquire_reference(insn_idx);
        let mut iter = RegState {
            data: ty.id,
            data2: ITER_ACTIVE,
            ref_obj_id: id,
            ..RegState::pointer(RegKind::Stack)
        };
        if guarded {
            let safe = self.in_rcu_section();
            iter.flags |= if safe { RegFlags::RCU } else { RegFlags::UNTRUSTED };
        }
        let frame = usize::from(reg.frameno);
        self.mark_object(frame, first, ty.slots, SlotByte::Iter, |n| match n {
            0 => iter,
            _ => RegState { ref_obj_id: 0, ..iter },
        });
        (0..ty.slots).for_each(|n| self.log.scratch_slot(first - n));
        Ok(())
    }

    /// The function uses an iterator.
    pub(crate) fn use_iter(
        &mut self,
        regno: usize,
        ty: IterType,
        func: &str,
    ) -> Checked<IterPlace> {
        let reg = *self.reg(regno);
        let none = || BadObject::NoIter { iter: self.iter_name(ty.id).into(), arg: regno - 1 };
        let first = match self.object_slots(&reg, ITER, ty.slots) {
            Ok(first) => first,
            Err(place) => return Err(place.then(none())),
        };
        let frame = usize::from(reg.frameno);
        for n in 0..ty.slots {
            let slot = self.state.frame(frame).stack.slot(first - n);
            let iter = &slot.spilled;
            if iter.flags.contains(RegFlags::UNTRUSTED) {
                return reject!(EPROTO, BadObject::IterOutsideRcu { func: func.into() });
            }
            let fits = (n == 0) == (iter.ref_obj_id != 0)
                && slot.bytes == [SlotByte::Iter; 8]
                && iter.data == ty.id;
            if !fits {
                return reject!(EINVAL, none());
            }
        }
        self.read_object(frame, first, ty.slots);
        Ok(IterPlace { frame, spi: first })
    }

    /// The iterator is done with.
    pub(crate) fn destroy_iter(&mut self, place: IterPlace, ty: IterType) -> Checked {
        let id = self.state.frame(place.frame).stack.slot(place.spi).spilled.ref_obj_id;
        self.release_reference(id)?;
        self.clear_object(place.frame, place.spi, ty.slots);
        (0..ty.slots).for_each(|n| self.log.scratch_slot(place.spi - n));
        Ok(())
    }

    /// After a step: the path that got an element is left for later, the current one got none.
    pub(crate) fn step_iter(&mut self, insn_idx: usize, place: IterPlace) -> Checked {
        if self.state.frame(place.frame).stack.slot(place.spi).spilled.data2 == ITER_ACTIVE {
            self.push_branch(insn_idx + 1, insn_idx, false)?;
            if let Some(other) = self.other_branch() {
                other.frame_mut(place.frame).stack.slot_mut(place.spi).spilled.off += 1;
            }
            self.widen_against_previous(insn_idx, true);
            let mut element = self.pending.last().map_or(RegState::UNKNOWN, |p| *p.state.reg(0));
            self.mark_not_null(&mut element);
            if let Some(other) = self.other_branch() {
                *other.reg_mut(0) = element;
            }
        }
        self.state.frame_mut(place.frame).stack.slot_mut(place.spi).spilled.data2 = ITER_DRAINED;
        self.mark_reg_known(0, 0);
        Ok(())
    }

    /// The iterator that r1 points to has more to give.
    pub(crate) fn steps_active_iter(&self) -> bool {
        let reg = self.state.reg(1);
        let frame = self.state.frames.get(usize::from(reg.frameno));
        let (Ok(spi), Some(frame)) = (self.object_slots(reg, ITER, 1), frame) else {
            return false;
        };
        let slot = frame.stack.slot(spi);
        slot.bytes[7] == SlotByte::Iter && slot.spilled.data2 == ITER_ACTIVE
    }

    /// Whether the path stepped some iterator since `old`.
    pub(crate) fn iter_depths_differ(
        old: &crate::state::VerifierState,
        cur: &crate::state::VerifierState,
    ) -> bool {
        old.frames.iter().zip(&cur.frames).any(|(old, cur)| {
            old.stack.slots().iter().zip(cur.stack.slots()).any(|(old, cur)| {
                old.bytes[0] == SlotByte::Iter
                    && old.spilled.data2 == ITER_ACTIVE
                    && old.spilled.off != cur.spilled.off
            })
        })
    }

    /// Interrupts are switched off, the flags go to the stack.
    pub(crate) fn save_irq(&mut self, regno: usize, insn_idx: usize, kind: IrqKind) -> Checked {
        let reg = *self.reg(regno);
        let arg = regno - 1;
        match self.object_slots(&reg, IRQ, 1) {
            Err(NoSlots::Beyond) => {}
            Err(place) => return Err(place.then(BadObject::IrqInUse { arg })),
            Ok(spi) => {
                let slot = self.state.frame(reg.frameno.into()).stack.slot(spi);
                if slot.bytes.contains(&SlotByte::Irq) {
                    return reject!(EINVAL, BadObject::IrqInUse { arg });
                }
            }
        }
        self.write_object(insn_idx, regno, 1)?;
        let spi = self.written_slots(&reg, IRQ, 1)?;
        let id = self.new_id();
        let insn = insn_idx as u32;
        let home = LockHome::None;
        self.state.refs.push(Reference { kind: RefKind::Irq, id, insn_idx: insn, home });
        self.state.active_irq_id = id;
        let flag =
            RegState { ref_obj_id: id, data2: kind as u32, ..RegState::pointer(RegKind::Stack) };
        self.mark_object(reg.frameno.into(), spi, 1, SlotByte::Irq, |_| flag);
        self.log.scratch_slot(spi);
        Ok(())
    }

    /// The flags on the stack are restored.
    pub(crate) fn restore_irq(&mut self, regno: usize, kind: IrqKind) -> Checked {
        let reg = *self.reg(regno);
        let none = BadObject::NoIrq { arg: regno - 1 };
        let frame = usize::from(reg.frameno);
        let spi = match self.object_slots(&reg, IRQ, 1) {
            Ok(spi) => spi,
            Err(place) => return Err(place.then(none)),
        };
        let slot = *self.state.frame(frame).stack.slot(spi);
        if slot.spilled.ref_obj_id == 0 || slot.bytes != [SlotByte::Irq; 8] {
            return reject!(EINVAL, none);
        }
        self.read_object(frame, spi, 1);
        if slot.spilled.data2 != kind as u32 {
            let saved = if kind == IrqKind::Native { IrqKind::Lock } else { IrqKind::Native };
            let (saved, used) = (saved.text(), kind.text());
            return reject!(EINVAL, BadObject::IrqKind { saved, used });
        }
        self.release_irq(slot.spilled.ref_obj_id)?;
        self.clear_object(frame, spi, 1);
        self.log.scratch_slot(spi);
        Ok(())
    }

    /// Flags are restored in the opposite order.
    fn release_irq(&mut self, id: u32) -> Checked {
        let open: Vec<(usize, u32)> = self
            .state
            .refs
            .iter()
            .enumerate()
            .filter(|(_, r)| r.kind == RefKind::Irq)
            .map(|(at, r)| (at, r.id))
            .collect();
        let active = self.state.active_irq_id;
        if id != active {
            let last = self.state.refs.iter().find(|r| r.id == active);
            let insn = last.map_or(0, |r| r.insn_idx as usize);
            return reject!(EACCES, BadObject::IrqOrder { id: active, insn });
        }
        let Some(n) = open.iter().position(|(_, open)| *open == id) else {
            return reject!(EINVAL);
        };
        self.state.refs.remove(open[n].0);
        self.state.active_irq_id = n.checked_sub(1).map_or(0, |n| open[n].1);
        Ok(())
    }
}
