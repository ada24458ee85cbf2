//! What a type of map can do; what it cannot answers as Linux does.

use uapi::Errno;

use crate::arena::Arena;
use crate::cgroup_storage::CgroupStorage;
use crate::local::Local;
use crate::raw::{Part, View};
use crate::refs::Refs;
use crate::ringbuf::Ringbuf;
use crate::stack_trace::StackTrace;
use crate::struct_ops::StructOps;
use crate::user_ringbuf::UserRingbuf;

/// `BPF_ANY`: create or replace.
pub const ANY: u64 = 0;
/// `BPF_NOEXIST`: create only.
pub const NOEXIST: u64 = 1;
/// `BPF_EXIST`: replace only; pushes onto a full queue.
pub const EXIST: u64 = 2;
/// `BPF_F_LOCK`: copy under the value's spin lock.
pub const LOCK: u64 = 4;

/// Which batch commands a type has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchKind {
    /// None: ENOTSUPP.
    None,
    /// By walking keys; deletion only if the flags are set.
    Keys {
        /// BPF_MAP_DELETE_BATCH works.
        delete: bool,
        /// BPF_MAP_LOOKUP_AND_DELETE_BATCH works.
        take: bool,
    },
    /// By whole buckets, deletion included.
    Buckets,
}

/// An array's elements in memory: element `i`, copy `cpu` is at `values + i * stride + cpu *
/// cpu_stride`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Address of the first value.
    pub values: u64,
    /// Bytes from one element to the next.
    pub stride: usize,
    /// Elements.
    pub len: u32,
    /// Bytes from one CPU's copy to the next; 0 where there is one copy.
    pub cpu_stride: usize,
}

/// Where the elements of a hash map are, for code that looks them up itself.
///
/// The upper 32 bits of the sum of products of the key's words with the multipliers are its hash,
/// whose upper `bits` name the bucket. A bucket's first link is the first 4 of its 8 bytes at
/// `heads`. A link with bit 31 set leads to the slot in the other bits. Another one ends the
/// chain: 0, or the bucket's number + 1; if it is another bucket's, the chain was changed under
/// the reader, who starts again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashLayout {
    /// Address of the buckets.
    pub heads: u64,
    /// Address of slot 0.
    pub slots: u64,
    /// Bytes of a slot.
    pub slot_size: usize,
    /// Offset of the link in a slot, 4 bytes.
    pub next: usize,
    /// Of the hash, 4 bytes.
    pub hash: usize,
    /// Of the key.
    pub key: usize,
    /// Of the value, its first copy.
    pub value: usize,
    /// Of what a lookup sets to 1 if it is 0, 4 bytes.
    pub used: Option<usize>,
    /// 4 or 8, one word; or 16, four words.
    pub key_size: usize,
    /// Multipliers of the key's words.
    pub multipliers: [u64; 4],
    /// Binary logarithm of the number of buckets.
    pub bits: u32,
    /// Bytes from one CPU's copy to the next; 0 where there is one copy.
    pub cpu_stride: usize,
}

/// A map's memory, at the same addresses in every process that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Values one after another.
    Array {
        /// Where they are.
        layout: Layout,
        /// Bytes of a value.
        value_size: u32,
    },
    /// A hash map that evicts nothing.
    Hash(SharedHash),
    /// A ring buffer.
    Ring {
        /// Address of the reader's position, a page; the writers' position, data and data again
        /// follow.
        pages: u64,
        /// Bytes of data, a power of two.
        size: u64,
    },
}

/// The memory of a hash map.
///
/// A bucket is two words of 4 bytes: a link (see [`HashLayout`]) and a lock, held while not 0.
/// Writers hold it, take slots from the pool and give them back after they have unlinked them. A slot
/// is: link to the next slot, link of the pool (slot + 1, 0 ends), hash, key at 16, copies of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedHash {
    /// Address of the buckets.
    pub heads: u64,
    /// Address of slot 0.
    pub slots: u64,
    /// Address of 8 bytes, the top of the pool: slot + 1, and in the upper half a count of changes;
    /// then 4 bytes, the first slot that was never handed out.
    pub pool: u64,
    /// Address of 4 bytes, the number of elements.
    pub count: u64,
    /// Bytes of a slot.
    pub slot_size: u32,
    /// Offset of the value.
    pub value: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Bytes from one copy of a value to the next.
    pub stride: u32,
    /// Copies of a value, one a CPU; 0 where all share one.
    pub copies: u32,
    /// Slots.
    pub cap: u32,
    /// Elements at most.
    pub max: u32,
    /// Buckets - 1.
    pub mask: u32,
    /// How far a hash is shifted to the right for the number of its bucket.
    pub shift: u32,
    /// What the words of a key are multiplied with; else its hash is lookup3.
    pub multipliers: Option<[u64; 4]>,
    /// The seed of lookup3.
    pub seed: u32,
}

/// The elements of one map. `cpu` is the logical CPU of the caller, below the map's CPU count.
pub trait Ops: Send + Sync {
    /// Program: address of the value, or none.
    fn lookup(&self, key: View<'_>, cpu: u32) -> Option<u64> {
        let _ = (key, cpu);
        None
    }

    /// How other processes work on it, if it is in memory that they have.
    fn shared(&self) -> Option<Shared> {
        None
    }

