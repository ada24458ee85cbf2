//! Which element of an LRU map makes room: lists in kind as Linux's.
//!
//! New elements wait in a list of their CPU. When its free slots run out, those that were used
//! since go to the active list, the others to the inactive one, and a handful of the oldest
//! inactive ones is freed for this CPU. An element that is used keeps its place until then: a use
//! is a bit, set without a lock. With BPF_F_NO_COMMON_LRU each CPU has lists of its own.
//!
//! Locks are taken in the order: a CPU's list, the common lists, a bucket of the table.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};
use uapi::Errno;

use crate::Env;
use crate::raw::Slab;

/// Slots that a CPU takes at most from the common lists at a time, and looks at.
const TARGET: u32 = 128;
/// The same where each CPU has lists of its own.
const OWN_TARGET: u32 = 4;

/// Bytes of a node and its fields: links (slot + 1, 0 for the list itself), its list, its CPU.
const NODE: usize = 16;
const NEWER: usize = 0;
const OLDER: usize = 4;
const KIND: usize = 8;
const CPU: usize = 12;

/// Lists that a slot may be on.
const FREE: u32 = 0;
const ACTIVE: u32 = 1;
const INACTIVE: u32 = 2;
/// A CPU's own: free slots, and elements since it last took some.
const LOCAL_FREE: u32 = 3;
const PENDING: u32 = 4;

/// What holds the elements.
pub(crate) trait Table {
    /// The reference bit of a slot.
    fn used(&self, slot: u32) -> &AtomicU32;
    /// Takes the element out; `false` if it is not in the table.
    fn evict(&self, slot: u32) -> bool;
}

/// Newest to oldest.
#[derive(Default)]
struct List {
    newest: u32,
    oldest: u32,
    len: u32,
}

/// Lists under one lock.
#[derive(Default)]
struct Lists {
    free: List,
    active: List,
    inactive: List,
    /// Slots never handed out: the end of the free list.
    fresh: Range<u32>,
    /// Where the next look at the inactive list starts.
    rotation: u32,
}

#[derive(Default)]
struct Local {
    free: List,
    pending: List,
    /// The CPU whose elements are taken when nothing else is left.
    next_steal: usize,
}

/// A lock on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Line<T>(Mutex<T>);

/// The order in which elements go.
pub(crate) struct Lru {
    nodes: Slab,
    /// One, or one a CPU.
    lists: Vec<Line<Lists>>,
    /// One a CPU, none with lists of their own.
    local: Vec<Line<Local>>,
    target: u32,
}

impl Lru {
    /// All `cap` slots are free; `own` gives each CPU its share of them for good.
    pub(crate) fn new(cap: u32, own: bool, env: &Env) -> Result<Lru, Errno> {
        let shares = if own { env.cpus } else { 1 };
        let share = cap / shares;
        let lists = |n: u32| {
            let end = if n + 1 == shares { cap } else { (n + 1) * share };
            Line(Mutex::new(Lists { fresh: n * share..end, ..Lists::default() }))
        };
        let locals = if own { 0 } else { env.cpus };
        Ok(Lru {
            nodes: env.slab(NODE, cap as usize)?,
            lists: (0..shares).map(lists).collect(),
            local: (0..locals).map(|_| Line::default()).collect(),
            target: if own { OWN_TARGET } else { (cap / env.cpus / 2).clamp(1, TARGET) },
        })
    }

    /// Slots looked at in one go.
    fn scans(&self) -> u32 {
        if self.local.is_empty() { OWN_TARGET } else { TARGET }
    }

    fn get(&self, slot: u32, field: usize) -> u32 {
        self.nodes.cell32(slot as usize * NODE + field).load(Relaxed)
    }

    fn set(&self, slot: u32, field: usize, value: u32) {
        self.nodes.cell32(slot as usize * NODE + field).store(value, Relaxed);
    }

