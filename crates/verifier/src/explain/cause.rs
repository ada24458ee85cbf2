//! A row of the table of causes.

use super::case::Case;
use crate::event::Reason;

/// A sentence of an explanation.
#[derive(Clone, Copy)]
pub(super) enum Say {
    Nothing,
    Text(&'static str),
    Made(fn(&Case<'_>) -> String),
}

impl Say {
    pub(super) fn to(self, case: &Case<'_>) -> String {
        match self {
            Say::Nothing => String::new(),
            Say::Text(text) => text.to_owned(),
            Say::Made(make) => make(case),
        }
    }
}

/// Which registers an explanation tells about.
#[derive(Clone, Copy)]
pub(super) enum About {
    /// None: the rule is not about values.
    None,
    /// Those of the reason, or the operands.
    Named,
    /// The operands.
    Operands,
    /// These.
    Made(fn(&Case<'_>) -> Vec<usize>),
}

/// Why programs are rejected: one kind of mistake.
#[derive(Clone, Copy)]
pub(super) struct Cause {
    /// A stable word.
    pub(super) id: &'static str,
    /// The reasons that it explains.
    pub(super) explains: fn(&Reason) -> bool,
    /// Where one reason has several causes.
    pub(super) when: fn(&Case<'_>) -> bool,
    pub(super) title: &'static str,
    pub(super) required: Say,
    pub(super) help: Say,
    pub(super) about: About,
    /// What happened to the registers involved is worth telling.
    pub(super) tells_past: bool,
}

impl Cause {
    pub(super) const fn new(
        id: &'static str,
        explains: fn(&Reason) -> bool,
        title: &'static str,
    ) -> Cause {
        Cause {
            id,
            explains,
            when: |_| true,
            title,
            required: Say::Nothing,
            help: Say::Nothing,
            about: About::Named,
            tells_past: true,
        }
    }

    pub(super) const fn when(self, when: fn(&Case<'_>) -> bool) -> Cause {
        Cause { when, ..self }
    }

    /// What the rule asks for, always the same.
    pub(super) const fn needs(self, text: &'static str) -> Cause {
        Cause { required: Say::Text(text), ..self }
    }

    /// What the rule asks for here.
    pub(super) const fn needs_of(self, make: fn(&Case<'_>) -> String) -> Cause {
        Cause { required: Say::Made(make), ..self }
    }

    /// What usually helps.
    pub(super) const fn help(self, text: &'static str) -> Cause {
        Cause { help: Say::Text(text), ..self }
    }

    /// What helps here.
    pub(super) const fn help_of(self, make: fn(&Case<'_>) -> String) -> Cause {
        Cause { help: Say::Made(make), ..self }
    }

    /// Only branches make up the path.
    pub(super) const fn without_past(self) -> Cause {
        Cause { tells_past: false, ..self }
    }

    /// Which registers to tell about.
    pub(super) const fn about(self, about: About) -> Cause {
        Cause { about, ..self }
    }
}
