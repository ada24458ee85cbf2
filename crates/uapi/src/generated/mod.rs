//! Tables written by `cargo xtask generate`.

mod enums;
#[rustfmt::skip]
mod helpers;
#[rustfmt::skip]
mod hooks;
#[rustfmt::skip]
mod kfuncs;
#[rustfmt::skip]
mod maps;
#[rustfmt::skip]
mod progs;

pub use enums::*;
pub use helpers::*;
pub use hooks::*;
pub use kfuncs::*;
pub use maps::*;
pub use progs::*;
