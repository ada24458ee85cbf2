//! What a program reaches outside its own registers and stack.

use std::{fmt, sync::Arc};

use crate::Program;

/// A run of host memory that a program may touch: `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First host address.
    pub start: u64,
    /// Address after the last byte.
    pub end: u64,
    /// Stores are allowed.
    pub writable: bool,
}

/// The world of one run: memory and helpers.
///
/// Addresses are host addresses; whoever implements this vouches that each [`Region`] it names
/// stays valid memory until the next helper call.
pub trait Host {
    /// The region that holds `addr` (context, packet, map value, helper memory).
    fn region(&mut self, addr: u64) -> Option<Region>;

    /// Calls helper `id` with r1 to r5; `vm` runs callbacks in the program.
    fn call(&mut self, id: u32, args: [u64; 5], vm: &mut dyn Callback) -> Result<u64, Trap>;

    /// Calls the kernel function with BTF id `id` in BTF object `module` of `fd_array` (0: vmlinux).
    fn kfunc(
        &mut self,
        id: i32,
        module: i16,
        args: [u64; 5],
        vm: &mut dyn Callback,
    ) -> Result<u64, Trap> {
        let _ = (module, args, vm);
        Err(Trap::here(TrapKind::NoKfunc(id)))
    }

    /// The program that [`Callback::tail_call`] named.
    fn program(&mut self, prog: u64) -> Option<Arc<Program>> {
        let _ = prog;
        None
    }

    /// A tail call out of a subprogram follows: the program that runs now waits for the other one,
    /// which [`Host::program`] is asked for next.
    fn suspend(&mut self) {}

    /// The other program has ended: the one that waited runs again.
    fn resume(&mut self) {}
}

/// The way back into the program from a helper (`bpf_loop`, `bpf_for_each_map_elem`).
pub trait Callback {
    /// Runs the subprogram whose address is `func` with `args`; the value is its r0.
    ///
    /// `host` is the helper's own host: callbacks call helpers too.
    fn call_back(&mut self, host: &mut dyn Host, func: u64, args: [u64; 5]) -> Result<u64, Trap>;

    /// Lets the program read and write this memory (a callback's key, value or context) until
    /// the helper returns.
    fn grant(&mut self, region: Region);

    /// The region of the run's own memory (stack, grants) that holds `addr`.
    fn region(&self, addr: u64) -> Option<Region> {
        let _ = addr;
        None
    }

    /// Whether this engine checks accesses; then helpers check their memory arguments too.
    fn checks(&self) -> bool {
        false
    }

    /// Replaces the running program by `prog` (a name that [`Host::program`] knows) when the
    /// helper returns; `false` after the 33rd time, and then nothing happens.
    fn tail_call(&mut self, prog: u64) -> bool;
}

/// Why a run stopped without an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Slot of the instruction, in translated bytecode.
    pub pc: usize,
    /// What happened.
    pub kind: TrapKind,
}

impl Trap {
    /// A trap whose slot the interpreter fills in (for helpers).
    pub fn here(kind: TrapKind) -> Trap {
        Trap { pc: Trap::NO_PC, kind }
    }

    /// The slot of a trap that names none yet.
    pub const NO_PC: usize = usize::MAX;
}

/// What went wrong at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrapKind {
    /// A load or store outside every region, or a store to read-only memory.
    Memory {
        /// The address.
        addr: u64,
        /// Bytes accessed.
        size: u32,
        /// It was a store.
        write: bool,
    },
    /// The instruction budget is used up.
    Fuel,
    /// An instruction that does not decode.
    BadInsn,
    /// A jump or call out of the program.
    BadTarget,
    /// More frames than Linux allows.
    CallDepth,
    /// A helper without a body here.
    NoHelper(u32),
    /// A kernel function without a body here.
    NoKfunc(i32),
    /// A tail call to a program that the host does not know.
    NoProgram(u64),
    /// The program threw an exception with this cookie, which ends it in all its frames.
    Thrown(u64),
    /// A helper stopped the program.
    Helper(&'static str),
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pc != Trap::NO_PC {
            write!(f, "instruction {}: ", self.pc)?;
        }
        match &self.kind {
            TrapKind::Memory { addr, size, write } => {
                let what = if *write { "store" } else { "load" };
                write!(f, "{what} of {size} bytes at {addr:#x}, outside all memory of the program")
            }
            TrapKind::Fuel => f.write_str("the instruction budget is used up"),
            TrapKind::BadInsn => f.write_str("not an instruction"),
            TrapKind::BadTarget => f.write_str("jump or call out of the program"),
            TrapKind::CallDepth => f.write_str("too many nested calls"),
            TrapKind::NoHelper(id) => write!(f, "helper {id} has no body here"),
            TrapKind::NoKfunc(id) => write!(f, "kernel function {id} has no body here"),
            TrapKind::NoProgram(name) => write!(f, "tail call to unknown program {name:#x}"),
            TrapKind::Thrown(cookie) => write!(f, "an exception with cookie {cookie:#x}"),
            TrapKind::Helper(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Trap {}
