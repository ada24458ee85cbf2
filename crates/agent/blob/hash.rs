//! Hash maps in shared memory: the same elements, buckets and pool that the tracer works on.
//!
//! Links are compared with the number of slots before they are followed, and walks end after as many
//! steps as there are slots: others may have written anything.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::abi::{Map, Slot};
use crate::memory;
use crate::sys::Lock;

pub const ENOENT: i64 = -2;
pub const E2BIG: i64 = -7;
pub const EBUSY: i64 = -16;
pub const EEXIST: i64 = -17;
pub const EINVAL: i64 = -22;
const NOEXIST: u64 = 1;
const EXIST: u64 = 2;

/// A link to the slot in the other bits.
const SLOT: u32 = 1 << 31;
/// Offsets in a slot.
const NEXT: u64 = 0;
const LINK: u64 = 4;
const HASH: u64 = 8;
const KEY: u64 = 16;

fn cell32(at: u64) -> &'static AtomicU32 {
    // SAFETY: callers pass addresses of words of the map's memory.
    unsafe { &*(at as *const AtomicU32) }
}

fn cell64(at: u64) -> &'static AtomicU64 {
    // SAFETY: as above.
    unsafe { &*(at as *const AtomicU64) }
}

fn at(map: &Map, slot: u32, field: u64) -> u64 {
    map.base + u64::from(slot) * map.size + field
}

fn linked(map: &Map, link: u32) -> Option<u32> {
    let slot = link & !SLOT;
    (link & SLOT != 0 && slot < map.cap).then_some(slot)
}

unsafe fn word(key: *const u8, at: u32, len: u32) -> u32 {
    if len - at >= 4 {
        // SAFETY: a key of `len` bytes.
        return unsafe { key.add(at as usize).cast::<u32>().read_unaligned() };
    }
    let mut word = 0;
    let mut i = at;
    while i < len {
        // SAFETY: as above.
        word |= u32::from(unsafe { *key.add(i as usize) }) << (8 * (i - at));
        i += 1;
    }
    word
}

unsafe fn hash_of(map: &Map, key: *const u8) -> u32 {
    if map.multipliers[0] == 0 {
        // SAFETY: the caller's word.
        return unsafe { lookup3(key, map.key_size, map.seed) };
    }
    let product = if map.key_size == 8 {
        // SAFETY: the caller's word.
        unsafe { key.cast::<u64>().read_unaligned() }.wrapping_mul(map.multipliers[0])
    } else {
        let mut sum = 0_u64;
        for (i, by) in map.multipliers.iter().enumerate() {
            if 4 * (i as u32) < map.key_size {
                // SAFETY: the caller's word.
                let part = unsafe { word(key, 4 * i as u32, map.key_size) };
                sum = sum.wrapping_add(u64::from(part).wrapping_mul(*by));
            }
        }
        sum
    };
    (product >> 32) as u32
}

/// Bob Jenkins' hash.
unsafe fn lookup3(key: *const u8, len: u32, seed: u32) -> u32 {
    let init = 0xdead_beef_u32.wrapping_add(len).wrapping_add(seed);
    let (mut a, mut b, mut c) = (init, init, init);
    let mut at = 0;
    // SAFETY: words within the key; bytes past its end are zero.
    let part = |at: u32| unsafe { if at < len { word(key, at, len) } else { 0 } };
    while len - at > 12 {
        a = a.wrapping_add(part(at));
        b = b.wrapping_add(part(at + 4));
        c = c.wrapping_add(part(at + 8));
        for turn in [4, 6, 8, 16, 19, 4] {
            a = a.wrapping_sub(c) ^ c.rotate_left(turn);
            c = c.wrapping_add(b);
            (a, b, c) = (b, c, a);
        }
        at += 12;
    }
    if at == len {
        return c;
    }
    a = a.wrapping_add(part(at));
    b = b.wrapping_add(part(at + 4));
    c = c.wrapping_add(part(at + 8));
    for turn in [14, 11, 25, 16, 4, 14, 24] {
        c = (c ^ b).wrapping_sub(b.rotate_left(turn));
        (a, b, c) = (b, c, a);
    }
    let _ = (a, c);
    b
}