    fn lists(&self, cpu: usize) -> MutexGuard<'_, Lists> {
        self.lists[cpu % self.lists.len()].0.lock()
    }

    /// A slot for a new element of `cpu`, in the table or not, evicting one where none is free.
    pub(crate) fn pop(&self, cpu: usize, table: &impl Table) -> Option<u32> {
        if self.local.is_empty() { self.pop_own(cpu, table) } else { self.pop_common(cpu, table) }
    }

    fn pop_own(&self, cpu: usize, table: &impl Table) -> Option<u32> {
        let mut lists = self.lists(cpu);
        self.rotate(&mut lists, table);
        if lists.free.len == 0 && lists.fresh.is_empty() {
            self.shrink(&mut lists, table, OWN_TARGET, None);
        }
        let slot = self.take_free(&mut lists)?;
        table.used(slot).store(0, Relaxed);
        self.set(slot, CPU, cpu as u32);
        self.put(&mut lists.inactive, slot, INACTIVE);
        Some(slot)
    }

    fn pop_common(&self, cpu: usize, table: &impl Table) -> Option<u32> {
        let cpu = cpu % self.local.len();
        let mut local = self.local[cpu].0.lock();
        if local.free.len == 0 {
            self.refill(&mut local, table);
        }
        if let Some(slot) = self.take(&mut local.free) {
            self.add_pending(&mut local, cpu, slot, table);
            return Some(slot);
        }
        let first = local.next_steal;
        drop(local);
        let others = (0..self.local.len()).map(|n| (first + n) % self.local.len());
        let mut found = others.filter_map(|from| Some((from, self.steal(from, table)?)));
        let (from, slot) = found.next()?;
        let mut local = self.local[cpu].0.lock();
        local.next_steal = (from + 1) % self.local.len();
        self.add_pending(&mut local, cpu, slot, table);
        Some(slot)
    }

    fn add_pending(&self, local: &mut Local, cpu: usize, slot: u32, table: &impl Table) {
        table.used(slot).store(0, Relaxed);
        self.set(slot, CPU, cpu as u32);
        self.put(&mut local.pending, slot, PENDING);
    }

    /// Another CPU's free slot, or its oldest element, one that was not used if there is one.
    fn steal(&self, from: usize, table: &impl Table) -> Option<u32> {
        let mut local = self.local[from].0.lock();
        if let Some(slot) = self.take(&mut local.free) {
            return Some(slot);
        }
        for force in [false, true] {
            let mut at = local.pending.oldest;
            while let Some(slot) = at.checked_sub(1) {
                at = self.get(slot, NEWER);
                if (force || table.used(slot).load(Relaxed) == 0) && table.evict(slot) {
                    self.unlink(&mut local.pending, slot);
                    return Some(slot);
                }
            }
        }
        None
    }

    /// Takes a slot back whose element is no longer in the table.
    pub(crate) fn push(&self, slot: u32, table: &impl Table) {
        let cpu = self.get(slot, CPU) as usize;
        if self.get(slot, KIND) == PENDING {
            let mut local = self.local[cpu].0.lock();
            // Its CPU may have passed it on meanwhile.
            if self.get(slot, KIND) == PENDING {
                table.used(slot).store(0, Relaxed);
                self.unlink(&mut local.pending, slot);
                self.put(&mut local.free, slot, LOCAL_FREE);
                return;
            }
        }
        self.shift(&mut self.lists(cpu), slot, FREE, table);
    }

    /// Sorts a CPU's new elements into the common lists, and gets it free slots from there.
    fn refill(&self, local: &mut Local, table: &impl Table) {
        let mut lists = self.lists(0);
        while let Some(slot) = local.pending.oldest.checked_sub(1) {
            self.unlink(&mut local.pending, slot);
            let kind = if table.used(slot).swap(0, Relaxed) != 0 { ACTIVE } else { INACTIVE };
            self.put(lists.of(kind), slot, kind);
        }
        self.rotate(&mut lists, table);
        for _ in 0..self.target {
            let Some(slot) = self.take_free(&mut lists) else { break };
            self.put(&mut local.free, slot, LOCAL_FREE);
        }
        let missing = self.target - local.free.len.min(self.target);
        if missing > 0 {
            self.shrink(&mut lists, table, missing, Some(&mut local.free));
        }
    }

    fn take_free(&self, lists: &mut Lists) -> Option<u32> {
        self.take(&mut lists.free).or_else(|| lists.fresh.next())
    }

    /// The newest slot of a list, taken off it.
    fn take(&self, list: &mut List) -> Option<u32> {
        let slot = list.newest.checked_sub(1)?;
        self.unlink(list, slot);
        Some(slot)
    }

    fn rotate(&self, lists: &mut Lists, table: &impl Table) {
        if lists.inactive.len < lists.active.len {
            self.rotate_active(lists, table);
        }
        self.rotate_inactive(lists, table);
    }

    /// The oldest active elements: used again, they are the newest; else inactive.
    fn rotate_active(&self, lists: &mut Lists, table: &impl Table) {
        let (first, mut at) = (lists.active.newest, lists.active.oldest);
        for _ in 0..self.scans() {
            let Some(slot) = at.checked_sub(1) else { break };
            let newer = self.get(slot, NEWER);
            let used = table.used(slot).load(Relaxed) != 0;
            self.shift(lists, slot, if used { ACTIVE } else { INACTIVE }, table);
            if at == first {
                break;
            }
            at = newer;
        }
    }

    /// Inactive elements that were used become active, going on where the last look ended.
    fn rotate_inactive(&self, lists: &mut Lists, table: &impl Table) {
        let older = |lists: &Lists, at: u32| match at.checked_sub(1) {
            Some(slot) => self.get(slot, OLDER),
            None => lists.inactive.newest,
        };
        if lists.inactive.len == 0 {
            return;
        }
        let last = match older(lists, lists.rotation) {
            0 => lists.inactive.newest,
            last => last,
        };
        let (mut at, mut next) = (lists.rotation, 0);
        for _ in 0..self.scans() {
            if at == 0 {
                at = lists.inactive.oldest;
            }
            let Some(slot) = at.checked_sub(1) else { break };
            next = self.get(slot, NEWER);
            if table.used(slot).load(Relaxed) != 0 {
                self.shift(lists, slot, ACTIVE, table);
            }
            if at == last {
                break;
            }
            at = next;
        }
        lists.rotation = next;
    }

    /// Frees up to `want` of the oldest inactive elements that were not used; one that was if
    /// there are no others. To the list given, or the free one.
    fn shrink(&self, lists: &mut Lists, table: &impl Table, want: u32, mut to: Option<&mut List>) {
        let (mut at, mut freed) = (lists.inactive.oldest, 0);
        for _ in 0..self.scans() {
            let Some(slot) = at.checked_sub(1) else { break };
            at = self.get(slot, NEWER);
            if table.used(slot).load(Relaxed) != 0 {
                self.shift(lists, slot, ACTIVE, table);
            } else if table.evict(slot) {
                self.free(lists, slot, to.as_deref_mut());
                freed += 1;
                if freed == want {
                    return;
                }
            }
        }
        if freed != 0 {
            return;
        }
        let list = if lists.inactive.len != 0 { &lists.inactive } else { &lists.active };
        let mut at = list.oldest;
        while let Some(slot) = at.checked_sub(1) {
            at = self.get(slot, NEWER);
            if table.evict(slot) {
                return self.free(lists, slot, to);
            }
        }
    }

    fn free(&self, lists: &mut Lists, slot: u32, to: Option<&mut List>) {
        self.leave(lists, slot);
        match to {
            Some(local) => self.put(local, slot, LOCAL_FREE),
            None => self.put(&mut lists.free, slot, FREE),
        }
    }

    /// Moves a slot to another of the lists, or to the front of its own.
    fn shift(&self, lists: &mut Lists, slot: u32, kind: u32, table: &impl Table) {
        self.leave(lists, slot);
        table.used(slot).store(0, Relaxed);
        self.put(lists.of(kind), slot, kind);
    }

    fn leave(&self, lists: &mut Lists, slot: u32) {
        if lists.rotation == slot + 1 {
            lists.rotation = self.get(slot, NEWER);
        }
        self.unlink(lists.of(self.get(slot, KIND)), slot);
    }

    /// Puts a slot that is on no list on this one, as the newest.
    fn put(&self, list: &mut List, slot: u32, kind: u32) {
        self.set(slot, KIND, kind);
        self.set(slot, NEWER, 0);
        self.set(slot, OLDER, list.newest);
        match list.newest.checked_sub(1) {
            Some(newest) => self.set(newest, NEWER, slot + 1),
            None => list.oldest = slot + 1,
        }
        list.newest = slot + 1;
        list.len += 1;
    }

    fn unlink(&self, list: &mut List, slot: u32) {
        let (newer, older) = (self.get(slot, NEWER), self.get(slot, OLDER));
        match newer.checked_sub(1) {
            Some(n) => self.set(n, OLDER, older),
            None => list.newest = older,
        }
        match older.checked_sub(1) {
            Some(o) => self.set(o, NEWER, newer),
            None => list.oldest = newer,
        }
        list.len -= 1;
    }
}

impl Lists {
    fn of(&mut self, kind: u32) -> &mut List {
        match kind {
            ACTIVE => &mut self.active,
            INACTIVE => &mut self.inactive,
            _ => &mut self.free,
        }
    }
}
