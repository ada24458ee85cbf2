//! What is known about a number: which bits ([`Tnum`]) and which ranges ([`Bounds`]).
//!
//! Pure lattice operations; nothing here knows registers or instructions.

mod bounds;
mod tnum;

pub(crate) use bounds::Bounds;
pub(crate) use tnum::Tnum;
