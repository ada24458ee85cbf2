//! A map's memory as user space sees it through mmap(2).

use std::any::Any;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap};
use uapi::Errno;

use super::{Slab, View};

/// What counts as mapped while it is held.
pub type Hold = Option<Arc<dyn Any + Send + Sync>>;

/// A stretch of a map's memory: `len` bytes of `file` from `file_off` on, seen at `at`.
#[derive(Debug)]
pub struct Part {
    /// Offset in the map's memory, in bytes.
    pub at: u64,
    /// Bytes, whole pages.
    pub len: u64,
    /// Where the bytes are.
    pub file: OwnedFd,
    /// Offset in the file.
    pub file_off: u64,
}

impl Part {
    /// The same bytes, to be read only unless `write`.
    pub(crate) fn lend(&self, write: bool) -> std::io::Result<Part> {
        let file = if write {
            self.file.try_clone()?
        } else {
            std::fs::File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))?.into()
        };
        Ok(Part { at: self.at, len: self.len, file, file_off: self.file_off })
    }
}

/// Pages of a map in this process.
pub struct Mapping {
    pages: Slab,
    write: bool,
    /// What the map counts as long as it is mapped.
    _hold: Hold,
}

impl Mapping {
    /// `len` bytes of a file that answers mmap(2), from `offset` on; its error is the answer.
    pub fn file(file: impl AsFd, offset: u64, len: usize, write: bool) -> Result<Mapping, Errno> {
        let prot = if write { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        let null = std::ptr::null_mut();
        // SAFETY: a new mapping at an address of the system's choice.
        let base = unsafe { mmap(null, len, prot, MapFlags::SHARED, file, offset) };
        let base = base.map_err(|e| Errno(e.raw_os_error()))?;
        // SAFETY: the mapping was made just now and is nobody else's.
        let pages = unsafe { Slab::adopt(base.cast(), len) }.ok_or(Errno::ENOMEM)?;
        Ok(Mapping { pages, write, _hold: None })
    }

    /// The bytes `offset..offset + len` of what `parts` lie in; a part not there reads as zeroes.
    pub fn parts(
        parts: &[Part],
        offset: u64,
        len: usize,
        write: bool,
        hold: Hold,
    ) -> Result<Mapping, Errno> {
        let pages = Slab::new(len)?;
        let end = offset.checked_add(len as u64).ok_or(Errno::EINVAL)?;
        for part in parts {
            let (from, to) = (part.at.max(offset), (part.at + part.len).min(end));
            if from < to {
                let at = (from - offset) as usize;
                let file_off = part.file_off + (from - part.at);
                pages.overlay(at, (to - from) as usize, &part.file, file_off, write)?;
            }
        }
        Ok(Mapping { pages, write, _hold: hold })
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// No bytes.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Copies bytes out, from `off` on; EFAULT past the end.
    pub fn read(&self, off: usize, out: &mut [u8]) -> Result<(), Errno> {
        self.within(off, out.len())?;
        self.pages.read(off, out);
        Ok(())
    }

    /// Copies bytes in, from `off` on; EFAULT past the end or for what may only be read.
    pub fn write(&self, off: usize, bytes: &[u8]) -> Result<(), Errno> {
        self.within(off, bytes.len())?;
        if !self.write {
            return Err(Errno::EFAULT);
        }
        self.pages.write(off, View::from(bytes));
        Ok(())
    }

    /// The counter at `off`, a multiple of 8; none where it may not be written.
    pub fn cell64(&self, off: usize) -> Option<&AtomicU64> {
        let fits = self.within(off, 8).is_ok() && off.is_multiple_of(8);
        (fits && self.write).then(|| self.pages.cell64(off))
    }

    fn within(&self, off: usize, len: usize) -> Result<(), Errno> {
        let end = off.checked_add(len).ok_or(Errno::EFAULT)?;
        if end <= self.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }
}
