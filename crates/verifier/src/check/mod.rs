//! Tests of the state: may this register be read, may this memory be accessed.
//!
//! Everything here is a method of [`Env`](crate::env::Env). The seam for helper calls: see
//! `access.rs` (registers), `mem.rs` (regions), `helper_mem.rs` (memory given to helpers).

mod access;
mod atomic;
mod btf_ptr;
mod dynptr;
mod helper_mem;
mod iter;
mod kernel_store;
mod mem;
mod object;
mod refs;
mod stack;

pub(crate) use dynptr::{DynptrUse, KnownDynptr};
pub(crate) use helper_mem::HelperMem;
pub(crate) use iter::{IrqKind, IterPlace, iter_type};

/// What a memory access does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AccessKind {
    Read,
    Write,
}
