//! Helpers on packets.

use interp::{Trap, TrapKind};
use translate::ctx::XdpBuff;
use uapi::{Errno, MapType};

use super::{Call, Ctx, CtxCell, mem, status};
use crate::redirect::{Redirect, Way};

/// What Linux keeps at the start of the head room (`struct xdp_frame`).
const XDP_FRAME: u64 = 40;
/// Shortest packet.
const ETH_HLEN: u64 = 14;
/// Longest metadata.
const META_MAX: u64 = 252;

fn xdp<'c>(c: &'c mut Call<'_, '_>) -> Result<(&'c CtxCell<XdpBuff>, &'c mut Vec<u8>), Trap> {
    match &mut c.run.ctx {
        Ctx::Xdp(cell, frags) => Ok((cell, frags)),
        _ => Err(Trap::here(TrapKind::Helper("an XDP helper was called without an XDP buffer"))),
    }
}

pub(super) fn adjust_head(c: &mut Call<'_, '_>, [_, delta, ..]: [u64; 5]) -> Result<u64, Trap> {
    let (cell, _) = xdp(c)?;
    let buff = cell.get();
    let meta = buff.data - buff.data_meta;
    let data = buff.data.wrapping_add(delta as i32 as i64 as u64);
    let first = buff.hard_start + XDP_FRAME + meta;
    if data < first || data > buff.data_end.saturating_sub(ETH_HLEN) {
        return Ok(Errno::EINVAL.as_ret());
    }
    if meta != 0 {
        mem::shift(buff.data_meta, data - meta, meta as usize);
    }
    cell.set(XdpBuff { data, data_meta: data - meta, ..buff });
    Ok(0)
}

pub(super) fn adjust_meta(c: &mut Call<'_, '_>, [_, delta, ..]: [u64; 5]) -> Result<u64, Trap> {
    let (cell, _) = xdp(c)?;
    let buff = cell.get();
    let meta = buff.data_meta.wrapping_add(delta as i32 as i64 as u64);
    if meta < buff.hard_start + XDP_FRAME || meta > buff.data {
        return Ok(Errno::EINVAL.as_ret());
    }
    let len = buff.data - meta;
    if len & 3 != 0 || len > META_MAX {
        return Ok(Errno::EACCES.as_ret());
    }
    cell.set(XdpBuff { data_meta: meta, ..buff });
    Ok(0)
}

pub(super) fn adjust_tail(c: &mut Call<'_, '_>, [_, delta, ..]: [u64; 5]) -> Result<u64, Trap> {
    let (cell, frags) = xdp(c)?;
    let (buff, delta) = (cell.get(), i64::from(delta as i32));
    if !frags.is_empty() {
        return Ok(status(adjust_frags(cell, frags, delta)));
    }
    let end = buff.data_end.wrapping_add(delta as u64);
    if end > buff.frame_end || end < buff.data + ETH_HLEN {
        return Ok(Errno::EINVAL.as_ret());
    }
    if delta > 0 {
        mem::zero(buff.data_end, delta as usize);
    }
    cell.set(XdpBuff { data_end: end, ..buff });
    Ok(0)
}

/// Kernel function `bpf_xdp_pull_data`: brings what lies behind into the linear part, so that its
/// first `len` bytes are in one piece. The packet moves towards its head if the tail is too short.
pub(super) fn pull_data(c: &mut Call<'_, '_>, [_, len, ..]: [u64; 5]) -> Result<u64, Trap> {
    let (cell, frags) = xdp(c)?;
    let (buff, len) = (cell.get(), u64::from(len as u32));
    let linear = buff.data_end - buff.data;
    if len <= linear {
        return Ok(0);
    }
    let (more, start) = (len - linear, buff.data_meta);
    let head = start.saturating_sub(buff.hard_start + XDP_FRAME);
    let tail = buff.frame_end.saturating_sub(buff.data_end);
    if len > linear + frags.len() as u64 || more > head + tail {
        return Ok(Errno::EINVAL.as_ret());
    }
    let shift = more.saturating_sub(tail);
    if shift > 0 {
        mem::shift(start, start - shift, (buff.data_end - start) as usize);
    }
    let end = buff.data_end - shift;
    mem::write(end, &frags[..more as usize]);
    frags.drain(..more as usize);
    let (data, data_meta) = (buff.data - shift, buff.data_meta - shift);
    cell.set(XdpBuff { data, data_meta, data_end: end + more, ..buff });
    Ok(0)
}

/// Shrinks from the back: first what lies behind the linear part.
fn adjust_frags(cell: &CtxCell<XdpBuff>, frags: &mut Vec<u8>, delta: i64) -> Result<(), Errno> {
    if delta > 0 {
        let room = 4096 - frags.len() % 4096;
        if frags.len().is_multiple_of(4096) || delta as usize > room {
            return Err(Errno::EINVAL);
        }
        frags.resize(frags.len() + delta as usize, 0);
        return Ok(());
    }
    let buff = cell.get();
    let cut = delta.unsigned_abs();
    let total = buff.data_end - buff.data + frags.len() as u64;
    if total < cut + ETH_HLEN {
        return Err(Errno::EINVAL);
    }
    let behind = cut.min(frags.len() as u64);
    frags.truncate(frags.len() - behind as usize);
    cell.set(XdpBuff { data_end: buff.data_end - (cut - behind), ..buff });
    Ok(())
}

