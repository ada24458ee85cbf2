//! Dynamic pointers: 16 bytes on the stack that name memory and its size.
//!
//! Laid out as Linux does: address, size with the kind above it, offset.

use interp::Trap;
use uapi::Errno;

use super::{Call, guard, mem};

const BYTES: usize = 16;
const SIZE_MAX: u32 = (1 << 24) - 1;
const KIND_SHIFT: u32 = 28;
const READ_ONLY: u32 = 1 << 31;
const LOCAL: u32 = 1;

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
        if kept.size != 0 {
            guard::usable(c.run, &*c.vm, kept.start, kept.size as usize, !kept.read_only)?;
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
