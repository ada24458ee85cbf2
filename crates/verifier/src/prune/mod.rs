//! Which paths need no second walk.

mod precise;

/// Stored states.
#[derive(Default)]
pub(crate) struct Store {}
