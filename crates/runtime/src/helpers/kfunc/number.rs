//! Numeric iterators: eight bytes on the stack, the number now and the end.

use interp::Trap;
use uapi::Errno;

use super::super::{Call, mem};

const BYTES: usize = 8;
/// Numbers that one iterator gives at most.
const MAX: i64 = 8 << 20;

fn set(at: u64, now: i32, end: i32) {
    mem::write(at, [now.to_ne_bytes(), end.to_ne_bytes()].as_flattened());
}

pub(super) fn new(c: &mut Call<'_, '_>, [at, start, end, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.writable(at, BYTES)?;
    let (start, end) = (start as i32, end as i32);
    let why = match i64::from(end) - i64::from(start) {
        ..0 => Some(Errno::EINVAL),
        count if count > MAX => Some(Errno::E2BIG),
        _ => None,
    };
    match why {
        Some(why) => {
            set(at, 0, 0);
            Ok(why.as_ret())
        }
        None => {
            // The first number is one step on.
            set(at, start.wrapping_sub(1), end);
            Ok(0)
        }
    }
}

/// The address of the next number; null at the end.
pub(super) fn next(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.writable(at, BYTES)?;
    let state = mem::view(at, BYTES);
    let (now, end) = (state.u32(0) as i32, state.u32(4) as i32);
    let next = now.wrapping_add(1);
    if next >= end {
        set(at, 0, 0);
        return Ok(0);
    }
    set(at, next, end);
    Ok(at)
}

pub(super) fn destroy(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.writable(at, BYTES)?;
    set(at, 0, 0);
    Ok(0)
}
