//! Helpers on strings.

use interp::Trap;
use uapi::Errno;

use super::{Call, count, mem};

/// A number in text: its sign, magnitude, and the bytes it takes.
struct Number {
    negative: bool,
    value: u64,
    taken: u64,
}

pub(super) fn strtol(
    _: &mut Call<'_, '_>,
    [buf, len, flags, res, _]: [u64; 5],
) -> Result<u64, Trap> {
    mem::write(res, &[0; 8]);
    let parsed = parse(&mem::copy(buf, len as usize), flags, true).and_then(|n| {
        let limit = i64::MAX as u64 + u64::from(n.negative);
        if n.value > limit {
            return Err(Errno::ERANGE);
        }
        let value = if n.negative { n.value.wrapping_neg() } else { n.value };
        mem::write(res, &value.to_ne_bytes());
        Ok(n.taken)
    });
    Ok(count(parsed))
}

pub(super) fn strtoul(
    _: &mut Call<'_, '_>,
    [buf, len, flags, res, _]: [u64; 5],
) -> Result<u64, Trap> {
    mem::write(res, &[0; 8]);
    let parsed = parse(&mem::copy(buf, len as usize), flags, true).and_then(|n| {
        if n.negative {
            return Err(Errno::EINVAL);
        }
        mem::write(res, &n.value.to_ne_bytes());
        Ok(n.taken)
    });
    Ok(count(parsed))
}

/// Reads an optionally signed number; the base is the low five bits of `flags`, 0 to guess.
fn parse(text: &[u8], flags: u64, signed: bool) -> Result<Number, Errno> {
    let base = flags & 31;
    if text.is_empty() || !matches!(base, 0 | 8 | 10 | 16) || flags & !31 != 0 {
        return Err(Errno::EINVAL);
    }
    let space = text.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let mut rest = &text[space..];
    let negative = signed && rest.first() == Some(&b'-');
    if negative {
        rest = &rest[1..];
    }
    let (base, prefix) = radix(rest, base);
    rest = &rest[prefix..];
    let mut value = 0u64;
    let digits = rest.iter().map_while(|b| (*b as char).to_digit(base as u32)).map(u64::from);
    let mut n = 0;
    for digit in digits {
        value = value.checked_mul(base).and_then(|v| v.checked_add(digit)).ok_or(Errno::ERANGE)?;
        n += 1;
    }
    if n == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Number { negative, value, taken: (space + usize::from(negative) + prefix + n) as u64 })
}

/// The base, and the bytes of its prefix.
fn radix(text: &[u8], base: u64) -> (u64, usize) {
    let x = text.len() > 1 && text[0] == b'0' && text[1].eq_ignore_ascii_case(&b'x');
    match base {
        16 if x => (16, 2),
        0 if x && text.get(2).is_some_and(u8::is_ascii_hexdigit) => (16, 2),
        0 if text.first() == Some(&b'0') => (8, 0),
        0 => (10, 0),
        base => (base, 0),
    }
}

pub(super) fn strncmp(_: &mut Call<'_, '_>, [s1, len, s2, ..]: [u64; 5]) -> Result<u64, Trap> {
    let len = len as u32 as usize;
    let a = mem::view(s1, len);
    for i in 0..len {
        // The second string ends in a zero, so reading stops in time.
        let (x, y) = (a.byte(i), mem::view(s2 + i as u64, 1).byte(0));
        if x != y {
            return Ok(if x < y { -1i64 as u64 } else { 1 });
        }
        if x == 0 {
            break;
        }
    }
    Ok(0)
}
