//! Dynamic pointers: 16 bytes on the stack that name memory and its size.
//!
//! Laid out as Linux does: address, size with the kind above it, offset.

use interp::{Region, Trap, TrapKind};
use uapi::Errno;

use super::{Call, guard, mem, ringbuf};

const BYTES: usize = 16;
const SIZE_MAX: u32 = (1 << 24) - 1;
const KIND_SHIFT: u32 = 28;
const READ_ONLY: u32 = 1 << 31;
const LOCAL: u32 = 1;
const RINGBUF: u32 = 2;

struct Dynptr {
    start: u64,
    size: u32,
    read_only: bool,
}

impl Dynptr {
    /// The pointer at `addr`; `None` where it is null.
    fn at(c: &mut Call<'_, '_>, addr: u64) -> Result<Option<Dynptr>, Trap> {
        let raw = mem::view(addr, BYTES);
        let (start, word, off) = (raw.u64(0), raw.u32(8), raw.u32(12));
        let kept = Dynptr {
            start: start + u64::from(off),
            size: word & SIZE_MAX,
            read_only: word & READ_ONLY != 0,
        };
        if start == 0 {
            return Ok(None);
        }
        if c.vm.checks() && kept.size != 0 {
            guard::inside(c.run, &*c.vm, kept.start, kept.size as usize, !kept.read_only)?;
        }
        Ok(Some(kept))
    }

    /// Address of `len` bytes at `off`.
    fn range(&self, off: u64, len: u64) -> Result<u64, Errno> {
        let size = u64::from(self.size);
        if len > size || off > size - len { Err(Errno::E2BIG) } else { Ok(self.start + off) }
    }
}

fn set(addr: u64, start: u64, kind: u32, size: u32) {
    let mut raw = [0; BYTES];
    raw[..8].copy_from_slice(&start.to_ne_bytes());
    raw[8..12].copy_from_slice(&(size | kind << KIND_SHIFT).to_ne_bytes());
    mem::write(addr, &raw);
}

fn failed(addr: u64, why: Errno) -> u64 {
    mem::zero(addr, BYTES);
    why.as_ret()
}

pub(super) fn from_mem(
    _: &mut Call<'_, '_>,
    [data, size, flags, out, _]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32;
    if size > SIZE_MAX {
        return Ok(failed(out, Errno::E2BIG));
    }
    if flags != 0 {
        return Ok(failed(out, Errno::EINVAL));
    }
    set(out, data, LOCAL, size);
    Ok(0)
}

pub(super) fn read(
    c: &mut Call<'_, '_>,
    [to, len, from, off, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let Some(from) = Dynptr::at(c, from)?.filter(|_| flags == 0) else {
        return Ok(Errno::EINVAL.as_ret());
    };
    Ok(match from.range(off, len) {
        Err(why) => why.as_ret(),
        Ok(at) => {
            mem::shift(at, to, len as usize);
            0
        }
    })
}

pub(super) fn write(
    c: &mut Call<'_, '_>,
    [to, off, from, len, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let Some(to) = Dynptr::at(c, to)?.filter(|to| !to.read_only) else {
        return Ok(Errno::EINVAL.as_ret());
    };
    Ok(match to.range(off, len) {
        Err(why) => why.as_ret(),
        Ok(_) if flags != 0 => Errno::EINVAL.as_ret(),
        Ok(at) => {
            mem::shift(from, at, len as usize);
            0
        }
    })
}

pub(super) fn data(c: &mut Call<'_, '_>, [ptr, off, len, ..]: [u64; 5]) -> Result<u64, Trap> {
    let ptr = Dynptr::at(c, ptr)?.filter(|ptr| !ptr.read_only);
    Ok(ptr.and_then(|ptr| ptr.range(off, len).ok()).unwrap_or(0))
}

pub(super) fn reserve(
    c: &mut Call<'_, '_>,
    [map, size, flags, out, _]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32;
    if flags != 0 || size > SIZE_MAX {
        let why = if flags != 0 { Errno::EINVAL } else { Errno::E2BIG };
        return Ok(failed(out, why));
    }
    let ring = c.run.map(map)?.clone();
    let Some(ring) = ring.map.ops().ringbuf() else {
        return Err(Trap::here(TrapKind::Helper("not a ring buffer")));
    };
    let Some(start) = ring.reserve(size.into()) else {
        return Ok(failed(out, Errno::EINVAL));
    };
    let end = start + u64::from(size);
    c.run.granted.push(Region { start, end, writable: true });
    set(out, start, RINGBUF, size);
    Ok(0)
}

pub(super) fn submit(c: &mut Call<'_, '_>, [ptr, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    end(c, ptr, flags, ringbuf::submit)
}

pub(super) fn discard(c: &mut Call<'_, '_>, [ptr, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    end(c, ptr, flags, ringbuf::discard)
}

/// Ends a record; one that could not be reserved is no more than forgotten.
fn end(c: &mut Call<'_, '_>, ptr: u64, flags: u64, how: super::Body) -> Result<u64, Trap> {
    let start = mem::view(ptr, BYTES).u64(0);
    if start != 0 {
        how(c, [start, flags, 0, 0, 0])?;
        mem::zero(ptr, BYTES);
    }
    Ok(0)
}
