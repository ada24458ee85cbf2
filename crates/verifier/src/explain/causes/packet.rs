//! Packet bytes.

use isa::Op;

use crate::event::{BadArg, BadMem, BadPtr, Reason};
use crate::explain::case::{Case, Touch};
use crate::explain::cause::{About, Cause};
use crate::explain::words::{bytes, unsigned};
use crate::state::{RegKind, RegState};

/// Largest offset for which Linux keeps the result of a comparison with the end.
const MAX_OFFSET: u64 = 0xffff;

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "packet-offset-unlimited",
        |reason| matches!(reason, Reason::Mem(BadMem::OutsidePacket { .. })),
        "the packet is read at an offset that has no small limit",
    )
    .when(is_far)
    .needs_of(|case| {
        format!(
            "a comparison with data_end counts only for offsets up to {MAX_OFFSET}; the variable part of {} can be as large as {}",
            case.main_name(),
            case.main().map_or_else(String::new, |reg| unsigned(reg.v.umax))
        )
    })
    .help("limit the variable part before it is added to the pointer, for instance `len &= 0x3fff` or `if (len > 1500) return ...;`, then compare the sum with data_end"),
    Cause::new(
        "packet-bounds",
        |reason| matches!(reason, Reason::Mem(BadMem::OutsidePacket { .. })),
        "the packet is accessed beyond what was compared with data_end",
    )
    .needs_of(required)
    .help_of(help),
    Cause::new(
        "packet-negative-offset",
        |reason| matches!(reason, Reason::Mem(BadMem::MayBeNegative { .. })),
        "the packet is read at an offset that may be negative",
    )
    .when(|case| case.main().is_some_and(|reg| reg.is_packet()))
    .needs_of(|case| format!("{} must not point before the packet's start", case.main_name()))
    .help("make the offset unsigned, or check that it is not negative before adding it"),
    Cause::new(
        "packet-pointer-stale",
        |reason| matches!(reason, Reason::Mem(BadMem::Access { is, .. }) if is.kind == RegKind::Scalar),
        "a packet pointer is used after a call that may move the packet",
    )
    .when(|case| case.invalidated().is_some_and(|(_, before, _)| before.is_packet_any()))
    .needs_of(|case| match case.invalidated() {
        Some((op, _, insn)) => format!(
            "after {} every packet pointer must be read from the context again and compared with data_end again",
            crate::explain::case::callee_name(case.env, op, insn)
        ),
        None => String::new(),
    })
    .help("after the call, set `data` and `data_end` again from the context and repeat the comparison"),
    Cause::new(
        "packet-end-arithmetic",
        |reason| matches!(reason, Reason::Ptr(BadPtr::Fixed { is, .. }) if is.kind == RegKind::PktEnd),
        "data_end is used in a calculation",
    )
    .needs("data_end may only be compared with packet pointers")
    .help("calculate on the other side of the comparison: `data + n > data_end` instead of `data > data_end - n`"),
    Cause::new(
        "packet-read-only",
        |reason| matches!(reason, Reason::Mem(BadMem::WritesPacket)),
        "this type of program may not write the packet",
    )
    .needs("direct packet writes are for program types that may change packets (XDP, TC, socket SKB, LWT xmit, ...)")
    .help("read only, or use another program type"),
    Cause::new(
        "packet-to-helper",
        |reason| matches!(reason, Reason::Arg(BadArg::PacketForbidden)),
        "this helper does not take packet pointers",
    )
    .needs_of(|case| format!("{} takes no pointer into the packet", case.callee()))
    .help("copy the bytes to the stack first, and pass the copy")
    .about(About::Made(|case| {
        case.operands().into_iter().filter(|&n| case.reg(n).is_some_and(RegState::is_packet)).collect()
    })),
    Cause::new(
        "packet-misaligned",
        |reason| matches!(reason, Reason::Mem(BadMem::PacketMisaligned { .. })),
        "packet bytes are read at an offset that is not aligned",
    )
    .needs("with strict alignment each access must be aligned to its size")
    .help("load without BPF_F_STRICT_ALIGNMENT, or read byte by byte"),
];

