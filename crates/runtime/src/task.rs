//! The process in whose context a program runs.

/// What the `bpf_get_current_*` helpers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Thread id.
    pub pid: u32,
    /// Process id.
    pub tgid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Name, at most 15 bytes.
    pub comm: String,
}

impl Task {
    /// This thread.
    pub fn current() -> Task {
        let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap_or_default();
        Task {
            pid: rustix::thread::gettid().as_raw_nonzero().get() as u32,
            tgid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            comm: comm.trim_end_matches('\n').to_owned(),
        }
    }
}
