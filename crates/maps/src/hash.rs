//! Hash maps: plain, per-CPU, and least-recently-used.
//!
//! Buckets are chains of slots of one slab. Writers hold the bucket's lock; readers walk without:
//! a chain ends in the number of its bucket, so a reader that strayed onto another chain because
//! a slot was recycled under it notices, and starts again (Linux's "nulls" lists).

use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use uapi::{Errno, MapDef, MapType, map_flags};

use crate::lru::{Lru, Table};
use crate::ops::{
    BatchKind, EXIST, HashLayout, LOCK, NOEXIST, Ops, Shared, SharedHash, check_flags,
};
use crate::pool::Pool;
use crate::raw::{Slab, View};
use crate::special::Special;
use crate::spin::Spin;
use crate::spread::Spread;
use crate::{Env, is_per_cpu};

/// A link to the slot in the other bits. Without it a link ends a chain: 0 in a bucket that was
/// never used, else the bucket's number + 1.
const SLOT: u32 = 1 << 31;
/// Offsets within a slot; [`Pool::LINK`] is 4.
const NEXT: usize = 0;
const HASH: usize = 8;
/// Not 0 where an element of an LRU map was used.
const USED: usize = 12;
const KEY: usize = 16;
/// Words of 8 bytes behind the heads: the pool's, and the count.
const OWN: usize = Pool::WORDS / 8 + 1;

/// A hash map of any of the four types.
pub(crate) struct Hash {
    slots: Slab,
    /// Head and lock of each bucket; the pool's words; the count of elements.
    heads: Slab,
    mask: u32,
    spread: Spread,
    shift: u32,
    max: u32,
    cap: u32,
    /// Other processes have it too.
    shared: bool,
    pool: Pool,
    lru: Option<Lru>,
    key_size: usize,
    value_size: usize,
    stride: usize,
    copies: usize,
    slot_size: usize,
    per_cpu: bool,
    special: Special,
    /// A free slot for each CPU's next replacement, + 1; only programs of that CPU use it.
    spares: Vec<Spare>,
}

/// What an update writes.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// One CPU's copy, from a program.
    Cpu(View<'a>, usize),
    /// Every copy, in user layout.
    All(View<'a>),
}

/// On a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Spare(AtomicU32);

/// A bucket, locked.
struct Locked<'a> {
    hash: &'a Hash,
    bucket: u32,
    _spin: Spin<'a>,
}

impl Hash {
    /// An empty map with room for `max_entries`.
    pub(crate) fn new(def: &MapDef, env: &Env, special: Special) -> Result<Hash, Errno> {
        let per_cpu = is_per_cpu(def.map_type);
        let copies = if per_cpu { env.cpus as usize } else { 1 };
        let (key_size, value_size) = (def.key_size as usize, def.value_size as usize);
        let stride = value_size.next_multiple_of(8);
        let slot_size = KEY + key_size.next_multiple_of(8) + stride * copies;
        let buckets = def.max_entries.next_power_of_two();
        let lru = matches!(def.map_type, MapType::LruHash | MapType::LruPercpuHash);
        // Replacing takes a slot before it gives one back: a spare for each CPU.
        // And some for user space.
        let cap = def.max_entries + if lru { 0 } else { env.cpus + 4 };
        let own = def.flags & map_flags::NO_COMMON_LRU != 0;
        let seeded = def.flags & map_flags::ZERO_SEED == 0;
        let spread = match def.map_type {
            MapType::DevmapHash => Spread::Number,
            _ => Spread::new(key_size, seeded.then_some(env.seed)),
        };
        Ok(Hash {
            slots: env.slab(slot_size, cap as usize)?,
            heads: env.slab(8, buckets as usize + OWN)?,
            mask: buckets - 1,
            shift: spread.shift(buckets.trailing_zeros()),
            spread,
            max: def.max_entries,
            cap,
            shared: env.region.is_some(),
            pool: Pool::new(cap, slot_size, buckets as usize * 8),
            lru: if lru { Some(Lru::new(cap, own, env)?) } else { None },
            key_size,
            value_size,
            stride,
            copies,
            slot_size,
            per_cpu,
            special,
            spares: (0..env.cpus).map(|_| Spare::default()).collect(),
        })
    }

