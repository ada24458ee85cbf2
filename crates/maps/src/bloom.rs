//! Bloom filters: sets that may say yes too often, never no too often.

use std::sync::atomic::Ordering::Relaxed;

use uapi::{Errno, MapDef, map_flags};

use crate::Env;
use crate::jhash::jhash;
use crate::memlock::bloom_bits;
use crate::ops::{ANY, Ops};
use crate::raw::{Slab, View};

/// Hashes where the creator names none.
const HASHES: u64 = 5;

/// Bits, as many as entries and hashes ask for.
pub(crate) struct Bloom {
    bits: Slab,
    mask: u32,
    hashes: u32,
    seed: u32,
}

impl Bloom {
    pub(crate) fn new(def: &MapDef, env: &Env) -> Result<Bloom, Errno> {
        let hashes = if def.extra == 0 { HASHES } else { def.extra };
        let bits = bloom_bits(def);
        Ok(Bloom {
            bits: env.slab(bits as usize / 8, 1)?,
            mask: (bits - 1) as u32,
            hashes: hashes as u32,
            seed: if def.flags & map_flags::ZERO_SEED != 0 { 0 } else { env.seed },
        })
    }

    /// Word and bit of each hash.
    fn places(&self, value: View<'_>) -> impl Iterator<Item = (usize, u64)> {
        let (mask, seed) = (self.mask, self.seed);
        let hashes: Vec<u32> =
            (0..self.hashes).map(|n| jhash(value, seed.wrapping_add(n)) & mask).collect();
        hashes.into_iter().map(|h| (h as usize / 64 * 8, 1 << (h % 64)))
    }
}

impl Ops for Bloom {
    fn push(&self, value: View<'_>, flags: u64) -> Result<(), Errno> {
        if flags != ANY {
            return Err(Errno::EINVAL);
        }
        for (word, bit) in self.places(value) {
            self.bits.cell64(word).fetch_or(bit, Relaxed);
        }
        Ok(())
    }

    /// Whether the value in `out` may have been pushed.
    fn pop(&self, out: &mut [u8], take: bool) -> Result<(), Errno> {
        if take {
            return Err(Errno::ENOTSUPP);
        }
        let all = self
            .places(View::from(&*out))
            .all(|(word, bit)| self.bits.cell64(word).load(Relaxed) & bit != 0);
        if all { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn delete(&self, _: View<'_>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn next_key(&self, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}
