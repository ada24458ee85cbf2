//! Which bucket a key belongs to.
//!
//! Keys of 4, 8 and 16 bytes, which machine code hashes in place, are multiplied by secret random
//! numbers, the upper half of the product counts: Dietzfelbinger's multiply-shift, under which
//! any two keys collide with probability at most 2 / buckets. All others, and maps whose seed is
//! to be zero, go the way of Linux (lookup3).

use crate::jhash::jhash;
use crate::raw::View;

/// Multipliers of the words of a key; those not used are zero.
pub(crate) type Multipliers = [u64; 4];

/// A map's hash function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spread {
    /// One word of 4 or 8 bytes.
    Word(u64),
    /// Four words of 4 bytes.
    Words(Multipliers),
    /// lookup3 under this seed.
    Jenkins(u32),
    /// The key's first 4 bytes as they are.
    Number,
}

impl Spread {
    pub(crate) fn new(key_size: usize, seed: Option<u32>) -> Spread {
        let Some(seed) = seed else { return Spread::Jenkins(0) };
        let mut state = u64::from(seed);
        let multipliers = [(); 4].map(|()| next(&mut state) | 1);
        match key_size {
            4 | 8 => Spread::Word(multipliers[0]),
            16 => Spread::Words(multipliers),
            _ => Spread::Jenkins(seed),
        }
    }

    /// Hash of a key of the map's size.
    #[inline]
    pub(crate) fn hash(&self, key: View<'_>) -> u32 {
        let product = match self {
            Spread::Jenkins(seed) => return jhash(key, *seed),
            Spread::Number => return key.u32(0),
            Spread::Word(by) => match key.len() {
                4 => u64::from(key.u32(0)).wrapping_mul(*by),
                _ => key.u64(0).wrapping_mul(*by),
            },
            Spread::Words(by) => (0..4).fold(0, |sum: u64, i| {
                sum.wrapping_add(u64::from(key.u32(4 * i)).wrapping_mul(by[i]))
            }),
        };
        (product >> 32) as u32
    }

    /// How far to shift a hash for the number of its bucket, of `1 << bits`.
    pub(crate) fn shift(&self, bits: u32) -> u32 {
        match self {
            Spread::Jenkins(_) | Spread::Number => 0,
            _ => 32 - bits,
        }
    }

    /// The seed of lookup3; 0 where keys are multiplied.
    pub(crate) fn seed(&self) -> u32 {
        match self {
            Spread::Jenkins(seed) => *seed,
            _ => 0,
        }
    }

    /// What machine code multiplies with.
    pub(crate) fn multipliers(&self) -> Option<Multipliers> {
        match self {
            Spread::Word(by) => Some([*by, 0, 0, 0]),
            Spread::Words(by) => Some(*by),
            Spread::Jenkins(_) | Spread::Number => None,
        }
    }
}

/// splitmix64: all that an attacker does not know is the seed.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
