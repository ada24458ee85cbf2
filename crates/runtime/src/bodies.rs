//! Which of Linux's helpers and kernel functions have a body here, and what is to be said of it.

use crate::helpers;

/// A function that programs of Linux call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// It has a body; what that is like, where it is not just Linux's.
    Here(&'static str),
    /// A program that calls it is refused at load, and why it has none.
    Refused(&'static str),
}

/// The helper of this number.
pub fn helper_body(id: u32) -> Body {
    helpers::notes::told(id)
}

/// The kernel function of this name.
pub fn kfunc_body(name: &str) -> Body {
    helpers::kfunc::notes::told(name)
}
