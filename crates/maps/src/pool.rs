//! Slots of a slab handed out and taken back, without locks and without ever moving.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::raw::Slab;

/// A stack of free slots; the link of slot `i` lies at `i * stride + LINK`.
///
/// Its own words are at `words` of a slab: 8 bytes, slot + 1 of the top in the lower half, a count of
/// changes in the upper (against ABA); 4 bytes, where slots never handed out start.
pub(crate) struct Pool {
    words: usize,
    cap: u32,
    stride: usize,
}

impl Pool {
    /// Where a slot keeps the link to the next free slot; untouched while in use.
    pub(crate) const LINK: usize = 4;

    /// Bytes of the pool's own words.
    pub(crate) const WORDS: usize = 16;

    /// A pool of `cap` slots of `stride` bytes, its own words at offset `words`.
    pub(crate) fn new(cap: u32, stride: usize, words: usize) -> Pool {
        Pool { words, cap, stride }
    }

    fn top<'s>(&self, own: &'s Slab) -> &'s AtomicU64 {
        own.cell64(self.words)
    }

    fn fresh<'s>(&self, own: &'s Slab) -> &'s AtomicU32 {
        own.cell32(self.words + 8)
    }

    /// Address of the pool's own words in `own`.
    pub(crate) fn address(&self, own: &Slab) -> u64 {
        own.addr(self.words)
    }

    fn link<'s>(&self, slab: &'s Slab, slot: u32) -> &'s AtomicU32 {
        slab.cell32(slot as usize * self.stride + Self::LINK)
    }

    /// A free slot of `slab`; the pool's own words are in `own`.
    pub(crate) fn pop(&self, slab: &Slab, own: &Slab) -> Option<u32> {
        let mut top = self.top(own).load(Ordering::Acquire);
        while let Some(slot) = (top as u32).checked_sub(1).filter(|slot| *slot < self.cap) {
            let below = self.link(slab, slot).load(Ordering::Relaxed);
            let new = changed(top) | u64::from(below);
            match self.top(own).compare_exchange_weak(top, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Some(slot),
                Err(now) => top = now,
            }
        }
        let take = |n| (n < self.cap).then_some(n + 1);
        self.fresh(own).fetch_update(Ordering::AcqRel, Ordering::Acquire, take).ok()
    }

    /// Takes `slot` back.
    pub(crate) fn push(&self, slab: &Slab, own: &Slab, slot: u32) {
        let mut top = self.top(own).load(Ordering::Acquire);
        loop {
            self.link(slab, slot).store(top as u32, Ordering::Relaxed);
            let new = changed(top) | u64::from(slot + 1);
            match self.top(own).compare_exchange_weak(top, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }
}

fn changed(top: u64) -> u64 {
    (top >> 32).wrapping_add(1) << 32
}
