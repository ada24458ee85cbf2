//! Helpers on socket buffers.

use interp::{Trap, TrapKind};
use translate::ctx::SkBuff;
use uapi::Errno;

use super::packet::{add, fold};
use super::{Call, Ctx, count, mem, status};

const RECOMPUTE_CSUM: u64 = 1;
const INVALIDATE_HASH: u64 = 2;
/// The size of a changed field, in the low bits of the flags.
const FIELD_MASK: u64 = 0xf;
const PSEUDO_HEADER: u64 = 1 << 4;
const MARK_MANGLED_0: u64 = 1 << 5;
const MARK_ENFORCE: u64 = 1 << 6;
const IPV6: u64 = 1 << 7;
/// What a UDP checksum of zero is sent as.
const MANGLED_0: u16 = 0xffff;

pub(super) fn skb(c: &Call<'_, '_>) -> Result<SkBuff, Trap> {
    match &c.run.ctx {
        Ctx::Skb(cell) => Ok(cell.get()),
        _ => Err(Trap::here(TrapKind::Helper("a packet helper was called without a packet"))),
    }
}

/// Changes the socket buffer, unless `change` fails; its answer is r0.
pub(super) fn update(
    c: &mut Call<'_, '_>,
    change: impl FnOnce(&mut SkBuff) -> Result<u64, Errno>,
) -> Result<u64, Trap> {
    let mut now = skb(c)?;
    let answer = change(&mut now);
    if let (Ok(_), Ctx::Skb(cell)) = (answer, &c.run.ctx) {
        cell.set(now);
    }
    Ok(count(answer))
}

/// The address of `len` bytes at `off` from `base`.
fn range(skb: &SkBuff, base: u64, off: u64, len: u64) -> Result<u64, Errno> {
    let off = off & 0xffff_ffff;
    if i32::try_from(off).is_err() {
        return Err(Errno::EFAULT);
    }
    let (start, end) = (base + off, base + off + len);
    if end > skb.data_end { Err(Errno::EFAULT) } else { Ok(start) }
}

fn load(skb: &SkBuff, base: u64, off: u64, to: u64, len: u64) -> u64 {
    let len = len & 0xffff_ffff;
    let loaded = range(skb, base, off, len).map(|start| {
        mem::write(to, &mem::copy(start, len as usize));
    });
    if loaded.is_err() {
        mem::zero(to, len as usize);
    }
    status(loaded)
}

pub(super) fn load_bytes(
    c: &mut Call<'_, '_>,
    [_, off, to, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    let skb = skb(c)?;
    Ok(load(&skb, skb.data, off, to, len))
}

pub(super) fn load_bytes_relative(
    c: &mut Call<'_, '_>,
    [_, off, to, len, header]: [u64; 5],
) -> Result<u64, Trap> {
    let skb = skb(c)?;
    let base = match header as u32 {
        0 => skb.mac_header,
        1 => skb.network_header,
        _ => {
            mem::zero(to, len as u32 as usize);
            return Ok(Errno::EFAULT.as_ret());
        }
    };
    Ok(load(&skb, base, off, to, len))
}

pub(super) fn store_bytes(
    c: &mut Call<'_, '_>,
    [_, off, from, len, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let skb = skb(c)?;
    if flags & !(RECOMPUTE_CSUM | INVALIDATE_HASH) != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let len = len & 0xffff_ffff;
    let stored = range(&skb, skb.data, off, len)
        .map(|start| mem::write(start, &mem::copy(from, len as usize)));
    Ok(status(stored))
}

/// All packets are linear here: there is nothing to pull but what is not there.
pub(super) fn pull_data(c: &mut Call<'_, '_>, [_, len, ..]: [u64; 5]) -> Result<u64, Trap> {
    let skb = skb(c)?;
    let there = u64::from(len as u32) <= skb.data_end - skb.data;
    Ok(status(if there { Ok(()) } else { Err(Errno::ENOMEM) }))
}

/// The place of a checksum.
fn checksum(skb: &SkBuff, off: u64) -> Result<u64, Errno> {
    let off = off & 0xffff_ffff;
    if off > 0xffff || off & 1 != 0 {
        return Err(Errno::EFAULT);
    }
    range(skb, skb.data, off, 2)
}

/// `sum` after a field went from `from` to `to`; without a size, `to` is the difference.
fn replaced(sum: u16, from: u64, to: u64, flags: u64) -> Result<u16, Errno> {
    let open = u32::from(!sum);
    let (from32, to32) = (from as u32, to as u32);
    match flags & FIELD_MASK {
        0 if from != 0 => Err(Errno::EINVAL),
        0 => Ok(fold(add(to32, open | 0xffff_0000))),
        2 | 4 => Ok(fold(add(add(open | 0xffff_0000, !from32), to32))),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn l3_csum_replace(
    c: &mut Call<'_, '_>,
    [_, off, from, to, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let skb = skb(c)?;
    if flags & !FIELD_MASK != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let done = checksum(&skb, off).and_then(|at| {
        let sum = mem::view(at, 2).u32(0) as u16;
        let new = match flags & FIELD_MASK {
            2 => replaced2(sum, from as u16, to as u16),
            _ => replaced(sum, from, to, flags)?,
        };
        mem::write(at, &new.to_ne_bytes());
        Ok(())
    });
    Ok(status(done))
}

/// The same within 16 bits.
fn replaced2(sum: u16, from: u16, to: u16) -> u16 {
    let add16 = |a: u16, b: u16| {
        let (sum, carry) = a.overflowing_add(b);
        sum + u16::from(carry)
    };
    !add16(add16(!sum, !from), to)
}

pub(super) fn l4_csum_replace(
    c: &mut Call<'_, '_>,
    [_, off, from, to, flags]: [u64; 5],
) -> Result<u64, Trap> {
    const KNOWN: u64 = FIELD_MASK | PSEUDO_HEADER | MARK_MANGLED_0 | MARK_ENFORCE | IPV6;
    let skb = skb(c)?;
    if flags & !KNOWN != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let zero_is_none = flags & MARK_MANGLED_0 != 0;
    let done = checksum(&skb, off).and_then(|at| {
        let sum = mem::view(at, 2).u32(0) as u16;
        if zero_is_none && flags & MARK_ENFORCE == 0 && sum == 0 {
            return Ok(0);
        }
        let mut new = replaced(sum, from, to, flags)?;
        if zero_is_none && new == 0 {
            new = MANGLED_0;
        }
        mem::write(at, &new.to_ne_bytes());
        Ok(0)
    });
    Ok(count(done))
}
