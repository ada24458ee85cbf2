//! Which paths need no second walk: states are stored on the way and later ones compared with
//! them (`visit`, `equal`, `idmap`); what a decision rested on is marked backwards (`precise`);
//! dead stack is left out of the comparison (`live_stack`); loops are settled when all their
//! paths are walked (`scc`).

mod equal;
mod idmap;
mod live_stack;
mod precise;
mod scc;
mod store;
mod visit;

pub(crate) use idmap::IdMap;
pub(crate) use store::Store;
