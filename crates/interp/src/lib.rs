//! Runs translated bytecode an instruction at a time, every access checked and observable.
//!
//! The interpreter is the debugger's engine and the oracle for the other two: it trusts neither
//! the verifier nor the translation. Memory outside the stack and all helpers belong to the
//! [`Host`].

mod host;

pub use host::{Callback, Host, Region, Trap, TrapKind};
