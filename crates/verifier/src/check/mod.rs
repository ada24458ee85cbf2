//! Tests of the state: may this register be read, may this memory be accessed.
//!
//! Everything here is a method of [`Env`](crate::env::Env). The seam for helper calls: see
//! `access.rs` (registers), `mem.rs` (regions), `helper_mem.rs` (memory given to helpers).

mod access;
mod atomic;
mod btf_ptr;
mod helper_mem;
mod mem;
mod refs;
mod stack;

pub(crate) use helper_mem::HelperMem;

/// What a memory access does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AccessKind {
    Read,
    Write,
}
