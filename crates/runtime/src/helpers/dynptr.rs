//! Dynamic pointers: 16 bytes on the stack that name memory, a record or a packet, and a size.
//!
//! Laid out as Linux does: address, size with the kind above it, offset. What the address is of
//! is asked anew at each use: the memory is checked, a packet is the run's own.

use interp::{Region, Trap, TrapKind};
use uapi::Errno;

use super::{Call, Ctx, guard, mem, status};

const BYTES: usize = 16;
pub(super) const SIZE_MAX: u32 = (1 << 24) - 1;
const KIND_SHIFT: u32 = 28;
const KIND_MASK: u32 = 7;
const READ_ONLY: u32 = 1 << 31;
const LOCAL: u32 = 1;
const RINGBUF: u32 = 2;
const SKB: u32 = 3;
const XDP: u32 = 4;

/// A dynamic pointer that is not null.
#[derive(Clone, Copy)]
pub(super) struct Dynptr {
    start: u64,
    kind: u32,
    pub(super) size: u32,
    off: u32,
    pub(super) read_only: bool,
}

impl Dynptr {
    /// The pointer at `addr`; `None` where it is null.
    pub(super) fn at(c: &mut Call<'_, '_>, addr: u64) -> Result<Option<Dynptr>, Trap> {
        guard::usable(c.run, &*c.vm, addr, BYTES, false)?;
        let raw = mem::view(addr, BYTES);
        let (start, word, off) = (raw.u64(0), raw.u32(8), raw.u32(12));
        let kept = Dynptr {
            start,
            kind: word >> KIND_SHIFT & KIND_MASK,
            size: word & SIZE_MAX,
            off,
            read_only: word & READ_ONLY != 0,
        };
        Ok(Some(kept).filter(|kept| kept.start != 0))
    }

    /// One of plain memory.
    pub(super) fn of_memory(start: u64, size: u32) -> Dynptr {
        Dynptr { start, kind: LOCAL, size: size & SIZE_MAX, off: 0, read_only: false }
    }

    /// Stores it at `addr`.
    pub(super) fn put(&self, c: &mut Call<'_, '_>, addr: u64) -> Result<(), Trap> {
        guard::usable(c.run, &*c.vm, addr, BYTES, true)?;
        mem::write(addr, &self.bytes());
        Ok(())
    }

    /// As it lies in memory.
    pub(super) fn bytes(&self) -> [u8; BYTES] {
        let read_only = if self.read_only { READ_ONLY } else { 0 };
        let mut raw = [0; BYTES];
        raw[..8].copy_from_slice(&self.start.to_ne_bytes());
        let word = self.size | self.kind << KIND_SHIFT | read_only;
        raw[8..12].copy_from_slice(&word.to_ne_bytes());
        raw[12..].copy_from_slice(&self.off.to_ne_bytes());
        raw
    }

    /// Offset of `len` bytes at `off` in what it is of.
    fn range(&self, off: u64, len: u64) -> Result<u64, Errno> {
        let size = u64::from(self.size);
        let inside = len <= size && off <= size - len;
        if inside { Ok(u64::from(self.off) + off) } else { Err(Errno::E2BIG) }
    }

    fn is_memory(&self) -> bool {
        matches!(self.kind, LOCAL | RINGBUF)
    }

    /// Address of `len` bytes at `off`, where they are in one piece.
    pub(super) fn address(
        &self,
        c: &mut Call<'_, '_>,
        off: u64,
        len: u64,
        write: bool,
    ) -> Result<Result<Option<u64>, Errno>, Trap> {
        let at = match self.range(off, len) {
            Ok(at) => at,
            Err(why) => return Ok(Err(why)),
        };
        if self.is_memory() {
            let at = self.start.wrapping_add(at);
            if len != 0 {
                guard::usable(c.run, &*c.vm, at, len as usize, write)?;
            }
            return Ok(Ok(Some(at)));
        }
        let (data, end, behind) = match &c.run.ctx {
            Ctx::Skb(cell) => (cell.get().data, cell.get().data_end, 0),
            Ctx::Xdp(cell, frags) => (cell.get().data, cell.get().data_end, frags.len() as u64),
            Ctx::Flat(_) => return Ok(Err(Errno::EINVAL)),
        };
        let linear = end - data;
        if at + len <= linear {
            return Ok(Ok(Some(data + at)));
        }
        Ok(if at + len <= linear + behind { Ok(None) } else { Err(Errno::EFAULT) })
    }

