//! Events: what happened in another process, and that process as helpers reach it.

use uapi::Errno;

use crate::world::World;

/// The process that an event happened in. Its answers may be made when they are asked for.
pub trait Process {
    /// Name of the thread, padded with zeros.
    fn comm(&self) -> [u8; 16];
    /// Real user and group.
    fn uid_gid(&self) -> (u32, u32);
    /// Copies memory of the process; how many bytes could be read from the start on.
    fn read(&self, addr: u64, out: &mut [u8]) -> usize;
    /// Writes memory of the process: all of it, or EFAULT.
    fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), Errno>;
    /// The stretch of the synthetic kernel's memory around `addr`: start and end. It is memory of
    /// this program that stays where it is and may be read as long as the runner is there.
    fn kernel(&self, addr: u64) -> Option<(u64, u64)>;
    /// Whether the program may store into that stretch too.
    fn may_store(&self, _addr: u64) -> bool {
        false
    }
    /// Address of the `task_struct` in that memory; 0 if there is none.
    fn task(&self) -> u64;
    /// Address of the task's `pt_regs` in that memory; 0 if there are none.
    fn regs(&self) -> u64;
    /// Instruction pointer and return addresses of the thread's user stack, innermost first; how
    /// many were found.
    fn stack(&self, out: &mut [u64]) -> usize;
    /// The path that a `struct path` in that memory names, if it is one.
    fn path(&self, _addr: u64) -> Option<Vec<u8>> {
        None
    }
    /// Sends a signal to the process, or to the thread alone.
    fn signal(&self, signal: u32, thread: bool) -> Result<(), Errno>;
    /// Makes the function that the event is at return this value instead of running.
    fn override_return(&self, value: u64);
    /// The result so far of the call that the event decides on (`bpf_get_retval`).
    fn retval(&self) -> i32 {
        0
    }
    /// Makes it another one (`bpf_set_retval`).
    fn set_retval(&self, _value: i32) {}
    /// What the hook lends to its programs besides: a socket, a setting, a message.
    fn world(&self) -> World<'_> {
        World::default()
    }
    /// Writes to the file that the event is a reading of; EINVAL if it is none.
    fn seq_write(&self, _bytes: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
}

/// One event, for one program that is attached to it.
#[derive(Clone, Copy)]
pub struct Event<'e> {
    /// Where it happened.
    pub process: &'e dyn Process,
    /// Thread id.
    pub pid: u32,
    /// Process id.
    pub tgid: u32,
    /// What the program was attached with (`bpf_get_attach_cookie`).
    pub cookie: u64,
    /// Address of the function that was entered or left; 0 if the event is at none.
    pub func_ip: u64,
    /// The word before the context: how many arguments a traced function has.
    pub args: u64,
}
