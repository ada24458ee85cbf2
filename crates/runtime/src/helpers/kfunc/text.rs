//! Functions on strings in any memory that the run may read.
//!
//! They look at 65536 bytes at most, and answer as if they read byte by byte: what lies behind the
//! byte that decides need not be there.

use interp::Trap;
use uapi::Errno;

use super::super::{Call, count};

/// `XATTR_SIZE_MAX`.
const MAX: usize = 65536;
/// User addresses are below.
const USER_END: u64 = 1 << 47;

/// A string, up to the end of its memory.
struct Text(Vec<u8>);

impl Text {
    fn at(c: &mut Call<'_, '_>, addr: u64) -> Result<Text, Errno> {
        let bytes = c.probe(addr, MAX);
        match bytes.is_empty() {
            false => Ok(Text(bytes)),
            true if addr < USER_END => Err(Errno::ERANGE),
            true => Err(Errno::EFAULT),
        }
    }

    /// The byte at `i`: E2BIG beyond what is looked at, EFAULT where there is no memory.
    fn byte(&self, i: usize) -> Result<u8, Errno> {
        let beyond = if i >= MAX { Errno::E2BIG } else { Errno::EFAULT };
        self.0.get(i).copied().ok_or(beyond)
    }

    /// Where it ends, looking at `max` bytes; `max` if they hold no end.
    fn end(&self, max: usize) -> Result<usize, Errno> {
        let seen = &self.0[..self.0.len().min(max)];
        match seen.iter().position(|byte| *byte == 0) {
            Some(end) => Ok(end),
            None if seen.len() == max => Ok(max),
            None => Err(self.byte(self.0.len()).err().unwrap_or(Errno::EFAULT)),
        }
    }
}

fn answer(at: Result<usize, Errno>) -> Result<u64, Trap> {
    // An int: the upper half of a negative one is not looked at.
    Ok(count(at.map(|at| at as u64)))
}

/// Lower case in Latin 1, as the kernel's table has it.
fn lower(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 0x20,
        _ => byte,
    }
}

fn compared(c: &mut Call<'_, '_>, a: u64, b: u64, fold: fn(u8) -> u8) -> Result<u64, Errno> {
    let (a, b) = (Text::at(c, a)?, Text::at(c, b)?);
    for i in 0.. {
        let (x, y) = (fold(a.byte(i)?), fold(b.byte(i)?));
        if x != y {
            return Ok(if x < y { -1_i64 as u64 } else { 1 });
        }
        if x == 0 {
            break;
        }
    }
    Ok(0)
}

