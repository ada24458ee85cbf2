//! Making a stopped thread do system calls: `mmap`, for memory that copies of instructions need.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::process::context::ARGS;
use crate::process::sys::ptrace::{self, Status, reg};
use crate::process::thread::Thread;

const MMAP: u64 = 9;
const READ_EXEC: u64 = 5;
const PRIVATE_ANONYMOUS: u64 = 0x22;
const FIXED_NOREPLACE: u64 = 0x10_0000;
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// How far below code memory is tried, and how often.
const STEP: u64 = 0x1_0000;
const TRIES: u64 = 64;

/// A thread at the end of a system call, which can be made to do others.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) thread: &'a Thread,
    /// Its process's memory.
    pub(crate) memory: &'a File,
    /// The call was `execve`: the thread is the only one of its process.
    pub(crate) execed: bool,
}

impl Caller<'_> {
    /// Maps `len` bytes to execute, below `near` where there is room.
    pub(super) fn map(&self, near: u64, len: u64) -> io::Result<u64> {
        let mut answer = Err(io::ErrorKind::OutOfMemory.into());
        for below in 1..=TRIES {
            let Some(at) = near.checked_sub(below * STEP).filter(|at| *at >= STEP) else { break };
            let flags = PRIVATE_ANONYMOUS | FIXED_NOREPLACE;
            answer = self.call(MMAP, [at, len, READ_EXEC, flags, u64::MAX, 0]);
            match &answer {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                _ => return answer,
            }
        }
        self.call(MMAP, [0, len, READ_EXEC, PRIVATE_ANONYMOUS, u64::MAX, 0]).or(answer)
    }

    /// A system call, done by the thread.
    pub(crate) fn call(&self, number: u64, args: [u64; 6]) -> io::Result<u64> {
        let tid = self.thread.tid;
        let before = ptrace::regs(tid)?;
        let mut regs = before;
        let mut covered = [0; 2];
        if self.execed {
            // The first instruction of the new program gives way for a moment.
            self.memory.read_exact_at(&mut covered, before[reg::RIP])?;
            self.memory.write_all_at(&SYSCALL, before[reg::RIP])?;
        } else {
            // The instruction that it comes back from.
            regs[reg::RIP] -= SYSCALL.len() as u64;
        }
        for (register, value) in ARGS.iter().zip(args) {
            regs[*register] = value;
        }
        regs[reg::RAX] = number;
        regs[reg::ORIG_RAX] = u64::MAX;
        let result = ptrace::set_regs(tid, &regs).and_then(|()| run(self.thread));
        if self.execed {
            self.memory.write_all_at(&covered, before[reg::RIP])?;
        }
        ptrace::set_regs(tid, &before)?;
        result
    }
}

/// Lets the thread do its system call, whether the filter stops it or not; no program is told.
fn run(thread: &Thread) -> io::Result<u64> {
    let tid = thread.tid;
    const ERRORS: u64 = 4095;
    let mut signals = Vec::new();
    let mut in_call = false;
    let result = loop {
        ptrace::resume_in_syscall(tid, 0)?;
        match ptrace::wait(tid, true)? {
            Some((_, Status::SyscallExit)) if in_call => break ptrace::regs(tid)?[reg::RAX],
            // The beginning looks the same.
            Some((_, Status::SyscallExit)) => in_call = true,
            Some((_, Status::Signal(signal))) => signals.push(signal),
            Some((_, Status::Event(ptrace::EVENT_SECCOMP) | Status::Stop(_))) => {}
            _ => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    };
    for signal in signals {
        ptrace::kill_thread(thread.tgid, tid, signal).ok();
    }
    match result.wrapping_neg() {
        errno @ 1..=ERRORS => Err(io::Error::from_raw_os_error(errno as i32)),
        _ => Ok(result),
    }
}
