//! What an instruction does to the state.

mod alu;
mod branch;
pub(crate) mod linked;
mod mov;
pub(crate) mod ptr;
mod sanitize;
