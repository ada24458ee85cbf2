//! Zeroed pages with a fixed address: what programs hold pointers to.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use uapi::Errno;

use super::{Part, Region, View};

/// A mapping of its own, zeroed; pages cost nothing until touched and never move.
pub struct Slab {
    base: NonNull<u8>,
    len: usize,
    /// What it is a piece of, if it is no mapping of its own.
    region: Option<Arc<Region>>,
}

// SAFETY: all shared access goes through atomics or raw pointers whose users answer for them.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Drop for Slab {
    fn drop(&mut self) {
        if self.len != 0 && self.region.is_none() {
            // SAFETY: the mapping is ours; maps outlive the programs that point into them.
            let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
        }
    }
}

impl Slab {
    /// `len` zero bytes, page-aligned; ENOMEM if they cannot be had.
    pub fn new(len: usize) -> Result<Slab, Errno> {
        if len == 0 {
            return Ok(Slab { base: NonNull::dangling(), len, region: None });
        }
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a fresh anonymous mapping at an address of the system's choice.
        let map =
            unsafe { mmap_anonymous(std::ptr::null_mut(), len, prot, flags | MapFlags::NORESERVE) };
        let base = map.map_err(|_| Errno::ENOMEM)?;
        let base = NonNull::new(base.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Slab { base, len, region: None })
    }

    /// `len` zero bytes of a region.
    pub fn in_region(region: &Arc<Region>, len: usize) -> Result<Slab, Errno> {
        let at = region.take(len)?;
        Ok(Slab { base: region.at(at), len, region: Some(region.clone()) })
    }

    /// The same where the last `len` bytes of `whole`, all pages, are those before them again.
    pub fn mirrored(region: &Arc<Region>, whole: usize, len: usize) -> Result<Slab, Errno> {
        let at = region.take(whole)?;
        region.mirror(at + whole - len, len, (at + whole - 2 * len) as u64)?;
        Ok(Slab { base: region.at(at), len: whole, region: Some(region.clone()) })
    }

    /// The file that it lies in and where, if it is of a region: whole pages only.
    pub fn file(&self) -> Option<(std::io::Result<OwnedFd>, u64)> {
        let region = self.region.as_ref()?;
        Some((region.file().try_clone(), self.addr(0) - region.at(0).as_ptr() as u64))
    }

    /// `len` bytes of addresses where nothing is, for [`Slab::overlay`] to put something.
    pub(crate) fn nothing(len: usize) -> Result<Slab, Errno> {
        let (prot, flags) = (ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: a fresh anonymous mapping at an address of the system's choice.
        let map = unsafe { mmap_anonymous(std::ptr::null_mut(), len, prot, flags) };
        let base = NonNull::new(map.map_err(|_| Errno::ENOMEM)?.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Slab { base, len, region: None })
    }

    /// A mapping that was made elsewhere; none at address 0.
    ///
    /// # Safety
    /// The `len` bytes at `base` are a mapping of their own that nobody else unmaps.
    pub(super) unsafe fn adopt(base: *mut u8, len: usize) -> Option<Slab> {
        Some(Slab { base: NonNull::new(base)?, len, region: None })
    }

    /// A file in memory of `len` zero bytes, whole pages.
    pub fn memfd(len: usize) -> Result<OwnedFd, Errno> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("bpf-map", flags).map_err(|_| Errno::ENOMEM)?;
        ftruncate(&file, len as u64).map_err(|_| Errno::ENOMEM)?;
        // Who maps it too shall not take pages away from under programs.
        let seals = SealFlags::SHRINK | SealFlags::GROW;
        fcntl_add_seals(&file, seals).map_err(|_| Errno::ENOMEM)?;
        Ok(file)
    }

