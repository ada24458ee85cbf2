//! Ends of programs: return values, references and locks.

use crate::explain::case::Case;
use crate::explain::cause::{About, Cause};
use crate::explain::words::signed;

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "return-range",
        &[
            "At * the register R# has *should have been in [#, #]",
            "At * the register R# is not a known value (*)",
            "At * the register R# is not a scalar value (*)",
        ],
        "the program returns a value that its type does not allow",
    )
    .needs_of(|case| match case.holes.numbers[..] {
        [.., low, high] => format!("the return value must lie within {} and {}", signed(low), signed(high)),
        _ => "the return value must be a number".into(),
    })
    .help_of(|case| match case.holes.numbers[..] {
        [.., low, high] if low != high => format!("return a constant from {low} to {high} on every path"),
        [.., low, _] => format!("`return {low};` on every path"),
        _ => "return a number".into(),
    }),
    Cause::new(
        "reference-leak",
        &["* would lead to reference leak", "Unreleased reference id=# alloc_insn=#"],
        "an object that was acquired is not released",
    )
    .needs_of(leaked)
    .help("release the object on every path: bpf_ringbuf_submit or bpf_ringbuf_discard, bpf_sk_release, ...; early returns are where it is forgotten")
    .about(About::None),
    Cause::new(
        "lock-held",
        &["* cannot be used inside bpf_spin_lock-ed region", "* cannot be used inside *-ed region"],
        "the program ends, or does what is forbidden, while it holds a lock",
    )
    .needs("every lock must be given back on every path before this")
    .help("call bpf_spin_unlock before each return")
    .about(About::None),
    Cause::new(
        "lock-mismatch",
        &["bpf_spin_unlock of different lock", "bpf_spin_unlock without taking a lock"],
        "a lock is given back that is not held",
    )
    .needs("bpf_spin_unlock must get the same lock of the same map value that bpf_spin_lock got")
    .help("keep the pointer from one lookup, and use it for both calls; a second lookup gives another object"),
    Cause::new(
        "release-unacquired",
        &["R# must be referenced when passed to release function", "func *#* reference has not been acquired before", "arg # is an unacquired reference"],
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
