//! The abstract state of one path: registers, stack, frames, references. Data and plain queries;
//! `transfer` changes it, `check` tests it, `prune` compares it.

mod frame;
mod reg;
mod stack;
mod verifier_state;

pub(crate) use frame::{Callback, FuncState};
pub(crate) use reg::{
    ADD_CONST, ADD_CONST32, ADD_CONST64, AT_PKT_END, BEYOND_PKT_END, DynptrKind, INNER_MAP,
    ITER_ACTIVE, ITER_DRAINED, RegFlags, RegKind, RegState,
};
pub(crate) use stack::{SlotByte, Stack, StackSlot, slot_of};
pub(crate) use verifier_state::{
    HistEntry, HistFlags, LockHome, RefKind, Reference, StateId, VerifierState,
};
