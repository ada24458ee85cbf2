//! The stack of one frame, in slots of eight bytes, allocated as far down as it was touched.

use std::rc::Rc;

use super::RegState;

/// What one byte of stack holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub(crate) enum SlotByte {
    /// Never written.
    Invalid,
    /// Part of a spilled register.
    Spill,
    /// Some number.
    Misc,
    Zero,
    Dynptr,
    Iter,
    /// Saved interrupt flags.
    Irq,
}

/// Eight bytes of stack: slot n covers offsets -8n-8 to -8n-1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StackSlot {
    /// `bytes[7]` has the lowest address (the low byte of a spilled register), `bytes[0]` the
    /// highest, as in Linux's log.
    pub(crate) bytes: [SlotByte; 8],
    /// Meaningful where bytes are spills, dynptrs, iterators or flags.
    pub(crate) spilled: RegState,
}

impl StackSlot {
    /// Never written.
    pub(crate) const INVALID: StackSlot =
        StackSlot { bytes: [SlotByte::Invalid; 8], spilled: RegState::NOT_INIT };

    /// Whether any register was spilled here that is still (partly) there.
    pub(crate) fn is_spilled(&self) -> bool {
        self.bytes[7] == SlotByte::Spill
    }

    /// What is here means more than its bytes.
    pub(crate) fn is_special(&self) -> bool {
        matches!(self.bytes[7], SlotByte::Spill | SlotByte::Dynptr | SlotByte::Iter | SlotByte::Irq)
    }

    /// A whole 64-bit register was spilled here.
    pub(crate) fn is_full_spill(&self) -> bool {
        self.bytes[0] == SlotByte::Spill
    }

    /// A scalar is spilled here, of any width.
    pub(crate) fn is_spilled_scalar(&self) -> bool {
        self.is_spilled() && self.spilled.is_scalar()
    }
}

/// Slots of one frame, shared until written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stack {
    slots: Rc<Vec<StackSlot>>,
}

impl Stack {
    /// Bytes allocated: a multiple of eight.
    pub(crate) fn allocated(&self) -> i32 {
        self.slots.len() as i32 * 8
    }

    pub(crate) fn slots(&self) -> &[StackSlot] {
        &self.slots
    }

    /// The slots for writing; copies them if another state shares them.
    pub(crate) fn slots_mut(&mut self) -> &mut [StackSlot] {
        Rc::make_mut(&mut self.slots).as_mut_slice()
    }

    pub(crate) fn slot(&self, spi: usize) -> &StackSlot {
        &self.slots[spi]
    }

    pub(crate) fn slot_mut(&mut self, spi: usize) -> &mut StackSlot {
        &mut Rc::make_mut(&mut self.slots)[spi]
    }

    /// Makes room for the byte at `off` (negative).
    pub(crate) fn grow_to(&mut self, off: i32) {
        let want = (-off + 7) as usize / 8;
        if self.slots.len() < want {
            Rc::make_mut(&mut self.slots).resize(want, StackSlot::INVALID);
        }
    }
}

/// Index of the slot that holds the byte at `off` (negative).
pub(crate) fn slot_of(off: i32) -> usize {
    ((-off - 1) / 8) as usize
}
