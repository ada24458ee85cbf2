//! Ring buffers in shared memory.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::abi::{Map, Slot};
use crate::sys::Lock;

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const MAX_RECORD: u64 = (u32::MAX / 4) as u64;
const HEADER: u64 = 8;
const PAGE: u64 = 4096;
/// Offsets in the page of the writers' position.
const LOCK: u64 = 64;
const PENDING: u64 = 72;

fn cell32(at: u64) -> &'static AtomicU32 {
    // SAFETY: addresses of words of the buffer.
    unsafe { &*(at as *const AtomicU32) }
}

fn cell64(at: u64) -> &'static AtomicU64 {
    // SAFETY: as above.
    unsafe { &*(at as *const AtomicU64) }
}

fn whole(len: u32) -> u64 {
    (u64::from(len) + HEADER + 7) & !7
}

fn place(map: &Map, pos: u64) -> u64 {
    map.base + 2 * PAGE + (pos & (map.size - 1) & !7)
}

/// Room for a record: the address of its data, or 0.
pub fn reserve(map: &Map, len: u64, slot: &Slot) -> u64 {
    if len > MAX_RECORD || whole(len as u32) > map.size {
        return 0;
    }
    let (consumer, producer) = (cell64(map.base), cell64(map.base + PAGE));
    let pending_cell = cell64(map.base + PAGE + PENDING);
    let Some(_lock) = Lock::take(cell32(map.base + PAGE + LOCK), slot) else { return 0 };
    let at = producer.load(Relaxed);
    let end = at.wrapping_add(whole(len as u32));
    let mut pending = pending_cell.load(Relaxed);
    let taken = |from: u64| end.wrapping_sub(from) > map.size - 1;
    if taken(pending) {
        while pending < at && at - pending <= map.size {
            let header = cell32(place(map, pending)).load(Acquire);
            if header & BUSY != 0 {
                break;
            }
            pending += whole(header & !DISCARD);
        }
        pending_cell.store(pending, Relaxed);
    }
    if taken(consumer.load(Acquire)) || taken(pending) {
        return 0;
    }
    let header = place(map, at);
    cell32(header).store(len as u32 | BUSY, Relaxed);
    cell32(header + 4).store(((header - map.base) / PAGE) as u32, Relaxed);
    producer.store(end, Release);
    header + HEADER
}

/// Ends a record.
pub fn commit(data: u64, discard: bool) {
    let cell = cell32((data - HEADER) & !7);
    let len = cell.load(Relaxed) & !BUSY;
    cell.store(if discard { len | DISCARD } else { len }, Release);
}

/// What BPF_RB_* asks.
pub fn query(map: &Map, what: u64) -> u64 {
    let consumer = cell64(map.base).load(Acquire);
    let producer = cell64(map.base + PAGE).load(Acquire);
    match what {
        0 => producer.wrapping_sub(consumer),
        1 => map.size,
        2 => consumer,
        3 => producer,
        _ => 0,
    }
}
