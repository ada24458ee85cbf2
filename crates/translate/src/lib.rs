//! Verified bytecode to translated bytecode: what both engines run.
//!
//! [`translate`] replaces what only the loader of a program understands by plain memory and
//! plain numbers: context fields become fields of ring3's own structures ([`ctx`]), map
//! descriptors addresses, packet loads (`ld_abs`) bounds checks and loads, guarded loads a mode
//! of their own. Dead code goes. Three forms are left to the engines: calls
//! (helpers by number, kernel functions by BTF id), function addresses (`ld_imm64` with source 4,
//! relative as before), and `may_goto`, whose budget is a frame's.
//!
//! It trusts the verifier's facts and checks nothing a second time, but never panics on a program
//! that was not verified.
#![forbid(unsafe_code)]

pub mod ctx;
mod emit;
mod error;
mod operand;
mod packet;
mod plan;
mod program;
mod rewrite;

pub use error::TranslateError;
pub use program::{Input, KfuncCall, MapAddr, Translated, VarAddr, translate};
pub use rewrite::{PROBE_ATOMIC, PROBE_MEM, PROBE_MEM32, PROBE_MEM32SX, PROBE_MEMSX};