fn is_far(case: &Case<'_>) -> bool {
    case.main().is_some_and(|reg| {
        let reach = reg.v.umax.saturating_add(reg.off.max(0) as u64);
        reg.is_packet() && reg.v.as_const().is_none() && reg.range() == 0 && reach > MAX_OFFSET
    })
}

/// Where the comparison has to reach: behind `data`, or behind the pointer if it varies.
enum Reach {
    FromStart(i64),
    FromPointer(i64),
}

fn reach(touch: &Touch, case: &Case<'_>) -> Reach {
    match touch.high {
        Some(high) if touch.reg.v.as_const().is_some() => Reach::FromStart(high + touch.size),
        _ => Reach::FromPointer(insn_off(case) + touch.size),
    }
}

fn insn_off(case: &Case<'_>) -> i64 {
    match case.op {
        Some(
            Op::Load { off, .. }
            | Op::Store { off, .. }
            | Op::Atomic { off, .. }
            | Op::LoadAcquire { off, .. }
            | Op::StoreRelease { off, .. },
        ) => off.into(),
        _ => 0,
    }
}

fn start(touch: &Touch) -> &'static str {
    if touch.reg.kind == RegKind::PktMeta { "data_meta" } else { "data" }
}

fn end(touch: &Touch) -> &'static str {
    if touch.reg.kind == RegKind::PktMeta { "data" } else { "data_end" }
}

fn required(case: &Case<'_>) -> String {
    let Some(touch) = case.touch() else { return String::new() };
    let what = match case.op {
        Some(Op::Call(_)) => format!("{} on {} of the packet", case.callee(), bytes(touch.size)),
        _ if touch.write => format!("writing {}", bytes(touch.size)),
        _ => format!("reading {}", bytes(touch.size)),
    };
    let (end, name) = (end(&touch), case.main_name());
    if touch.reg.range() < 0 {
        return format!("{what} needs a check that shows that {name} lies before {end}");
    }
    match reach(&touch, case) {
        Reach::FromStart(to) => {
            let at = to - touch.size;
            let start = start(&touch);
            format!("{what} at packet offset {at} needs a check that {start} + {to} <= {end}")
        }
        Reach::FromPointer(to) => {
            format!("{what} needs a check of this pointer itself: {name} + {to} <= {end}")
        }
    }
}

fn help(case: &Case<'_>) -> String {
    let Some(touch) = case.touch() else { return String::new() };
    let end = end(&touch);
    match reach(&touch, case) {
        Reach::FromStart(to) => {
            let to = to + more_behind(case);
            format!("before this line: `if ({} + {to} > {end}) return ...;`", start(&touch))
        }
        Reach::FromPointer(to) => format!(
            "before this line, compare the very pointer that is used: `if (p + {} > {end}) return ...;`",
            to + more_behind(case)
        ),
    }
}

/// How much further the next instructions read through the same pointer: one check for all.
fn more_behind(case: &Case<'_>) -> i64 {
    let (Some(insn), Some(reg)) = (case.insn, case.main_reg()) else { return 0 };
    let Some(Op::Load { size, off, .. }) = case.op else { return 0 };
    let here = i64::from(off) + i64::from(size.bytes());
    let mut furthest = here;
    for op in &case.env.ops[insn..] {
        match op {
            Some(Op::Load { size, base, off, dst, .. }) => {
                if base.index() == reg {
                    furthest = furthest.max(i64::from(*off) + i64::from(size.bytes()));
                }
                if dst.index() == reg {
                    break;
                }
            }
            Some(Op::Alu { dst, .. } | Op::End { dst, .. }) if dst.index() != reg => {}
            _ => break,
        }
    }
    furthest - here
}