fn bucket_of(map: &Map, hash: u32) -> u32 {
    (u64::from(hash) >> map.shift) as u32 & map.mask
}

fn head(map: &Map, bucket: u32) -> &'static AtomicU32 {
    cell32(map.heads + 8 * u64::from(bucket))
}

fn lock<'a>(map: &Map, bucket: u32, slot: &'a Slot) -> Option<Lock<'a>> {
    Lock::take(cell32(map.heads + 8 * u64::from(bucket) + 4), slot)
}

unsafe fn is_key(map: &Map, slot: u32, hash: u32, key: *const u8) -> bool {
    // SAFETY: both are keys of this map.
    cell32(at(map, slot, HASH)).load(Relaxed) == hash
        && unsafe { memory::same(at(map, slot, KEY) as *const u8, key, map.key_size as usize) }
}

fn value_at(map: &Map, slot: u32, cpu: u32) -> u64 {
    let copy = if map.copies == 0 { 0 } else { cpu.min(map.copies - 1) };
    at(map, slot, u64::from(map.value)) + u64::from(copy) * u64::from(map.stride)
}

/// Address of the value of `key`, or 0.
pub unsafe fn lookup(map: &Map, key: *const u8, cpu: u32) -> u64 {
    // SAFETY: the caller's word.
    let hash = unsafe { hash_of(map, key) };
    let bucket = bucket_of(map, hash);
    let mut left = 64 + 4 * u64::from(map.cap);
    while left > 0 {
        let mut link = head(map, bucket).load(Acquire);
        while left > 0 {
            let Some(slot) = linked(map, link) else { break };
            // SAFETY: as above.
            if unsafe { is_key(map, slot, hash, key) } {
                return value_at(map, slot, cpu);
            }
            link = cell32(at(map, slot, NEXT)).load(Acquire);
            left -= 1;
        }
        if link == 0 || link == bucket + 1 {
            return 0;
        }
        left = left.saturating_sub(1);
    }
    0
}

/// The slot of `key` in a locked bucket, and the one before it.
unsafe fn find(map: &Map, bucket: u32, hash: u32, key: *const u8) -> Option<(u32, Option<u32>)> {
    let mut before = None;
    let mut link = head(map, bucket).load(Relaxed);
    for _ in 0..map.cap {
        let slot = linked(map, link)?;
        // SAFETY: the caller's word.
        if unsafe { is_key(map, slot, hash, key) } {
            return Some((slot, before));
        }
        before = Some(slot);
        link = cell32(at(map, slot, NEXT)).load(Relaxed);
    }
    None
}

fn put_first(map: &Map, bucket: u32, slot: u32) {
    let head = head(map, bucket);
    let first = match head.load(Relaxed) {
        0 => bucket + 1,
        link => link,
    };
    cell32(at(map, slot, NEXT)).store(first, Release);
    head.store(SLOT | slot, Release);
}

fn take_out(map: &Map, bucket: u32, slot: u32, before: Option<u32>) {
    let next = cell32(at(map, slot, NEXT)).load(Relaxed);
    match before {
        Some(before) => cell32(at(map, before, NEXT)).store(next, Release),
        None => head(map, bucket).store(next, Release),
    }
}

fn changed(top: u64) -> u64 {
    (top >> 32).wrapping_add(1) << 32
}

fn pop(map: &Map) -> Option<u32> {
    let top_cell = cell64(map.pool);
    let mut top = top_cell.load(Acquire);
    while top as u32 != 0 && (top as u32) <= map.cap {
        let slot = top as u32 - 1;
        let below = cell32(at(map, slot, LINK)).load(Relaxed);
        let new = changed(top) | u64::from(below);
        match top_cell.compare_exchange_weak(top, new, AcqRel, Acquire) {
            Ok(_) => return Some(slot),
            Err(now) => top = now,
        }
    }
    let more = |n| (n < map.cap).then_some(n + 1);
    cell32(map.pool + 8).fetch_update(AcqRel, Acquire, more).ok()
}