    #[inline]
    fn at(&self, slot: u32, field: usize) -> usize {
        slot as usize * self.slot_size + field
    }

    #[inline]
    fn value_off(&self, slot: u32, cpu: usize) -> usize {
        let cpu = if self.per_cpu { cpu.min(self.copies - 1) } else { 0 };
        self.at(slot, KEY + self.key_size.next_multiple_of(8) + cpu * self.stride)
    }

    #[inline]
    fn next_cell(&self, slot: u32) -> &AtomicU32 {
        self.slots.cell32(self.at(slot, NEXT))
    }

    #[inline]
    fn hash_cell(&self, slot: u32) -> &AtomicU32 {
        self.slots.cell32(self.at(slot, HASH))
    }

    #[inline]
    fn head_cell(&self, bucket: u32) -> &AtomicU32 {
        self.heads.cell32(bucket as usize * 8)
    }

    #[inline]
    fn lock_cell(&self, bucket: u32) -> &AtomicU32 {
        self.heads.cell32(bucket as usize * 8 + 4)
    }

    fn count(&self) -> &AtomicU32 {
        self.heads.cell32((self.mask as usize + 1) * 8 + Pool::WORDS)
    }

    /// EBUSY if another process keeps the bucket.
    #[inline]
    fn lock(&self, bucket: u32) -> Result<Locked<'_>, Errno> {
        let spin = Spin::lock(self.lock_cell(bucket), self.shared).ok_or(Errno::EBUSY)?;
        Ok(Locked { hash: self, bucket, _spin: spin })
    }

    /// The first slot of a chain that starts with `link`.
    #[inline]
    fn slot(&self, link: u32) -> Option<u32> {
        let slot = link & !SLOT;
        (link & SLOT != 0 && slot < self.cap).then_some(slot)
    }

    /// The bucket of what has this hash.
    #[inline]
    fn bucket_of(&self, hash: u32) -> u32 {
        (u64::from(hash) >> self.shift) as u32 & self.mask
    }

    #[inline]
    fn is_key(&self, slot: u32, hash: u32, key: View<'_>) -> bool {
        self.hash_cell(slot).load(Relaxed) == hash && self.slots.same(self.at(slot, KEY), key)
    }

    /// The slot of `key`, without a lock.
    #[inline]
    fn find(&self, hash: u32, key: View<'_>) -> Option<u32> {
        let bucket = self.bucket_of(hash);
        let mut left = self.patience();
        while left > 0 {
            let mut link = self.head_cell(bucket).load(Acquire);
            while let Some(slot) = self.slot(link).filter(|_| left > 0) {
                if self.is_key(slot, hash, key) {
                    return Some(slot);
                }
                link = self.next_cell(slot).load(Acquire);
                left -= 1;
            }
            if link == 0 || link == bucket + 1 {
                return None;
            }
            left = left.saturating_sub(1);
        }
        None
    }

    /// Steps until chains are taken for broken, where other processes may break them.
    fn patience(&self) -> u64 {
        if self.shared { 64 + 4 * u64::from(self.cap) } else { u64::MAX }
    }

    #[inline]
    fn hash_of(&self, key: View<'_>) -> u32 {
        self.spread.hash(key)
    }

    fn key<'k>(&self, key: View<'k>) -> View<'k> {
        key.part(0, self.key_size)
    }

    #[inline]
    fn fill(&self, slot: u32, source: Source<'_>, fresh: bool) {
        match source {
            Source::All(value) if self.special.is_empty() => {
                self.slots.write(self.value_off(slot, 0), value);
            }
            Source::All(value) => (0..self.copies).for_each(|cpu| {
                let off = self.value_off(slot, cpu);
                if fresh {
                    self.special.fresh(&self.slots, off);
                }
                let value = value.part(cpu * self.stride, self.user_stride());
                self.special.write(&self.slots, off, value);
            }),
            Source::Cpu(value, cpu) => {
                if fresh && self.per_cpu {
                    self.slots.zero(self.value_off(slot, 0), self.stride * self.copies);
                }
                let off = self.value_off(slot, cpu);
                if fresh && !self.per_cpu {
                    self.special.fresh(&self.slots, off);
                }
                self.special.write(&self.slots, off, value.part(0, self.value_size));
            }
        }
    }

    /// Bytes of a copy in user layout.
    #[inline]
    fn user_stride(&self) -> usize {
        if self.per_cpu { self.stride } else { self.value_size }
    }

    /// Copies a value out in user layout.
    fn show(&self, slot: u32, out: &mut [u8]) {
        for (cpu, copy) in out.chunks_mut(self.user_stride()).enumerate() {
            self.special.read(&self.slots, self.value_off(slot, cpu), copy);
        }
    }

    fn put(&self, key: View<'_>, source: Source<'_>, flags: u64) -> Result<(), Errno> {
        check_flags(flags)?;
        if flags & LOCK != 0 && self.special.lock.is_none() {
            return Err(Errno::EINVAL);
        }
        let (key, hash) = (self.key(key), self.hash_of(self.key(key)));
        if let Some(lru) = &self.lru {
            return self.put_lru(lru, (hash, key), source, flags);
        }
        if let Some(old) = self.put_locked(key, hash, source, flags)? {
            self.let_go(old);
            match self.spare(source) {
                Some(spare) if spare.load(Relaxed) == 0 => spare.store(old + 1, Relaxed),
                _ => self.pool.push(&self.slots, &self.heads, old),
            }
        }
        Ok(())
    }

    /// Where the caller's CPU keeps a slot: a CPU runs one program at a time.
    fn spare(&self, source: Source<'_>) -> Option<&AtomicU32> {
        match source {
            Source::Cpu(..) if self.shared => None,
            Source::Cpu(_, cpu) => self.spares.get(cpu).map(|spare| &spare.0),
            Source::All(_) => None,
        }
    }

    /// A free slot to replace another one with.
    fn replacement(&self, source: Source<'_>) -> Option<u32> {
        let spare = self.spare(source).filter(|spare| spare.load(Relaxed) != 0);
        match spare {
            Some(spare) => {
                let slot = spare.load(Relaxed) - 1;
                spare.store(0, Relaxed);
                Some(slot)
            }
            None => self.pool.pop(&self.slots, &self.heads),
        }
    }

    /// Makes room before it looks whether that was needed, as Linux does.
    fn put_lru(
        &self,
        lru: &Lru,
        (hash, key): (u32, View<'_>),
        source: Source<'_>,
        flags: u64,
    ) -> Result<(), Errno> {
        let cpu = match source {
            Source::Cpu(_, cpu) => cpu,
            Source::All(_) => 0,
        };
        let in_place = self.per_cpu && flags & EXIST != 0;
        let new = if in_place { None } else { Some(lru.pop(cpu, self).ok_or(Errno::ENOMEM)?) };
        if let (Some(new), false) = (new, self.per_cpu) {
            self.prepare(new, hash, key, source);
        }
        let spare = self.place_lru(new, (hash, key), source, flags);
        let (result, spare) = match spare {
            Ok(spare) => (Ok(()), spare),
            Err(errno) => (Err(errno), new),
        };
        if let Some(spare) = spare {
            if result.is_ok() && Some(spare) != new {
                self.let_go(spare);
            }
            lru.push(spare, self);
        }
        result
    }

    /// Puts a prepared slot into its bucket; the slot that is not needed now.
    fn place_lru(
        &self,
        new: Option<u32>,
        (hash, key): (u32, View<'_>),
        source: Source<'_>,
        flags: u64,
    ) -> Result<Option<u32>, Errno> {
        let locked = self.lock(self.bucket_of(hash))?;
        let old = locked.find(hash, key);
        if old.is_some() && flags & NOEXIST != 0 {
            return Err(Errno::EEXIST);
        }
        match (old, new) {
            (None, _) if flags & EXIST != 0 => Err(Errno::ENOENT),
            (Some((old, _)), new) if self.per_cpu => {
                self.touch(old);
                self.fill(old, source, false);
                Ok(new)
            }
            (Some((old, before)), Some(new)) => {
                self.touch(new);
                locked.link(new);
                locked.unlink(old, before.or(Some(new)));
                Ok(Some(old))
            }
            (None, Some(new)) => {
                if self.per_cpu {
                    self.prepare(new, hash, key, source);
                }
                locked.link(new);
                self.count().fetch_add(1, Relaxed);
                Ok(None)
            }
            (_, None) => Err(Errno::ENOENT),
        }
    }

    /// The slot that is no longer in use.
    fn put_locked(
        &self,
        key: View<'_>,
        hash: u32,
        source: Source<'_>,
        flags: u64,
    ) -> Result<Option<u32>, Errno> {
        let locked = self.lock(self.bucket_of(hash))?;
        match locked.find(hash, key) {
            Some(_) if flags & NOEXIST != 0 => Err(Errno::EEXIST),
            None if flags & EXIST != 0 => Err(Errno::ENOENT),
            Some((old, _)) if self.per_cpu => {
                self.fill(old, source, false);
                Ok(None)
            }
            Some((old, _)) if flags & LOCK != 0 => {
                let _held = self.special.hold(&self.slots, self.value_off(old, 0));
                self.fill(old, source, false);
                Ok(None)
            }
            Some((old, before)) => Ok(self.replace(&locked, (old, before), hash, key, source)),
            None => self.add(&locked, hash, key, source).map(|()| None),
        }
    }

    /// A new slot takes the place of `old`, as on Linux: pointers to the old value stay good.
    fn replace(
        &self,
        locked: &Locked<'_>,
        (old, before): (u32, Option<u32>),
        hash: u32,
        key: View<'_>,
        source: Source<'_>,
    ) -> Option<u32> {
        let Some(new) = self.replacement(source) else {
            self.fill(old, source, false);
            return None;
        };
        self.prepare(new, hash, key, source);
        locked.link(new);
        locked.unlink(old, before.or(Some(new)));
        Some(old)
    }

    fn add(
        &self,
        locked: &Locked<'_>,
        hash: u32,
        key: View<'_>,
        source: Source<'_>,
    ) -> Result<(), Errno> {
        self.grow()?;
        let Some(new) = self.pool.pop(&self.slots, &self.heads) else {
            self.count().fetch_sub(1, Relaxed);
            return Err(Errno::E2BIG);
        };
        self.prepare(new, hash, key, source);
        locked.link(new);
        Ok(())
    }

    /// Counts one more element.
    fn grow(&self) -> Result<(), Errno> {
        let more = |n| (n < self.max).then_some(n + 1);
        self.count().fetch_update(Relaxed, Relaxed, more).map(|_| ()).map_err(|_| Errno::E2BIG)
    }

    fn prepare(&self, slot: u32, hash: u32, key: View<'_>, source: Source<'_>) {
        self.hash_cell(slot).store(hash, Relaxed);
        self.slots.write(self.at(slot, KEY), key);
        self.fill(slot, source, true);
    }

    /// A slot that is in no bucket goes back.
    fn forget(&self, slot: u32) {
        self.let_go(slot);
        match &self.lru {
            Some(lru) => lru.push(slot, self),
            None => self.pool.push(&self.slots, &self.heads, slot),
        }
    }

    /// Lets go what the special fields of an element hold.
    fn let_go(&self, slot: u32) {
        if self.special.letgo.is_some() {
            let copies = (0..self.copies).map(|cpu| self.value_off(slot, cpu));
            copies.for_each(|off| self.special.let_go(&self.slots, off));
        }
    }

    #[inline]
    fn used_cell(&self, slot: u32) -> &AtomicU32 {
        self.slots.cell32(self.at(slot, USED))
    }

    #[inline]
    fn touch(&self, slot: u32) {
        let used = self.used_cell(slot);
        if self.lru.is_some() && used.load(Relaxed) == 0 {
            used.store(1, Relaxed);
        }
    }

    fn remove(&self, key: View<'_>, out: Option<(&mut [u8], bool)>) -> Result<(), Errno> {
        let (key, hash) = (self.key(key), self.hash_of(self.key(key)));
        let locked = self.lock(self.bucket_of(hash))?;
        let (slot, before) = locked.find(hash, key).ok_or(Errno::ENOENT)?;
        if let Some((out, lock)) = out {
            let off = self.value_off(slot, 0);
            let _held = if lock { self.special.hold(&self.slots, off) } else { None };
            self.show(slot, out);
        }
        locked.unlink(slot, before);
        drop(locked);
        self.count().fetch_sub(1, Relaxed);
        self.forget(slot);
        Ok(())
    }

    fn first_from(&self, bucket: u32) -> Option<u32> {
        (bucket..=self.mask).find_map(|b| self.slot(self.head_cell(b).load(Acquire)))
    }

    /// The element after `key`; the first if `key` is absent.
    fn after(&self, key: View<'_>) -> Option<u32> {
        let hash = self.hash_of(key);
        let bucket = self.bucket_of(hash);
        let locked = self.lock(bucket).ok()?;
        let Some((slot, _)) = locked.find(hash, key) else {
            drop(locked);
            return self.first_from(0);
        };
        let next = self.slot(self.next_cell(slot).load(Relaxed));
        drop(locked);
        next.or_else(|| if bucket == self.mask { None } else { self.first_from(bucket + 1) })
    }
}

impl Table for Hash {
    fn used(&self, slot: u32) -> &AtomicU32 {
        self.used_cell(slot)
    }

    fn evict(&self, slot: u32) -> bool {
        let bucket = self.bucket_of(self.hash_cell(slot).load(Relaxed));
        let Ok(locked) = self.lock(bucket) else { return false };
        // It may not be in the table yet, or no more.
        let Some(before) = locked.before(slot) else { return false };
        locked.unlink(slot, before);
        drop(locked);
        self.count().fetch_sub(1, Relaxed);
        self.let_go(slot);
        true
    }
}

impl Locked<'_> {
    fn slots(&self) -> impl Iterator<Item = (u32, Option<u32>)> {
        let first = self.hash.slot(self.hash.head_cell(self.bucket).load(Relaxed));
        let all = std::iter::successors(first.map(|f| (f, None)), |&(slot, _)| {
            let next = self.hash.slot(self.hash.next_cell(slot).load(Relaxed))?;
            Some((next, Some(slot)))
        });
        // No chain is longer, whatever others wrote.
        all.take(self.hash.cap as usize)
    }

    /// The slot of `key` and the one before it.
    fn find(&self, hash: u32, key: View<'_>) -> Option<(u32, Option<u32>)> {
        self.slots().find(|&(slot, _)| self.hash.is_key(slot, hash, key))
    }

    /// What comes before `slot`, if it is in this chain.
    fn before(&self, slot: u32) -> Option<Option<u32>> {
        self.slots().find(|&(s, _)| s == slot).map(|(_, before)| before)
    }

    /// Puts `slot` at the head.
    fn link(&self, slot: u32) {
        let head = self.hash.head_cell(self.bucket);
        let first = match head.load(Relaxed) {
            0 => self.bucket + 1,
            link => link,
        };
        self.hash.next_cell(slot).store(first, Release);
        head.store(SLOT | slot, Release);
    }

    /// Takes `slot` out; its own link stays for readers that stand on it.
    fn unlink(&self, slot: u32, before: Option<u32>) {
        let next = self.hash.next_cell(slot).load(Relaxed);
        match before {
            Some(before) => self.hash.next_cell(before).store(next, Release),
            None => self.hash.head_cell(self.bucket).store(next, Release),
        }
    }
}

