//! Ring buffers: records from programs to one reader.
//!
//! Laid out as on Linux: positions that only grow, records of an 8-byte header (length, busy and
//! discard bits) and data, in memory that repeats behind its end so that no record is split.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use parking_lot::{Condvar, Mutex};
use uapi::{Errno, MapDef};

use crate::Env;
use crate::ops::Ops;
use crate::raw::{Slab, View};

const HEADER: u64 = 8;
/// Record header bits.
const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
/// Longest record.
const MAX_RECORD: u64 = (u32::MAX / 4) as u64;
/// Flags of submissions.
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;

/// A ring buffer.
pub struct Ringbuf {
    data: Slab,
    size: u64,
    consumer: AtomicU64,
    producer: AtomicU64,
    reserve: Mutex<()>,
    read: Mutex<()>,
    news: Condvar,
}

impl Ringbuf {
    pub(crate) fn new(def: &MapDef, env: &Env) -> Result<Ringbuf, Errno> {
        if u64::from(def.max_entries) > env.mem_limit {
            return Err(Errno::ENOMEM);
        }
        Ok(Ringbuf {
            data: Slab::ring(def.max_entries as usize)?,
            size: def.max_entries.into(),
            consumer: AtomicU64::new(0),
            producer: AtomicU64::new(0),
            reserve: Mutex::new(()),
            read: Mutex::new(()),
            news: Condvar::new(),
        })
    }

    fn off(&self, pos: u64) -> usize {
        (pos & (self.size - 1)) as usize
    }

    /// Room for a record of `len` bytes: the address of its data, or none.
    pub fn reserve(&self, len: u64) -> Option<u64> {
        if len > MAX_RECORD {
            return None;
        }
        let whole = (len + HEADER).next_multiple_of(8);
        if whole > self.size {
            return None;
        }
        let _lock = self.reserve.lock();
        let at = self.producer.load(Relaxed);
        let end = at + whole;
        if end - self.consumer.load(Acquire) > self.size - 1 {
            return None;
        }
        let off = self.off(at);
        self.data.cell32(off).store(len as u32 | BUSY, Relaxed);
        self.data.cell32(off + 4).store((off / 4096) as u32, Relaxed);
        self.producer.store(end, Release);
        Some(self.data.addr(off + HEADER as usize))
    }

    /// Whether the record data at `addr` is this buffer's.
    pub fn owns(&self, addr: u64) -> bool {
        self.data.offset(addr).is_some()
    }

    /// Ends a record that [`Ringbuf::reserve`] gave.
    pub fn commit(&self, data: u64, discard: bool, flags: u64) {
        let Some(off) = self.data.offset(data.wrapping_sub(HEADER)) else { return };
        let cell = self.data.cell32(off & !7);
        let len = cell.load(Relaxed) & !BUSY;
        cell.store(if discard { len | DISCARD } else { len }, Release);
        let wakes = flags & FORCE_WAKEUP != 0 || flags & NO_WAKEUP == 0;
        if wakes {
            self.news.notify_all();
        }
    }

    /// Writes a whole record; EAGAIN if there is no room.
    pub fn output(&self, bytes: View<'_>, flags: u64) -> Result<(), Errno> {
        if flags & !(NO_WAKEUP | FORCE_WAKEUP) != 0 {
            return Err(Errno::EINVAL);
        }
        let data = self.reserve(bytes.len() as u64).ok_or(Errno::EAGAIN)?;
        if let Some(off) = self.data.offset(data) {
            self.data.write(off, bytes);
        }
        self.commit(data, false, flags);
        Ok(())
    }

    /// BPF_RB_AVAIL_DATA, RING_SIZE, CONS_POS, PROD_POS; 0 for others.
    pub fn query(&self, what: u64) -> u64 {
        let (consumer, producer) = (self.consumer.load(Acquire), self.producer.load(Acquire));
        match what {
            0 => producer - consumer,
            1 => self.size,
            2 => consumer,
            3 => producer,
            _ => 0,
        }
    }

    /// Hands each finished record to `take`, oldest first, until one is still being written or
    /// `take` says stop (`false`); the number of records.
    pub fn consume(&self, take: &mut dyn FnMut(&[u8]) -> bool) -> usize {
        let _lock = self.read.lock();
        let mut seen = 0;
        let mut pos = self.consumer.load(Relaxed);
        while pos < self.producer.load(Acquire) {
            let off = self.off(pos);
            let header = self.data.cell32(off).load(Acquire);
            if header & BUSY != 0 {
                break;
            }
            let len = header & !(BUSY | DISCARD);
            let mut more = true;
            if header & DISCARD == 0 {
                let mut record = vec![0; len as usize];
                self.data.read(off + HEADER as usize, &mut record);
                seen += 1;
                more = take(&record);
            }
            pos += (u64::from(len) + HEADER).next_multiple_of(8);
            self.consumer.store(pos, Release);
            if !more {
                break;
            }
        }
        seen
    }

    /// Waits until there may be something to read, at most `time`.
    pub fn wait(&self, time: std::time::Duration) {
        let mut lock = self.read.lock();
        if self.query(0) == 0 {
            let _ = self.news.wait_for(&mut lock, time);
        }
    }
}

impl Ops for Ringbuf {
    fn ringbuf(&self) -> Option<&Ringbuf> {
        Some(self)
    }
}
