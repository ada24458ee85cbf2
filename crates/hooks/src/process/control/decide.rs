//! Running the programs of a hook on one call, and what they decide together.

use std::io;

use runtime::Event;
use uapi::Errno;

use super::{Control, Controls, Programs};
use crate::process::context::ARGS;
use crate::process::here::{Here, World};
use crate::process::sys::memory;
use crate::process::sys::ptrace::{Regs, reg};
use crate::process::thread::Thread;

/// One call of one thread, and the programs that decide on it.
pub(crate) struct Decider<'a> {
    pub(crate) controls: &'a Controls,
    pub(crate) programs: &'a mut Programs,
    pub(crate) world: &'a World,
    pub(crate) thread: &'a Thread,
    pub(crate) regs: &'a Regs,
    /// Programs have run.
    pub(crate) ran: bool,
    /// What a message's sender gets instead, if a program refused it.
    pub(super) refused: Option<i64>,
    /// Options that a new socket gets.
    pub(crate) options: Vec<(i32, i32)>,
}

/// What programs decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// 0, or what the call returns instead.
    pub(super) retval: i32,
    /// Upper bits of what programs returned.
    pub(super) flags: u32,
    /// The last program's value.
    pub(super) value: u64,
}

impl Decision {
    /// What is decided where there are no programs.
    pub(super) const YES: Decision = Decision { retval: 0, flags: 0, value: 1 };
}

/// A context that programs may change, with what it points to behind it.
pub(super) struct Context<'c> {
    pub(super) memory: &'c mut [u8],
    /// Words and what they point to.
    pub(super) pointers: &'c [(usize, usize)],
    /// Where the result so far stands, if the context has it.
    pub(super) retval: Option<usize>,
}

const ERRNOS: i32 = 4095;

/// An error's number, negative.
pub(crate) fn errno(error: &io::Error) -> i64 {
    -i64::from(error.raw_os_error().unwrap_or(libc::EIO))
}

impl<'a> Decider<'a> {
    pub(crate) fn new(
        controls: &'a Controls,
        programs: &'a mut Programs,
        world: &'a World,
        thread: &'a Thread,
        regs: &'a Regs,
    ) -> Decider<'a> {
        let (ran, refused, options) = (false, None, Vec::new());
        Decider { controls, programs, world, thread, regs, ran, refused, options }
    }
}

impl Decider<'_> {
    /// Runs all programs of a hook, the first attached first; `retval` is the result so far.
    pub(super) fn run(&mut self, hook: Control, context: Context<'_>, retval: i32) -> Decision {
        let Context { memory, pointers, retval: place } = context;
        let controls = self.controls;
        let mut decision = Decision { retval, flags: 0, value: 1 };
        let here = Here::new(self.world, self.thread, self.regs);
        for &index in controls.programs(hook) {
            let program = &mut self.programs[index];
            let event = Event {
                process: &here,
                pid: self.thread.tid as u32,
                tgid: self.thread.tgid as u32,
                cookie: program.cookie,
                func_ip: 0,
                args: 0,
            };
            here.retval.set(decision.retval);
            if let Some(at) = place {
                memory[at..at + 4].copy_from_slice(&decision.retval.to_ne_bytes());
            }
            // A run that was stopped has not said yes.
            let value = program.runner.run_writable(memory, pointers, &event).unwrap_or(0);
            let mut after = here.retval.get();
            if let Some(at) = place {
                let stored = memory[at..at + 4].try_into().map_or(after, i32::from_ne_bytes);
                after = if stored == decision.retval { after } else { stored };
            }
            let refused = value & 1 == 0 && !(-ERRNOS..0).contains(&after);
            decision.retval = if refused { -Errno::EPERM.0 } else { after };
            decision.flags |= (value >> 1) as u32;
            decision.value = value;
            self.ran = true;
        }
        decision
    }

    /// The call's number.
    pub(super) fn number(&self) -> u32 {
        self.regs[reg::ORIG_RAX] as u32
    }

    /// An argument of the call.
    pub(super) fn arg(&self, index: usize) -> u64 {
        self.regs[ARGS[index]]
    }

    /// What the call returned.
    pub(super) fn result(&self) -> i64 {
        self.regs[reg::RAX] as i64
    }

    /// Memory of the process: all of it or nothing.
    pub(super) fn read(&self, addr: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        (memory::read(self.thread.tid, addr, &mut bytes) == len).then_some(bytes)
    }

    pub(super) fn word(&self, addr: u64) -> Option<u64> {
        let bytes = self.read(addr, 8)?;
        bytes.try_into().ok().map(u64::from_ne_bytes)
    }

    pub(super) fn half(&self, addr: u64) -> Option<u32> {
        let bytes = self.read(addr, 4)?;
        bytes.try_into().ok().map(u32::from_ne_bytes)
    }

    pub(super) fn write(&self, addr: u64, bytes: &[u8]) -> bool {
        bytes.is_empty() || memory::write(self.thread.tid, addr, bytes)
    }
}
