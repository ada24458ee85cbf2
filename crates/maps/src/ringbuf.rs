//! Ring buffers: records from programs to one reader.
//!
//! Laid out as on Linux: positions that only grow, records of an 8-byte header (length, busy and
//! discard bits) and data, in memory that repeats behind its end so that no record is split.

use std::sync::atomic::{
    AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use uapi::{Errno, MapDef};

use crate::Env;
use crate::ops::{Ops, Shared};
use crate::raw::{Part, View};
use crate::ring_pages::{HEADER, Pages, whole};
use crate::spin::Spin;

/// Record header bits.
pub(crate) const BUSY: u32 = 1 << 31;
pub(crate) const DISCARD: u32 = 1 << 30;
/// Longest record.
const MAX_RECORD: u64 = (u32::MAX / 4) as u64;
/// Flags of submissions.
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;

/// A ring buffer.
pub struct Ringbuf {
    pages: Pages,
    /// Other processes have it too.
    shared: bool,
    read: Mutex<()>,
    news: Condvar,
    waiting: AtomicU32,
}

impl Ringbuf {
    pub(crate) fn new(def: &MapDef, env: &Env) -> Result<Ringbuf, Errno> {
        Ok(Ringbuf {
            pages: Pages::new(def, env)?,
            shared: env.region.is_some(),
            read: Mutex::new(()),
            news: Condvar::new(),
            waiting: AtomicU32::new(0),
        })
    }

    fn header(&self, pos: u64) -> &AtomicU32 {
        self.pages.memory.cell32(self.pages.at(pos))
    }

    fn positions(&self) -> (&AtomicU64, &AtomicU64) {
        (self.pages.consumer(), self.pages.producer())
    }

    /// Passes the records that are finished, from `pending` on.
    fn pass(&self, mut pending: u64, producer: u64) -> u64 {
        while pending < producer && producer - pending <= self.pages.size {
            let header = self.header(pending).load(Acquire);
            if header & BUSY != 0 {
                break;
            }
            pending += whole(header & !DISCARD);
        }
        pending
    }

    /// Room for a record of `len` bytes: the address of its data, or none.
    pub fn reserve(&self, len: u64) -> Option<u64> {
        if len > MAX_RECORD || whole(len as u32) > self.pages.size {
            return None;
        }
        let (consumer, producer) = self.positions();
        // The reader may write what it likes to its position: what is still being written stays.
        let (lock, pending_cell) = self.pages.writers();
        let _lock = Spin::lock(lock, self.shared)?;
        let mut pending = pending_cell.load(Relaxed);
        let at = producer.load(Relaxed);
        let end = at.wrapping_add(whole(len as u32));
        if end.wrapping_sub(pending) > self.pages.size - 1 {
            pending = self.pass(pending, at);
            pending_cell.store(pending, Relaxed);
        }
        let taken = |from: u64| end.wrapping_sub(from) > self.pages.size - 1;
        if taken(consumer.load(Acquire)) || taken(pending) {
            return None;
        }
        let off = self.pages.at(at);
        self.pages.memory.cell32(off).store(len as u32 | BUSY, Relaxed);
        self.pages.memory.cell32(off + 4).store((off / 4096) as u32, Relaxed);
        producer.store(end, Release);
        Some(self.pages.memory.addr(off + HEADER as usize))
    }

    /// Whether the record data at `addr` is this buffer's.
    pub fn owns(&self, addr: u64) -> bool {
        self.pages.memory.offset(addr).is_some()
    }

    /// Ends a record that [`Ringbuf::reserve`] gave.
    pub fn commit(&self, data: u64, discard: bool, flags: u64) {
        let Some(off) = self.pages.memory.offset(data.wrapping_sub(HEADER)) else { return };
        let cell = self.pages.memory.cell32(off & !7);
        let len = cell.load(Relaxed) & !BUSY;
        cell.store(if discard { len | DISCARD } else { len }, Release);
        let wakes = flags & FORCE_WAKEUP != 0 || flags & NO_WAKEUP == 0;
        if wakes && self.waiting.load(Relaxed) != 0 {
            self.news.notify_all();
        }
    }

    /// Writes a whole record; EAGAIN if there is no room.
    pub fn output(&self, bytes: View<'_>, flags: u64) -> Result<(), Errno> {
        if flags & !(NO_WAKEUP | FORCE_WAKEUP) != 0 {
            return Err(Errno::EINVAL);
        }
        let data = self.reserve(bytes.len() as u64).ok_or(Errno::EAGAIN)?;
        if let Some(off) = self.pages.memory.offset(data) {
            self.pages.memory.write(off, bytes);
        }
        self.commit(data, false, flags);
        Ok(())
    }

    /// BPF_RB_AVAIL_DATA, RING_SIZE, CONS_POS, PROD_POS; 0 for others.
    pub fn query(&self, what: u64) -> u64 {
        let (consumer, producer) = self.positions();
        let (consumer, producer) = (consumer.load(Acquire), producer.load(Acquire));
        match what {
            0 => producer.wrapping_sub(consumer),
            1 => self.pages.size,
            2 => consumer,
            3 => producer,
            _ => 0,
        }
    }

    /// Hands each finished record to `take`, oldest first, until one is still being written or
    /// `take` says stop (`false`); the number of records.
    pub fn consume(&self, take: &mut dyn FnMut(&[u8]) -> bool) -> usize {
        let _lock = self.read.lock();
        let (consumer, producer) = self.positions();
        let mut seen = 0;
        let mut record = Vec::new();
        let mut pos = consumer.load(Relaxed);
        loop {
            let unread = producer.load(Acquire).wrapping_sub(pos);
            // More than there is room for is nothing that a writer said.
            if unread == 0 || unread > self.pages.size {
                break;
            }
            let header = self.header(pos).load(Acquire);
            if header & BUSY != 0 {
                break;
            }
            let len = header & !DISCARD;
            // Another reader of the pages may have moved the position to nowhere.
            if whole(len) > self.pages.size {
                break;
            }
            let mut more = true;
            if header & DISCARD == 0 {
                record.resize(len as usize, 0);
                let data = self.pages.at(pos) + HEADER as usize;
                self.pages.memory.read(data, &mut record);
                seen += 1;
                more = take(&record);
            }
            pos += whole(len);
            consumer.store(pos, Release);
            if !more {
                break;
            }
        }
        seen
    }

    /// Waits until there may be something to read, at most `time`.
    pub fn wait(&self, time: Duration) {
        /// A wake-up may slip past between the question and the sleep.
        const NAP: Duration = Duration::from_millis(20);
        let until = std::time::Instant::now() + time;
        self.waiting.fetch_add(1, Relaxed);
        let mut lock = self.read.lock();
        while self.query(0) == 0 {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                break;
            }
            let _ = self.news.wait_for(&mut lock, left.min(NAP));
        }
        self.waiting.fetch_sub(1, Relaxed);
    }
}

impl Ops for Ringbuf {
    fn ringbuf(&self) -> Option<&Ringbuf> {
        Some(self)
    }

    fn shared(&self) -> Option<Shared> {
        let pages = self.pages.memory.addr(0);
        self.shared.then_some(Shared::Ring { pages, size: self.pages.size })
    }

    fn may_write(&self, at: u64) -> bool {
        at == 0
    }

    fn parts(&self) -> &[Part] {
        &self.pages.parts
    }

    /// A reader may write its own position, nothing else.
    fn may_map(&self, offset: u64, len: u64, write: bool) -> Result<(), Errno> {
        if write && (offset != 0 || len != 4096) {
            return Err(Errno::EPERM);
        }
        self.pages.may_map(offset, len)
    }
}
