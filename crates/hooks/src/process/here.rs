//! The process of an event, as helpers see it.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

use runtime::{Process, Session};
use uapi::Errno;

use super::kernel::Kernel;
use super::sys::ptrace::{Regs, reg};
use super::sys::{memory, ptrace};
use super::thread::Thread;

/// Everything that is known of the traced processes.
pub(crate) struct World {
    pub(crate) threads: HashMap<i32, Thread>,
    pub(crate) kernel: Kernel,
}

/// One event.
pub(crate) struct Here<'w> {
    pub(crate) world: &'w World,
    pub(crate) thread: &'w Thread,
    pub(crate) regs: &'w Regs,
    /// What `bpf_override_return` asked for.
    pub(crate) result: Cell<Option<u64>>,
    /// The result so far of the call that programs decide on.
    pub(crate) retval: Cell<i32>,
    /// Counter, time enabled and time running of the sample that it is.
    pub(crate) counter: Cell<Option<[u64; 3]>>,
    /// The session that a program is in.
    session: OnceCell<Session>,
}

impl<'w> Here<'w> {
    pub(crate) fn new(world: &'w World, thread: &'w Thread, regs: &'w Regs) -> Here<'w> {
        let (result, retval, session) = (Cell::new(None), Cell::new(0), OnceCell::new());
        let counter = Cell::new(None);
        Here { world, thread, regs, result, retval, counter, session }
    }

    /// A program of a session runs next: at the end with what it kept, or at the beginning.
    pub(crate) fn begin_session(&self, kept: Option<u64>) {
        if self.session.get().is_none()
            && let Ok(session) = Session::new()
        {
            let _ = self.session.set(session);
        }
        if let Some(session) = self.session.get() {
            session.set(kept.is_some(), kept.unwrap_or(0));
        }
    }

    /// What it keeps.
    pub(crate) fn end_session(&self) -> u64 {
        self.session.get().map_or(0, Session::word)
    }
}

impl Process for Here<'_> {
    fn comm(&self) -> [u8; 16] {
        self.thread.comm()
    }

    fn uid_gid(&self) -> (u32, u32) {
        self.thread.uid_gid()
    }

    fn read(&self, addr: u64, out: &mut [u8]) -> usize {
        memory::read(self.thread.tid, addr, out)
    }

    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), Errno> {
        if memory::write(self.thread.tid, addr, bytes) { Ok(()) } else { Err(Errno::EFAULT) }
    }

    fn kernel(&self, addr: u64) -> Option<(u64, u64)> {
        self.world.kernel.region(addr)
    }

    fn task(&self) -> u64 {
        self.world.kernel.task(self.thread, &|tid| self.world.threads.get(&tid))
    }

    fn regs(&self) -> u64 {
        self.world.kernel.set_regs(self.thread, self.regs)
    }

    fn stack(&self, out: &mut [u64]) -> usize {
        let Some((first, rest)) = out.split_first_mut() else { return 0 };
        *first = self.regs[reg::RIP];
        1 + self.frames(rest)
    }

    fn signal(&self, signal: u32, thread: bool) -> Result<(), Errno> {
        let (tgid, tid) = (self.thread.tgid, self.thread.tid);
        let sent = match i32::try_from(signal) {
            Ok(signal) if thread => ptrace::kill_thread(tgid, tid, signal),
            Ok(signal) => ptrace::kill(tgid, signal),
            Err(_) => return Err(Errno::EINVAL),
        };
        sent.map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => Errno::EINVAL,
            Some(libc::EPERM) => Errno::EPERM,
            _ => Errno::ESRCH,
        })
    }

    fn world(&self) -> runtime::World<'_> {
        let (session, counter) = (self.session.get(), self.counter.get());
        runtime::World { session, counter, ..runtime::World::default() }
    }

    fn retval(&self) -> i32 {
        self.retval.get()
    }

    fn set_retval(&self, value: i32) {
        self.retval.set(value);
    }

    fn override_return(&self, value: u64) {
        self.result.set(Some(value));
    }
}

impl Here<'_> {
    /// Return addresses, by frame pointers: each frame is the next one's address and a return
    /// address; addresses grow.
    fn frames(&self, out: &mut [u64]) -> usize {
        let (mut frame, mut below) = (self.regs[reg::RBP], self.regs[reg::RSP]);
        for (found, slot) in out.iter_mut().enumerate() {
            let mut words = [[0; 8]; 2];
            let aligned = frame.is_multiple_of(8) && frame >= below;
            if !aligned || memory::read(self.thread.tid, frame, words.as_flattened_mut()) != 16 {
                return found;
            }
            let [next, back] = words.map(u64::from_ne_bytes);
            if back == 0 {
                return found;
            }
            *slot = back;
            below = frame + 16;
            frame = next;
        }
        out.len()
    }
}
