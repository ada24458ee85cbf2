//! The traced threads: what is known of each, and what is read when somebody asks.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::control::Kept;
use super::fast::Waiting;
use super::session::Sessions;
use super::uprobe::Return;

/// Files of names are kept open below this descriptor.
const KEPT: i32 = 512;

/// A traced thread.
pub(crate) struct Thread {
    pub(crate) tid: i32,
    pub(crate) tgid: i32,
    /// Process id of the parent, as far as the fork told it; 0 if unknown.
    pub(crate) ppid: i32,
    /// When it was made, on the monotonic clock in ns; 0 if unknown.
    pub(crate) born: u64,
    /// The system call that it is in and whose end is waited for.
    pub(crate) in_call: Option<u32>,
    /// What is kept of it until then for programs that decide on it.
    pub(crate) kept: Option<Kept>,
    /// Its call is done by another thread: which call.
    pub(crate) waits_for: Option<u64>,
    /// What programs at both ends of it keep.
    pub(crate) sessions: Sessions,
    /// Programs that want a sample of it, for which it was told to stop.
    pub(crate) samples: Vec<usize>,
    /// The path of an `execve` in progress.
    pub(crate) exec_path: Vec<u8>,
    /// Its end was told to programs.
    pub(crate) exit_told: bool,
    /// Its parent's fork was seen, and it has stopped for the first time: it may run.
    pub(crate) announced: bool,
    pub(crate) arrived: bool,
    /// Its place in the synthetic kernel.
    pub(crate) slot: Cell<Option<usize>>,
    /// What is in that place is of the present program and user.
    pub(crate) filled: Cell<bool>,
    /// Functions that it has entered and whose return is watched.
    pub(crate) returns: Vec<Return>,
    /// Signals that wait until it has left the agent.
    pub(crate) waiting: Waiting,
    cred: Cell<Option<(u32, u32)>>,
    comm_file: RefCell<Option<File>>,
    comm: Cell<[u8; 16]>,
}

impl Thread {
    pub(crate) fn new(tid: i32, tgid: i32) -> Thread {
        Thread {
            tid,
            tgid,
            ppid: 0,
            born: 0,
            in_call: None,
            kept: None,
            waits_for: None,
            sessions: Sessions::default(),
            samples: Vec::new(),
            exec_path: Vec::new(),
            exit_told: false,
            announced: false,
            arrived: false,
            slot: Cell::new(None),
            filled: Cell::new(false),
            returns: Vec::new(),
            waiting: Waiting::new(),
            cred: Cell::new(None),
            comm_file: RefCell::new(None),
            comm: Cell::new([0; 16]),
        }
    }

    /// Its name now; the last one known where it is gone.
    pub(crate) fn comm(&self) -> [u8; 16] {
        let mut file = self.comm_file.borrow_mut();
        if file.is_none() {
            *file = File::open(format!("/proc/{}/comm", self.tid)).ok();
        }
        // Descriptors are few where threads are many.
        let keep = file.as_ref().is_none_or(|file| file.as_raw_fd() < KEPT);
        let mut bytes = [0; 17];
        if let Some(file) = file.as_ref()
            && let Ok(len) = file.read_at(&mut bytes, 0)
            && len > 0
        {
            let mut comm = [0; 16];
            let name = len.saturating_sub(1).min(15);
            comm[..name].copy_from_slice(&bytes[..name]);
            self.comm.set(comm);
        }
        if !keep {
            *file = None;
        }
        self.comm.get()
    }

    /// Real user and group.
    pub(crate) fn uid_gid(&self) -> (u32, u32) {
        if let Some(cred) = self.cred.get() {
            return cred;
        }
        let cred = proc_ids(self.tid).map_or((0, 0), |ids| (ids[0], ids[4]));
        self.cred.set(Some(cred));
        cred
    }

    /// User or group may be others from now on.
    pub(crate) fn forget_cred(&self) {
        self.cred.set(None);
        self.filled.set(false);
    }
}

/// Real, effective, saved and file system user, then the same of groups.
pub(crate) fn proc_ids(tid: i32) -> Option<[u32; 8]> {
    let text = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let mut ids = [0; 8];
    for (start, key) in [(0, "Uid:"), (4, "Gid:")] {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        for (id, word) in ids[start..start + 4].iter_mut().zip(line.split_ascii_whitespace()) {
            *id = word.parse().ok()?;
        }
    }
    Some(ids)
}

/// The process of a thread.
pub(crate) fn proc_tgid(tid: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

impl Thread {
    /// The same thread under the id of its process, after it ran another program.
    pub(crate) fn renamed(self, tid: i32) -> Thread {
        let fresh = Thread::new(tid, tid);
        Thread {
            ppid: self.ppid,
            born: self.born,
            in_call: self.in_call,
            exec_path: self.exec_path,
            announced: true,
            arrived: true,
            ..fresh
        }
    }
}
