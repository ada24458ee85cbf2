//! Objects that take whole slots of the stack: where one is, and marking its slots.

use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::{BadObject, Reason};
use crate::state::{RegState, SlotByte, StackSlot, slot_of};

/// Why a register leads to no slots.
pub(crate) enum NoSlots {
    /// Linux says why, and goes on to say what was wanted.
    Bad(BadObject),
    /// The stack does not reach so far yet.
    Beyond,
}

impl NoSlots {
    /// What was said of the place, then `reason`.
    pub(crate) fn then(self, reason: impl Into<Reason>) -> Reject {
        let reject = Reject::silent(uapi::Errno::EINVAL);
        match self {
            NoSlots::Bad(place) => reject.then(place).then(reason),
            NoSlots::Beyond => reject.then(reason),
        }
    }
}

impl Env<'_> {
    /// The first (lowest) slot of an object of `count` slots that the register points to.
    pub(crate) fn object_slots(
        &self,
        reg: &RegState,
        object: &'static str,
        count: usize,
    ) -> Result<usize, NoSlots> {
        let Some(var) = reg.v.as_const() else {
            return Err(NoSlots::Bad(BadObject::Variable { object }));
        };
        let off = reg.off.wrapping_add(var as i32);
        if off % 8 != 0 || off >= 0 || slot_of(off) + 1 < count {
            return Err(NoSlots::Bad(BadObject::Offset { object, off }));
        }
        let (first, slots) =
            (slot_of(off), self.state.frame(reg.frameno.into()).stack.slots().len());
        if first < slots { Ok(first) } else { Err(NoSlots::Beyond) }
    }

    /// The slots hold an object from here on: `make` gives what each is, the first (lowest) first.
    pub(crate) fn mark_object(
        &mut self,
        frame: usize,
        first: usize,
        count: usize,
        byte: SlotByte,
        make: impl Fn(usize) -> RegState,
    ) {
        for n in 0..count {
            let slot = StackSlot { bytes: [byte; 8], spilled: make(n) };
            *self.state.frame_mut(frame).stack.slot_mut(first - n) = slot;
            self.store.live.mark_write(frame, 1 << (first - n));
        }
    }

    /// The object is gone, and its slots with it.
    pub(crate) fn clear_object(&mut self, frame: usize, first: usize, count: usize) {
        self.mark_object(frame, first, count, SlotByte::Invalid, |_| RegState::NOT_INIT);
    }

    /// The program makes an object there: its bytes are written first.
    pub(crate) fn write_object(&mut self, insn_idx: usize, regno: usize, count: usize) -> Checked {
        for n in 0..count {
            self.check_mem_access(
                insn_idx,
                regno,
                8 * n as i32,
                isa::Size::DW,
                super::AccessKind::Write,
                None,
                false,
                false,
            )?;
        }
        Ok(())
    }

    /// What is known of the place that was written just now.
    pub(crate) fn written_slots(
        &self,
        reg: &RegState,
        object: &'static str,
        count: usize,
    ) -> Checked<usize> {
        match self.object_slots(reg, object, count) {
            Ok(first) => Ok(first),
            Err(NoSlots::Bad(place)) => reject!(EINVAL, place),
            Err(NoSlots::Beyond) => reject!(ERANGE),
        }
    }

    /// The function reads the object.
    pub(crate) fn read_object(&mut self, frame: usize, first: usize, count: usize) {
        for n in 0..count {
            self.mark_stack_read(frame, first - n);
            self.log.scratch_slot(first - n);
        }
    }
}
