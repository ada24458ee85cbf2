//! The system calls that need `unsafe`: namespaces with a process that holds them, commands started
//! in them, packet sockets. Everything here is a thin, safe wrapper.
#![allow(unsafe_code, reason = "the named unsafe module of this part")]

pub(super) mod holder;
pub(super) mod packet;
pub(super) mod pass;
pub(super) mod spawn;

use std::io;

/// A C result: -1 is the last error.
fn check(result: i64) -> io::Result<i64> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
