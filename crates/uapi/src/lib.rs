//! What Linux promises, as tables: numbers, names, limits, contracts of helpers and contexts.
//!
//! Plain data without behaviour; Linux 6.18 unless a row says otherwise. The tables under
//! `generated` come from `facts/` by `cargo xtask generate`.
#![forbid(unsafe_code)]

pub mod attr;
mod errno;
mod generated;
mod helper;
mod kfunc;
mod lsm;
mod map_def;
mod prog;

pub use errno::Errno;
pub use generated::*;
pub use helper::{
    ArgKind, ArgType, DynptrArg, HelperFacts, HelperProto, RetKind, RetType, helper,
    helper_by_name, helper_facts, helper_for,
};
pub use kfunc::{Kfunc, KfuncOnly, kfunc, kfunc_flags, kfunc_hooks, kfunc_hooks_of};
pub use lsm::{LsmHook, lsm_hook};
pub use map_def::{MapDef, map_flags};
pub use prog::{
    CtxClass, CtxField, CtxTable, Iterator, MapTypeFacts, PointeeTable, ProgTypeFacts, ProgVariant,
    SectionDef, ctx_access, gpl_compatible, iterator, map_type_facts, pointee_access,
    prog_type_facts, prog_variant, section, struct_ops_variant, tracepoint_argument,
};

/// Longest program, in slots, for a loader with CAP_BPF.
pub const MAX_INSNS: usize = 1_000_000;
/// Bytes of stack that one frame, and one chain of frames, may use.
pub const MAX_STACK: usize = 512;
/// Frames in one chain of BPF-to-BPF calls.
pub const MAX_CALL_FRAMES: usize = 8;
/// Tail calls in one run.
pub const MAX_TAIL_CALLS: u32 = 33;
/// Bytes of an object's name, the closing zero included.
pub const OBJ_NAME_LEN: usize = 16;
