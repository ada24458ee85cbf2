//! What a hook lends to the programs that run on it, besides their context.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::door::Bpf;
use crate::message::Message;
use crate::route::Routes;
use crate::segment::Segment;
use crate::session::Session;
use crate::socket::Socket;

/// Lent for one run; what is absent answers as on a kernel that does not have it.
#[derive(Clone, Copy, Default)]
pub struct World<'w> {
    /// The socket that the context is of.
    pub socket: Option<&'w Arc<Socket>>,
    /// The setting that is read or written.
    pub sysctl: Option<&'w Sysctl>,
    /// Id of the control group that the hook is of; 0 for none.
    pub cgroup: u64,
    /// Counter, time enabled and time running of a perf event.
    pub counter: Option<[u64; 3]>,
    /// Where keys of a remote control go.
    pub infrared: Option<&'w RefCell<Vec<Infrared>>>,
    /// Options of the TCP segment that comes or goes.
    pub segment: Option<&'w Segment>,
    /// What system calls of SYSCALL programs go through.
    pub door: Option<&'w dyn Bpf>,
    /// The end of a function that the program is at, if it is at both.
    pub session: Option<&'w Session>,
    /// Address of the kernel's `struct sk_buff` that stands for the context's packet; 0 for none.
    pub sk_buff: u64,
    /// The message that is sent through a socket.
    pub message: Option<&'w Message>,
    /// Routes of the namespace that the packet is in.
    pub routes: Option<&'w dyn Routes>,
}

/// A setting below `/proc/sys` that somebody reads or writes.
#[derive(Debug, Default)]
pub struct Sysctl {
    /// Directories and name, as `net/ipv4/tcp_mem`.
    pub name: String,
    /// Its value now, with the newline; empty where it cannot be read.
    pub current: Vec<u8>,
    /// What is being written; `None` for a read.
    pub new: RefCell<Option<Vec<u8>>>,
    /// The program has replaced what is being written.
    pub replaced: Cell<bool>,
}

/// What a program decoded of an infrared signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Infrared {
    /// The last key is still held.
    Repeat,
    /// A key went down.
    KeyDown {
        /// `enum rc_proto`.
        protocol: u32,
        /// The key's code.
        scancode: u64,
        /// It changes with each press.
        toggle: u32,
    },
    /// A pointer moved.
    Move {
        /// To the right.
        x: i32,
        /// Down.
        y: i32,
    },
}
