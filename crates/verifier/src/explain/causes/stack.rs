//! The stack of 512 bytes.

use crate::event::{BadExit, BadMem, BadReg, BadStack, Reason};
use crate::explain::case::Case;
use crate::explain::cause::{About, Cause};
use crate::explain::words::bytes;
use crate::state::RegKind;

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "stack-uninitialised",
        |reason| matches!(reason, Reason::Stack(BadStack::Unset { .. } | BadStack::UnsetForHelper { .. } | BadStack::UnsetVariable { .. })),
        "stack bytes are read that were never written",
    )
        .needs_of(uninitialised)
        .help("set all of the variable before, padding included: `struct key k = {};` or `__builtin_memset(&k, 0, sizeof(k));`"),
    Cause::new(
        "stack-bounds",
        |reason| matches!(reason, Reason::Stack(BadStack::Outside { .. })),
        "an access outside the stack",
    )
    .needs_of(bounds)
    .help_of(|case| match room(case) {
        Some(room) => format!("limit the length just before the call: `if (len > {room}) return ...;`"),
        None => "keep indexes within the array; put large data into a map (a per-CPU array of one element)".into(),
    })
    .about(About::Made(|case| match (case.op, case.main_reg()) {
        (Some(isa::Op::Call(_)), Some(n)) if room(case).is_some() => vec![n, n + 1],
        (_, Some(n)) => vec![n],
        _ => Vec::new(),
    })),
    Cause::new(
        "stack-variable",
        |reason| matches!(reason, Reason::Stack(BadStack::OutsideVariable { .. } | BadStack::UnboundedVariable { .. } | BadStack::VariableForbidden { .. } | BadStack::VariableMoved { .. } | BadStack::VariableToHelper { .. })),
        "the stack is accessed at an offset that is not limited enough",
    )
    .needs_of(|case| {
        format!("every value that {} can have must lie within the stack, fp-512 to fp-1", case.main_name())
    })
    .help("limit the index just before it is used: `if (i >= N) return ...;` or `i &= N - 1`"),
    Cause::new(
        "stack-misaligned",
        |reason| matches!(reason, Reason::Mem(BadMem::Misaligned { what: "stack ", .. })),
        "a stack access is not aligned to its size",
    )
    .needs("stack accesses of 2, 4 and 8 bytes must be aligned to their size")
    .help("let the compiler lay out the variable: no packed structs, no pointer casts to wider types")
    .about(About::Made(|case| {
        let on_stack = |n: &usize| case.reg(*n).is_some_and(|reg| reg.kind == RegKind::Stack);
        case.operands().into_iter().filter(on_stack).collect()
    })),
    Cause::new(
        "stack-partial-fill",
        |reason| matches!(reason, Reason::Stack(BadStack::FillSize)),
        "part of a pointer that was saved on the stack is read",
    )
    .needs("a saved pointer must be read back whole, with 8 bytes")
    .help("read the pointer with its full width"),
    Cause::new(
        "stack-partial-spill",
        |reason| matches!(reason, Reason::Stack(BadStack::SpillSize)),
        "part of a pointer is saved on the stack",
    )
    .needs("a pointer must be saved whole, with 8 bytes")
    .help("keep pointers in pointer variables, not in smaller integers")
    .about(About::Made(|case| match case.op {
        Some(isa::Op::Store { src: isa::Src::Reg(src), .. }) => vec![src.index()],
        _ => Vec::new(),
    })),
    Cause::new(
        "stack-corrupt",
        |reason| matches!(reason, Reason::Stack(BadStack::CorruptsSpill)),
        "part of a pointer that was saved on the stack is overwritten",
    )
    .needs("a saved pointer must stay whole")
    .help("do not reuse the bytes of a pointer variable"),
    Cause::new(
        "stack-depth",
        |reason| matches!(reason, Reason::Stack(BadStack::TooLarge { .. } | BadStack::FuncTooLarge { .. } | BadStack::BeforeTailCall { .. })),
        "the functions on one call chain use too much stack",
    )
    .needs_of(|case| match case.seen.numbers[..] {
        [calls, size] => format!(
            "the {calls} functions of this chain together use {size} bytes (each rounded up), and 512 are allowed; {}",
            frames(case)
        ),
        _ => "all functions of a call chain together may use 512 bytes (256 before a tail call)".into(),
    })
    .help("make local arrays smaller, move them into a per-CPU array map, or let the compiler inline less (fewer functions with their own frame)")
    .about(About::None),
    Cause::new(
        "stack-frame-pointer",
        |reason| matches!(reason, Reason::Reg(BadReg::FramePointer)),
        "the frame pointer R10 is written",
    )
    .needs("R10 always points to the running function's stack")
    .help("copy R10 to another register and calculate with the copy")
    .about(About::None),
    Cause::new(
        "stack-of-caller",
        |reason| matches!(reason, Reason::Stack(BadStack::IntoCaller) | Reason::Exit(BadExit::StackPointer)),
        "a pointer into this function's stack would outlive the function",
    )
    .needs("the stack of a function ends with it")
    .help("let the caller own the memory and pass a pointer to it")
    .about(About::Operands),
];

/// The largest frames: `inner uses 304, prog uses 304`.
fn frames(case: &Case<'_>) -> String {
    let mut all: Vec<(i32, &str)> =
        case.env.subprogs.iter().map(|s| (s.stack_depth, s.name.as_str())).collect();
    all.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
    let named = all.iter().filter(|(_, name)| !name.is_empty()).take(4);
    named.map(|(depth, name)| format!("{name} uses {depth}")).collect::<Vec<_>>().join(", ")
}

/// Bytes from a helper's stack argument to the end of the frame, where the length may be larger.
fn room(case: &Case<'_>) -> Option<i64> {
    let touch = case.touch().filter(|_| matches!(case.op, Some(isa::Op::Call(_))))?;
    (touch.low < 0 && touch.size > -touch.low).then_some(-touch.low)
}

fn bounds(case: &Case<'_>) -> String {
    match (room(case), case.touch()) {
        (Some(room), Some(touch)) => format!(
            "{} may access {} at fp{:+}, where only {} are left",
            case.callee(),
            bytes(touch.size),
            touch.low,
            bytes(room)
        ),
        _ => "a function's stack is 512 bytes: an access must lie within fp-512 to fp-1".into(),
    }
}

fn uninitialised(case: &Case<'_>) -> String {
    let numbers = &case.seen.numbers;
    let (from, size) = match numbers[..] {
        [off, into, size] => (off + into, size - into),
        _ => return "every byte that is read must have been written before".into(),
    };
    let first = format!("the byte at fp{from:+} was never written on this path");
    match case.op {
        Some(isa::Op::Call(_)) => {
            format!("{} reads {} bytes there, and {first}", case.callee(), numbers[2])
        }
        _ if size > 1 => format!("every byte that is read must have been written: {first}"),
        _ => first,
    }
}
