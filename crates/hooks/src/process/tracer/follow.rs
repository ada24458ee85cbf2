//! Waiting for news of traced threads, and what each piece of news means.

use std::collections::hash_map::Entry;
use std::io;

use super::{Ended, Tracer, Watcher};
use crate::process::sys::interrupt::Interrupts;
use crate::process::sys::ptrace::{self, Status};
use crate::process::thread::{self, Thread};

/// Interrupts of the terminal that a command may ignore.
const INTERRUPTS: u32 = 3;

impl Tracer {
    /// Ends whatever is left, and waits for it.
    pub(super) fn kill_all(&mut self) {
        for thread in self.world.threads.values() {
            let _ = ptrace::kill(thread.tgid, libc::SIGKILL);
        }
        while let Ok(Some((tid, status))) = ptrace::wait(-1, true) {
            match status {
                Status::Exited(_) | Status::Killed(_) => {}
                _ => drop(ptrace::resume(tid, 0)),
            }
        }
        self.world.threads.clear();
    }

    pub(super) fn follow(&mut self, watcher: &mut dyn Watcher) -> io::Result<()> {
        let interrupts = Interrupts::watch();
        let ticker = self.start_ticker()?;
        let mut waits = false;
        let mut lingering = false;
        loop {
            match ptrace::wait(-1, !waits) {
                Ok(Some((tid, status))) => self.news(tid, status, watcher)?,
                Ok(None) => waits = watcher.ran(true)?,
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if ticker.as_ref().is_some_and(|ticker| ticker.ticked()) {
                self.look();
            }
            while let Some(finished) = self.controls.workers.finished() {
                done(self.finish(&finished))?;
            }
            if std::mem::take(&mut self.ran) | self.shared.take_ran() {
                waits = watcher.ran(false)?;
            }
            // The command gets interrupts of the terminal itself; one that takes no notice of
            // several is ended, and so is what it left behind.
            let count = interrupts.count();
            if self.shared.failed() {
                return Err(io::Error::other("the thread that answers its system calls has ended"));
            }
            if count >= INTERRUPTS || (count > 0 && self.ended.is_some()) {
                self.kill_all();
                break;
            }
            if self.ended.is_some() && !lingering {
                lingering = true;
                self.tell_left(watcher);
            }
        }
        Ok(())
    }

    fn tell_left(&self, watcher: &mut dyn Watcher) {
        let threads = self.world.threads.values();
        let left = threads.filter(|thread| thread.tid == thread.tgid).count();
        if left > 0 {
            let s = if left == 1 { " goes" } else { "es go" };
            watcher.note(&format!(
                "the command has ended, {left} process{s} on in the background: waiting for them \
                 (Ctrl-C ends them)"
            ));
        }
    }

    fn news(&mut self, tid: i32, status: Status, watcher: &mut dyn Watcher) -> io::Result<()> {
        match status {
            Status::Exited(status) => return self.gone(tid, Ended::Exited(status)),
            Status::Killed(signal) => return self.gone(tid, Ended::Killed(signal)),
            _ => {}
        }
        if let Entry::Vacant(unknown) = self.world.threads.entry(tid) {
            // A child whose parent's fork comes later: it waits.
            let tgid = thread::proc_tgid(tid).unwrap_or(tid);
            unknown.insert(Thread::new(tid, tgid)).arrived = true;
            return Ok(());
        }
        // A thread may be killed at any moment, also while it is stopped: its end comes then.
        let step = match status {
            Status::Event(ptrace::EVENT_SECCOMP) => self.entered(tid),
            Status::SyscallExit => self.left(tid, watcher),
            Status::Event(ptrace::EVENT_FORK | ptrace::EVENT_VFORK | ptrace::EVENT_CLONE) => {
                self.forked(tid)
            }
            Status::Event(ptrace::EVENT_EXEC) => self.execed(tid, watcher),
            Status::Event(ptrace::EVENT_EXIT) => self.exits(tid),
            Status::Stop(signal) => return self.stopped(tid, signal),
            Status::Signal(signal) => return done(self.signal(tid, signal)),
            _ => Ok(tid),
        };
        match step {
            Ok(tid) if self.waits(tid) => Ok(()),
            Ok(tid) => done(self.resume(tid, 0)),
            Err(error) => done(Err(error)),
        }
    }

    /// Lets a thread go on, to the end of its call if that is waited for.
    pub(super) fn resume(&self, tid: i32, signal: i32) -> io::Result<()> {
        match self.world.threads.get(&tid) {
            Some(thread) if thread.in_call.is_some() => ptrace::resume_in_syscall(tid, signal),
            _ => ptrace::resume(tid, signal),
        }
    }

    fn stopped(&mut self, tid: i32, signal: i32) -> io::Result<()> {
        const GROUP: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
        if let Some(thread) = self.world.threads.get_mut(&tid) {
            if !thread.announced {
                thread.arrived = true;
                return Ok(());
            }
            if !thread.arrived {
                thread.arrived = true;
                return done(self.first_stop(tid));
            }
        }
        if GROUP.contains(&signal) {
            return done(ptrace::listen(tid));
        }
        let wanted = self.world.threads.get(&tid).is_some_and(|thread| !thread.samples.is_empty());
        if wanted && signal == libc::SIGTRAP {
            done(self.sampled(tid))?;
        }
        done(self.resume(tid, 0))
    }
}

/// A thread that is killed meanwhile answers ESRCH; its end is told later.
pub(super) fn done(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}
