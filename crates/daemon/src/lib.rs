//! A user's objects between commands: one process holds a [`runtime::Runtime`], others reach it.
//!
//! `table` lists the commands of the door once; [`Client`] speaks them and is a [`runtime::Bpf`],
//! [`Server`] answers them, each connection with its own table of descriptors, as a process has
//! one in Linux. [`Place`] is where the socket is, [`start`], [`stop`], [`status`] and
//! [`connect_or_start`] look after the one daemon there.
#![forbid(unsafe_code)]

mod client;
mod control;
mod eager;
mod error;
mod frame;
mod lend;
mod mount;
mod place;
mod server;
mod table;
mod wire;

pub use client::Client;
pub use control::{Found, connect, connect_or_start, serve, start, status, stop};
pub use error::Error;
pub use frame::{MAX_FRAME, VERSION};
pub use place::Place;
pub use runtime::door::{Bpf, FsEntry, ObjKind};
pub use server::{Server, user_limits};
pub use table::{COMMANDS, Status};
pub use uapi::Errno;
