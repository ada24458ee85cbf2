//! Tables written by `cargo xtask generate`.

mod enums;

pub use enums::*;