    /// Puts `len` bytes of `file` in the place of the pages from `off` on, before anyone uses
    /// them. Whole pages.
    pub(crate) fn overlay(
        &self,
        off: usize,
        len: usize,
        file: &OwnedFd,
        file_off: u64,
        write: bool,
    ) -> Result<(), Errno> {
        let at = self.at(off, len).cast();
        let prot = if write { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: the range lies within our mapping, which nobody uses yet.
        let done =
            unsafe { mmap(at, len, prot, MapFlags::SHARED | MapFlags::FIXED, file, file_off) };
        done.map(drop).map_err(|_| Errno::ENOMEM)
    }

    /// The bytes of `parts`, `len` in all.
    pub fn of(parts: &[Part], len: usize) -> Result<Slab, Errno> {
        let slab = Slab::new(len)?;
        for part in parts {
            slab.overlay(part.at as usize, part.len as usize, &part.file, part.file_off, true)?;
        }
        Ok(slab)
    }

    /// The first `len` bytes of something that can be mapped, shared with whoever else maps it;
    /// the system's error if they cannot be had.
    pub fn shared(file: impl std::os::fd::AsFd, len: usize) -> Result<Slab, Errno> {
        if len == 0 {
            return Slab::new(len);
        }
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the system's choice.
        let map = unsafe { mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, file, 0) };
        let base = map.map_err(|error| Errno(error.raw_os_error()))?;
        let base = NonNull::new(base.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Slab { base, len, region: None })
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address that programs see for offset `off`.
    #[inline]
    pub fn addr(&self, off: usize) -> u64 {
        self.base.as_ptr() as u64 + off as u64
    }

    /// The offset of an address within the slab.
    #[inline]
    pub fn offset(&self, addr: u64) -> Option<usize> {
        let off = addr.checked_sub(self.addr(0))?;
        (off < self.len as u64).then_some(off as usize)
    }

    #[inline]
    fn at(&self, off: usize, len: usize) -> *mut u8 {
        assert!(off <= self.len && len <= self.len - off, "access within the slab");
        // SAFETY: checked just now.
        unsafe { self.base.as_ptr().add(off) }
    }

    /// A counter or link in the slab; `off` is a multiple of 4.
    #[inline]
    pub fn cell32(&self, off: usize) -> &AtomicU32 {
        let ptr = self.at(off, 4);
        assert!(off.is_multiple_of(4), "links are aligned");
        // SAFETY: in bounds, aligned, and accessed as an atomic by all of us.
        unsafe { AtomicU32::from_ptr(ptr.cast()) }
    }

    /// A counter in the slab; `off` is a multiple of 8.
    #[inline]
    pub fn cell64(&self, off: usize) -> &AtomicU64 {
        let ptr = self.at(off, 8);
        assert!(off.is_multiple_of(8), "counters are aligned");
        // SAFETY: in bounds, aligned, and accessed as an atomic by all of us.
        unsafe { AtomicU64::from_ptr(ptr.cast()) }
    }

    #[inline]
    fn word(ptr: *mut u8) -> &'static AtomicU64 {
        // SAFETY: callers pass aligned in-bounds addresses and use the result at once.
        unsafe { AtomicU64::from_ptr(ptr.cast()) }
    }

    #[inline]
    fn byte(ptr: *mut u8) -> &'static AtomicU8 {
        // SAFETY: callers pass in-bounds addresses and use the result at once.
        unsafe { AtomicU8::from_ptr(ptr) }
    }

    /// Copies bytes from `off` on into `out`, word by word where aligned.
    #[inline]
    pub fn read(&self, off: usize, out: &mut [u8]) {
        let ptr = self.at(off, out.len());
        let words = if off.is_multiple_of(8) { out.len() / 8 } else { 0 };
        let (head, tail) = out.split_at_mut(words * 8);
        for (i, chunk) in head.chunks_exact_mut(8).enumerate() {
            let word = Self::word(ptr.wrapping_add(8 * i)).load(Relaxed);
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        for (i, b) in tail.iter_mut().enumerate() {
            *b = Self::byte(ptr.wrapping_add(8 * words + i)).load(Relaxed);
        }
    }

    /// Stores `src` from `off` on, word by word where aligned.
    #[inline]
    pub fn write(&self, off: usize, src: View<'_>) {
        let ptr = self.at(off, src.len());
        let words = if off.is_multiple_of(8) { src.len() / 8 } else { 0 };
        for i in 0..words {
            Self::word(ptr.wrapping_add(8 * i)).store(src.u64(8 * i), Relaxed);
        }
        for i in 8 * words..src.len() {
            Self::byte(ptr.wrapping_add(i)).store(src.byte(i), Relaxed);
        }
    }

    /// Zeroes `len` bytes from `off` on.
    #[inline]
    pub fn zero(&self, off: usize, len: usize) {
        let ptr = self.at(off, len);
        let words = if off.is_multiple_of(8) { len / 8 } else { 0 };
        for i in 0..words {
            Self::word(ptr.wrapping_add(8 * i)).store(0, Relaxed);
        }
        for i in 8 * words..len {
            Self::byte(ptr.wrapping_add(i)).store(0, Relaxed);
        }
    }

    /// Whether the bytes from `off` on are those of `key`.
    #[inline]
    pub fn same(&self, off: usize, key: View<'_>) -> bool {
        let ptr = self.at(off, key.len());
        let words = if off.is_multiple_of(8) { key.len() / 8 } else { 0 };
        (0..words).all(|i| Self::word(ptr.wrapping_add(8 * i)).load(Relaxed) == key.u64(8 * i))
            && (8 * words..key.len())
                .all(|i| Self::byte(ptr.wrapping_add(i)).load(Relaxed) == key.byte(i))
    }
}