pub(super) fn compare(c: &mut Call<'_, '_>, [a, b, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(count(compared(c, a, b, |byte| byte)))
}

pub(super) fn compare_any_case(c: &mut Call<'_, '_>, [a, b, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(count(compared(c, a, b, lower)))
}

fn found(c: &mut Call<'_, '_>, at: u64, max: usize, wanted: u8) -> Result<usize, Errno> {
    let text = Text::at(c, at)?;
    for i in 0..max {
        match text.byte(i)? {
            byte if byte == wanted => return Ok(i),
            0 => break,
            _ => {}
        }
    }
    Err(Errno::ENOENT)
}

pub(super) fn find_char(c: &mut Call<'_, '_>, [at, wanted, ..]: [u64; 5]) -> Result<u64, Trap> {
    answer(found(c, at, usize::MAX, wanted as u8))
}

pub(super) fn find_char_within(
    c: &mut Call<'_, '_>,
    [at, max, wanted, ..]: [u64; 5],
) -> Result<u64, Trap> {
    answer(found(c, at, usize::try_from(max).unwrap_or(usize::MAX), wanted as u8))
}

pub(super) fn find_char_or_end(
    c: &mut Call<'_, '_>,
    [at, wanted, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let text = Text::at(c, at);
    answer(text.and_then(|text| {
        for i in 0.. {
            let byte = text.byte(i)?;
            if byte == wanted as u8 || byte == 0 {
                return Ok(i);
            }
        }
        Err(Errno::E2BIG)
    }))
}

pub(super) fn find_last_char(
    c: &mut Call<'_, '_>,
    [at, wanted, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let text = Text::at(c, at);
    answer(text.and_then(|text| {
        let mut last = Err(Errno::ENOENT);
        for i in 0.. {
            let byte = text.byte(i)?;
            if byte == wanted as u8 {
                last = Ok(i);
            }
            if byte == 0 {
                break;
            }
        }
        last
    }))
}

pub(super) fn len(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    let text = Text::at(c, at);
    answer(text.and_then(|text| match text.end(MAX)? {
        MAX => Err(Errno::E2BIG),
        end => Ok(end),
    }))
}

pub(super) fn len_within(c: &mut Call<'_, '_>, [at, max, ..]: [u64; 5]) -> Result<u64, Trap> {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let text = Text::at(c, at);
    answer(text.and_then(|text| match text.end(max.min(MAX))? {
        MAX => Err(Errno::E2BIG),
        end => Ok(end),
    }))
}

/// How many bytes of the first text are, or are not, among those of the second.
fn spanned(c: &mut Call<'_, '_>, at: u64, set: u64, inside: bool) -> Result<usize, Errno> {
    let (text, set) = (Text::at(c, at)?, Text::at(c, set)?);
    let end = set.0.iter().position(|byte| *byte == 0);
    let members = &set.0[..end.unwrap_or(set.0.len())];
    let mut known = [false; 256];
    members.iter().for_each(|byte| known[usize::from(*byte)] = true);
    for i in 0.. {
        let byte = text.byte(i)?;
        if byte == 0 {
            return Ok(i);
        }
        let is_known = known[usize::from(byte)];
        if !is_known && end.is_none() {
            // The whole set would have been read.
            set.byte(set.0.len())?;
        }
        if is_known != inside {
            return Ok(i);
        }
    }
    Err(Errno::E2BIG)
}

pub(super) fn span(c: &mut Call<'_, '_>, [at, set, ..]: [u64; 5]) -> Result<u64, Trap> {
    answer(spanned(c, at, set, true))
}

pub(super) fn span_without(c: &mut Call<'_, '_>, [at, set, ..]: [u64; 5]) -> Result<u64, Trap> {
    answer(spanned(c, at, set, false))
}

/// Where the second text starts in the first `max` bytes of the first one.
fn located(c: &mut Call<'_, '_>, at: u64, wanted: u64, max: usize) -> Result<usize, Errno> {
    let (text, wanted) = (Text::at(c, at)?, Text::at(c, wanted)?);
    let needle = &wanted.0[..wanted.end(MAX)?];
    if needle.len() == MAX {
        return Err(Errno::E2BIG);
    }
    let end = text.0.iter().position(|byte| *byte == 0);
    let hay = &text.0[..end.unwrap_or(text.0.len()).min(max)];
    match position(hay, needle) {
        Some(at) => Ok(at),
        None if hay.len() == max || end.is_some() => Err(Errno::ENOENT),
        None => Err(text.byte(text.0.len()).err().unwrap_or(Errno::EFAULT)),
    }
}

/// Knuth, Morris and Pratt's search: no text makes it long.
fn position(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let mut border = vec![0; needle.len()];
    let mut matched = 0;
    for i in 1..needle.len() {
        while matched > 0 && needle[i] != needle[matched] {
            matched = border[matched - 1];
        }
        matched += usize::from(needle[i] == needle[matched]);
        border[i] = matched;
    }
    if needle.is_empty() {
        return Some(0);
    }
    matched = 0;
    for (i, byte) in hay.iter().enumerate() {
        while matched > 0 && *byte != needle[matched] {
            matched = border[matched - 1];
        }
        matched += usize::from(*byte == needle[matched]);
        if matched == needle.len() {
            return Some(i + 1 - matched);
        }
    }
    None
}

pub(super) fn find(c: &mut Call<'_, '_>, [at, wanted, ..]: [u64; 5]) -> Result<u64, Trap> {
    answer(located(c, at, wanted, MAX))
}

pub(super) fn find_within(
    c: &mut Call<'_, '_>,
    [at, wanted, max, ..]: [u64; 5],
) -> Result<u64, Trap> {
    answer(located(c, at, wanted, usize::try_from(max).unwrap_or(usize::MAX)))
}
