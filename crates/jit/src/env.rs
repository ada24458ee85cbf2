//! What a program calls outside itself, and how the caller wants it compiled.

/// Machine code that a program calls: `extern "C" fn(r1, r2, r3, r4, r5, *mut RunContext) -> r0`.
///
/// The run's context comes last, so a function of five arguments that has no use for it serves too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Address of the function.
    pub addr: usize,
    /// How many of r1 to r5 it takes; the others need not be kept for it.
    pub args: u8,
    /// It may set [`crate::RunContext::stop`], which is looked at after it returned.
    pub may_stop: bool,
    /// Written to [`crate::RunContext::tag`] before the call.
    pub tag: Option<u32>,
}

/// Where the functions are that programs call by number.
pub trait Env {
    /// The helper with this number; `bpf_tail_call` (12) is never asked for.
    fn helper(&self, id: i32) -> Option<Target>;

    /// The kernel function with this BTF id, in module `off` of the program's `fd_array`.
    fn kfunc(&self, id: i32, off: i16) -> Option<Target> {
        let _ = (id, off);
        None
    }

    /// The array at this address, if lookups in it (helper 1) may be done in place.
    fn array(&self, map: u64) -> Option<ArrayMap> {
        let _ = map;
        None
    }

    /// The hash map at this address, if lookups in it (helper 1) may be done in place.
    fn hash(&self, map: u64) -> Option<HashMap> {
        let _ = map;
        None
    }

    /// What does on the map at this address what helper `id` (1 to 3) does on any; it takes as many
    /// arguments.
    fn on_map(&self, id: i32, map: u64) -> Option<Target> {
        let _ = (id, map);
        None
    }
}

/// An array of values that `bpf_map_lookup_elem` indexes with a 32-bit key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArrayMap {
    /// Address of the first value.
    pub values: u64,
    /// Bytes from one element to the next.
    pub stride: u32,
    /// Number of elements.
    pub len: u32,
    /// Bytes from one CPU's copy of a value to the next; 0 where there is one copy.
    pub cpu_stride: u32,
}

/// A hash map whose elements others may change meanwhile.
///
/// The key's words times the multipliers, summed up: the upper 32 bits are the hash, whose upper
/// `bits` are the number of the bucket. The first link of bucket `b` is at `heads + 8 * b`. A link
/// with bit 31 set leads to the slot in the other bits; another one ends the chain: 0, or the
/// bucket's number + 1. The walk starts again where that is another bucket's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashMap {
    /// Address of the links of buckets.
    pub heads: u64,
    /// Address of slot 0.
    pub slots: u64,
    /// Bytes from one slot to the next.
    pub slot_size: i32,
    /// Offset in a slot of the link to the next one, 4 bytes.
    pub next: i32,
    /// Of the hash, 4 bytes.
    pub hash: i32,
    /// Of the key.
    pub key: i32,
    /// Of the value.
    pub value: i32,
    /// Of what a lookup sets to 1 if it is 0, 4 bytes.
    pub used: Option<i32>,
    /// 4 or 8: one word. 16: four words of 4 bytes.
    pub key_size: u32,
    /// One for each word.
    pub multipliers: [u64; 4],
    /// Binary logarithm of the number of buckets, 1 to 31.
    pub bits: u8,
    /// Bytes from one CPU's copy of a value to the next; 0 where there is one copy.
    pub cpu_stride: i32,
}

/// An environment without functions.
impl Env for () {
    fn helper(&self, _: i32) -> Option<Target> {
        None
    }
}

/// How to compile.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Large constants of the program appear in the code only exclusive-ored with random numbers:
    /// a program cannot smuggle machine code of its choice in.
    pub blind: Option<u64>,
    /// Use BMI1 and BMI2 instructions.
    pub bmi: bool,
    /// Look at [`crate::RunContext::stop`] at jumps backwards, so that another thread can end the run.
    pub interruptible: bool,
    /// Keep every value where it belongs after each instruction: slower code, for comparison.
    pub plain: bool,
    /// Give functions no registers but those their values live in, so that rare ways of coping
    /// are taken: for tests.
    pub scarce: bool,
    /// Where the program's arena is.
    pub arena: Option<Arena>,
}

/// Where an arena is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arena {
    /// Address of what programs call 0. All that 32 bits and an offset of an instruction reach from
    /// there on is the arena's own: what is not there faults.
    pub base: u64,
    /// The upper half of addresses in user space.
    pub user_high: u32,
}

impl Default for Options {
    /// What this machine has, no hardening.
    fn default() -> Options {
        Options {
            blind: None,
            bmi: has_bmi(),
            interruptible: false,
            plain: false,
            scarce: false,
            arena: None,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_bmi() -> bool {
    std::arch::is_x86_feature_detected!("bmi1") && std::arch::is_x86_feature_detected!("bmi2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_bmi() -> bool {
    false
}