impl Ops for Hash {
    fn lookup(&self, key: View<'_>, cpu: u32) -> Option<u64> {
        let key = self.key(key);
        let slot = self.find(self.hash_of(key), key)?;
        self.touch(slot);
        Some(self.slots.addr(self.value_off(slot, cpu as usize)))
    }

    fn update(&self, key: View<'_>, value: View<'_>, flags: u64, cpu: u32) -> Result<(), Errno> {
        self.put(key, Source::Cpu(value, cpu as usize), flags)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        self.remove(key, None)
    }

    fn for_each(&self, cpu: u32, visit: &mut dyn FnMut(u64, u64) -> bool) -> Result<u64, Errno> {
        let mut visited = 0;
        for bucket in 0..=self.mask {
            let mut link = self.head_cell(bucket).load(Acquire);
            while let Some(slot) = self.slot(link).filter(|_| visited < self.patience()) {
                // The visit may delete the element.
                link = self.next_cell(slot).load(Acquire);
                visited += 1;
                let key = self.slots.addr(self.at(slot, KEY));
                if !visit(key, self.slots.addr(self.value_off(slot, cpu as usize))) {
                    return Ok(visited);
                }
            }
        }
        Ok(visited)
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let off = self.slots.offset(addr)?;
        let slot = (off / self.slot_size) as u32;
        let rel = off.checked_sub(self.value_off(slot, 0))?;
        let start = self.slots.addr(off - rel % self.stride);
        Some((start, start + self.value_size as u64))
    }