    /// The bytes there, copied.
    pub(super) fn read(
        &self,
        c: &mut Call<'_, '_>,
        off: u64,
        len: u64,
    ) -> Result<Result<Vec<u8>, Errno>, Trap> {
        Ok(match self.address(c, off, len, false)? {
            Err(why) => Err(why),
            Ok(Some(at)) => Ok(mem::copy(at, len as usize)),
            Ok(None) => self.across(c, off, len, |c, at, part, frag, done| match frag {
                false => mem::view(at, part.len()).copy_to(part),
                true => part.copy_from_slice(&frags(c)[done..done + part.len()]),
            }),
        })
    }

    /// Writes bytes there.
    pub(super) fn write(
        &self,
        c: &mut Call<'_, '_>,
        off: u64,
        bytes: &[u8],
    ) -> Result<Result<(), Errno>, Trap> {
        let len = bytes.len() as u64;
        Ok(match self.address(c, off, len, true)? {
            Err(why) => Err(why),
            Ok(Some(at)) => {
                mem::write(at, bytes);
                Ok(())
            }
            Ok(None) => {
                let mut left = bytes;
                self.across(c, off, len, |c, at, part, frag, done| {
                    let (now, rest) = left.split_at(part.len());
                    left = rest;
                    match frag {
                        false => mem::write(at, now),
                        true => frags(c)[done..done + now.len()].copy_from_slice(now),
                    }
                })
                .map(drop)
            }
        })
    }

    /// Goes through bytes of an XDP packet that are partly or wholly behind its linear part: for
    /// each part its address, its bytes, whether it is behind, and where there.
    fn across(
        &self,
        c: &mut Call<'_, '_>,
        off: u64,
        len: u64,
        mut each: impl FnMut(&mut Call<'_, '_>, u64, &mut [u8], bool, usize),
    ) -> Result<Vec<u8>, Errno> {
        let at = self.range(off, len)?;
        let Ctx::Xdp(cell, _) = &c.run.ctx else { return Err(Errno::EINVAL) };
        let (data, linear) = (cell.get().data, cell.get().data_end - cell.get().data);
        let mut bytes = vec![0; len as usize];
        let near = linear.saturating_sub(at).min(len) as usize;
        let (first, rest) = bytes.split_at_mut(near);
        each(c, data.wrapping_add(at), first, false, 0);
        each(c, 0, rest, true, (at + near as u64 - linear) as usize);
        Ok(bytes)
    }
}

fn frags<'a>(c: &'a mut Call<'_, '_>) -> &'a mut [u8] {
    match &mut c.run.ctx {
        Ctx::Xdp(_, frags) => frags,
        _ => &mut [],
    }
}

/// Makes it null and answers why.
fn failed(c: &mut Call<'_, '_>, addr: u64, why: Errno) -> Result<u64, Trap> {
    guard::usable(c.run, &*c.vm, addr, BYTES, true)?;
    mem::zero(addr, BYTES);
    Ok(why.as_ret())
}

fn made(c: &mut Call<'_, '_>, addr: u64, ptr: Dynptr) -> Result<u64, Trap> {
    ptr.put(c, addr)?;
    Ok(0)
}

pub(super) fn from_mem(
    c: &mut Call<'_, '_>,
    [start, size, flags, out, _]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32;
    if size > SIZE_MAX {
        return failed(c, out, Errno::E2BIG);
    }
    if flags != 0 {
        return failed(c, out, Errno::EINVAL);
    }
    made(c, out, Dynptr { start, kind: LOCAL, size, off: 0, read_only: false })
}

