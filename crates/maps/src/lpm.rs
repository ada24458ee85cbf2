//! Longest-prefix-match tries.
//!
//! A key is a prefix length in bits and that many bits of data.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;
use uapi::{Errno, MapDef};

use crate::ops::{BatchKind, EXIST, NOEXIST, Ops};
use crate::raw::View;
use crate::store::Store;
use crate::trie::{Placed, Slots, Trie, Words};

/// Bytes of the prefix length before the data of a key.
const LEN: usize = 4;
/// Words of the longest data.
const MOST: usize = 32;

/// A trie.
pub(crate) struct Lpm {
    max: u32,
    max_bits: u32,
    data_size: usize,
    value_size: usize,
    trie: Trie,
    values: Store,
    count: AtomicU32,
    slots: Mutex<Slots>,
}

/// Runs an expression with `$key` in as few words as the map's keys have.
macro_rules! with_words {
    ($lpm:expr, $view:expr, |$key:ident| $body:expr) => {
        match $lpm.data_size {
            ..=8 => {
                let $key = &words::<1>($view);
                $body
            }
            ..=16 => {
                let $key = &words::<2>($view);
                $body
            }
            _ => {
                let $key = &words::<MOST>($view);
                $body
            }
        }
    };
}

/// The data of a key.
#[inline]
fn words<const N: usize>(data: View<'_>) -> Words<N> {
    let mut words = [0; N];
    if data.len() == 4 {
        words[0] = u64::from(data.u32(0).swap_bytes()) << 32;
        return words;
    }
    for (i, word) in words.iter_mut().enumerate().take(data.len().div_ceil(8)) {
        *word = data.u64(8 * i).swap_bytes();
    }
    words
}

impl Lpm {
    pub(crate) fn new(def: &MapDef) -> Result<Lpm, Errno> {
        let data_size = def.key_size as usize - LEN;
        let value_size = def.value_size as usize;
        Ok(Lpm {
            max: def.max_entries,
            max_bits: data_size as u32 * 8,
            data_size,
            value_size,
            trie: Trie::new(data_size.div_ceil(8), def.max_entries)?,
            values: Store::new(value_size.next_multiple_of(8), def.max_entries)?,
            count: AtomicU32::new(0),
            slots: Mutex::default(),
        })
    }

    /// Prefix length and data of a key; `None` if the length is more than the data has.
    fn key<'k>(&self, key: View<'k>) -> Option<(u32, View<'k>)> {
        let bits = key.u32(0);
        (bits <= self.max_bits).then_some((bits, key.part(LEN, self.data_size)))
    }

    fn put(&self, key: View<'_>, value: View<'_>, flags: u64) -> Result<(), Errno> {
        let (bits, data) = self.key(key).ok_or(Errno::EINVAL)?;
        if flags > EXIST {
            return Err(Errno::EINVAL);
        }
        with_words!(self, data, |key| self.put_words(key, bits, value, flags))
    }

    fn put_words<const N: usize>(
        &self,
        key: &Words<N>,
        bits: u32,
        value: View<'_>,
        flags: u64,
    ) -> Result<(), Errno> {
        let mut slots = self.slots.lock();
        let count = self.count.load(Relaxed);
        match self.trie.exact(key, bits).is_some() {
            true if flags == NOEXIST => return Err(Errno::EEXIST),
            false if flags == EXIST => return Err(Errno::ENOENT),
            false if count >= self.max => return Err(Errno::ENOSPC),
            _ => {}
        }
        let place = slots.value(&self.values)?;
        let (slab, off) = self.values.at(place).ok_or(Errno::ENOMEM)?;
        slab.write(off, value.part(0, self.value_size));
        match self.trie.insert(&mut slots, key, bits, place, count + 1) {
            Ok(Placed::Instead(old)) => slots.free_value(old),
            Ok(Placed::New) => self.count.store(count + 1, Relaxed),
            Err(errno) => {
                slots.free_value(place);
                return Err(errno);
            }
        }
        Ok(())
    }

    fn remove(&self, key: View<'_>) -> Result<(), Errno> {
        let (bits, data) = self.key(key).ok_or(Errno::EINVAL)?;
        let mut slots = self.slots.lock();
        let gone = with_words!(self, data, |key| self.trie.remove(&mut slots, key, bits));
        slots.free_value(gone.ok_or(Errno::ENOENT)?);
        self.count.fetch_sub(1, Relaxed);
        Ok(())
    }

    #[inline]
    fn find(&self, key: View<'_>) -> Option<u32> {
        let (bits, data) = self.key(key)?;
        with_words!(self, data, |key| self.trie.find(key, bits, || self.slots.lock()))
    }
}

impl Ops for Lpm {
    fn lookup(&self, key: View<'_>, _: u32) -> Option<u64> {
        self.values.addr(self.find(key)?)
    }

    fn update(&self, key: View<'_>, value: View<'_>, flags: u64, _: u32) -> Result<(), Errno> {
        self.put(key, value, flags)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        self.remove(key)
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let start = self.values.start_of(addr)?;
        Some((start, start + self.value_size as u64))
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let (bits, data) = self.key(View::from(key)).ok_or(Errno::ENOENT)?;
        // The value must stay while it is copied.
        let _slots = self.slots.lock();
        let found = with_words!(self, data, |key| self.trie.find(key, bits, || ()));
        let (slab, off) = found.and_then(|slot| self.values.at(slot)).ok_or(Errno::ENOENT)?;
        slab.read(off, out);
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.put(View::from(key), View::from(value), flags)
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let _slots = self.slots.lock();
        let from = key.and_then(|k| self.key(View::from(k)));
        let found = match from {
            None => self.trie.next::<1>(None),
            Some((bits, data)) => with_words!(self, data, |key| {
                let known = self.trie.exact(key, bits).map(|_| (key, bits));
                self.trie.next(known)
            }),
        };
        let (bits, data) = next.split_at_mut(LEN);
        let own = self.trie.read(found.ok_or(Errno::ENOENT)?, data);
        bits.copy_from_slice(&own.to_ne_bytes());
        Ok(())
    }

    fn live(&self) -> u32 {
        self.count.load(Relaxed)
    }

    fn batch(&self) -> BatchKind {
        BatchKind::Keys { delete: true, take: false }
    }
}
