//! Every map type: the program's side (addresses, concurrent) and the user's side (copies).
//!
//! [`Map::create`] checks as BPF_MAP_CREATE does. Elements live in slabs that never move, so a
//! program may hold a value's address for the rest of its run; deletion recycles. Unsafe code is
//! in [`raw`] only.
#![deny(unsafe_code)]

mod arena;
mod array;
mod batch;
mod bloom;
mod cgroup_storage;
mod check;
mod devices;
mod grown;
mod hash;
mod index;
mod jhash;
mod local;
mod lpm;
mod lru;
mod map;
mod memlock;
mod ops;
mod pool;
mod queue;
pub mod raw;
mod refs;
mod ring_pages;
mod ringbuf;
mod special;
mod spin;
mod spread;
mod stack_trace;
mod store;
mod struct_ops;
mod trie;
mod user_ringbuf;

pub use arena::Arena;
pub use batch::Batch;
pub use cgroup_storage::CgroupStorage;
pub use local::Local;
pub(crate) use map::MapDefExt;
pub use map::{Env, Map, Perms};
pub use ops::{ANY, BatchKind, EXIST, HashLayout, LOCK, Layout, NOEXIST, Ops, Shared, SharedHash};
pub use raw::{Hold, Mapping, Part, Piece, Region, View};
pub use refs::{Held, Refs};
pub use ringbuf::Ringbuf;
pub use special::{Letgo, Special};
pub use stack_trace::StackTrace;
pub use struct_ops::StructOps;
pub use user_ringbuf::{Drain, MAX_SAMPLES, Sample, UserRingbuf};

use uapi::{MapDef, MapType};

/// Linux's answer to BPF_MAP_CREATE with these attributes, without making the map: the
/// attributes as it would have them, or the refusal. ENOTSUPP for types that are not modelled.
pub fn check(def: &MapDef, env: &Env) -> Result<MapDef, uapi::Errno> {
    check::check(def, env)
}

/// Whether values have one copy a CPU.
pub fn is_per_cpu(t: MapType) -> bool {
    use MapType::{LruPercpuHash, PercpuArray, PercpuCgroupStorage, PercpuHash};
    matches!(t, PercpuHash | PercpuArray | LruPercpuHash | PercpuCgroupStorage)
}

/// Bytes of a value as user space sees it: per-CPU values are padded to 8 and repeated.
pub fn user_value_size(def: &MapDef, possible_cpus: u32) -> usize {
    let size = def.value_size as usize;
    if is_per_cpu(def.map_type) { size.next_multiple_of(8) * possible_cpus as usize } else { size }
}
