//! Translated bytecode to x86-64 machine code.
//!
//! [`Program::new`] compiles and seals, [`Program::run`] runs. The input is what `translate` gives: plain
//! slots, function starts, no map descriptors. It is trusted to be verified: the code has no
//! run-time checks but those of the language (division) and of guarded loads.
//!
//! # How it is done
//! Decode (`ins`), split into blocks and find what is live (`flow`), move stack slots that
//! nobody can point at into registers (`slots`), rewrite a few shapes that compilers leave
//! (`choice`, `idiom`), mark calls of small functions (`inline`), walk each function once (`generate`) with values kept symbolic until
//! something needs them (`state`), then put the pieces together (`layout`). All of it is linear
//! in the size of the program.
//!
//! # The calling convention
//! Every function of a program is a C function: r1 to r5 are the first five arguments, the sixth
//! is the run's [`RunContext`], r0 is the result, r6 to r9 live in preserved registers (or in
//! others, where the function calls nothing). So helpers are called directly, with the
//! [`RunContext`] as their sixth argument: it leads them to whatever their owner keeps in
//! [`RunContext::user`]. A function's address, loaded by `ld_imm64`, is a C function pointer;
//! helpers call back through [`RunContext::call_back`]. A helper that is a method
//! is reached by [`Machine`]: one `extern "C"` function for all of a type's helpers, told by
//! [`RunContext::tag`] which one is meant.
//!
//! # Faults
//! The first program installs handlers for SIGSEGV and SIGBUS once. A fault in generated code either
//! yields zero (guarded loads) or ends the run with the slot of the instruction. Helpers ask
//! [`missing`] before they use a program's address. Faults elsewhere go to whoever had the signal
//! before.

#[cfg(not(target_os = "linux"))]
compile_error!("code memory and faults are written for Linux");

mod call;
mod choice;
mod code_memory;
mod context;
mod env;
mod error;
mod fault;
mod flow;
mod fold;
mod generate;
mod host;
mod idiom;
mod inline;
mod ins;
mod layout;
mod machine;
mod program;
mod slots;
mod state;
mod touch;
mod x86;

#[cfg(feature = "dump")]
pub mod dump;

pub use call::Fault;
pub use context::{ResolveTail, RunContext};
pub use env::{Arena, ArrayMap, Env, HashMap, Options, Target};
pub use error::JitError;
pub use layout::Line;
pub use machine::{Back, Machine, helper, kfunc};
pub use program::{Foreign, Input, Program, foreign, machine_code};
pub use touch::missing;
