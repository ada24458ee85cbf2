//! Map values, ring buffer records and other memory of known size.

use uapi::ArgKind;

use crate::event::{BadArg, BadMap, BadMem, Reason};
use crate::explain::case::{Case, Touch};
use crate::explain::cause::{About, Cause};
use crate::explain::words::{bytes, map_name, signed, unsigned};
use crate::state::{RegKind, RegState};

/// Accesses of the context have a row of their own.
const CONTEXT: &str = "context ";

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "memory-too-far",
        |reason| matches!(reason, Reason::Mem(BadMem::MaxOutside { .. })),
        "an access may go beyond the end of its memory",
    )
    .needs_of(within)
    .help_of(limit)
    .about(About::Made(pointer_and_length)),
    Cause::new(
        "memory-before-start",
        |reason| matches!(reason, Reason::Mem(BadMem::MinOutside { .. })),
        "an access lies outside its memory",
    )
    .needs_of(within)
    .help_of(limit)
    .about(About::Made(pointer_and_length)),
    Cause::new(
        "memory-unbounded",
        |reason| matches!(reason, Reason::Mem(BadMem::Unbounded { .. })),
        "memory is accessed at an offset that has no upper limit",
    )
    .needs_of(within)
    .help_of(limit)
    .about(About::Made(pointer_and_length)),
    Cause::new(
        "memory-negative-offset",
        |reason| matches!(reason, Reason::Mem(BadMem::MayBeNegative { .. })),
        "memory is accessed at an offset that may be negative",
    )
    .needs_of(within)
    .help("make the index unsigned, or check `if (i < 0) return ...;` before it is used; a check of a 32-bit copy does not limit the 64-bit value"),
    Cause::new(
        "memory-bounds",
        |reason| matches!(reason, Reason::Mem(BadMem::MapValue { .. } | BadMem::MapKey { .. } | BadMem::Region { .. } | BadMem::MapValuePointer { .. })),
        "an access lies outside its memory",
    )
    .needs_of(|case| match case.seen.numbers[..] {
        [have, off, size] => format!("{} at offset {off} must end within {}", bytes(size), bytes(have)),
        _ => within(case),
    })
    .help_of(limit)
    .about(About::Operands),
    Cause::new(
        "length-negative",
        |reason| matches!(reason, Reason::Mem(BadMem::LengthNegative { .. })),
        "a length may be negative",
    )
    .needs_of(length)
    .help("make the length unsigned, or limit it from both sides just before the call: `len &= 0xff` or `if (len < 0 || len > MAX) return ...;`")
    .about(About::Made(length_and_pointer)),
    Cause::new(
        "length-unbounded",
        |reason| matches!(reason, Reason::Mem(BadMem::LengthUnbounded { .. })),
        "a length has no upper limit",
    )
    .needs_of(length)
    .help("limit it just before the call: `if (len > sizeof(buf)) return ...;` or `len &= sizeof(buf) - 1`")
    .about(About::Made(length_and_pointer)),
    Cause::new(
        "length-zero",
        |reason| matches!(reason, Reason::Mem(BadMem::LengthZero { .. })),
        "a length may be zero where at least one byte is asked for",
    )
    .needs_of(length)
    .help("check the length before: `if (len == 0) return ...;`")
    .about(About::Made(length_and_pointer)),
    Cause::new(
        "map-frozen",
        |reason| matches!(reason, Reason::Mem(BadMem::MapReadOnly { .. }) | Reason::Arg(BadArg::MapIsReadOnly)),
        "a map that programs may only read is written",
    )
    .needs("the map was made with BPF_F_RDONLY_PROG (constants in .rodata are such a map)")
    .help("drop `const` from the variable, or write to another map"),
    Cause::new(
        "map-write-only",
        |reason| matches!(reason, Reason::Mem(BadMem::MapWriteOnly { .. })),
        "a map that programs may only write is read",
    )
    .needs("the map was made with BPF_F_WRONLY_PROG")
    .help("make the map without BPF_F_WRONLY_PROG"),
    Cause::new(
        "memory-read-only",
        |reason| matches!(reason, Reason::Mem(BadMem::ReadOnly { .. })),
        "memory is written that this program may only read",
    )
    .needs_of(|case| format!("{} points to memory that programs may only read", case.main_name()))
    .help("copy the data to the stack or a map and change the copy"),
    Cause::new(
        "map-special-field",
        |reason| matches!(reason, Reason::Mem(BadMem::FieldDirect { .. } | BadMem::FieldByHelper { .. })),
        "a field that belongs to the kernel is touched directly",
    )
    .needs("locks, timers, list heads and the like may only be used through their own functions")
    .help("access the other fields one by one; do not copy the whole struct")
    .about(About::Operands),
    Cause::new(
        "memory-misaligned",
        |reason| matches!(reason, Reason::Mem(BadMem::Misaligned { what, .. }) if *what != CONTEXT),
        "an access is not aligned to its size",
    )
    .needs("an access of 2, 4 or 8 bytes must be aligned to its size")
    .help("avoid packed structs and casts to wider types")
    .about(About::Operands),
    Cause::new(
        "map-too-large-offset",
        |reason| matches!(reason, Reason::Map(BadMap::Offset { .. })),
        "the address of a global variable lies outside its section",
    )
    .needs("the offset must lie within the map's value")
    .help("keep the index within the array")
    .about(About::None),
];

