//! A context of one's own making, for a test run that Linux does not offer.

/// A context and the memory that its pointers lead to, as one stretch of bytes.
///
/// With it every type of program runs: the context is not made from a packet, it is what the caller
/// says. Pointers are offsets into `memory` until the run, and again afterwards: the whole memory
/// comes back as the context of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenCtx {
    /// The context, what it points to, and the word before the context (how many arguments there
    /// are, for programs that ask). At most 4 MiB.
    pub memory: Vec<u8>,
    /// Offset of the context in bytes, a multiple of 8.
    pub ctx: u32,
    /// Offsets of the 8-byte words that hold offsets into `memory` and become addresses.
    pub pointers: Vec<u32>,
    /// Offset of the current task's `task_struct`.
    pub task: Option<u32>,
    /// What `bpf_get_attach_cookie` tells.
    pub cookie: u64,
    /// What `bpf_get_func_ip` tells.
    pub func_ip: u64,
    /// Offset of the `struct bpf_sock` that the context is of; helpers on sockets answer for it.
    pub socket: Option<u32>,
    /// Offset and bytes of the message between the context's `data` and `data_end`.
    pub message: Option<(u32, u32)>,
    /// The setting that is read or written.
    pub sysctl: Option<GivenSysctl>,
    /// Counter, time enabled and time running of a perf event; empty for none.
    pub counter: Vec<u64>,
}

/// A setting below `/proc/sys`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenSysctl {
    /// Directories and name, as `net/ipv4/tcp_mem`.
    pub name: String,
    /// Its value now.
    pub current: Vec<u8>,
    /// What is being written; `None` for a read.
    pub new: Option<Vec<u8>>,
}
