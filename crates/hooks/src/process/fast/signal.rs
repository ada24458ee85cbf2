//! Signals of threads that run programs.
//!
//! A handler would find the thread in code that its process knows nothing of, holding a slot. So a
//! signal waits until the thread has given the slot back; a fault of a program ends its run.

use std::io;

use super::{Fast, Inside};
use crate::process::sys::ptrace::{self, Info, Regs, reg};

/// Signals that wait for a thread to leave the agent.
pub(crate) type Waiting = Vec<(i32, Info)>;

/// What becomes of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is delivered: this one.
    Delivered(i32),
    /// Nothing is, for now.
    Waits,
}

/// Signals of what the thread itself did.
const FAULTS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP];

impl Fast {
    /// What becomes of a signal for a thread that has stopped for it; none if the thread is not in
    /// the agent.
    pub(crate) fn signal(
        &self,
        inside: Inside,
        (tgid, tid): (i32, i32),
        signal: i32,
        waiting: &mut Waiting,
    ) -> io::Result<Option<Fate>> {
        let mut regs = ptrace::regs(tid)?;
        let at = regs[reg::RIP];
        if !self.memory.is_code(at) {
            return Ok(None);
        }
        let owner = u64::from(inside.tag) << 48 | regs[reg::FS_BASE];
        let Some(slot) = self.memory.held_by(owner) else { return Ok(None) };
        let place = |name| self.memory.place(name);
        if signal == libc::SIGTRAP && at == place("kicked") {
            slot.free();
            return self.leave(tid, &mut regs).and_then(|()| hand_on(tgid, tid, waiting)).map(Some);
        }
        if FAULTS.contains(&signal) && is_of_itself(&ptrace::info(tid)?) {
            regs[reg::RBP] = slot.addr();
            regs[reg::RIP] = place("finish");
            ptrace::set_regs(tid, &regs)?;
            return Ok(Some(Fate::Waits));
        }
        if at == place("release") {
            slot.free();
            self.leave(tid, &mut regs)?;
            return Ok(Some(Fate::Delivered(signal)));
        }
        waiting.push((signal, ptrace::info(tid)?));
        slot.kick();
        Ok(Some(Fate::Waits))
    }

    /// The thread goes on behind the instruction that gives the slot back.
    fn leave(&self, tid: i32, regs: &mut Regs) -> io::Result<()> {
        regs[reg::RIP] = self.memory.place("released");
        ptrace::set_regs(tid, regs)
    }
}

/// The kernel sent it, for something that the thread did.
fn is_of_itself(info: &Info) -> bool {
    info.code() > 0
}

/// Delivers the first of the signals; the others are sent again.
fn hand_on(tgid: i32, tid: i32, waiting: &mut Waiting) -> io::Result<Fate> {
    let mut all = waiting.drain(..);
    let Some((first, info)) = all.next() else { return Ok(Fate::Waits) };
    ptrace::set_info(tid, &info)?;
    for (signal, info) in all {
        if ptrace::send(tgid, tid, signal, &info).is_err() {
            let _ = ptrace::kill_thread(tgid, tid, signal);
        }
    }
    Ok(Fate::Delivered(first))
}
