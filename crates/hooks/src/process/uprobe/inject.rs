//! Making a stopped thread do a system call: `mmap`, for memory that copies of instructions need.

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

/// Maps `len` bytes to execute, below `near` where there is room. The thread is at the end of a
/// system call; of `execve` if `execed`, so that it is the only one of its process.
pub(super) fn map(
    thread: &Thread,
    memory: &File,
    near: u64,
    len: u64,
    execed: bool,
) -> io::Result<u64> {
    let mut answer = Err(io::ErrorKind::OutOfMemory.into());
    for below in 1..=TRIES {
        let Some(at) = near.checked_sub(below * STEP).filter(|at| *at >= STEP) else { break };
        answer = call(
            thread,
            memory,
            [at, len, READ_EXEC, PRIVATE_ANONYMOUS | FIXED_NOREPLACE, u64::MAX, 0],
            execed,
        );
        match &answer {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            _ => return answer,
        }
    }
    call(thread, memory, [0, len, READ_EXEC, PRIVATE_ANONYMOUS, u64::MAX, 0], execed).or(answer)
}

/// `mmap` with these arguments, done by the thread.
fn call(thread: &Thread, memory: &File, args: [u64; 6], execed: bool) -> io::Result<u64> {
    let tid = thread.tid;
    let before = ptrace::regs(tid)?;
    let mut regs = before;
    let mut covered = [0; 2];
    if execed {
        // The first instruction of the new program gives way for a moment.
        memory.read_exact_at(&mut covered, before[reg::RIP])?;
        memory.write_all_at(&SYSCALL, before[reg::RIP])?;
    } else {
        // The instruction that it comes back from.
        regs[reg::RIP] -= SYSCALL.len() as u64;
    }
    for (register, value) in ARGS.iter().zip(args) {
        regs[*register] = value;
    }
    regs[reg::RAX] = MMAP;
    regs[reg::ORIG_RAX] = u64::MAX;
    let result = ptrace::set_regs(tid, &regs).and_then(|()| run(thread));
    if execed {
        memory.write_all_at(&covered, before[reg::RIP])?;
    }
    ptrace::set_regs(tid, &before)?;
    result
}

/// Lets the thread do its system call, which the filter stops: executable memory.
fn run(thread: &Thread) -> io::Result<u64> {
    let tid = thread.tid;
    const ERRORS: u64 = 4095;
    let mut signals = Vec::new();
    let mut in_call = false;
    let result = loop {
        if in_call {
            ptrace::resume_in_syscall(tid, 0)?
        } else {
            ptrace::resume(tid, 0)?
        }
        match ptrace::wait(tid, true)? {
            Some((_, Status::Event(ptrace::EVENT_SECCOMP))) => in_call = true,
            Some((_, Status::SyscallExit)) if in_call => break ptrace::regs(tid)?[reg::RAX],
            Some((_, Status::Signal(signal))) => signals.push(signal),
            Some((_, Status::Stop(_))) => {}
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
