//! User ring buffers: records from one writer in user space to programs.

use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use uapi::{Errno, MapDef};

use crate::Env;
use crate::ops::Ops;
use crate::raw::Part;
use crate::ring_pages::{HEADER, Pages, whole};
use crate::ringbuf::{BUSY, DISCARD};

/// Longest sample: what a dynptr can hold.
const MAX_SAMPLE: u32 = 0xff_ffff;
/// Samples of one drain.
pub const MAX_SAMPLES: u32 = 128 * 1024;

/// A user ring buffer.
pub struct UserRingbuf {
    pages: Pages,
    busy: AtomicBool,
}

/// A sample that waits to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where its data is.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
}

/// The one reader of the moment.
pub struct Drain<'r>(&'r UserRingbuf);

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Release);
    }
}

impl UserRingbuf {
    pub(crate) fn new(def: &MapDef, env: &Env) -> Result<UserRingbuf, Errno> {
        Ok(UserRingbuf { pages: Pages::new(def, env)?, busy: AtomicBool::new(false) })
    }

    /// The right to read; EBUSY while another program has it.
    pub fn drain(&self) -> Result<Drain<'_>, Errno> {
        match self.busy.compare_exchange(false, true, Acquire, Relaxed) {
            Ok(_) => Ok(Drain(self)),
            Err(_) => Err(Errno::EBUSY),
        }
    }
}

impl Drain<'_> {
    /// The next sample; none at the end. EAGAIN for one that its writer discarded and that is
    /// passed now, EINVAL and E2BIG for a writer that breaks the rules.
    pub fn peek(&self) -> Result<Option<Sample>, Errno> {
        let pages = &self.0.pages;
        let produced = pages.producer().load(Acquire);
        if !produced.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let pos = pages.consumer().load(Acquire);
        if pos >= produced {
            return Ok(None);
        }
        let at = pages.at(pos);
        let header = pages.memory.cell32(at).load(Acquire);
        let len = header & !(BUSY | DISCARD);
        if whole(len) > produced - pos {
            return Err(Errno::EINVAL);
        }
        if whole(len) > pages.size || len > MAX_SAMPLE {
            return Err(Errno::E2BIG);
        }
        if header & DISCARD != 0 {
            pages.consumer().store(pos + whole(len), Release);
            return Err(Errno::EAGAIN);
        }
        let addr = pages.memory.addr(at + HEADER as usize);
        Ok((header & BUSY == 0).then_some(Sample { addr, len }))
    }

    /// Passes a sample that was read.
    pub fn release(&self, sample: Sample) {
        let consumer = self.0.pages.consumer();
        consumer.store(consumer.load(Relaxed) + whole(sample.len), Release);
    }
}

impl Ops for UserRingbuf {
    fn user_ringbuf(&self) -> Option<&UserRingbuf> {
        Some(self)
    }

    fn may_write(&self, at: u64) -> bool {
        at != 0
    }

    fn parts(&self) -> &[Part] {
        &self.pages.parts
    }

    /// A writer may write all but the reader's position.
    fn may_map(&self, offset: u64, len: u64, write: bool) -> Result<(), Errno> {
        if write && offset == 0 {
            return Err(Errno::EPERM);
        }
        self.pages.may_map(offset, len)
    }
}
