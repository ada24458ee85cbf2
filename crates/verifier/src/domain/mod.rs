//! What is known about a number: which bits ([`Tnum`]) and which ranges ([`Bounds`]).
//!
//! Pure lattice operations; nothing here knows registers or instructions. `arith` computes,
//! `compare` decides and narrows.

mod arith;
mod bounds;
pub(crate) mod compare;
mod tnum;

pub(crate) use bounds::Bounds;
pub(crate) use tnum::Tnum;
