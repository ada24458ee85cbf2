//! A binary trie without chains, read without locks.
//!
//! A node is a prefix; one without a value only joins two children. Writers, one at a time, make a
//! node before they link it, so a reader finds the old trie or the new one. What a reader may still
//! stand on when a node is taken out stays as it was, until the slot is made another node: that
//! is counted, and a reader who sees the count move starts again.
//!
//! In tries of some size a table leads from the first 16 bits of a key to the nodes behind them.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence,
};

use uapi::Errno;

use crate::raw::Slab;
use crate::store::Store;

/// Bytes and fields of a node: bits and value (slot + 1) in one word, two children (slot + 1),
/// then the data as big-endian words.
const HEAD: usize = 0;
const VALUE: usize = 4;
const CHILDREN: usize = 8;
const DATA: usize = 16;

/// Bits that the table is for, and elements from which on there is one.
const TOP_BITS: u32 = 16;
const TOP_FROM: u32 = 256;
/// Values that are not handed out again yet: a program may just have looked one up.
const REST: usize = 64;
/// Times that a reader starts again before it asks for the writers' lock.
const TRIES: u32 = 32;

/// The data of a key as big-endian words.
pub(crate) type Words<const N: usize> = [u64; N];

/// The nodes of a trie; values are numbers.
pub(crate) struct Trie {
    nodes: Store,
    root: AtomicU32,
    /// Odd while a slot becomes another node.
    reused: AtomicU64,
    top: OnceLock<Slab>,
    words: usize,
}

/// What writers share, under their lock.
#[derive(Default)]
pub(crate) struct Slots {
    nodes: Vec<u32>,
    fresh_node: u32,
    values: VecDeque<u32>,
    fresh_value: u32,
}

impl Slots {
    /// A slot for a value.
    pub(crate) fn value(&mut self, values: &Store) -> Result<u32, Errno> {
        if self.values.len() > REST
            && let Some(slot) = self.values.pop_front()
        {
            return Ok(slot);
        }
        values.make(self.fresh_value)?;
        self.fresh_value += 1;
        Ok(self.fresh_value - 1)
    }

    /// A value that no node has any more.
    pub(crate) fn free_value(&mut self, slot: u32) {
        self.values.push_back(slot);
    }
}

/// What an insertion found.
pub(crate) enum Placed {
    New,
    /// The value that was there.
    Instead(u32),
}

#[inline]
fn bit<const N: usize>(key: &Words<N>, n: u32) -> usize {
    (key[n as usize / 64] >> (63 - n % 64) & 1) as usize
}

impl Trie {
    /// An empty trie of keys of `words` words, of which about `expected` will be set.
    pub(crate) fn new(words: usize, expected: u32) -> Result<Trie, Errno> {
        Ok(Trie {
            nodes: Store::new(DATA + 8 * words, expected.saturating_mul(2))?,
            root: AtomicU32::new(0),
            reused: AtomicU64::new(0),
            top: OnceLock::new(),
            words,
        })
    }

    /// Bits and value of a node; a node that is not there has too many bits.
    #[inline]
    fn head(&self, slot: u32) -> (u32, u32) {
        let Some((slab, off)) = self.nodes.at(slot) else { return (u32::MAX, 0) };
        let word = slab.cell64(off + HEAD).load(Acquire);
        (word as u32, (word >> 32) as u32)
    }

    #[inline]
    fn child(&self, slot: u32, side: usize) -> Option<&AtomicU32> {
        let (slab, off) = self.nodes.at(slot)?;
        Some(slab.cell32(off + CHILDREN + 4 * side))
    }

    #[inline]
    fn link(&self, slot: u32, side: usize) -> u32 {
        self.child(slot, side).map_or(0, |cell| cell.load(Acquire))
    }

    #[inline]
    fn word(&self, slot: u32, i: usize) -> u64 {
        self.nodes.at(slot).map_or(0, |(slab, off)| slab.cell64(off + DATA + 8 * i).load(Relaxed))
    }

