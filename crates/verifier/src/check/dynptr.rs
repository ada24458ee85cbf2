//! Dynptrs: two slots of the stack, the first one the lower.

use super::object::NoSlots;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::BadObject;
use crate::state::{DynptrKind, RegFlags, RegKind, RegState, SlotByte};

const OBJECT: &str = "dynptr";
const SLOTS: usize = 2;

/// What a function does with a dynptr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DynptrUse {
    /// Makes one; of a clone, the reference it shares.
    Make { kind: DynptrKind, shares: Option<u32> },
    /// Uses one of this kind, or of any.
    Use { kind: Option<DynptrKind>, mutates: bool },
}

/// What is known of a dynptr that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownDynptr {
    pub(crate) id: u32,
    pub(crate) kind: DynptrKind,
    pub(crate) ref_obj_id: u32,
}

impl Env<'_> {
    /// A dynptr argument.
    pub(crate) fn process_dynptr(
        &mut self,
        regno: usize,
        insn_idx: usize,
        how: DynptrUse,
    ) -> Checked {
        let reg = *self.reg(regno);
        let arg = regno - 1;
        if !reg.is_kind(RegKind::Stack) && !reg.is_kind(RegKind::Dynptr) {
            return reject!(EINVAL, BadObject::NotDynptr { arg });
        }
        let (wanted, mutates) = match how {
            DynptrUse::Make { kind, shares } => {
                return self.make_dynptr(regno, insn_idx, kind, shares);
            }
            DynptrUse::Use { kind, mutates } => (kind, mutates),
        };
        if reg.kind == RegKind::Dynptr && mutates {
            return reject!(EINVAL, BadObject::ConstDynptr);
        }
        let known = match self.dynptr_slots(&reg) {
            Ok(true) => self.known_dynptr(&reg),
            Ok(false) => return reject!(EINVAL, BadObject::NoDynptr { arg }),
            Err(place) => return Err(place.then(BadObject::NoDynptr { arg })),
        };
        if let Some(kind) = wanted
            && kind != known.kind
        {
            return reject!(EINVAL, BadObject::DynptrKind { kind: kind.text(), arg });
        }
        if reg.kind == RegKind::Stack
            && let Ok(first) = self.object_slots(&reg, OBJECT, SLOTS)
        {
            self.read_object(reg.frameno.into(), first, SLOTS);
        }
        Ok(())
    }

    /// Whether a whole dynptr is there.
    fn dynptr_slots(&self, reg: &RegState) -> Result<bool, NoSlots> {
        if reg.kind == RegKind::Dynptr {
            return Ok(true);
        }
        let first = self.object_slots(reg, OBJECT, SLOTS)?;
        let stack = &self.state.frame(reg.frameno.into()).stack;
        let whole = |spi: usize| stack.slot(spi).bytes == [SlotByte::Dynptr; 8];
        Ok(stack.slot(first).spilled.data == 1 && whole(first) && whole(first - 1))
    }

    /// The dynptr that a checked argument leads to.
    pub(crate) fn known_dynptr(&self, reg: &RegState) -> KnownDynptr {
        let of = |reg: &RegState| KnownDynptr {
            id: reg.id,
            kind: reg.dynptr_kind(),
            ref_obj_id: reg.ref_obj_id,
        };
        match self.object_slots(reg, OBJECT, SLOTS) {
            Ok(first) if reg.kind == RegKind::Stack => {
                of(&self.state.frame(reg.frameno.into()).stack.slot(first).spilled)
            }
            _ => of(reg),
        }
    }

    fn make_dynptr(
        &mut self,
        regno: usize,
        insn_idx: usize,
        kind: DynptrKind,
        shares: Option<u32>,
    ) -> Checked {
        let reg = *self.reg(regno);
        if reg.kind == RegKind::Dynptr {
            return reject!(EINVAL, BadObject::DynptrInUse);
        }
        if let Err(place @ NoSlots::Bad(_)) = self.object_slots(&reg, OBJECT, SLOTS) {
            return Err(place.then(BadObject::DynptrInUse));
        }
        self.write_object(insn_idx, regno, SLOTS)?;
        let first = self.written_slots(&reg, OBJECT, SLOTS)?;
        let frame = usize::from(reg.frameno);
        self.destroy_dynptr(frame, first)?;
        self.destroy_dynptr(frame, first - 1)?;
        let id = self.new_id();
        let ref_obj_id = match (kind.is_referenced(), shares) {
            (false, _) => 0,
            (true, Some(id)) => id,
            (true, None) => self.acquire_reference(insn_idx),
        };
        self.mark_object(frame, first, SLOTS, SlotByte::Dynptr, |n| RegState {
            ref_obj_id,
            ..RegState::dynptr(kind, n == 0, id)
        });
        Ok(())
    }

    /// Something else is written over a slot: a dynptr there is gone, and what was cut from it.
    pub(crate) fn destroy_dynptr(&mut self, frame: usize, spi: usize) -> Checked {
        let slot = self.state.frame(frame).stack.slot(spi);
        if slot.bytes[0] != SlotByte::Dynptr {
            return Ok(());
        }
        let first = if slot.spilled.data == 1 { spi } else { spi + 1 };
        let dynptr = self.state.frame(frame).stack.slot(first).spilled;
        if dynptr.dynptr_kind().is_referenced() {
            return reject!(EINVAL, BadObject::OverDynptr);
        }
        self.log.scratch_slot(first);
        self.log.scratch_slot(first - 1);
        let unknown = self.invalid_reg();
        let cut = |reg: &RegState| {
            reg.kind == RegKind::Mem
                && (reg.flags - RegFlags::MAYBE_NULL).is_empty()
                && reg.data2 == dynptr.id
        };
        self.clear_object(frame, first, SLOTS);
        self.state.for_each_reg_where(cut, |reg| *reg = unknown);
        Ok(())
    }

    /// The function gives back what the dynptr holds: its clones and slices are gone too.
    pub(crate) fn release_dynptr(&mut self, regno: usize) -> Checked {
        let reg = *self.reg(regno);
        let first = self.written_slots(&reg, OBJECT, SLOTS)?;
        let frame = usize::from(reg.frameno);
        let dynptr = self.state.frame(frame).stack.slot(first).spilled;
        if !dynptr.dynptr_kind().is_referenced() {
            self.clear_object(frame, first, SLOTS);
            return Ok(());
        }
        self.release_reference(dynptr.ref_obj_id)?;
        let slots = self.state.frame(frame).stack.slots();
        let clones: Vec<usize> = (1..slots.len())
            .filter(|spi| {
                let slot = &slots[*spi];
                slot.bytes[0] == SlotByte::Dynptr
                    && slot.spilled.data == 1
                    && slot.spilled.ref_obj_id == dynptr.ref_obj_id
            })
            .collect();
        for spi in clones {
            self.clear_object(frame, spi, SLOTS);
        }
        Ok(())
    }

    /// Whether the register leads to a dynptr that holds something.
    pub(crate) fn check_dynptr_release(&self, regno: usize) -> Checked {
        let reg = self.reg(regno);
        let held = match self.object_slots(reg, OBJECT, SLOTS) {
            Ok(first) => {
                self.state.frame(reg.frameno.into()).stack.slot(first).spilled.ref_obj_id != 0
            }
            Err(place) => return Err(place.then(BadObject::NoReference { arg: regno })),
        };
        if held { Ok(()) } else { reject!(EINVAL, BadObject::NoReference { arg: regno }) }
    }
}
