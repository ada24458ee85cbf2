//! The order in which an LRU map evicts: a list under a lock, and a reference bit a slot.

use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use uapi::Errno;

use crate::Env;
use crate::raw::Slab;

/// Bytes of a node: links (slot + 1, 0 for none), whether listed, the reference bit.
const NODE: usize = 16;
const NEWER: usize = 0;
const OLDER: usize = 4;
const LISTED: usize = 8;
const USED: usize = 12;

/// Newest to oldest.
pub(crate) struct Lru {
    nodes: Slab,
    ends: Mutex<Ends>,
}

#[derive(Default)]
struct Ends {
    newest: u32,
    oldest: u32,
}

impl Lru {
    /// No slot is listed.
    pub(crate) fn new(cap: u32, env: &Env) -> Result<Lru, Errno> {
        Ok(Lru { nodes: env.slab(NODE, cap as usize)?, ends: Mutex::default() })
    }

    fn get(&self, slot: u32, field: usize) -> u32 {
        self.nodes.cell32(slot as usize * NODE + field).load(Relaxed)
    }

    fn set(&self, slot: u32, field: usize, value: u32) {
        self.nodes.cell32(slot as usize * NODE + field).store(value, Relaxed);
    }

    /// Notes a use.
    pub(crate) fn touch(&self, slot: u32) {
        if self.get(slot, USED) == 0 {
            self.set(slot, USED, 1);
        }
    }

    /// Lists a new slot as the newest.
    pub(crate) fn insert(&self, slot: u32) {
        let mut ends = self.ends.lock();
        if self.get(slot, LISTED) == 0 {
            self.set(slot, USED, 0);
            self.push(&mut ends, slot);
        }
    }

    /// Takes a slot off the list, if it is on it.
    pub(crate) fn remove(&self, slot: u32) {
        let mut ends = self.ends.lock();
        if self.get(slot, LISTED) != 0 {
            self.unlink(&mut ends, slot);
        }
    }

    /// The oldest slot without a recent use, taken off the list. Used slots move to the front.
    pub(crate) fn oldest(&self) -> Option<u32> {
        let mut ends = self.ends.lock();
        loop {
            let slot = ends.oldest.checked_sub(1)?;
            self.unlink(&mut ends, slot);
            if self.get(slot, USED) == 0 {
                return Some(slot);
            }
            self.set(slot, USED, 0);
            self.push(&mut ends, slot);
        }
    }

    fn push(&self, ends: &mut Ends, slot: u32) {
        self.set(slot, LISTED, 1);
        self.set(slot, NEWER, 0);
        self.set(slot, OLDER, ends.newest);
        match ends.newest.checked_sub(1) {
            Some(newest) => self.set(newest, NEWER, slot + 1),
            None => ends.oldest = slot + 1,
        }
        ends.newest = slot + 1;
    }

    fn unlink(&self, ends: &mut Ends, slot: u32) {
        let (newer, older) = (self.get(slot, NEWER), self.get(slot, OLDER));
        self.set(slot, LISTED, 0);
        match newer.checked_sub(1) {
            Some(n) => self.set(n, OLDER, older),
            None => ends.newest = older,
        }
        match older.checked_sub(1) {
            Some(o) => self.set(o, NEWER, newer),
            None => ends.oldest = newer,
        }
    }
}
