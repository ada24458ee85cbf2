//! Maps of fixed content for programs to look things up in: laid out here as [`ArrayMap`] and
//! [`HashMap`] describe, looked up by search.

use std::sync::OnceLock;

use interp::Region;
use jit::{ArrayMap, HashMap};

use super::generator::Rng;

/// What programs load as the address of map `i`.
pub(crate) const HANDLE: u64 = 0x7700_1000;
/// The logical CPU of runs.
pub(crate) const CPU: u32 = 1;
const CPUS: usize = 2;
const VALUE: usize = 24;
const KEY_AT: usize = 16;

/// A map, its memory, and where each key's value is.
pub(crate) struct TestMap {
    pub(crate) key_size: usize,
    pub(crate) array: Option<ArrayMap>,
    pub(crate) hash: Option<HashMap>,
    memory: Vec<u64>,
    elements: Vec<(Vec<u8>, u64)>,
}

/// All of them.
pub(crate) fn maps() -> &'static [TestMap] {
    static MAPS: OnceLock<Vec<TestMap>> = OnceLock::new();
    MAPS.get_or_init(|| {
        let mut maps: Vec<TestMap> =
            [(8, 0), (24, 0), (16, 8), (64, 0), (80, 40)].map(|(s, c)| array(s, c)).into();
        for (key_size, bits, per_cpu) in [
            (4, 1, false),
            (4, 9, false),
            (8, 3, false),
            (8, 2, true),
            (16, 2, false),
            (16, 6, true),
        ] {
            maps.push(hash(key_size, bits, per_cpu));
        }
        maps
    })
}

pub(crate) fn find(handle: u64) -> Option<&'static TestMap> {
    maps().get(usize::try_from(handle.checked_sub(HANDLE)?).ok()?)
}

impl TestMap {
    /// Address of the value of `key`, 0 for none.
    pub(crate) fn value(&self, key: &[u8]) -> u64 {
        self.elements.iter().find(|(k, _)| k == key).map_or(0, |(_, value)| *value)
    }

    pub(crate) fn region(&self) -> Region {
        let start = self.memory.as_ptr() as u64;
        Region { start, end: start + 8 * self.memory.len() as u64, writable: false }
    }
}

fn noise(words: usize) -> Vec<u64> {
    let mut rng = Rng(words as u64);
    (0..words).map(|_| rng.next()).collect()
}

fn array(stride: u32, cpu_stride: u32) -> TestMap {
    const LEN: u32 = 11;
    let memory = noise((LEN * stride / 8) as usize);
    let values = memory.as_ptr() as u64;
    let at = |i: u32| values + u64::from(i * stride) + u64::from(cpu_stride * CPU);
    let elements = (0..LEN).map(|i| (i.to_le_bytes().to_vec(), at(i))).collect();
    let array = Some(ArrayMap { values, stride, len: LEN, cpu_stride });
    TestMap { key_size: 4, array, hash: None, memory, elements }
}

/// Every third key of the first 48, in chains by the rules of [`HashMap`].
fn hash(key_size: usize, bits: u8, per_cpu: bool) -> TestMap {
    let copies = if per_cpu { CPUS } else { 1 };
    let value_at = KEY_AT + key_size.next_multiple_of(8);
    let slot_size = value_at + VALUE * copies;
    let (buckets, count) = (1 << bits, 16);
    let mut memory = noise(buckets + slot_size / 8 * count);
    memory[..buckets].fill(0xdead_0000_0000_0000);
    let mut multipliers = [0; 4];
    multipliers.copy_from_slice(&noise(4));
    let base = memory.as_ptr() as u64;
    let slots = base + 8 * buckets as u64;
    let mut elements = Vec::new();
    for slot in 0..count {
        let key = key(3 * slot as u64, key_size);
        let product = match key_size {
            16 => (0..4).fold(0u64, |sum, i| {
                let word = (0..4).fold(0u64, |w, k| w | u64::from(key[4 * i + k]) << (8 * k));
                sum.wrapping_add(multipliers[i].wrapping_mul(word))
            }),
            _ => {
                let mut word = [0; 8];
                word[..key_size].copy_from_slice(&key);
                u64::from_le_bytes(word).wrapping_mul(multipliers[0])
            }
        };
        let bucket = (product >> (64 - bits)) as usize;
        let first = match memory[bucket] as u32 {
            0 => bucket as u32 + 1,
            link => link,
        };
        let head = memory[bucket] & !0xffff_ffff;
        memory[bucket] = head | 1 << 31 | slot as u64;
        let at = buckets + slot_size / 8 * slot;
        memory[at] = memory[at] & !0xffff_ffff | u64::from(first);
        memory[at + 1] = memory[at + 1] & !0xffff_ffff | product >> 32;
        for (i, bytes) in key.chunks(8).enumerate() {
            for (k, byte) in bytes.iter().enumerate() {
                let word = &mut memory[at + KEY_AT / 8 + i];
                *word = *word & !(0xff << (8 * k)) | u64::from(*byte) << (8 * k);
            }
        }
        let value = slots + (slot_size * slot + value_at) as u64;
        let copy = if per_cpu { VALUE * CPU as usize } else { 0 };
        elements.push((key, value + copy as u64));
    }
    let hash = Some(HashMap {
        heads: base,
        slots,
        slot_size: slot_size as i32,
        next: 0,
        hash: 8,
        key: KEY_AT as i32,
        value: value_at as i32,
        used: None,
        key_size: key_size as u32,
        multipliers,
        bits,
        cpu_stride: if per_cpu { VALUE as i32 } else { 0 },
    });
    TestMap { key_size, array: None, hash, memory, elements }
}

/// Key `n`: small numbers, in the first and the last byte.
pub(crate) fn key(n: u64, size: usize) -> Vec<u8> {
    let mut key = vec![0; size];
    key[0] = n as u8;
    if size == 16 {
        key[8] = n as u8;
    }
    key
}