    /// Bits that a node and a key have in common, at most `limit`.
    #[inline]
    fn common<const N: usize>(&self, slot: u32, key: &Words<N>, limit: u32) -> u32 {
        for (i, word) in key.iter().enumerate().take(self.words) {
            let same = (word ^ self.word(slot, i)).leading_zeros();
            if same < 64 || limit <= 64 * (i as u32 + 1) {
                return (64 * i as u32 + same).min(limit);
            }
        }
        limit
    }

    /// The value of the longest prefix of the first `bits` bits of a key; `lock` keeps writers
    /// out.
    pub(crate) fn find<const N: usize, L>(
        &self,
        key: &Words<N>,
        bits: u32,
        lock: impl FnOnce() -> L,
    ) -> Option<u32> {
        for _ in 0..TRIES {
            let before = self.reused.load(Acquire);
            if before.is_multiple_of(2) {
                let found = self.walk(key, bits);
                fence(Acquire);
                if self.reused.load(Relaxed) == before {
                    return found;
                }
            }
            std::hint::spin_loop();
        }
        let _lock = lock();
        self.walk(key, bits)
    }

    #[inline]
    fn walk<const N: usize>(&self, key: &Words<N>, bits: u32) -> Option<u32> {
        let Some(top) = self.top.get().filter(|_| bits >= TOP_BITS) else {
            return self.down(key, bits, self.root.load(Acquire));
        };
        let entry = top.cell64((key[0] >> (64 - TOP_BITS)) as usize * 8).load(Acquire);
        if let Some(found) = self.down(key, bits, entry as u32) {
            return Some(found);
        }
        let short = ((entry >> 32) as u32).checked_sub(1)?;
        match self.head(short).1.checked_sub(1) {
            Some(value) => Some(value),
            // Taken out a moment ago.
            None => self.down(key, bits, self.root.load(Acquire)),
        }
    }

    #[inline]
    fn down<const N: usize>(&self, key: &Words<N>, bits: u32, mut link: u32) -> Option<u32> {
        let (mut best, mut passed) = (None, None);
        while let Some(slot) = link.checked_sub(1) {
            let (own, value) = self.head(slot);
            // Bits only grow on the way down, unless a slot became another node.
            if own > bits || Some(own) <= passed || self.common(slot, key, own) < own {
                break;
            }
            best = value.checked_sub(1).or(best);
            if own == bits {
                break;
            }
            passed = Some(own);
            link = self.link(slot, bit(key, own));
        }
        best
    }

    /// The node of exactly this prefix, if it has a value. For writers.
    pub(crate) fn exact<const N: usize>(&self, key: &Words<N>, bits: u32) -> Option<u32> {
        let mut link = self.root.load(Relaxed);
        while let Some(slot) = link.checked_sub(1) {
            let (own, value) = self.head(slot);
            if own > bits || self.common(slot, key, own) < own {
                return None;
            }
            if own == bits {
                return (value != 0).then_some(slot);
            }
            link = self.link(slot, bit(key, own));
        }
        None
    }

    /// A node that nothing leads to yet; whether its slot was another one's.
    fn make<const N: usize>(
        &self,
        slots: &mut Slots,
        key: &Words<N>,
        (bits, value): (u32, u32),
        children: [u32; 2],
    ) -> Result<u32, Errno> {
        let slot = match slots.nodes.pop() {
            Some(slot) => slot,
            None => {
                self.nodes.make(slots.fresh_node)?;
                slots.fresh_node += 1;
                slots.fresh_node - 1
            }
        };
        let (slab, off) = self.nodes.at(slot).ok_or(Errno::ENOMEM)?;
        // Also for new slots: it costs little, and there are few readers to disturb.
        self.reused.fetch_add(1, Relaxed);
        fence(Release);
        for (i, word) in key.iter().enumerate().take(self.words) {
            slab.cell64(off + DATA + 8 * i).store(*word, Relaxed);
        }
        for (side, child) in children.into_iter().enumerate() {
            slab.cell32(off + CHILDREN + 4 * side).store(child, Relaxed);
        }
        slab.cell64(off + HEAD).store(u64::from(value) << 32 | u64::from(bits), Release);
        self.reused.fetch_add(1, Release);
        Ok(slot)
    }