    fn hash_layout(&self) -> Option<HashLayout> {
        let multipliers = self.spread.multipliers()?;
        Some(HashLayout {
            heads: self.heads.addr(0),
            slots: self.slots.addr(0),
            slot_size: self.slot_size,
            next: NEXT,
            hash: HASH,
            key: KEY,
            value: self.value_off(0, 0),
            used: self.lru.is_some().then_some(USED),
            key_size: self.key_size,
            multipliers,
            bits: (self.mask + 1).trailing_zeros(),
            cpu_stride: if self.per_cpu { self.stride } else { 0 },
        })
    }

    fn shared(&self) -> Option<Shared> {
        let number = matches!(self.spread, Spread::Number);
        if self.lru.is_some() || number || !self.shared {
            return None;
        }
        Some(Shared::Hash(SharedHash {
            heads: self.heads.addr(0),
            slots: self.slots.addr(0),
            pool: self.pool.address(&self.heads),
            count: self.pool.address(&self.heads) + Pool::WORDS as u64,
            slot_size: self.slot_size as u32,
            value: self.value_off(0, 0) as u32,
            key_size: self.key_size as u32,
            value_size: self.value_size as u32,
            stride: self.stride as u32,
            copies: if self.per_cpu { self.copies as u32 } else { 0 },
            cap: self.cap,
            max: self.max,
            mask: self.mask,
            shift: self.shift,
            multipliers: self.spread.multipliers(),
            seed: self.spread.seed(),
        }))
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let key = View::from(key);
        let hash = self.hash_of(key);
        let locked = self.lock(self.bucket_of(hash))?;
        let (slot, _) = locked.find(hash, key).ok_or(Errno::ENOENT)?;
        self.show(slot, out);
        Ok(())
    }

