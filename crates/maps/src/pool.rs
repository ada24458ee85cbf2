//! Slots of a slab handed out and taken back, without locks and without ever moving.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::raw::Slab;

/// A stack of free slots; the link of slot `i` lies at `i * stride + LINK`.
pub(crate) struct Pool {
    /// Slot + 1 of the top in the lower half, a count of changes in the upper (against ABA).
    top: AtomicU64,
    /// Slots never handed out start here.
    fresh: AtomicU32,
    cap: u32,
    stride: usize,
}

impl Pool {
    /// Where a slot keeps the link to the next free slot; untouched while in use.
    pub(crate) const LINK: usize = 4;

    /// A pool of `cap` slots of `stride` bytes.
    pub(crate) fn new(cap: u32, stride: usize) -> Pool {
        Pool { top: AtomicU64::new(0), fresh: AtomicU32::new(0), cap, stride }
    }

    fn link<'s>(&self, slab: &'s Slab, slot: u32) -> &'s AtomicU32 {
        slab.cell32(slot as usize * self.stride + Self::LINK)
    }

    /// A free slot.
    pub(crate) fn pop(&self, slab: &Slab) -> Option<u32> {
        let mut top = self.top.load(Ordering::Acquire);
        while let Some(slot) = (top as u32).checked_sub(1) {
            let below = self.link(slab, slot).load(Ordering::Relaxed);
            let new = changed(top) | u64::from(below);
            match self.top.compare_exchange_weak(top, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(slot),
                Err(now) => top = now,
            }
        }
        let take = |n| (n < self.cap).then_some(n + 1);
        self.fresh.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()
    }

    /// Takes `slot` back.
    pub(crate) fn push(&self, slab: &Slab, slot: u32) {
        let mut top = self.top.load(Ordering::Acquire);
        loop {
            self.link(slab, slot).store(top as u32, Ordering::Relaxed);
            let new = changed(top) | u64::from(slot + 1);
            match self.top.compare_exchange_weak(top, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }
}

fn changed(top: u64) -> u64 {
    (top >> 32).wrapping_add(1) << 32
}