fn push(map: &Map, slot: u32) {
    let top_cell = cell64(map.pool);
    let mut top = top_cell.load(Acquire);
    loop {
        cell32(at(map, slot, LINK)).store(top as u32, Relaxed);
        let new = changed(top) | u64::from(slot + 1);
        match top_cell.compare_exchange_weak(top, new, AcqRel, Acquire) {
            Ok(_) => return,
            Err(now) => top = now,
        }
    }
}

unsafe fn fill(map: &Map, slot: u32, value: *const u8, cpu: u32, fresh: bool) {
    // SAFETY: slots are as large as their descriptor says; `value` is a value.
    unsafe {
        if fresh && map.copies != 0 {
            let len = map.stride as usize * map.copies as usize;
            memory::zero(value_at(map, slot, 0) as *mut u8, len);
        }
        memory::copy(value_at(map, slot, cpu) as *mut u8, value, map.value_size as usize);
    }
}

unsafe fn prepare(map: &Map, slot: u32, hash: u32, key: *const u8, value: *const u8, cpu: u32) {
    cell32(at(map, slot, HASH)).store(hash, Relaxed);
    // SAFETY: the slot is nobody else's; a key and a value.
    unsafe {
        memory::copy(at(map, slot, KEY) as *mut u8, key, map.key_size as usize);
        fill(map, slot, value, cpu, true);
    }
}

/// Creates or replaces.
pub unsafe fn update(map: &Map, key: *const u8, value: *const u8, flags: u64, slot: &Slot) -> i64 {
    if flags > EXIST {
        return EINVAL;
    }
    // SAFETY: the caller's word, here and below.
    let hash = unsafe { hash_of(map, key) };
    let bucket = bucket_of(map, hash);
    let Some(_lock) = lock(map, bucket, slot) else { return EBUSY };
    let cpu = slot.cpu;
    match unsafe { find(map, bucket, hash, key) } {
        Some(_) if flags & NOEXIST != 0 => EEXIST,
        None if flags & EXIST != 0 => ENOENT,
        Some((old, _)) if map.copies != 0 => {
            unsafe { fill(map, old, value, cpu, false) };
            0
        }
        Some((old, before)) => {
            let Some(new) = pop(map) else {
                unsafe { fill(map, old, value, cpu, false) };
                return 0;
            };
            unsafe { prepare(map, new, hash, key, value, cpu) };
            put_first(map, bucket, new);
            take_out(map, bucket, old, before.or(Some(new)));
            push(map, old);
            0
        }
        None => {
            let more = |n| (n < map.max).then_some(n + 1);
            if cell32(map.count).fetch_update(Relaxed, Relaxed, more).is_err() {
                return E2BIG;
            }
            let Some(new) = pop(map) else {
                cell32(map.count).fetch_sub(1, Relaxed);
                return E2BIG;
            };
            unsafe { prepare(map, new, hash, key, value, cpu) };
            put_first(map, bucket, new);
            0
        }
    }
}

/// Deletes.
pub unsafe fn delete(map: &Map, key: *const u8, slot: &Slot) -> i64 {
    // SAFETY: the caller's word, here and below.
    let hash = unsafe { hash_of(map, key) };
    let bucket = bucket_of(map, hash);
    let Some(lock) = lock(map, bucket, slot) else { return EBUSY };
    let Some((old, before)) = (unsafe { find(map, bucket, hash, key) }) else { return ENOENT };
    take_out(map, bucket, old, before);
    drop(lock);
    cell32(map.count).fetch_sub(1, Relaxed);
    push(map, old);
    0
}
