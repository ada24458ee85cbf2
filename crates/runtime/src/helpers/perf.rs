//! Perf events: records to user space.

use interp::Trap;
use uapi::Errno;

use super::{Call, Ctx, mem, status};
use crate::clock::ClockKind;
use crate::map_obj::PerfRecord;

const INDEX_MASK: u64 = 0xffff_ffff;
const CURRENT_CPU: u64 = 0xffff_ffff;
/// Bytes of packet to append, in network programs.
const CTXLEN_MASK: u64 = 0xf_ffff << 32;

pub(super) fn output(
    c: &mut Call<'_, '_>,
    [_, map, flags, data, size]: [u64; 5],
) -> Result<u64, Trap> {
    let packet = match &c.run.ctx {
        Ctx::Xdp(cell, _) => Some((cell.get().data, cell.get().data_end)),
        Ctx::Skb(cell) => Some((cell.get().data, cell.get().data_end)),
        Ctx::Flat(_) => None,
    };
    let known = if packet.is_some() { INDEX_MASK | CTXLEN_MASK } else { INDEX_MASK };
    if flags & !known != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let map = c.run.map(map)?;
    let cpu = match flags & INDEX_MASK {
        CURRENT_CPU => c.run.cpu,
        index => index as u32,
    };
    if cpu >= map.map.def().max_entries {
        return Ok(Errno::E2BIG.as_ret());
    }
    let mut bytes = mem::copy(data, size as u32 as usize);
    if let Some((start, end)) = packet {
        let wanted = (flags & CTXLEN_MASK) >> 32;
        if wanted > end - start {
            return Ok(Errno::EFAULT.as_ret());
        }
        bytes.extend(mem::copy(start, wanted as usize));
    }
    Ok(status(map.record(PerfRecord {
        cpu,
        time: c.run.core.clock.ns(ClockKind::Monotonic),
        data: bytes,
    })))
}

/// Counters are not kept here: what Linux answers where no event is in the array.
fn counter(c: &Call<'_, '_>, map: u64, flags: u64) -> Result<Errno, Trap> {
    let entries = c.run.map(map)?.map.def().max_entries;
    let index = match flags {
        CURRENT_CPU => c.run.cpu,
        index => index as u32,
    };
    Ok(match (flags & !INDEX_MASK, index >= entries) {
        (0, false) => Errno::ENOENT,
        (0, true) => Errno::E2BIG,
        _ => Errno::EINVAL,
    })
}

pub(super) fn read(c: &mut Call<'_, '_>, [map, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(counter(c, map, flags)?.as_ret())
}

pub(super) fn read_value(
    c: &mut Call<'_, '_>,
    [map, flags, buf, size, _]: [u64; 5],
) -> Result<u64, Trap> {
    /// Bytes of `struct bpf_perf_event_value`.
    const VALUE: u32 = 24;
    let why = if size as u32 == VALUE { counter(c, map, flags)? } else { Errno::EINVAL };
    mem::zero(buf, size as u32 as usize);
    Ok(why.as_ret())
}
