//! Slots that come as they are asked for and never move: slabs that double.

use std::sync::OnceLock;

use uapi::Errno;

use crate::raw::Slab;

/// Slots of the first slab, a power of two.
const FIRST: u32 = 16;
/// Slabs; the last one ends past every 32-bit number.
const SLABS: usize = 28;

/// Slots of `stride` bytes, by number.
pub(crate) struct Grown {
    slabs: [OnceLock<Slab>; SLABS],
    stride: usize,
}

impl Grown {
    /// No slots have memory yet.
    pub(crate) fn new(stride: usize) -> Grown {
        Grown { slabs: [const { OnceLock::new() }; SLABS], stride }
    }

    /// The slab of a slot, and the slot's offset there.
    fn place(&self, slot: u32) -> (usize, usize) {
        let n = u64::from(slot) + u64::from(FIRST);
        let level = n.ilog2() - FIRST.ilog2();
        let off = n - (u64::from(FIRST) << level);
        (level as usize, off as usize * self.stride)
    }

    /// Sees that the slot has memory; ENOMEM.
    pub(crate) fn make(&self, slot: u32) -> Result<(), Errno> {
        let (level, _) = self.place(slot);
        let known = self.slabs.get(level).ok_or(Errno::ENOMEM)?;
        if known.get().is_none() {
            let len = self.stride.checked_mul((FIRST as usize) << level).ok_or(Errno::ENOMEM)?;
            // Another thread may have been faster: its slab stays.
            let _ = known.set(Slab::new(len)?);
        }
        Ok(())
    }

    /// The slab of a slot that was made, and its offset there.
    pub(crate) fn at(&self, slot: u32) -> Option<(&Slab, usize)> {
        let (level, off) = self.place(slot);
        Some((self.slabs.get(level)?.get()?, off))
    }

    /// Address of a slot that was made.
    pub(crate) fn addr(&self, slot: u32) -> Option<u64> {
        let (slab, off) = self.at(slot)?;
        Some(slab.addr(off))
    }

    /// Address of the slot that `addr` lies in.
    pub(crate) fn start_of(&self, addr: u64) -> Option<u64> {
        let slabs = self.slabs.iter().filter_map(OnceLock::get);
        let mut places = slabs.filter_map(|slab| Some((slab, slab.offset(addr)?)));
        places.next().map(|(slab, off)| slab.addr(off - off % self.stride))
    }
}
