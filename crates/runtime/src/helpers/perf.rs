//! Perf events: records to user space.

use interp::Trap;
use uapi::Errno;

use super::{Call, Ctx, mem, status};
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
    Ok(status(map.record(PerfRecord { cpu, data: bytes })))
}
