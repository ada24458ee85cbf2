//! Measurements: every figure is a ratio between things that were run in turns in one process.

pub mod clock;
pub mod daemon;
pub mod hooks;
pub mod interp;
pub mod jit;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod live;
pub mod loader;
pub mod maps;
pub mod maps_table;
pub mod packets;
pub mod programs;
pub mod verifier;