    /// Program: create or replace.
    fn update(&self, key: View<'_>, value: View<'_>, flags: u64, cpu: u32) -> Result<(), Errno> {
        let _ = (key, value, flags, cpu);
        Err(Errno::ENOTSUPP)
    }

    /// Program and user: delete.
    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        let _ = key;
        Err(Errno::ENOTSUPP)
    }

    /// Program and user: push onto a queue or stack.
    fn push(&self, value: View<'_>, flags: u64) -> Result<(), Errno> {
        let _ = (value, flags);
        Err(Errno::ENOTSUPP)
    }

    /// Program and user: read the next element of a queue or stack, and remove it with `take`.
    /// `out` is zeroed where there is none.
    fn pop(&self, out: &mut [u8], take: bool) -> Result<(), Errno> {
        let _ = (out, take);
        Err(Errno::ENOTSUPP)
    }

    /// Program: visits the addresses of each key and value until `visit` says stop (`false`);
    /// the number of elements visited.
    fn for_each(&self, cpu: u32, visit: &mut dyn FnMut(u64, u64) -> bool) -> Result<u64, Errno> {
        let _ = (cpu, visit);
        Err(Errno::EOPNOTSUPP)
    }

    /// The bounds of the value that holds `addr`, first byte and end.
    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let _ = addr;
        None
    }

    /// Address of byte `off` of the only value, for `ld_imm64` of a map value.
    fn direct_value(&self, off: u32) -> Result<u64, Errno> {
        let _ = off;
        Err(Errno::ENOTSUPP)
    }

    /// Where the elements of an array are, for code that indexes them itself.
    fn layout(&self) -> Option<Layout> {
        None
    }

    /// Where the elements of a hash map are, for code that looks them up itself.
    fn hash_layout(&self) -> Option<HashLayout> {
        None
    }

    /// User: copies a value out in user layout.
    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let _ = (key, out);
        Err(Errno::ENOTSUPP)
    }

    /// User: copies a value out under its spin lock; EINVAL for values without.
    fn locked_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let _ = (key, out);
        Err(Errno::EINVAL)
    }

    /// User: create or replace from user layout.
    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let _ = (key, value, flags);
        Err(Errno::ENOTSUPP)
    }

    /// User: the key after `key`, the first for none or an absent key; ENOENT after the last.
    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let _ = (key, next);
        Err(Errno::ENOTSUPP)
    }

    /// User: lookup, under the value's spin lock with `locked`, and delete in one step.
    fn take(&self, key: &[u8], out: &mut [u8], locked: bool) -> Result<(), Errno> {
        let _ = (key, out, locked);
        Err(Errno::ENOTSUPP)
    }

    /// Which batch commands there are.
    fn batch(&self) -> BatchKind {
        BatchKind::None
    }

    /// Appends the elements of bucket `bucket` to `keys` and `values`, and removes them with
    /// `take`, each under its spin lock with `locked`; ENOSPC if it holds more than `room`. The
    /// number of elements.
    fn bucket(
        &self,
        bucket: u32,
        room: u32,
        (take, locked): (bool, bool),
        out: (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<u32, Errno> {
        let _ = (bucket, room, take, locked, out);
        Err(Errno::ENOTSUPP)
    }

    /// Buckets, for types whose batches go by bucket.
    fn buckets(&self) -> u32 {
        0
    }

    /// The objects of a map of objects.
    fn refs(&self) -> Option<&Refs> {
        None
    }

    /// The ring buffer.
    fn ringbuf(&self) -> Option<&Ringbuf> {
        None
    }

    /// The user ring buffer.
    fn user_ringbuf(&self) -> Option<&UserRingbuf> {
        None
    }

    /// The arena.
    fn arena(&self) -> Option<&Arena> {
        None
    }

    /// The values in objects.
    fn local(&self) -> Option<&Local> {
        None
    }

    /// The values at control groups.
    fn cgroup_storage(&self) -> Option<&CgroupStorage> {
        None
    }

    /// The stack traces.
    fn stack_trace(&self) -> Option<&StackTrace> {
        None
    }

    /// The value of a struct_ops map.
    fn struct_ops(&self) -> Option<&StructOps> {
        None
    }

    /// The memory that user space may map; nothing where it may not.
    fn parts(&self) -> &[Part] {
        &[]
    }

    /// Whether user space may map these bytes of its memory.
    fn may_map(&self, offset: u64, len: u64, write: bool) -> Result<(), Errno> {
        let _ = (offset, len, write);
        Err(Errno::ENOTSUPP)
    }

    /// Whether user space may write the part of its memory that starts at `at`.
    fn may_write(&self, at: u64) -> bool {
        let _ = at;
        true
    }

    /// Elements it holds, where memory comes with them.
    fn live(&self) -> u32 {
        0
    }
}

/// Checks `BPF_ANY`, `NOEXIST`, `EXIST`; EINVAL for anything above.
pub(crate) fn check_flags(flags: u64) -> Result<(), Errno> {
    if flags & !LOCK > EXIST { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Checks `NOEXIST` and `EXIST` against what there is: EEXIST, ENOENT; EINVAL for other flags.
pub(crate) fn check_exists(known: bool, flags: u64) -> Result<(), Errno> {
    match flags & !LOCK {
        NOEXIST if known => Err(Errno::EEXIST),
        EXIST if !known => Err(Errno::ENOENT),
        ANY | NOEXIST | EXIST => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}
