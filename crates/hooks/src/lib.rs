//! Events that programs run on.
//!
//! [`packet`] reads and writes captures; [`process`] runs a command and tells what it does. What
//! a program does with an event is `runtime`'s affair; this crate only brings the events to it and
//! takes the results away. Unsafe code is in `process/sys` and
//! `packet/live/sys` only.
#![deny(unsafe_code)]

pub mod packet;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod process;