/// Types of programs that may write the packet.
fn writes_packets(c: &Call<'_, '_>) -> bool {
    use uapi::ProgType::{LwtXmit, SchedAct, SchedCls, SkMsg, SkSkb, Xdp};
    matches!(c.run.prog.prog_type, LwtXmit | SchedAct | SchedCls | SkMsg | SkSkb | Xdp)
}

/// One of the packet of the run, from a socket buffer or an XDP buffer.
pub(super) fn from_packet(
    c: &mut Call<'_, '_>,
    [ctx, flags, out, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let (start, kind, size) = match &c.run.ctx {
        Ctx::Skb(cell) => (cell.addr(), SKB, cell.get().data_end - cell.get().data),
        Ctx::Xdp(cell, frags) => {
            let linear = cell.get().data_end - cell.get().data;
            (cell.addr(), XDP, linear + frags.len() as u64)
        }
        Ctx::Flat(_) => return failed(c, out, Errno::EINVAL),
    };
    let stands_for = ctx != 0 && c.run.world.sk_buff == ctx;
    if flags != 0 || (start != ctx && !stands_for) {
        return failed(c, out, Errno::EINVAL);
    }
    let read_only = !writes_packets(c);
    let size = u32::try_from(size).unwrap_or(SIZE_MAX).min(SIZE_MAX);
    made(c, out, Dynptr { start, kind, size, off: 0, read_only })
}

/// Metadata of a packet: none here.
pub(super) fn from_meta(c: &mut Call<'_, '_>, [_, flags, out, ..]: [u64; 5]) -> Result<u64, Trap> {
    let Ctx::Skb(cell) = &c.run.ctx else { return failed(c, out, Errno::EINVAL) };
    let start = cell.addr();
    if flags != 0 {
        return failed(c, out, Errno::EINVAL);
    }
    made(c, out, Dynptr { start, kind: SKB, size: 0, off: 0, read_only: true })
}

/// Offset and length as Linux 6.18 takes them, of 32 bits; later kernels take 64.
fn narrow(off: u64, len: u64) -> (u64, u64) {
    (u64::from(off as u32), u64::from(len as u32))
}

pub(super) fn read(
    c: &mut Call<'_, '_>,
    [to, len, from, off, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let (off, len) = narrow(off, len);
    let Some(from) = Dynptr::at(c, from)?.filter(|_| flags == 0) else {
        return Ok(Errno::EINVAL.as_ret());
    };
    Ok(status(from.read(c, off, len)?.map(|bytes| mem::write(to, &bytes))))
}

pub(super) fn write(
    c: &mut Call<'_, '_>,
    [to, off, from, len, flags]: [u64; 5],
) -> Result<u64, Trap> {
    /// A socket buffer's checksum may be recomputed, its hash forgotten.
    const OF_SKB: u64 = 3;
    let (off, len) = narrow(off, len);
    let Some(to) = Dynptr::at(c, to)?.filter(|to| !to.read_only) else {
        return Ok(Errno::EINVAL.as_ret());
    };
    let known = if to.kind == SKB { OF_SKB } else { 0 };
    if let Err(why) = to.range(off, len) {
        return Ok(why.as_ret());
    }
    if flags & !known != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let bytes = mem::copy(from, len as usize);
    Ok(status(to.write(c, off, &bytes)?))
}

pub(super) fn data(c: &mut Call<'_, '_>, [ptr, off, len, ..]: [u64; 5]) -> Result<u64, Trap> {
    let (off, len) = narrow(off, len);
    let ptr = Dynptr::at(c, ptr)?.filter(|ptr| !ptr.read_only && ptr.is_memory());
    let Some(ptr) = ptr else { return Ok(0) };
    Ok(ptr.address(c, off, len, true)?.ok().flatten().unwrap_or(0))
}

/// `bpf_dynptr_slice`: the bytes where they are, or copied to the buffer where they are in parts.
pub(super) fn slice(c: &mut Call<'_, '_>, [ptr, off, buf, len, _]: [u64; 5]) -> Result<u64, Trap> {
    let (off, len) = narrow(off, len);
    let Some(ptr) = Dynptr::at(c, ptr)? else { return Ok(0) };
    match ptr.address(c, off, len, false)? {
        Err(_) => Ok(0),
        Ok(Some(at)) => Ok(at),
        Ok(None) if buf == 0 => Ok(0),
        Ok(None) => {
            guard::usable(c.run, &*c.vm, buf, len as usize, true)?;
            let Ok(bytes) = ptr.read(c, off, len)? else { return Ok(0) };
            mem::write(buf, &bytes);
            Ok(buf)
        }
    }
}

/// The same to write to, which a read-only one does not give.
pub(super) fn slice_write(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    match Dynptr::at(c, args[0])? {
        Some(ptr) if !ptr.read_only => slice(c, args),
        _ => Ok(0),
    }
}

/// Moves the ends inwards.
pub(super) fn adjust(c: &mut Call<'_, '_>, [at, start, end, ..]: [u64; 5]) -> Result<u64, Trap> {
    let (start, end) = (start as u32, end as u32);
    let Some(mut ptr) = Dynptr::at(c, at)?.filter(|_| start <= end) else {
        return Ok(Errno::EINVAL.as_ret());
    };
    if end > ptr.size {
        return Ok(Errno::ERANGE.as_ret());
    }
    ptr.off = ptr.off.saturating_add(start);
    ptr.size = end - start;
    made(c, at, ptr)
}

pub(super) fn is_null(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(Dynptr::at(c, at)?.is_none().into())
}

pub(super) fn is_read_only(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(Dynptr::at(c, at)?.is_some_and(|ptr| ptr.read_only).into())
}

pub(super) fn size(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(Dynptr::at(c, at)?.map_or(Errno::EINVAL.as_ret() as u32 as u64, |ptr| ptr.size.into()))
}

pub(super) fn clone(c: &mut Call<'_, '_>, [at, to, ..]: [u64; 5]) -> Result<u64, Trap> {
    match Dynptr::at(c, at)? {
        Some(ptr) => made(c, to, ptr),
        None => failed(c, to, Errno::EINVAL),
    }
}

pub(super) fn copy(
    c: &mut Call<'_, '_>,
    [to, to_off, from, from_off, len]: [u64; 5],
) -> Result<u64, Trap> {
    let (to_off, from_off) = (u64::from(to_off as u32), u64::from(from_off as u32));
    let len = u64::from(len as u32);
    let (to, from) = (Dynptr::at(c, to)?, Dynptr::at(c, from)?);
    let (Some(to), Some(from)) = (to.filter(|to| !to.read_only), from) else {
        return Ok(Errno::EINVAL.as_ret());
    };
    if let Err(why) = to.range(to_off, len) {
        return Ok(why.as_ret());
    }
    Ok(match from.read(c, from_off, len)? {
        Ok(bytes) => status(to.write(c, to_off, &bytes)?),
        Err(why) => why.as_ret(),
    })
}

pub(super) fn fill(c: &mut Call<'_, '_>, [to, off, len, byte, _]: [u64; 5]) -> Result<u64, Trap> {
    let (off, len) = narrow(off, len);
    let Some(to) = Dynptr::at(c, to)?.filter(|to| !to.read_only) else {
        return Ok(Errno::EINVAL.as_ret());
    };
    if let Err(why) = to.range(off, len) {
        return Ok(why.as_ret());
    }
    let bytes = vec![byte as u8; len as usize];
    Ok(status(to.write(c, off, &bytes)?))
}

const NOT_ONE: Trap = Trap { pc: 0, kind: TrapKind::Helper("not a ring buffer's record") };

pub(super) fn reserve(
    c: &mut Call<'_, '_>,
    [map, size, flags, out, _]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32;
    if flags != 0 {
        return failed(c, out, Errno::EINVAL);
    }
    if size > SIZE_MAX {
        return failed(c, out, Errno::E2BIG);
    }
    let map = c.run.map(map)?;
    let Some(ring) = map.map.ops().ringbuf() else { return Err(NOT_ONE) };
    let Some(start) = ring.reserve(size.into()) else { return failed(c, out, Errno::EINVAL) };
    c.run.granted.push(Region { start, end: start + u64::from(size), writable: true });
    made(c, out, Dynptr { start, kind: RINGBUF, size, off: 0, read_only: false })
}

/// Ends a record; a null pointer has none.
fn end(c: &mut Call<'_, '_>, at: u64, discard: bool, flags: u64) -> Result<u64, Trap> {
    let Some(ptr) = Dynptr::at(c, at)? else { return Ok(0) };
    mem::zero(at, BYTES);
    super::ringbuf::end(c.run, ptr.start, discard, flags)
}

pub(super) fn submit(c: &mut Call<'_, '_>, [at, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    end(c, at, false, flags)
}

pub(super) fn discard(c: &mut Call<'_, '_>, [at, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    end(c, at, true, flags)
}

#[cfg(test)]
mod tests {
    use interp::Trap;
    use isa::Insn;

    use crate::run::tests::run;

    fn i(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn::new(code, dst, src, off, imm)
    }

    fn stack(reg: u8, at: i32) -> [Insn; 2] {
        [i(0xbf, reg, 10, 0, 0), i(0x07, reg, 0, 0, at)]
    }

    /// A pointer to the 16 zeroed bytes at r10 - 32, then `rest`.
    fn with_pointer(rest: &[Insn]) -> Result<u64, Trap> {
        let mut insns = vec![i(0x7a, 10, 0, -32, 0), i(0x7a, 10, 0, -24, 0)];
        insns.push(i(0x7a, 10, 0, -40, 0x4847_4645));
        insns.extend(stack(1, -32));
        insns.extend([i(0xb7, 2, 0, 0, 16), i(0xb7, 3, 0, 0, 0)]);
        insns.extend(stack(4, -16));
        insns.push(i(0x85, 0, 0, 0, 197));
        insns.extend(rest);
        insns.push(i(0x95, 0, 0, 0, 0));
        run(&insns)
    }

    /// Eight bytes of r10 - 40 to offset `off`.
    fn write(off: i32) -> Vec<Insn> {
        let mut insns = stack(1, -16).to_vec();
        insns.push(i(0xb7, 2, 0, 0, off));
        insns.extend(stack(3, -40));
        insns.extend([i(0xb7, 4, 0, 0, 8), i(0xb7, 5, 0, 0, 0), i(0x85, 0, 0, 0, 202)]);
        insns
    }

    #[test]
    fn bytes_land_where_the_offset_says() {
        let mut insns = write(4);
        insns.push(i(0x61, 0, 10, -28, 0));
        assert_eq!(with_pointer(&insns), Ok(0x4847_4645));
    }

    #[test]
    fn what_is_written_is_read_and_sliced() {
        let mut insns = write(8);
        insns.extend(stack(1, -48));
        insns.push(i(0xb7, 2, 0, 0, 8));
        insns.extend(stack(3, -16));
        insns.extend([i(0xb7, 4, 0, 0, 8), i(0xb7, 5, 0, 0, 0), i(0x85, 0, 0, 0, 201)]);
        insns.extend(stack(1, -16));
        insns.extend([i(0xb7, 2, 0, 0, 8), i(0xb7, 3, 0, 0, 8), i(0x85, 0, 0, 0, 203)]);
        insns.extend([i(0x79, 0, 0, 0, 0), i(0x79, 1, 10, -48, 0), i(0x0f, 0, 1, 0, 0)]);
        assert_eq!(with_pointer(&insns), Ok(2 * 0x4847_4645));
    }

    #[test]
    fn what_does_not_fit_is_e2big() {
        assert_eq!(with_pointer(&write(8)), Ok(0));
        assert_eq!(with_pointer(&write(9)), Ok(-7i64 as u64));
        assert_eq!(with_pointer(&write(-1)), Ok(-7i64 as u64));
    }
}
