//! Pointers that may be NULL.

use isa::Op;

use crate::event::{BadArg, BadMem, BadPtr, Reason};
use crate::explain::case::{Case, callee_name};
use crate::explain::cause::Cause;
use crate::explain::chase::How;
use crate::state::{RegKind, RegState};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "null-dereference",
        |reason| matches!(reason, Reason::Mem(BadMem::Access { .. })),
        "a pointer that may be NULL is used without a check",
    )
    .when(|case| case.main().is_some_and(RegState::may_be_null))
    .needs_of(compared)
    .help_of(help),
    Cause::new(
        "null-arithmetic",
        |reason| matches!(reason, Reason::Ptr(BadPtr::MaybeNull { .. })),
        "a pointer that may be NULL is used in a calculation",
    )
    .needs_of(compared)
    .help_of(help),
    Cause::new(
        "null-argument",
        |reason| matches!(reason, Reason::Arg(BadArg::WrongType { .. } | BadArg::NotFramePointer { .. } | BadArg::MaybeNull { .. })),
        "a pointer that may be NULL is passed to a helper that needs an object",
    )
    .when(|case| case.main().is_some_and(RegState::may_be_null))
    .needs_of(|case| match case.main_reg() {
        Some(n) => format!(
            "argument {n} of {} must not be NULL: {} must be compared with NULL before the call",
            case.callee(),
            case.main_name()
        ),
        None => String::new(),
    })
    .help_of(help),
    Cause::new(
        "null-constant",
        |reason| matches!(reason, Reason::Mem(BadMem::Access { is, .. }) if is.kind == RegKind::Scalar),
        "a pointer that is NULL on this path is used",
    )
    .when(|case| case.main().is_some_and(RegState::is_null))
    .needs_of(|case| {
        format!("{} must point to something; on this path it is NULL", case.main_name())
    })
    .help(
        "leave the function where the pointer is NULL, or use the pointer only on the other branch",
    ),
];

/// The call that returned the pointer.
fn maker(case: &Case<'_>) -> Option<String> {
    let made = case.past().last().filter(|hop| hop.how == How::Made)?;
    let insn = case.steps[made.step].insn;
    let op = case.env.ops[insn].filter(|op| matches!(op, Op::Call(_)))?;
    Some(callee_name(case.env, op, insn).into_owned())
}

fn compared(case: &Case<'_>) -> String {
    let name = case.main_name();
    match maker(case) {
        Some(maker) => {
            format!("{maker} may return NULL: {name} must be compared with NULL before it is used")
        }
        None => format!("{name} must be compared with NULL before it is used"),
    }
}

fn help(case: &Case<'_>) -> String {
    match maker(case) {
        Some(maker) => format!("after {maker}: `if (!p) return ...;`"),
        None => "check the pointer first: `if (!p) return ...;`".into(),
    }
}
