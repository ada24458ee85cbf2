//! Iterators over the bits of a few words, which are copied when they begin.
//!
//! The 16 bytes on the stack hold the number of the copy, the count of bits and the last bit.

use interp::Trap;
use uapi::Errno;

use super::super::{Call, mem};

const BYTES: usize = 16;
/// Words of one iterator.
const MAX_WORDS: u32 = 511;
/// Copies of one run.
const MAX_COPIES: usize = 1024;
/// Offset of the last bit.
const BIT: u64 = 12;

fn set(at: u64, copy: u64, bits: u32, last: i32) {
    let mut state = [0; BYTES];
    state[..8].copy_from_slice(&copy.to_ne_bytes());
    state[8..12].copy_from_slice(&bits.to_ne_bytes());
    state[12..].copy_from_slice(&last.to_ne_bytes());
    mem::write(at, &state);
}

pub(super) fn new(c: &mut Call<'_, '_>, [at, from, words, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.writable(at, BYTES)?;
    set(at, 0, 0, 0);
    let words = words as u32;
    if from == 0 || words == 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    if words > MAX_WORDS {
        return Ok(Errno::E2BIG.as_ret());
    }
    let len = words as usize * 8;
    let bytes = c.probe(from, len);
    if bytes.len() < len {
        return Ok(Errno::EFAULT.as_ret());
    }
    let copies = &mut c.run.bits;
    let free = copies.iter().position(Vec::is_empty).unwrap_or(copies.len());
    if free == MAX_COPIES {
        return Ok(Errno::ENOMEM.as_ret());
    }
    if free == copies.len() {
        copies.push(Vec::new());
    }
    copies[free] = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    set(at, free as u64, words * 64, -1);
    Ok(0)
}

/// The address of the next bit's number.
pub(super) fn next(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.writable(at, BYTES)?;
    let state = mem::view(at, BYTES);
    let (copy, bits, last) = (state.u64(0), state.u32(8), state.u32(12) as i32);
    let words = usize::try_from(copy).ok().and_then(|copy| c.run.bits.get(copy));
    let from = u32::try_from(last.wrapping_add(1)).unwrap_or(0);
    let is_set = |bit: &u32| {
        let word = words.and_then(|words| words.get(*bit as usize / 64));
        word.is_some_and(|word| word >> (bit % 64) & 1 != 0)
    };
    match (from..bits).find(is_set) {
        Some(bit) => {
            set(at, copy, bits, bit as i32);
            Ok(at + BIT)
        }
        None => {
            set(at, copy, 0, 0);
            Ok(0)
        }
    }
}

pub(super) fn destroy(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.writable(at, BYTES)?;
    let copy = mem::view(at, BYTES).u64(0);
    if let Some(words) = usize::try_from(copy).ok().and_then(|copy| c.run.bits.get_mut(copy)) {
        words.clear();
    }
    set(at, u64::MAX, 0, 0);
    Ok(0)
}