    fn locked_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let key = View::from(key);
        let hash = self.hash_of(key);
        let locked = self.lock(self.bucket_of(hash))?;
        let (slot, _) = locked.find(hash, key).ok_or(Errno::ENOENT)?;
        let held = self.special.hold(&self.slots, self.value_off(slot, 0));
        held.ok_or(Errno::EINVAL).map(|_held| self.show(slot, out))
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.put(View::from(key), Source::All(View::from(value)), flags)
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let slot = match key {
            None => self.first_from(0),
            Some(key) => self.after(View::from(key)),
        };
        self.slots.read(self.at(slot.ok_or(Errno::ENOENT)?, KEY), &mut next[..self.key_size]);
        Ok(())
    }

    fn take(&self, key: &[u8], out: &mut [u8], locked: bool) -> Result<(), Errno> {
        self.remove(View::from(key), Some((out, locked)))
    }

    fn live(&self) -> u32 {
        self.count().load(Relaxed)
    }

    fn batch(&self) -> BatchKind {
        BatchKind::Buckets
    }

    fn buckets(&self) -> u32 {
        self.mask + 1
    }

    fn bucket(
        &self,
        bucket: u32,
        room: u32,
        (take, lock): (bool, bool),
        (keys, values): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<u32, Errno> {
        let locked = self.lock(bucket & self.mask)?;
        let slots: Vec<u32> = locked.slots().map(|(slot, _)| slot).collect();
        if slots.len() > room as usize {
            return Err(Errno::ENOSPC);
        }
        let size = if self.per_cpu { self.stride * self.copies } else { self.value_size };
        for &slot in &slots {
            append(keys, self.key_size, |out| self.slots.read(self.at(slot, KEY), out))?;
            let off = self.value_off(slot, 0);
            let _held = if lock { self.special.hold(&self.slots, off) } else { None };
            append(values, size, |out| self.show(slot, out))?;
            if take {
                locked.unlink(slot, None);
            }
        }
        drop(locked);
        if take {
            self.count().fetch_sub(slots.len() as u32, Relaxed);
            slots.iter().for_each(|&slot| self.forget(slot));
        }
        Ok(slots.len() as u32)
    }
}

fn append(to: &mut Vec<u8>, len: usize, read: impl FnOnce(&mut [u8])) -> Result<(), Errno> {
    to.try_reserve(len).map_err(|_| Errno::ENOMEM)?;
    let start = to.len();
    to.resize(start + len, 0);
    read(&mut to[start..]);
    Ok(())
}
