//! Helpers on the setting that is read or written.

use interp::Trap;
use uapi::Errno;

use super::{Call, count, mem, status};
use crate::world::Sysctl;

const BASE_NAME: u64 = 1;
/// Most bytes of a new value.
const MAX_VALUE: usize = 4095;

fn sysctl<'r>(c: &Call<'_, 'r>) -> Result<&'r Sysctl, Errno> {
    c.run.world.sysctl.ok_or(Errno::EINVAL)
}

/// The path, or its last part: cut, it ends in a zero all the same.
pub(super) fn name(c: &mut Call<'_, '_>, [_, buf, size, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let copied = sysctl(c).and_then(|sysctl| {
        if buf == 0 {
            return Err(Errno::EINVAL);
        }
        let (name, room) = (sysctl.name.as_str(), size as u32 as usize);
        let base = name.rsplit_once('/').map_or(name, |(_, base)| base);
        let text = if flags & BASE_NAME == 0 { name } else { base }.as_bytes();
        if room == 0 {
            return Err(Errno::E2BIG);
        }
        let mut out = text[..text.len().min(room - 1)].to_vec();
        out.push(0);
        mem::write(buf, &out);
        if text.len() < room { Ok(text.len() as u64) } else { Err(Errno::E2BIG) }
    });
    Ok(count(copied))
}

/// Copies a value, zeroes behind it; E2BIG where it was cut.
fn copy(value: &[u8], buf: u64, size: usize) -> Result<u64, Errno> {
    if buf == 0 {
        return Err(Errno::EINVAL);
    }
    if size == 0 {
        return Err(Errno::E2BIG);
    }
    mem::zero(buf, size);
    if value.is_empty() {
        return Err(Errno::EINVAL);
    }
    let fits = value.len() < size;
    mem::write(buf, if fits { value } else { &value[..size - 1] });
    if fits { Ok(value.len() as u64) } else { Err(Errno::E2BIG) }
}

pub(super) fn current(c: &mut Call<'_, '_>, [_, buf, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let value = sysctl(c).map(|sysctl| sysctl.current.as_slice()).unwrap_or_default();
    Ok(count(copy(value, buf, size)))
}

pub(super) fn new(c: &mut Call<'_, '_>, [_, buf, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let value = sysctl(c).ok().and_then(|sysctl| sysctl.new.borrow().clone());
    Ok(count(copy(&value.unwrap_or_default(), buf, size as u32 as usize)))
}

pub(super) fn set_new(c: &mut Call<'_, '_>, [_, buf, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let done = sysctl(c).and_then(|sysctl| {
        let mut new = sysctl.new.borrow_mut();
        let value = new.as_mut().filter(|value| !value.is_empty()).ok_or(Errno::EINVAL)?;
        if buf == 0 || size == 0 {
            return Err(Errno::EINVAL);
        }
        if size > MAX_VALUE {
            return Err(Errno::E2BIG);
        }
        *value = mem::copy(buf, size);
        sysctl.replaced.set(true);
        Ok(())
    });
    Ok(status(done))
}
