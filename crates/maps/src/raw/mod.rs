//! The memory that programs point into: the only unsafe code of this crate.
//!
//! Programs on other threads read and write values at any time, so every access from this side
//! goes through relaxed atomics or raw reads, never through references to plain bytes.
#![allow(unsafe_code, reason = "the named unsafe module of this crate")]

mod mapping;
mod region;
mod slab;
mod view;

pub use mapping::{Hold, Mapping, Part};
pub use region::{Piece, Region};
pub use slab::Slab;
pub use view::View;
