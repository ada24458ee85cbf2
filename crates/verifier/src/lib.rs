//! Whether a program is safe, and why not: Linux 6.18's verifier as a pure function.
//!
//! [`verify`] takes a [`Program`] (what BPF_PROG_LOAD is given) and the [`World`] it refers to
//! (maps, BTF, helper contracts), and returns an [`Outcome`]: the verdict, the facts that were
//! proven for each instruction, statistics, and Linux's log if one was asked for. It does no I/O
//! and knows no running map.
#![forbid(unsafe_code)]

mod calls;
mod check;
mod domain;
mod env;
mod error;
mod event;
mod explain;
mod frames;
mod input;
mod log;
mod outcome;
mod passes;
mod prune;
mod state;
mod states;
mod transfer;
mod verify;
mod walk;

pub use explain::{Event, EventKind, Explanation, Fact, Origin, Place, Range, Source, explain};
pub use input::{FuncInfo, LineInfo, LogOptions, MapInfo, Policy, Program, Target, World};
pub use outcome::{
    Access, Demands, Facts, InsnFacts, KfuncCall, KfuncObject, Outcome, Rejection, Stats,
    SubprogFacts,
};
pub use passes::extends;
pub use states::{Known, Numbers, Pointer, PointsTo, States, states};
pub use verify::verify;