    /// Sets a prefix, which has `count` others beside it then.
    pub(crate) fn insert<const N: usize>(
        &self,
        slots: &mut Slots,
        key: &Words<N>,
        bits: u32,
        value: u32,
        count: u32,
    ) -> Result<Placed, Errno> {
        let mut at = &self.root;
        let link = loop {
            let link = at.load(Relaxed);
            let Some(slot) = link.checked_sub(1) else { break link };
            let own = self.head(slot).0;
            if own >= bits || self.common(slot, key, own) < own {
                break link;
            }
            at = self.child(slot, bit(key, own)).ok_or(Errno::ENOMEM)?;
        };
        let value = value + 1;
        let Some(old) = link.checked_sub(1) else {
            at.store(self.make(slots, key, (bits, value), [0; 2])? + 1, Release);
            self.entered(key, bits, count);
            return Ok(Placed::New);
        };
        let own = self.head(old).0;
        let shared = self.common(old, key, own.min(bits));
        if shared == bits && own == bits {
            return self.replace(old, key, bits, value, count);
        }
        let other = |side: usize, link: u32| if side == 0 { [link, 0] } else { [0, link] };
        let side_of_old = |n: u32| (self.word(old, n as usize / 64) >> (63 - n % 64) & 1) as usize;
        let new = if shared == bits {
            self.make(slots, key, (bits, value), other(side_of_old(bits), link))?
        } else {
            let leaf = self.make(slots, key, (bits, value), [0; 2])? + 1;
            let side = bit(key, shared);
            let children = if side == 0 { [leaf, link] } else { [link, leaf] };
            self.make(slots, key, (shared, 0), children)?
        };
        at.store(new + 1, Release);
        self.entered(key, bits, count);
        Ok(Placed::New)
    }

    fn replace<const N: usize>(
        &self,
        slot: u32,
        key: &Words<N>,
        bits: u32,
        value: u32,
        count: u32,
    ) -> Result<Placed, Errno> {
        let (slab, off) = self.nodes.at(slot).ok_or(Errno::ENOMEM)?;
        // Bits behind the prefix are those of the last update.
        for (i, word) in key.iter().enumerate().take(self.words) {
            slab.cell64(off + DATA + 8 * i).store(*word, Relaxed);
        }
        let before = slab.cell32(off + VALUE).swap(value, Release);
        match before.checked_sub(1) {
            Some(before) => Ok(Placed::Instead(before)),
            None => {
                self.entered(key, bits, count);
                Ok(Placed::New)
            }
        }
    }

    /// Takes a prefix out; a node that then joins nothing goes too. Its value.
    pub(crate) fn remove<const N: usize>(
        &self,
        slots: &mut Slots,
        key: &Words<N>,
        bits: u32,
    ) -> Option<u32> {
        let (mut at, mut above) = (&self.root, None);
        let slot = loop {
            let slot = at.load(Relaxed).checked_sub(1)?;
            let own = self.head(slot).0;
            if own > bits || self.common(slot, key, own) < own {
                return None;
            }
            if own == bits {
                break slot;
            }
            let side = bit(key, own);
            above = Some((at, slot, side));
            at = self.child(slot, side)?;
        };
        let (slab, off) = self.nodes.at(slot)?;
        let value = slab.cell32(off + VALUE).load(Relaxed).checked_sub(1)?;
        match [self.link(slot, 0), self.link(slot, 1)] {
            [0, 0] => {
                at.store(0, Release);
                slots.nodes.push(slot);
                if let Some((at, parent, side)) = above.filter(|(_, p, _)| self.head(*p).1 == 0) {
                    at.store(self.link(parent, 1 - side), Release);
                    slots.nodes.push(parent);
                }
            }
            [0, child] | [child, 0] => {
                at.store(child, Release);
                slots.nodes.push(slot);
            }
            _ => slab.cell32(off + VALUE).store(0, Release),
        }
        self.refresh(key, bits);
        Some(value)
    }

