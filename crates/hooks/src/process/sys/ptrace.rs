//! ptrace(2) and waitpid(2) by thread id.

use std::io;

use super::check;

/// Registers of a stopped thread, in the order of `struct user_regs_struct`, which begins as
/// `struct pt_regs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Regs(pub(crate) [u64; 27]);

/// Indexes of registers.
pub(crate) mod reg {
    pub(crate) const RBP: usize = 4;
    pub(crate) const R10: usize = 7;
    pub(crate) const R9: usize = 8;
    pub(crate) const R8: usize = 9;
    pub(crate) const RAX: usize = 10;
    pub(crate) const RDX: usize = 12;
    pub(crate) const RSI: usize = 13;
    pub(crate) const RDI: usize = 14;
    pub(crate) const ORIG_RAX: usize = 15;
    pub(crate) const RIP: usize = 16;
    pub(crate) const EFLAGS: usize = 18;
    pub(crate) const RSP: usize = 19;
    pub(crate) const FS_BASE: usize = 21;
    /// Words that `struct pt_regs` has too.
    pub(crate) const COUNT: usize = 21;
}

impl std::ops::Index<usize> for Regs {
    type Output = u64;

    fn index(&self, at: usize) -> &u64 {
        &self.0[at]
    }
}

impl std::ops::IndexMut<usize> for Regs {
    fn index_mut(&mut self, at: usize) -> &mut u64 {
        &mut self.0[at]
    }
}

/// Why a thread stopped or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It ended by itself, with this status.
    Exited(u8),
    /// A signal ended it.
    Killed(i32),
    /// A signal is about to be delivered.
    Signal(i32),
    /// The system call that it is in ends.
    SyscallExit,
    /// An event that was asked for, of this number.
    Event(i32),
    /// It stops with its group, by this signal; or stopped for us, by SIGTRAP.
    Stop(i32),
}

pub(crate) const EVENT_FORK: i32 = libc::PTRACE_EVENT_FORK;
pub(crate) const EVENT_VFORK: i32 = libc::PTRACE_EVENT_VFORK;
pub(crate) const EVENT_CLONE: i32 = libc::PTRACE_EVENT_CLONE;
pub(crate) const EVENT_EXEC: i32 = libc::PTRACE_EVENT_EXEC;
pub(crate) const EVENT_EXIT: i32 = libc::PTRACE_EVENT_EXIT;
pub(crate) const EVENT_SECCOMP: i32 = libc::PTRACE_EVENT_SECCOMP;

const OPTIONS: i32 = libc::PTRACE_O_EXITKILL
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACESECCOMP;

fn request(what: libc::c_uint, tid: i32, data: i64) -> io::Result<i64> {
    // SAFETY: the requests passed here take numbers only; they touch no memory of ours.
    check(unsafe { libc::ptrace(what, tid, 0_usize, data) })
}

/// Becomes the tracer of a process that need not stop; it dies with this thread.
pub(crate) fn seize(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, OPTIONS.into()).map(drop)
}

/// Lets a stopped thread go on, with a signal if it is not 0.
pub(crate) fn resume(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_CONT, tid, signal.into()).map(drop)
}

/// The same up to the end of the system call that it is in.
pub(crate) fn resume_in_syscall(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, signal.into()).map(drop)
}

/// Stops a thread that runs: it tells so by a stop with SIGTRAP.
pub(crate) fn interrupt(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0).map(drop)
}

/// Leaves a thread stopped with its group until SIGCONT.
pub(crate) fn listen(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, tid, 0).map(drop)
}

/// What belongs to an event: a new thread's id, an exit status, a former thread id.
pub(crate) fn message(tid: i32) -> io::Result<u64> {
    let mut value: libc::c_ulong = 0;
    // SAFETY: writes one word to `value`.
    check(unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, 0_usize, &raw mut value) })?;
    Ok(value)
}

/// Registers of a stopped thread.
pub(crate) fn regs(tid: i32) -> io::Result<Regs> {
    let mut regs = Regs::default();
    // SAFETY: writes a `user_regs_struct`, 27 words.
    check(unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, 0_usize, &raw mut regs) })?;
    Ok(regs)
}

/// Sets them.
pub(crate) fn set_regs(tid: i32, regs: &Regs) -> io::Result<()> {
    let from = std::ptr::from_ref(regs);
    // SAFETY: reads a `user_regs_struct`, 27 words.
    check(unsafe { libc::ptrace(libc::PTRACE_SETREGS, tid, 0_usize, from) }).map(drop)
}

/// The next news of this thread's children and tracees; without `block`, none if there is none
/// yet. ECHILD when there is nobody left.
pub(crate) fn wait(tid: i32, block: bool) -> io::Result<Option<(i32, Status)>> {
    let flags = libc::__WALL | libc::__WNOTHREAD | if block { 0 } else { libc::WNOHANG };
    let mut status = 0;
    // SAFETY: writes the status.
    let tid = check(unsafe { libc::waitpid(tid, &mut status, flags) }.into())? as i32;
    Ok((tid != 0).then(|| (tid, decode(status))))
}

fn decode(status: i32) -> Status {
    const EVENT_STOP: i32 = 128;
    const SYSCALL: i32 = libc::SIGTRAP | 0x80;
    if libc::WIFEXITED(status) {
        return Status::Exited(libc::WEXITSTATUS(status) as u8);
    }
    if libc::WIFSIGNALED(status) {
        return Status::Killed(libc::WTERMSIG(status));
    }
    match (status >> 16, libc::WSTOPSIG(status)) {
        (EVENT_STOP, signal) => Status::Stop(signal),
        (0, SYSCALL) => Status::SyscallExit,
        (0, signal) => Status::Signal(signal),
        (event, _) => Status::Event(event),
    }
}

/// What came with a signal: `siginfo_t`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Info(libc::siginfo_t);

impl Info {
    /// Who sent it: above 0, the kernel.
    pub(crate) fn code(&self) -> i32 {
        self.0.si_code
    }
}

/// What came with the signal for which a thread has stopped.
pub(crate) fn info(tid: i32) -> io::Result<Info> {
    // SAFETY: all-zero is a valid `siginfo_t`.
    let mut info = Info(unsafe { std::mem::zeroed() });
    // SAFETY: writes a `siginfo_t`.
    check(unsafe { libc::ptrace(libc::PTRACE_GETSIGINFO, tid, 0_usize, &raw mut info) })?;
    Ok(info)
}

/// Sets it.
pub(crate) fn set_info(tid: i32, info: &Info) -> io::Result<()> {
    let from = std::ptr::from_ref(info);
    // SAFETY: reads a `siginfo_t`.
    check(unsafe { libc::ptrace(libc::PTRACE_SETSIGINFO, tid, 0_usize, from) }).map(drop)
}

/// Sends a signal to one thread, with what came with it; the kernel refuses what only it may say.
pub(crate) fn send(tgid: i32, tid: i32, signal: i32, info: &Info) -> io::Result<()> {
    let from = std::ptr::from_ref(info);
    // SAFETY: reads a `siginfo_t`.
    let sent = unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, tgid, tid, signal, from) };
    check(sent).map(drop)
}

/// Whether two processes have the same memory.
pub(crate) fn same_memory(one: i32, other: i32) -> bool {
    const VM: i32 = 1;
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, VM, 0, 0) == 0 }
}

/// Ends a process.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Sends a signal to one thread.
pub(crate) fn kill_thread(tgid: i32, tid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_tgkill, tgid, tid, signal) }).map(drop)
}
