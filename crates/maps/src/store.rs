//! Slots that come as they are asked for, are handed out again and never move.

use uapi::Errno;

use crate::grown::Grown;
use crate::raw::Slab;

/// Slots in one piece: the memory behind them costs nothing until touched.
const NEAR: u32 = 1 << 21;

/// Slots of `stride` bytes, a multiple of 8, by number.
pub(crate) struct Store {
    near: Slab,
    near_len: u32,
    far: Grown,
    stride: usize,
}

impl Store {
    /// Room for `expected` slots in one piece, more elsewhere; ENOMEM.
    pub(crate) fn new(stride: usize, expected: u32) -> Result<Store, Errno> {
        let most = (1_u64 << 32) / stride as u64;
        let near_len = expected.min(NEAR).min(most as u32);
        let near = Slab::new(near_len as usize * stride)?;
        Ok(Store { near, near_len, far: Grown::new(stride), stride })
    }

    /// Sees that a slot has memory; ENOMEM.
    pub(crate) fn make(&self, slot: u32) -> Result<(), Errno> {
        match slot.checked_sub(self.near_len) {
            Some(far) => self.far.make(far),
            None => Ok(()),
        }
    }

    /// The slab of a slot that was made, and its offset there.
    #[inline]
    pub(crate) fn at(&self, slot: u32) -> Option<(&Slab, usize)> {
        match slot.checked_sub(self.near_len) {
            Some(far) => self.far.at(far),
            None => Some((&self.near, slot as usize * self.stride)),
        }
    }

    /// Address of a slot that was made.
    pub(crate) fn addr(&self, slot: u32) -> Option<u64> {
        let (slab, off) = self.at(slot)?;
        Some(slab.addr(off))
    }

    /// Address of the slot that `addr` lies in.
    pub(crate) fn start_of(&self, addr: u64) -> Option<u64> {
        match self.near.offset(addr) {
            Some(off) => Some(self.near.addr(off - off % self.stride)),
            None => self.far.start_of(addr),
        }
    }
}
