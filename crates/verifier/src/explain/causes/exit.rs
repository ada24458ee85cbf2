//! Ends of programs: return values, references and locks.

use crate::event::{BadArg, BadExit, BadHelper, Reason};
use crate::explain::case::Case;
use crate::explain::cause::{About, Cause};
use crate::explain::words::signed;

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "return-range",
        |reason| matches!(reason, Reason::Exit(BadExit::OutOfRange { .. } | BadExit::NotKnown { .. } | BadExit::SubprogNotScalar { .. })),
        "the program returns a value that its type does not allow",
    )
    .needs_of(|case| match case.seen.numbers[..] {
        [.., low, high] => format!("the return value must lie within {} and {}", signed(low), signed(high)),
        _ => "the return value must be a number".into(),
    })
    .help_of(|case| match case.seen.numbers[..] {
        [.., low, high] if low != high => format!("return a constant from {low} to {high} on every path"),
        [.., low, _] => format!("`return {low};` on every path"),
        _ => "return a number".into(),
    }),
    Cause::new(
        "reference-leak",
        |reason| matches!(reason, Reason::Exit(BadExit::ReferenceLeak { .. } | BadExit::ReferenceLeft { .. })),
        "an object that was acquired is not released",
    )
    .needs_of(leaked)
    .help("release the object on every path: bpf_ringbuf_submit or bpf_ringbuf_discard, bpf_sk_release, ...; early returns are where it is forgotten")
    .about(About::None),
    Cause::new(
        "lock-held",
        |reason| matches!(reason, Reason::Exit(BadExit::LockHeld { .. } | BadExit::RegionOpen { .. })),
        "the program ends, or does what is forbidden, while it holds a lock",
    )
    .needs("every lock must be given back on every path before this")
    .help("call bpf_spin_unlock before each return")
    .about(About::None),
    Cause::new(
        "release-unacquired",
        |reason| matches!(reason, Reason::Arg(BadArg::NotReferenced { .. }) | Reason::Helper(BadHelper::NotAcquired { .. })),
        "something is released that was not acquired, or was released already",
    )
    .needs("a release function takes what an acquiring function returned, once")
    .help("release each object exactly once, with the pointer that was returned"),
];

fn leaked(case: &Case<'_>) -> String {
    let refs = case.now().map(|step| &step.refs[..]).unwrap_or_default();
    let [(_, at), ..] = refs else {
        return "every acquired object must be released before this".into();
    };
    let at = *at as usize;
    if at >= case.env.prog.insns.len() {
        return "every acquired object must be released before this".into();
    }
    let place = crate::explain::place::place(case.env, at);
    let name = match case.env.ops[at] {
        Some(op) => crate::explain::case::callee_name(case.env, op, at).into_owned(),
        None => "a call".into(),
    };
    let line =
        place.source.map_or(format!("instruction {at}"), |source| format!("line {}", source.line));
    format!("what {name} returned at {line} must be released before this")
}
