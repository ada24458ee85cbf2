//! Runs translated bytecode an instruction at a time, every access checked and observable.
//!
//! The interpreter is the debugger's engine and the oracle for the other two: it trusts neither
//! the verifier nor the translation. Memory outside the stack and all helpers belong to the
//! [`Host`]. [`Program::new`] decodes once into a dense form; [`Vm::run`] runs it.

#![deny(unsafe_code)]

mod arena;
mod arith;
mod code;
mod host;
#[allow(unsafe_code, reason = "the one module that touches memory by address")]
mod memory;
mod observer;
mod program;
mod step;
mod vm;

pub use arena::ArenaWindow;
pub use host::{Callback, Host, Region, Trap, TrapKind};
pub use observer::Observer;
pub use program::{
    FUNC_BASE, PROBE_ATOMIC, PROBE_MEM, PROBE_MEM32, PROBE_MEM32SX, PROBE_MEMSX, Program,
};
pub use vm::{Limits, Vm, run, run_observed};
