//! Helpers on the options of a TCP header.

use interp::Trap;
use uapi::Errno;

use super::{Call, count, mem, status};
use crate::segment::Segment;

const END: u8 = 0;
const NOP: u8 = 1;
/// Options whose kind is followed by a number that says whose they are.
const EXPERIMENTAL: [u8; 2] = [253, 254];
const HDR_OPT_LEN_CB: u32 = 14;
const WRITE_HDR_OPT_CB: u32 = 15;
const OF_SYN: u64 = 1;

/// What a search ended with.
enum Found {
    At(usize),
    /// Not there, and the list was closed.
    Closed,
    No,
}

/// Looks for an option of this kind whose value starts with `magic`.
fn search(options: &[u8], kind: u8, magic: &[u8]) -> Result<Found, Errno> {
    let mut at = 0;
    while at < options.len() {
        match options[at] {
            END => return Ok(Found::Closed),
            NOP => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let len = options.get(at + 1).map_or(0, |len| usize::from(*len));
        if len < 2 || options.len() - at < len {
            return Err(Errno::EFAULT);
        }
        if options[at] == kind {
            let value = &options[at + 2..at + len];
            if magic.is_empty() || value.starts_with(magic) {
                return Ok(Found::At(at));
            }
            if magic.len() > value.len() {
                return Ok(Found::No);
            }
        }
        at += len;
    }
    Ok(Found::No)
}

fn op(ctx: u64) -> u32 {
    mem::view(ctx, 4).u32(0)
}

fn segment<'r>(c: &Call<'_, 'r>) -> Result<&'r Segment, Errno> {
    c.run.world.segment.ok_or(Errno::EPERM)
}

pub(super) fn load(c: &mut Call<'_, '_>, [ctx, buf, len, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let len = len as u32 as usize;
    let asked = mem::copy(buf, len);
    Ok(count(find(c, op(ctx), &asked, flags).and_then(|option| {
        mem::write(buf, &option[..option.len().min(len)]);
        if option.len() > len { Err(Errno::ENOSPC) } else { Ok(option.len() as u64) }
    })))
}

fn find(c: &Call<'_, '_>, op: u32, asked: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
    if asked.len() < 2 || flags & !OF_SYN != 0 {
        return Err(Errno::EINVAL);
    }
    let (kind, len) = (asked[0], usize::from(asked[1]));
    let named = EXPERIMENTAL.contains(&kind);
    let good = if named { matches!(len, 4 | 6) } else { len == 0 };
    if len > asked.len() || matches!(kind, NOP | END) || !good {
        return Err(Errno::EINVAL);
    }
    let magic = if named { &asked[2..len] } else { &[] };
    let of = |options: &[u8]| match search(options, kind, magic)? {
        Found::At(at) => Ok(options[at..at + usize::from(options[at + 1])].to_vec()),
        _ => Err(Errno::ENOMSG),
    };
    if flags & OF_SYN != 0 {
        let segment = c.run.world.segment.ok_or(Errno::ENOENT)?;
        return of(segment.syn.as_ref().ok_or(Errno::ENOENT)?);
    }
    if op == HDR_OPT_LEN_CB {
        return Err(Errno::EPERM);
    }
    of(&segment(c)?.options.borrow())
}

pub(super) fn store(
    c: &mut Call<'_, '_>,
    [ctx, from, len, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let option = mem::copy(from, len as u32 as usize);
    let stored = segment(c).and_then(|segment| {
        if op(ctx) != WRITE_HDR_OPT_CB {
            return Err(Errno::EPERM);
        }
        add(segment, &option, flags)
    });
    Ok(status(stored))
}

fn add(segment: &Segment, option: &[u8], flags: u64) -> Result<(), Errno> {
    if option.len() < 2 || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let (kind, len) = (option[0], usize::from(option[1]));
    if len > option.len() || len < 2 || matches!(kind, NOP | END) {
        return Err(Errno::EINVAL);
    }
    if len as u32 > segment.room.get() {
        return Err(Errno::ENOSPC);
    }
    let named = EXPERIMENTAL.contains(&kind);
    if named && len < 4 {
        return Err(Errno::EINVAL);
    }
    let mut options = segment.options.borrow_mut();
    let magic = if named { &option[2..4] } else { &[] };
    match search(&options, kind, magic)? {
        Found::At(_) => return Err(Errno::EEXIST),
        Found::Closed => return Err(Errno::ENOSPC),
        Found::No => {}
    }
    options.extend_from_slice(&option[..len]);
    segment.room.set(segment.room.get() - len as u32);
    Ok(())
}

pub(super) fn reserve(c: &mut Call<'_, '_>, [ctx, len, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let len = len as u32;
    let reserved = segment(c).and_then(|segment| {
        if op(ctx) != HDR_OPT_LEN_CB {
            return Err(Errno::EPERM);
        }
        if flags != 0 || len < 2 {
            return Err(Errno::EINVAL);
        }
        let left = segment.room.get().checked_sub(len).ok_or(Errno::ENOSPC)?;
        segment.room.set(left);
        Ok(())
    });
    Ok(status(reserved))
}
