//! The system calls that need `unsafe`: starting a filtered child, ptrace, another process's
//! memory. Everything here is a thin, safe wrapper.
#![allow(unsafe_code, reason = "the named unsafe module of this crate")]

pub(crate) mod cpu_time;
pub(crate) mod interrupt;
pub(crate) mod memory;
pub(crate) mod notify;
pub(crate) mod ptrace;
pub(crate) mod socket;
pub(crate) mod spawn;

use std::io;

/// A C result: -1 is the last error.
fn check(result: i64) -> io::Result<i64> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