    fn entered<const N: usize>(&self, key: &Words<N>, bits: u32, count: u32) {
        if count >= TOP_FROM && self.top.get().is_none() && self.words > 0 {
            // Without memory for it everything goes from the root.
            let Ok(top) = Slab::new(8 << TOP_BITS) else { return };
            self.fill(&top, 0..1 << TOP_BITS, self.root.load(Relaxed), 0);
            let _ = self.top.set(top);
            return;
        }
        self.refresh(key, bits);
    }

    /// The table's entries that a prefix is in.
    fn refresh<const N: usize>(&self, key: &Words<N>, bits: u32) {
        let Some(top) = self.top.get() else { return };
        let count = 1_u32 << TOP_BITS.saturating_sub(bits);
        let first = (key[0] >> (64 - TOP_BITS)) as u32 & !(count - 1);
        self.fill(top, first..first + count, self.root.load(Relaxed), 0);
    }

    /// Entries: the node to go on from in the lower half, the last one before with a value above.
    fn fill(&self, top: &Slab, range: std::ops::Range<u32>, link: u32, best: u32) {
        let set = |range: std::ops::Range<u32>, link: u32| {
            let entry = u64::from(best) << 32 | u64::from(link);
            range.for_each(|n| top.cell64(n as usize * 8).store(entry, Release));
        };
        let Some(slot) = link.checked_sub(1) else { return set(range, 0) };
        let ((bits, value), place) =
            (self.head(slot), (self.word(slot, 0) >> (64 - TOP_BITS)) as u32);
        let size = 1_u32 << TOP_BITS.saturating_sub(bits);
        let first = place & !(size - 1);
        let (start, end) = (range.start.max(first), range.end.min(first + size));
        if start >= end {
            return set(range, 0);
        }
        set(range.start..start, 0);
        set(end..range.end, 0);
        if bits >= TOP_BITS {
            return set(start..end, link);
        }
        let best = if value != 0 { link } else { best };
        let middle = first + size / 2;
        let clip = |n: u32| n.clamp(start, end);
        self.fill(top, start..clip(middle), self.link(slot, 0), best);
        self.fill(top, clip(middle)..end, self.link(slot, 1), best);
    }

    /// The prefix after the one of this node, the first without one: each comes after those that
    /// it contains. For writers.
    pub(crate) fn next<const N: usize>(&self, after: Option<(&Words<N>, u32)>) -> Option<u32> {
        let mut path = Vec::new();
        match after {
            None => self.lowest(self.root.load(Relaxed), &mut path),
            Some((key, bits)) => {
                let mut link = self.root.load(Relaxed);
                loop {
                    let slot = link.checked_sub(1)?;
                    path.push(slot);
                    let own = self.head(slot).0;
                    if own >= bits {
                        break;
                    }
                    link = self.link(slot, bit(key, own));
                }
                self.step(&mut path);
            }
        }
        while let Some(&slot) = path.last() {
            if self.head(slot).1 != 0 {
                return Some(slot);
            }
            self.step(&mut path);
        }
        None
    }

    /// From a node to the one after it.
    fn step(&self, path: &mut Vec<u32>) {
        let (Some(slot), Some(&parent)) = (path.pop(), path.last()) else { return };
        let second = self.link(parent, 1);
        if second != 0 && second != slot + 1 {
            self.lowest(second, path);
        }
    }

    fn lowest(&self, mut link: u32, path: &mut Vec<u32>) {
        while let Some(slot) = link.checked_sub(1) {
            path.push(slot);
            link = match self.link(slot, 0) {
                0 => self.link(slot, 1),
                first => first,
            };
        }
    }

    /// Bits of a node, and its data as bytes.
    pub(crate) fn read(&self, slot: u32, data: &mut [u8]) -> u32 {
        for (i, bytes) in data.chunks_mut(8).enumerate() {
            let word = self.word(slot, i).to_be_bytes();
            bytes.copy_from_slice(&word[..bytes.len()]);
        }
        self.head(slot).0
    }
}
