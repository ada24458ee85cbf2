//! The pages of both kinds of ring buffer, in Linux's order: the consumer's position, the
//! producer's, the data, and the data again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use uapi::{Errno, MapDef};

use crate::Env;
use crate::raw::{Part, Region, Slab};

/// Bytes before the data of a record.
pub(crate) const HEADER: u64 = 8;
const PAGE: usize = 4096;
/// Offsets in the page of the writers' position.
const LOCK: usize = 64;
const PENDING: usize = 72;

/// Bytes that a record of `len` takes.
pub(crate) fn whole(len: u32) -> u64 {
    (u64::from(len) + HEADER).next_multiple_of(8)
}

/// A ring's memory. Each position's page can be shared without the other's being writable.
pub(crate) struct Pages {
    pub(crate) memory: Slab,
    pub(crate) parts: [Part; 3],
    /// Bytes of data, a power of two.
    pub(crate) size: u64,
}

impl Pages {
    pub(crate) fn new(def: &MapDef, env: &Env) -> Result<Pages, Errno> {
        let size = def.max_entries as usize;
        if size as u64 > env.mem_limit {
            return Err(Errno::ENOMEM);
        }
        if let Some(region) = &env.region {
            return Pages::in_region(region, size);
        }
        let (consumer, rest) = (Slab::memfd(PAGE)?, Slab::memfd(PAGE + size)?);
        let again = rest.try_clone().map_err(|_| Errno::ENOMEM)?;
        let part = |at: usize, len: usize, file, file_off: usize| Part {
            at: at as u64,
            len: len as u64,
            file,
            file_off: file_off as u64,
        };
        let parts = [
            part(0, PAGE, consumer, 0),
            part(PAGE, PAGE + size, rest, 0),
            part(2 * PAGE + size, size, again, PAGE),
        ];
        let memory = Slab::of(&parts, 2 * PAGE + 2 * size)?;
        Ok(Pages { memory, parts, size: size as u64 })
    }

    /// The same in memory that other processes have.
    fn in_region(region: &Arc<Region>, size: usize) -> Result<Pages, Errno> {
        let memory = Slab::mirrored(region, 2 * PAGE + 2 * size, size)?;
        let part = |at: usize, len: usize, from: usize| {
            let (file, start) = memory.file().ok_or(Errno::ENOMEM)?;
            let file = file.map_err(|_| Errno::ENOMEM)?;
            Ok(Part { at: at as u64, len: len as u64, file, file_off: start + from as u64 })
        };
        let parts = [
            part(0, PAGE, 0)?,
            part(PAGE, PAGE + size, PAGE)?,
            part(2 * PAGE + size, size, 2 * PAGE)?,
        ];
        Ok(Pages { memory, parts, size: size as u64 })
    }

    pub(crate) fn consumer(&self) -> &AtomicU64 {
        self.memory.cell64(0)
    }

    pub(crate) fn producer(&self) -> &AtomicU64 {
        self.memory.cell64(PAGE)
    }

    /// The lock of writers, and up to where they know that records are finished.
    pub(crate) fn writers(&self) -> (&AtomicU32, &AtomicU64) {
        (self.memory.cell32(PAGE + LOCK), self.memory.cell64(PAGE + PENDING))
    }

    /// Offset in memory of a position.
    pub(crate) fn at(&self, pos: u64) -> usize {
        2 * PAGE + (pos & (self.size - 1) & !7) as usize
    }

    /// EINVAL past the end.
    pub(crate) fn may_map(&self, offset: u64, len: u64) -> Result<(), Errno> {
        let end = offset.checked_add(len).ok_or(Errno::EINVAL)?;
        if end <= self.memory.len() as u64 { Ok(()) } else { Err(Errno::EINVAL) }
    }
}
