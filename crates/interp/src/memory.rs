//! The memory of a run, and the crate's only unsafe code: every address is compared with a
//! region before it is touched.
//!
//! Regions are the live part of the stack (owned here), what helpers granted, and what the
//! [`Host`] vouches for. The last few answers are kept until the next helper call, since a helper
//! may move a packet.

use std::{
    alloc::{self, Layout},
    ptr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

use isa::AtomicOp;

use crate::{Host, Region, TrapKind};

/// Bytes of a frame.
pub(crate) const FRAME: usize = 512;
/// Frames of all programs of one run: eight of one program, and what callbacks and tail calls
/// out of subprograms put on top.
const FRAMES: usize = 48;
const LAYOUT: Layout = match Layout::from_size_align(FRAME * FRAMES, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("a constant layout"),
};

/// A value that memory instructions move.
pub(crate) trait Word: Copy {
    /// Binary logarithm of the size.
    const LOG: usize;

    fn widen(self) -> u64;
    fn cut(value: u64) -> Self;
}

macro_rules! word {
    ($($t:ty, $log:literal;)*) => {
        $(impl Word for $t {
            const LOG: usize = $log;

            #[inline(always)]
            fn widen(self) -> u64 {
                self as u64
            }

            #[inline(always)]
            fn cut(value: u64) -> $t {
                value as $t
            }
        })*
    };
}
word! { u8, 0; u16, 1; u32, 2; u64, 3; }

/// A word at any alignment. Other threads' programs may use a map's value meanwhile, as in Linux
/// without any order, so it is accessed as volatile: once, as it is there.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Shared<T>(T);

/// A region ready for one comparison a check: an access of 2^k bytes at `addr` lies inside if
/// `addr - start < room[k]`.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u64,
    room: [u64; 4],
}

impl Span {
    fn new(start: u64, end: u64) -> Span {
        let len = end.saturating_sub(start);
        Span {
            start,
            room: [1, 2, 4, 8].map(|size| len.saturating_add(1).saturating_sub(size).min(len)),
        }
    }

    #[inline(always)]
    fn holds<T: Word>(&self, addr: u64) -> bool {
        addr.wrapping_sub(self.start) < self.room[T::LOG]
    }
}

/// The last answers of the host, replaced in turn.
#[derive(Clone, Copy, Default)]
struct Cache {
    spans: [Span; 4],
    next: usize,
}

impl Cache {
    #[inline(always)]
    fn holds<T: Word>(&self, addr: u64) -> bool {
        let [a, b, c, d] = &self.spans;
        a.holds::<T>(addr) || b.holds::<T>(addr) || c.holds::<T>(addr) || d.holds::<T>(addr)
    }

    fn insert(&mut self, span: Span) {
        self.spans[self.next & 3] = span;
        self.next += 1;
    }
}

/// An access outside every region.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outside;

pub(crate) struct Memory {
    stack: *mut u8,
    /// Frames in use, the deepest at the lowest address.
    frames: usize,
    live: Span,
    readable: Cache,
    writable: Cache,
    granted: Vec<Region>,
}

// SAFETY: `stack` is owned: allocated in `new`, freed in `drop`, shared with nobody else.
unsafe impl Send for Memory {}

impl Memory {
    pub(crate) fn new() -> Memory {
        // SAFETY: the layout has a size.
        let stack = unsafe { alloc::alloc_zeroed(LAYOUT) };
        if stack.is_null() {
            alloc::handle_alloc_error(LAYOUT);
        }
        // Programs and helpers reach the stack by its address.
        stack.expose_provenance();
        Memory {
            stack,
            frames: 0,
            live: Span::default(),
            readable: Cache::default(),
            writable: Cache::default(),
            granted: Vec::new(),
        }
    }

    /// Back to a state without frames, grants and remembered regions.
    pub(crate) fn reset(&mut self) {
        self.set_frames(0);
        self.forget(0);
    }

    /// A new frame: the address after its last byte, or `None` where the stack is full.
    #[inline]
    pub(crate) fn push_frame(&mut self) -> Option<u64> {
        if self.frames == FRAMES {
            return None;
        }
        self.set_frames(self.frames + 1);
        Some(self.live.start + FRAME as u64)
    }

