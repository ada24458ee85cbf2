//! The table of causes: which rule stands behind each reason, and what helps.
//!
//! One file a family. The first row that fits wins, so special rows stand before general ones.

mod call;
mod exit;
mod flow;
mod memory;
mod null;
mod object;
mod packet;
mod pointer;
mod stack;

use super::cause::Cause;

/// All rows, in the order they are tried.
pub(super) fn all() -> impl Iterator<Item = &'static Cause> {
    let families: [&'static [Cause]; 9] = [
        packet::CAUSES,
        null::CAUSES,
        stack::CAUSES,
        memory::CAUSES,
        pointer::CAUSES,
        call::CAUSES,
        exit::CAUSES,
        flow::CAUSES,
        object::CAUSES,
    ];
    families.into_iter().flatten()
}

/// Where ring3 has no rules.
pub(super) const NOT_MODELLED: &Cause = &Cause::new("not-modelled", |_| true, "")
    .needs("ring3 has no rules for this, so that it cannot judge the program: Linux may accept it")
    .help("ask a kernel: `bpftool prog load`");

/// Where no row explains the reason: Linux's message has to do.
pub(super) const OTHER: &Cause = &Cause::new("other", |_| true, "");

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_rows_complete() {
        let mut ids = HashSet::new();
        for cause in all() {
            assert!(ids.insert(cause.id), "{} twice", cause.id);
            assert!(!cause.title.ends_with('.'), "{}", cause.id);
        }
    }
}
