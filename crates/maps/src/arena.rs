//! Arenas: pages that programs and user space share, at addresses that both know.
//!
//! User space sees the pages from an address of its choice on; programs reach them through the low
//! half of such an address, and a window of all such halves: a page lies in it where its address's
//! half says, and nothing else is there. Which pages are allocated is kept here; memory comes with
//! a touch.

use std::os::fd::AsFd;

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate};
use uapi::{Errno, MapDef};

use crate::Env;
use crate::ops::Ops;
use crate::raw::{Part, Slab};

const PAGE: u64 = 4096;
/// What half an address reaches.
const WINDOW: u64 = 1 << 32;
/// What an instruction's offset reaches beyond, on either side.
const GUARD: u64 = 1 << 16;
/// Where user space has pages that it gave no address.
const START: u64 = 1 << 30;

/// An arena.
pub struct Arena {
    /// Guard, window, guard.
    window: Slab,
    parts: [Part; 1],
    pages: u64,
    /// The address of the first page in user space.
    start: u64,
    /// It was given at creation.
    given: bool,
    state: Mutex<State>,
}

struct State {
    /// The bytes that user space has mapped.
    mapped: u64,
    /// A bit a page: allocated or reserved.
    taken: Vec<u64>,
}

impl State {
    fn is_taken(&self, page: u64) -> bool {
        self.taken[page as usize / 64] & (1 << (page % 64)) != 0
    }

    fn set(&mut self, page: u64, taken: bool) {
        let word = &mut self.taken[page as usize / 64];
        *word = if taken { *word | 1 << (page % 64) } else { *word & !(1 << (page % 64)) };
    }

    /// The lowest run of `count` free pages.
    fn gap(&self, pages: u64, count: u64) -> Option<u64> {
        let mut free = 0;
        for page in 0..pages {
            free = if self.is_taken(page) { 0 } else { free + 1 };
            if free == count {
                return Some(page + 1 - count);
            }
        }
        None
    }
}

impl Arena {
    pub(crate) fn new(def: &MapDef, _: &Env) -> Result<Arena, Errno> {
        let pages = u64::from(def.max_entries);
        let len = (pages * PAGE) as usize;
        let parts = [Part { at: 0, len: len as u64, file: Slab::memfd(len)?, file_off: 0 }];
        let start = match def.extra {
            0 => START.min(WINDOW - len as u64),
            given => given,
        };
        let window = Slab::nothing((GUARD + WINDOW + GUARD) as usize)?;
        let first = GUARD + u64::from(start as u32);
        window.overlay(first as usize, len, &parts[0].file, 0, true)?;
        let taken = vec![0; pages.div_ceil(64) as usize];
        let state = Mutex::new(State { mapped: 0, taken });
        Ok(Arena { window, parts, pages, start, given: def.extra != 0, state })
    }

    /// The window: the address of what programs call 0.
    pub fn window(&self) -> u64 {
        self.window.addr(GUARD as usize)
    }

    /// User space has said where it has the pages: at creation, or by mapping them.
    pub fn is_placed(&self) -> bool {
        self.given || self.state.lock().mapped != 0
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.pages * PAGE
    }

    /// No bytes.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// The address of the first page in user space.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The pages at `addr`; none where there are none.
    fn at(&self, addr: u64, count: u64) -> Option<u64> {
        let off = u64::from((addr as u32).wrapping_sub(self.start as u32));
        let page = off / PAGE;
        let inside = addr.is_multiple_of(PAGE) && page.checked_add(count)? <= self.pages;
        inside.then_some(page)
    }

    /// Allocates `count` pages at `addr`, or anywhere for 0: their address in user space, 0 if
    /// they cannot be had.
    pub fn alloc(&self, addr: u64, count: u64) -> u64 {
        let mut state = self.state.lock();
        if count == 0 || count > self.pages {
            return 0;
        }
        let first = match addr {
            0 => state.gap(self.pages, count),
            _ => self
                .at(addr, count)
                .filter(|first| (*first..first + count).all(|page| !state.is_taken(page))),
        };
        let Some(first) = first else { return 0 };
        (first..first + count).for_each(|page| state.set(page, true));
        self.start + first * PAGE
    }

    /// Gives `count` pages at `addr` back; what is past the end is left out.
    pub fn free(&self, addr: u64, count: u64) {
        let mut state = self.state.lock();
        let Some(first) = self.at(addr & !(PAGE - 1), 0) else { return };
        let end = first.saturating_add(count).min(self.pages);
        (first..end).for_each(|page| state.set(page, false));
        if first < end {
            let (from, len) = (first * PAGE, (end - first) * PAGE);
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Should it fail, the pages keep their bytes, which nobody is promised are gone.
            let _ = fallocate(self.parts[0].file.as_fd(), flags, from, len);
        }
    }

    /// Keeps `count` pages at `addr` from being allocated: EINVAL past the end, EBUSY if one is
    /// taken.
    pub fn reserve(&self, addr: u64, count: u64) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if count == 0 {
            return Ok(());
        }
        let first = self.at(addr, count).ok_or(Errno::EINVAL)?;
        if (first..first + count).any(|page| state.is_taken(page)) {
            return Err(Errno::EBUSY);
        }
        (first..first + count).for_each(|page| state.set(page, true));
        Ok(())
    }
}

impl Ops for Arena {
    fn arena(&self) -> Option<&Arena> {
        Some(self)
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// All who map it map the same range: E2BIG for more, EINVAL for another.
    fn may_map(&self, offset: u64, len: u64, _: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if offset != 0 {
            return Err(Errno::EINVAL);
        }
        if len > 1 << 32 || (state.mapped != 0 && len > state.mapped) {
            return Err(Errno::E2BIG);
        }
        if state.mapped != 0 {
            // Where it goes is the first mapping's to say.
            return Err(Errno::EINVAL);
        }
        state.mapped = len;
        Ok(())
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let start = self.window() + u64::from(self.start as u32);
        let range = (start, start + self.len());
        (range.0..range.1).contains(&addr).then_some(range)
    }

    fn direct_value(&self, off: u32) -> Result<u64, Errno> {
        if u64::from(off) >= self.len() {
            Err(Errno::EINVAL)
        } else {
            Ok(self.start() + u64::from(off))
        }
    }

    fn delete(&self, _: crate::View<'_>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn user_lookup(&self, _: &[u8], _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn user_update(&self, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn next_key(&self, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}