/// How large the memory is that a pointer points to.
fn room(case: &Case<'_>, reg: &RegState) -> Option<i64> {
    Some(match reg.kind {
        RegKind::MapValue => case.env.map_def(reg).value_size.into(),
        RegKind::MapKey => case.env.map_def(reg).key_size.into(),
        RegKind::Mem => reg.mem_size().into(),
        _ => return None,
    })
}

fn owner(case: &Case<'_>, reg: &RegState) -> String {
    match reg.kind {
        RegKind::MapValue => format!("a value of {}", map_name(case.env, reg)),
        RegKind::MapKey => "the key".into(),
        _ => "the memory".into(),
    }
}

fn within(case: &Case<'_>) -> String {
    let Some((touch, have)) = touch_in(case) else {
        return "every possible offset must lie within the memory".into();
    };
    let owner = owner(case, &touch.reg);
    let from = match touch.high {
        Some(high) if high == touch.low => format!("at offset {high}"),
        Some(high) if touch.low >= 0 => format!("at an offset from {} to {high}", touch.low),
        _ => {
            let low = if touch.low < 0 { "may be negative" } else { "has no upper limit" };
            format!("at an offset that {low}")
        }
    };
    let size = if touch.size < 1 << 32 { bytes(touch.size) } else { "any number of bytes".into() };
    format!("{owner} has {}; {size} {from} must end within them", bytes(have))
}

fn touch_in(case: &Case<'_>) -> Option<(Touch, i64)> {
    let touch = case.touch()?;
    let have = room(case, &touch.reg)?;
    Some((touch, have))
}

fn limit(case: &Case<'_>) -> String {
    let Some((touch, have)) = touch_in(case) else {
        return "limit the index or length just before it is used".into();
    };
    let left = have - touch.low;
    if touch.low < 0 && touch.high.is_some_and(|high| high < 0) {
        return "the address lies before the start: check what is added or subtracted".into();
    }
    if left <= 0 && touch.reg.v.as_const().is_none() {
        return "even the smallest possible offset lies outside: check the index and the sizes"
            .into();
    }
    if touch.reg.v.as_const().is_some() {
        let length = match &pointer_and_length(case)[..] {
            [_, length] => case.reg(*length).filter(|reg| !reg.is_const()),
            _ => None,
        };
        return match (case.helper(), length) {
            (Some(_), Some(_)) => {
                format!("limit the length just before the call: `if (len > {left}) return ...;`")
            }
            (Some(_), None) => "pass memory that is at least that large".into(),
            _ => "check the index or the size of the type: it does not fit".into(),
        };
    }
    let fixed = touch.low - touch.reg.v.smin.max(0);
    let most = have - touch.size - fixed.max(0);
    if touch.reg.v.smin >= 0 && most >= 0 {
        let step = 1i64 << touch.reg.v.var_off.mask.trailing_zeros().min(12);
        let count = most / step + 1;
        let index = match step {
            1 => format!("`if (i >= {count}) return ...;`"),
            _ => format!("`if (i >= {count}) return ...;` for elements of {}", bytes(step)),
        };
        return format!("limit the index just before it is used: {index}");
    }
    "limit the index from both sides just before it is used; make it unsigned".into()
}

/// The pointer that the message names, and the length that goes with it.
fn pointer_and_length(case: &Case<'_>) -> Vec<usize> {
    let Some(n) = case.main_reg() else { return Vec::new() };
    match case.arg(n + 1).map(|arg| arg.kind) {
        Some(ArgKind::ConstSize | ArgKind::ConstSizeOrZero) => vec![n, n + 1],
        _ => vec![n],
    }
}

/// The length that the message names, and the pointer before it.
fn length_and_pointer(case: &Case<'_>) -> Vec<usize> {
    match case.main_reg() {
        Some(n) if n > 1 => vec![n, n - 1],
        Some(n) => vec![n],
        None => Vec::new(),
    }
}

fn length(case: &Case<'_>) -> String {
    let Some(n) = case.main_reg() else { return String::new() };
    let least = match case.arg(n).map(|arg| arg.kind) {
        Some(ArgKind::ConstSizeOrZero) => 0,
        _ => 1,
    };
    let room = n.checked_sub(1).and_then(|n| case.reg(n)).and_then(|reg| {
        let at = i64::from(reg.off) + reg.v.as_const()? as i64;
        if reg.kind == RegKind::Stack { Some(-at) } else { Some(room(case, reg)? - at) }
    });
    let now = case.reg(n).map_or(String::new(), |reg| match (reg.v.smin, reg.v.umax) {
        (min, _) if min < 0 => format!("; it can be as small as {}", signed(min)),
        (_, max) => format!("; it can be as large as {}", unsigned(max)),
    });
    match room.filter(|room| *room > 0) {
        Some(room) => {
            format!("the length R{n} of {} must lie within {least} and {room}{now}", case.callee())
        }
        None => format!(
            "the length R{n} of {} must be at least {least} and have a limit{now}",
            case.callee()
        ),
    }
}