    #[inline]
    pub(crate) fn pop_frame(&mut self) {
        self.set_frames(self.frames.saturating_sub(1));
    }

    /// Frames in use.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    pub(crate) fn set_frames(&mut self, frames: usize) {
        let end = self.stack.addr() as u64 + (FRAME * FRAMES) as u64;
        let live = (FRAME * frames) as u64;
        self.frames = frames;
        // What `Span::new` gives, without its care for short regions.
        let room = if frames == 0 { [0; 4] } else { [live, live - 1, live - 3, live - 7] };
        self.live = Span { start: end - live, room };
    }

    pub(crate) fn grants(&self) -> usize {
        self.granted.len()
    }

    pub(crate) fn grant(&mut self, region: Region) {
        self.granted.push(region);
    }

    /// The live stack or a grant, whichever holds `addr`.
    pub(crate) fn own_region(&self, addr: u64) -> Option<Region> {
        let end = self.stack.addr() as u64 + (FRAME * FRAMES) as u64;
        let live = Region { start: self.live.start, end, writable: true };
        let mut all = std::iter::once(&live).chain(&self.granted);
        all.find(|r| (r.start..r.end).contains(&addr)).copied()
    }

    /// Forgets what the host said, and all grants but the first `grants`.
    #[inline]
    pub(crate) fn forget(&mut self, grants: usize) {
        self.granted.truncate(grants);
        if self.readable.next | self.writable.next != 0 {
            self.readable = Cache::default();
            self.writable = Cache::default();
        }
    }

    #[inline(always)]
    pub(crate) fn load<T: Word>(&mut self, host: &mut dyn Host, addr: u64) -> Result<T, Outside> {
        if !self.live.holds::<T>(addr)
            && !self.readable.holds::<T>(addr)
            && !self.resolve::<T>(host, addr, false)
        {
            return Err(Outside);
        }
        let at = ptr::with_exposed_provenance::<Shared<T>>(addr as usize);
        // SAFETY: `addr` lies in the stack, or in a region that the host vouches is valid now.
        Ok(unsafe { at.read_volatile() }.0)
    }

    #[inline(always)]
    pub(crate) fn store<T: Word>(
        &mut self,
        host: &mut dyn Host,
        addr: u64,
        value: T,
    ) -> Result<(), Outside> {
        self.check_write::<T>(host, addr)?;
        let at = ptr::with_exposed_provenance_mut::<Shared<T>>(addr as usize);
        // SAFETY: as in `load`, and the region is writable.
        unsafe { at.write_volatile(Shared(value)) };
        Ok(())
    }

    /// Atomic for aligned words of four and eight bytes; ordered in any case.
    pub(crate) fn load_acquire<T: Word>(
        &mut self,
        host: &mut dyn Host,
        addr: u64,
    ) -> Result<u64, Outside> {
        let value = self.load::<T>(host, addr)?;
        fence(Ordering::Acquire);
        Ok(value.widen())
    }

    pub(crate) fn store_release<T: Word>(
        &mut self,
        host: &mut dyn Host,
        addr: u64,
        value: u64,
    ) -> Result<(), Outside> {
        fence(Ordering::Release);
        self.store(host, addr, T::cut(value))
    }

    /// Applies `op` with `operand` (and `expected` of a compare-and-exchange): the old value.
    /// Atomic where the address is aligned, sequentially consistent.
    pub(crate) fn atomic32(
        &mut self,
        host: &mut dyn Host,
        addr: u64,
        op: AtomicOp,
        operand: u32,
        expected: u32,
    ) -> Result<u32, Outside> {
        self.check_write::<u32>(host, addr)?;
        let at = ptr::with_exposed_provenance_mut::<u32>(addr as usize);
        if !at.is_aligned() {
            // SAFETY: as in `store`.
            let old = unsafe { at.read_unaligned() };
            let new = apply(op, old.into(), operand.into(), expected.into()) as u32;
            // SAFETY: as in `store`.
            unsafe { at.write_unaligned(new) };
            return Ok(old);
        }
        // SAFETY: valid as in `store`, and aligned.
        let cell = unsafe { AtomicU32::from_ptr(at) };
        Ok(match op {
            AtomicOp::Add => cell.fetch_add(operand, Ordering::SeqCst),
            AtomicOp::Or => cell.fetch_or(operand, Ordering::SeqCst),
            AtomicOp::And => cell.fetch_and(operand, Ordering::SeqCst),
            AtomicOp::Xor => cell.fetch_xor(operand, Ordering::SeqCst),
            AtomicOp::Xchg => cell.swap(operand, Ordering::SeqCst),
            AtomicOp::Cmpxchg => {
                let order = Ordering::SeqCst;
                match cell.compare_exchange(expected, operand, order, order) {
                    Ok(old) | Err(old) => old,
                }
            }
        })
    }

    /// Like [`Memory::atomic32`] on eight bytes.
    pub(crate) fn atomic64(
        &mut self,
        host: &mut dyn Host,
        addr: u64,
        op: AtomicOp,
        operand: u64,
        expected: u64,
    ) -> Result<u64, Outside> {
        self.check_write::<u64>(host, addr)?;
        let at = ptr::with_exposed_provenance_mut::<u64>(addr as usize);
        if !at.is_aligned() {
            // SAFETY: as in `store`.
            let old = unsafe { at.read_unaligned() };
            // SAFETY: as in `store`.
            unsafe { at.write_unaligned(apply(op, old, operand, expected)) };
            return Ok(old);
        }
        // SAFETY: valid as in `store`, and aligned.
        let cell = unsafe { AtomicU64::from_ptr(at) };
        Ok(match op {
            AtomicOp::Add => cell.fetch_add(operand, Ordering::SeqCst),
            AtomicOp::Or => cell.fetch_or(operand, Ordering::SeqCst),
            AtomicOp::And => cell.fetch_and(operand, Ordering::SeqCst),
            AtomicOp::Xor => cell.fetch_xor(operand, Ordering::SeqCst),
            AtomicOp::Xchg => cell.swap(operand, Ordering::SeqCst),
            AtomicOp::Cmpxchg => {
                let order = Ordering::SeqCst;
                match cell.compare_exchange(expected, operand, order, order) {
                    Ok(old) | Err(old) => old,
                }
            }
        })
    }

    #[inline(always)]
    fn check_write<T: Word>(&mut self, host: &mut dyn Host, addr: u64) -> Result<(), Outside> {
        let known = self.live.holds::<T>(addr) || self.writable.holds::<T>(addr);
        if known || self.resolve::<T>(host, addr, true) { Ok(()) } else { Err(Outside) }
    }

    /// Asks for the region around `addr` and remembers it.
    #[cold]
    #[inline(never)]
    fn resolve<T: Word>(&mut self, host: &mut dyn Host, addr: u64, write: bool) -> bool {
        let inside = |r: &Region| r.start <= addr && addr < r.end;
        let granted = self.granted.iter().rev().copied().find(inside);
        let Some(region) = granted.or_else(|| host.region(addr).filter(inside)) else {
            return false;
        };
        let span = Span::new(region.start, region.end);
        if !span.holds::<T>(addr) || (write && !region.writable) {
            return false;
        }
        let cache = if write { &mut self.writable } else { &mut self.readable };
        cache.insert(span);
        true
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { alloc::dealloc(self.stack, LAYOUT) };
    }
}

/// The trap of a refused access.
#[cold]
pub(crate) fn refused(addr: u64, size: u32, write: bool) -> TrapKind {
    TrapKind::Memory { addr, size, write }
}

/// What an unaligned read-modify-write leaves in memory.
fn apply(op: AtomicOp, old: u64, operand: u64, expected: u64) -> u64 {
    match op {
        AtomicOp::Add => old.wrapping_add(operand),
        AtomicOp::Or => old | operand,
        AtomicOp::And => old & operand,
        AtomicOp::Xor => old ^ operand,
        AtomicOp::Xchg => operand,
        AtomicOp::Cmpxchg if old == expected => operand,
        AtomicOp::Cmpxchg => old,
    }
}
