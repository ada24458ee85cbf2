//! The agent in one process: mapped, and trampolines written.

use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;

use agent::abi::{Process, RED_ZONE, Site};

use super::{Calls, Displaced, Fast, vdso};
use crate::process::sys::memory;
use crate::process::sys::ptrace::{self, reg};
use crate::process::uprobe::inject::Caller;

/// The agent is in this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inside {
    /// The process's number.
    pub(super) tag: u16,
    /// The memory is another process's.
    pub(super) borrowed: bool,
}

const OPENAT: u64 = 257;
const CLOSE: u64 = 3;
const MMAP: u64 = 9;
/// Calls that threads are made to do. What happens at them must not be told by a word.
pub(crate) const INJECTED: [u32; 3] = [OPENAT as u32, CLOSE as u32, MMAP as u32];
const AT_FDCWD: u64 = -100_i64 as u64;
const CLOEXEC: u64 = 0x8_0000;
const READ_WRITE: u64 = 2;
const PROT_READ_WRITE: u64 = 3;
const PROT_READ_EXEC: u64 = 5;
const SHARED: u64 = 1;
const PRIVATE_ANONYMOUS: u64 = 0x22;
const FIXED: u64 = 0x10;
const FIXED_NOREPLACE: u64 = 0x10_0000;
const PAGE: u64 = 4096;
/// Below the stack pointer, where nothing of the thread's is.
const BELOW: u64 = 1024;

impl Inside {
    /// Maps the agent into a process whose thread can be made to call.
    pub(crate) fn enter(fast: &Fast, caller: &Caller<'_>) -> io::Result<Inside> {
        let tid = caller.thread.tid;
        if in_other_namespace(tid) {
            return Err(io::Error::other("its ids are those of another process namespace"));
        }
        let memory = &fast.memory;
        let (shared, code) = memory.files();
        let fd = open(caller, shared, READ_WRITE)?;
        let mut flags = SHARED | FIXED_NOREPLACE;
        for piece in memory.region().pieces() {
            let args = [piece.addr, piece.len, PROT_READ_WRITE, flags, fd, piece.file_off];
            caller.call(MMAP, args)?;
            // Later pieces lie over the first.
            flags = SHARED | FIXED;
        }
        caller.call(CLOSE, [fd, 0, 0, 0, 0, 0])?;
        let fd = open(caller, code, 0)?;
        let (at, len) = (memory.code_at(), memory.code_len());
        caller.call(MMAP, [at, len, PROT_READ_EXEC, SHARED | FIXED_NOREPLACE, fd, 0])?;
        caller.call(CLOSE, [fd, 0, 0, 0, 0, 0])?;
        let flags = PRIVATE_ANONYMOUS | FIXED_NOREPLACE;
        caller.call(MMAP, [memory.own_page(), PAGE, PROT_READ_WRITE, flags, u64::MAX, 0])?;
        let inside = Inside { tag: fast.tag(), borrowed: false };
        if !inside.tell(fast, caller.thread.tgid) {
            return Err(io::Error::other("its page cannot be written"));
        }
        Ok(inside)
    }

    /// Writes the process's own page.
    pub(super) fn tell(self, fast: &Fast, tgid: i32) -> bool {
        let clock = vdso::start(tgid).and_then(|start| Some(start + fast.clock?)).unwrap_or(0);
        let mut bytes = [0; size_of::<Process>()];
        let mut set = |at: usize, value: u64| {
            bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        };
        set(offset_of!(Process, tag), u64::from(self.tag) << 48);
        set(offset_of!(Process, pid), tgid as u64);
        set(offset_of!(Process, clock), clock);
        memory::write(tgid, fast.memory.own_page(), &bytes)
    }
}

/// The tracer's file of this descriptor, opened by the thread.
fn open(caller: &Caller<'_>, file: i32, how: u64) -> io::Result<u64> {
    let path = format!("/proc/{}/fd/{file}\0", std::process::id());
    let below = ptrace::regs(caller.thread.tid)?[reg::RSP].wrapping_sub(BELOW) & !7;
    caller.memory.write_all_at(path.as_bytes(), below)?;
    caller.call(OPENAT, [AT_FDCWD, below, how | CLOEXEC, 0, 0, 0])
}

fn in_other_namespace(tid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.is_none_or(|ids| ids.split_ascii_whitespace().count() != 1)
}

/// Bytes of a trampoline for these instructions.
pub(crate) fn room(displaced: &Displaced) -> usize {
    size_of::<Site>() + POINTER + AROUND + displaced.room()
}

const POINTER: usize = 8;
/// Bytes of a trampoline's own instructions.
const AROUND: usize = 33;

/// A trampoline for the place `from` that stands at `to`: its bytes, and where in it the jump leads;
/// none if it is too far away from what the instructions refer to.
pub(crate) fn trampoline(
    fast: &Fast,
    calls: Calls,
    displaced: &Displaced,
    from: u64,
    to: u64,
) -> Option<(Vec<u8>, u64)> {
    let Calls { at, count, vectors } = calls;
    let mut out = fast.memory.site(from, at, count, vectors);
    out.extend(fast.memory.place("enter").to_ne_bytes());
    let start = out.len();
    // lea -RED_ZONE(%rsp),%rsp; pushfq; push %rax
    out.extend([0x48, 0x8d, 0x64, 0x24, (RED_ZONE as u8).wrapping_neg(), 0x9c, 0x50]);
    // lea site(%rip),%rax; call *enter(%rip)
    out.extend([0x48, 0x8d, 0x05]);
    back(&mut out, 0);
    out.extend([0xff, 0x15]);
    back(&mut out, size_of::<Site>());
    // pop %rax; popfq; lea RED_ZONE(%rsp),%rsp
    out.extend([0x58, 0x9d, 0x48, 0x8d, 0xa4, 0x24]);
    out.extend((RED_ZONE as u32).to_le_bytes());
    let here = to + out.len() as u64;
    out.extend(displaced.write(from, here)?);
    Some((out, to + start as u64))
}

/// The distance from behind these four bytes back to offset `to`.
fn back(out: &mut Vec<u8>, to: usize) {
    let apart = to as i32 - (out.len() as i32 + 4);
    out.extend(apart.to_le_bytes());
}
