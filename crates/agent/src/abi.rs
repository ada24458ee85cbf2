//! What tracer and agent share: memory laid out the same for both.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Where a probe is, in the probed process: what its trampoline hands over.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Address of the function or instruction.
    pub ip: u64,
    /// Address of the [`Call`]s that are made there.
    pub calls: u64,
    /// How many of them there are.
    pub count: u32,
    /// Not 0: they may change vector registers.
    pub vectors: u32,
    /// Address of the [`Process`].
    pub process: u64,
    /// Address of the [`Control`].
    pub control: u64,
}

/// A program at a site.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Address of its code.
    pub entry: u64,
    /// What `bpf_get_attach_cookie` tells it.
    pub cookie: u64,
}

/// What belongs to one process, in a page of its own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Number of the process in the upper 16 bits, never 0.
    pub tag: u64,
    /// Its id.
    pub pid: u64,
    /// Address of `clock_gettime` in the vdso; 0 if there is none.
    pub clock: u64,
}

/// What all processes share, before the slots.
#[repr(C)]
#[derive(Debug)]
pub struct Control {
    /// Address of the first [`Slot`].
    pub slots: u64,
    /// How many there are: one for each logical CPU.
    pub count: u32,
    /// Events that were missed because no slot became free.
    pub missed: AtomicU32,
    /// State of the random numbers.
    pub random: AtomicU64,
    /// Memory that programs call their own, from here...
    pub own_start: u64,
    /// ... to here.
    pub own_end: u64,
}

/// A logical CPU: who runs a program on it holds it.
#[repr(C, align(64))]
pub struct Slot {
    /// The run's context, of which code reads the logical CPU.
    pub context: [u64; 16],
    /// The thread that holds the slot: its process's tag and its `fs` base; 0: nobody.
    pub owner: AtomicU64,
    /// Not 0: the holder is to stop when it is done: a signal waits for it.
    pub kick: AtomicU32,
    /// Number of the logical CPU.
    pub cpu: u32,
    /// Address of the lock that the holder has or is about to take.
    pub holding: AtomicU64,
    /// Programs run so far.
    pub runs: AtomicU64,
    /// Not 0: vector registers are kept in [`Slot::vectors`].
    pub kept: u32,
    /// Of the program that runs.
    pub cookie: u64,
    /// Address of the site where it runs.
    pub site: u64,
    /// The holder's own stack pointer.
    pub sp: u64,
    /// Before the registers: what a context has before it.
    pub before: u64,
    /// The registers, as `struct pt_regs`: the program's context.
    pub regs: [u64; 21],
    /// Vector registers.
    pub vectors: Vectors,
}

/// Room for xmm0 to xmm15.
#[repr(C, align(16))]
pub struct Vectors(pub [u8; 256]);

/// Indexes in [`Slot::regs`].
pub mod reg {
    #![allow(missing_docs, reason = "names of registers")]
    pub const R15: usize = 0;
    pub const R14: usize = 1;
    pub const R13: usize = 2;
    pub const R12: usize = 3;
    pub const BP: usize = 4;
    pub const BX: usize = 5;
    pub const R11: usize = 6;
    pub const R10: usize = 7;
    pub const R9: usize = 8;
    pub const R8: usize = 9;
    pub const AX: usize = 10;
    pub const CX: usize = 11;
    pub const DX: usize = 12;
    pub const SI: usize = 13;
    pub const DI: usize = 14;
    pub const ORIG_AX: usize = 15;
    pub const IP: usize = 16;
    pub const CS: usize = 17;
    pub const FLAGS: usize = 18;
    pub const SP: usize = 19;
    pub const SS: usize = 20;
}

/// Bytes from one slot to the next; the holder's stack is what the slot leaves of them.
pub const SLOT_STRIDE: usize = 32 << 10;

/// Bytes below the stack pointer that belong to a function that calls nothing.
pub const RED_ZONE: usize = 128;

/// A map, as the agent's functions take it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Map {
    /// One of [`ARRAY`], [`HASH`], [`RING`].
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Bytes from one copy of a value to the next.
    pub stride: u32,
    /// Copies of a value, one a CPU; 0 where all share one.
    pub copies: u32,
    /// Of an array: elements. Of a hash map: elements at most.
    pub max: u32,
    /// Address of an array's values, a hash map's slots, a ring buffer's pages.
    pub base: u64,
    /// Bytes from one element to the next; of a ring buffer, its size.
    pub size: u64,
    /// Of a hash map: address of the buckets.
    pub heads: u64,
    /// Of the pool's words.
    pub pool: u64,
    /// Of the number of elements.
    pub count: u64,
    /// Offset of the value in a slot.
    pub value: u32,
    /// Slots.
    pub cap: u32,
    /// Buckets - 1.
    pub mask: u32,
    /// How far a hash is shifted for its bucket.
    pub shift: u32,
    /// Multipliers of the key's words; the first is 0 where the hash is lookup3.
    pub multipliers: [u64; 4],
    /// Seed of lookup3.
    pub seed: u32,
}

/// Kinds of maps.
pub const ARRAY: u32 = 1;
/// See [`ARRAY`].
pub const HASH: u32 = 2;
/// See [`ARRAY`].
pub const RING: u32 = 3;