pub(super) fn buff_len(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    let (cell, frags) = xdp(c)?;
    let buff = cell.get();
    Ok(buff.data_end - buff.data + frags.len() as u64)
}

/// Checks a range of the packet; the bytes of it in the linear part.
fn range(buff: &XdpBuff, frags: &[u8], off: u64, len: u64) -> Result<usize, Errno> {
    let linear = buff.data_end - buff.data;
    let (off, len) = (off & 0xffff_ffff, len & 0xffff_ffff);
    if off > 0xffff || len > 0xffff {
        return Err(Errno::EFAULT);
    }
    if off + len > linear + frags.len() as u64 {
        return Err(Errno::EINVAL);
    }
    Ok(linear.saturating_sub(off).min(len) as usize)
}

pub(super) fn load_bytes(
    c: &mut Call<'_, '_>,
    [_, off, buf, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    let (cell, frags) = xdp(c)?;
    let buff = cell.get();
    let copied = range(&buff, frags, off, len).map(|near| {
        let off = off & 0xffff_ffff;
        mem::write(buf, &mem::copy(buff.data + off, near));
        let far = (off + near as u64).saturating_sub(buff.data_end - buff.data) as usize;
        let rest = (len & 0xffff_ffff) as usize - near;
        if rest > 0 {
            mem::write(buf + near as u64, &frags[far..far + rest]);
        }
    });
    Ok(status(copied))
}

pub(super) fn store_bytes(
    c: &mut Call<'_, '_>,
    [_, off, buf, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    let (cell, frags) = xdp(c)?;
    let buff = cell.get();
    let copied = range(&buff, frags, off, len).map(|near| {
        let off = off & 0xffff_ffff;
        mem::write(buff.data + off, &mem::copy(buf, near));
        let far = (off + near as u64).saturating_sub(buff.data_end - buff.data) as usize;
        let rest = (len & 0xffff_ffff) as usize - near;
        if rest > 0 {
            mem::view(buf + near as u64, rest).copy_to(&mut frags[far..far + rest]);
        }
    });
    Ok(status(copied))
}

/// The verdict alone: who runs the program delivers the packet.
pub(super) fn redirect(c: &mut Call<'_, '_>, [ifindex, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    const XDP_ABORTED: u64 = 0;
    const XDP_REDIRECT: u64 = 4;
    const TC_ACT_SHOT: u64 = 2;
    const TC_ACT_REDIRECT: u64 = 7;
    const INGRESS: u64 = 1;
    let way = if flags & INGRESS != 0 { Way::In } else { Way::Out };
    c.run.redirect = Some(Redirect::device(ifindex as u32, way));
    Ok(match c.run.ctx {
        Ctx::Xdp(..) if flags != 0 => XDP_ABORTED,
        Ctx::Xdp(..) => XDP_REDIRECT,
        _ if flags & !INGRESS != 0 => TC_ACT_SHOT,
        _ => TC_ACT_REDIRECT,
    })
}

pub(super) fn redirect_map(
    c: &mut Call<'_, '_>,
    [map, key, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    const ACTIONS: u64 = 3;
    const BROADCAST: u64 = 1 << 3;
    const EXCLUDE_INGRESS: u64 = 1 << 4;
    const XDP_ABORTED: u64 = 0;
    const XDP_REDIRECT: u64 = 4;
    let map = c.run.map(map)?.clone();
    let devices = matches!(map.map.def().map_type, MapType::Devmap | MapType::DevmapHash);
    let known = ACTIONS | if devices { BROADCAST | EXCLUDE_INGRESS } else { 0 };
    if flags & !known != 0 {
        return Ok(XDP_ABORTED);
    }
    if flags & BROADCAST != 0 {
        let but_ingress = flags & EXCLUDE_INGRESS != 0;
        c.run.redirect = Some(Redirect::All { map, but_ingress });
        return Ok(XDP_REDIRECT);
    }
    let key = (key as u32).to_ne_bytes();
    let Some(at) = map.map.ops().lookup(maps::View::from(&key[..]), 0) else {
        return Ok(flags & ACTIONS);
    };
    let prog = map.entry_prog(&key);
    c.run.redirect = Some(match devices {
        true => Redirect::Device { ifindex: mem::view(at, 4).u32(0), way: Way::Out, prog },
        false => Redirect::Cpu { prog },
    });
    Ok(XDP_REDIRECT)
}

pub(super) fn csum_diff(
    _: &mut Call<'_, '_>,
    [from, from_size, to, to_size, seed]: [u64; 5],
) -> Result<u64, Trap> {
    let (from_size, to_size) = (from_size as u32, to_size as u32);
    let seed = seed as u32;
    let sum = match (from_size, to_size) {
        (0, 0) => seed,
        (0, _) => partial(to, to_size, seed),
        (_, 0) => !partial(from, from_size, !seed),
        _ => add(partial(to, to_size, seed), !partial(from, from_size, 0)),
    };
    Ok(u64::from(sum.wrapping_add(sum.rotate_left(16)) >> 16))
}

/// The one's complement sum of 32-bit words.
fn partial(addr: u64, len: u32, sum: u32) -> u32 {
    let bytes = mem::view(addr, len as usize);
    (0..len as usize).step_by(4).fold(sum, |sum, i| add(sum, bytes.u32(i)))
}

/// A checksum out of a sum.
pub(super) fn fold(sum: u32) -> u16 {
    !(sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

pub(super) fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u32::from(carry)
}
