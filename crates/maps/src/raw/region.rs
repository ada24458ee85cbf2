//! Memory of maps that other processes map too, at the same addresses.
//!
//! One file in memory, seen from one address on in every process; slabs are cut out of it and never
//! given back. Whoever maps it may write what it likes: what is read from it is checked.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use uapi::Errno;

/// Memory shared by several processes at one address.
pub struct Region {
    base: NonNull<u8>,
    file: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: usize,
    mirrors: Vec<Piece>,
}

/// A stretch of a region and where in its file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it is in every process.
    pub addr: u64,
    /// Bytes, whole pages.
    pub len: u64,
    /// Offset in the file.
    pub file_off: u64,
}

/// Addresses that are kept free for a region.
const ROOM: usize = 64 << 30;
/// Of these, at the end, what is not handed out.
const ASIDE: usize = 1 << 30;
/// Far from where programs, libraries, heaps and stacks are put; the lowest of the places tried.
const FIRST: u64 = 0x2000_0000_0000;
const STEP: u64 = ROOM as u64;
const PLACES: u64 = 32;
const PAGE: usize = 4096;
/// Smaller pieces start at multiples of this: a cache line.
const LINE: usize = 64;

// SAFETY: the mapping lives as long as the value; what is in it is accessed by slabs only.
unsafe impl Send for Region {}
// SAFETY: as above; the rest is behind a lock.
unsafe impl Sync for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours; slabs in it hold the region.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), ROOM) };
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Region {
    /// An empty region; ENOMEM if there is no room for one.
    pub fn new() -> Result<Arc<Region>, Errno> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("bpf-maps", flags).map_err(|_| Errno::ENOMEM)?;
        // Where to begin is as random as the stack.
        let here = 0_u8;
        let start = (&raw const here as u64 >> 12) % PLACES;
        let base = (0..PLACES).find_map(|i| place(&file, FIRST + (start + i) % PLACES * STEP));
        let (base, state) = (base.ok_or(Errno::ENOMEM)?, Mutex::default());
        Ok(Arc::new(Region { base, file, state }))
    }

    /// Room for `len` bytes, zeroed: its offset. Whole pages start at a page.
    pub(super) fn take(&self, len: usize) -> Result<usize, Errno> {
        let align = if len < PAGE { LINE } else { PAGE };
        let mut state = self.state.lock();
        let at = state.used.next_multiple_of(align);
        let end = at.checked_add(len).filter(|end| *end <= ROOM - ASIDE).ok_or(Errno::ENOMEM)?;
        ftruncate(&self.file, end.next_multiple_of(PAGE) as u64).map_err(|_| Errno::ENOMEM)?;
        state.used = end;
        Ok(at)
    }

    /// Puts the bytes of the file from `file_off` on at `at`, which was taken; whole pages.
    pub(super) fn mirror(&self, at: usize, len: usize, file_off: u64) -> Result<(), Errno> {
        let addr = self.at(at);
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the range was taken from our own mapping and nobody uses it yet.
        unsafe {
            mmap(addr.as_ptr().cast(), len, prot, flags | MapFlags::FIXED, &self.file, file_off)
        }
        .map_err(|_| Errno::ENOMEM)?;
        let piece = Piece { addr: addr.as_ptr() as u64, len: len as u64, file_off };
        self.state.lock().mirrors.push(piece);
        Ok(())
    }

    pub(super) fn at(&self, off: usize) -> NonNull<u8> {
        // SAFETY: offsets come from `take`, within the mapping.
        unsafe { self.base.add(off) }
    }

    /// Where pieces may be.
    pub fn range(&self) -> std::ops::Range<u64> {
        let start = self.base.as_ptr() as u64;
        start..start + (ROOM - ASIDE) as u64
    }

    /// Frees the lock at `addr`, if it is one of the region's and held with `value`.
    pub fn give_back(&self, addr: u64, value: u32) {
        let used = self.state.lock().used as u64;
        let off = addr.wrapping_sub(self.base.as_ptr() as u64);
        if off >= used.saturating_sub(3) || !off.is_multiple_of(4) {
            return;
        }
        // SAFETY: an aligned word within what was handed out, used as an atomic by all.
        let cell = unsafe { AtomicU32::from_ptr(self.at(off as usize).as_ptr().cast()) };
        let _ = cell.compare_exchange(value, 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The file that it is.
    pub fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// What another process maps (behind it, a GiB is free for what is not shared), in this order: later pieces lie over earlier ones.
    pub fn pieces(&self) -> Vec<Piece> {
        let state = self.state.lock();
        let len = state.used.next_multiple_of(PAGE) as u64;
        let all = Piece { addr: self.base.as_ptr() as u64, len, file_off: 0 };
        std::iter::once(all).chain(state.mirrors.iter().copied()).collect()
    }
}

/// Maps the file at `at`, if nothing is there.
fn place(file: &OwnedFd, at: u64) -> Option<NonNull<u8>> {
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    let flags = flags | MapFlags::FIXED_NOREPLACE | MapFlags::NORESERVE;
    // SAFETY: replaces no mapping that is there.
    let base = unsafe { mmap(at as *mut _, ROOM, prot, flags, file, 0) }.ok()?;
    if base as u64 != at {
        // Kernels before 4.17 take the address for a wish.
        // SAFETY: made just now.
        let _ = unsafe { munmap(base, ROOM) };
        return None;
    }
    NonNull::new(base.cast())
}
