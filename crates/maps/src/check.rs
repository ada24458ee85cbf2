//! What BPF_MAP_CREATE refuses, type by type.

use uapi::map_flags as f;
use uapi::{Errno, MapDef, MapType};

use crate::Env;
use crate::struct_ops::DATA;

const ACCESS: u32 = f::RDONLY | f::WRONLY | f::RDONLY_PROG | f::WRONLY_PROG;
const HASH: u32 = f::NO_PREALLOC | f::NO_COMMON_LRU | f::NUMA_NODE | ACCESS | f::ZERO_SEED;

/// Largest allocation of Linux's small-object allocator.
const KMALLOC_MAX: u64 = 1 << 22;
/// Bytes of Linux's header of a hash element.
const HASH_HEADER: u64 = 48;
/// Largest per-CPU allocation.
const PERCPU_MAX: u32 = 32 << 10;
/// CPUs that Linux was built for.
const MAX_CPUS: u32 = 256;
/// Frames of a stack trace (`perf_event_max_stack`).
const MAX_FRAMES: u32 = 127;
/// Largest value in a socket's or cgroup's storage.
const LOCAL_MAX: u32 = 65_407;
/// Bytes of Linux's header of an LPM node.
const LPM_HEADER: u64 = 40;

/// The map as it will be, or Linux's refusal. `max_entries` may grow.
pub(crate) fn check(def: &MapDef, env: &Env) -> Result<MapDef, Errno> {
    common(def)?;
    let mut def = def.clone();
    match def.map_type {
        MapType::Hash | MapType::PercpuHash | MapType::LruHash | MapType::LruPercpuHash => {
            hash(&mut def, env)?;
        }
        MapType::Array => array(&def, ACCESS | f::NUMA_NODE | f::MMAPABLE | f::INNER_MAP)?,
        MapType::PercpuArray => percpu_array(&def)?,
        MapType::ProgArray | MapType::PerfEventArray | MapType::CgroupArray | MapType::Xskmap => {
            refs(&def, env)?;
        }
        MapType::Devmap | MapType::Sockmap | MapType::ReuseportSockarray => {
            sockets(&def)?;
            env.pointers(def.max_entries)?;
        }
        MapType::DevmapHash | MapType::Sockhash => socket_hash(&def)?,
        MapType::Cpumap => cpumap(&def)?,
        MapType::StackTrace => stack_trace(&def, env)?,
        MapType::BloomFilter => bloom(&def)?,
        MapType::CgroupStorage | MapType::PercpuCgroupStorage => cgroup_storage(&def)?,
        MapType::SkStorage
        | MapType::InodeStorage
        | MapType::TaskStorage
        | MapType::CgrpStorage => local_storage(&def)?,
        MapType::Arena => arena(&def)?,
        MapType::ArrayOfMaps => {
            refs(&def, env)?;
            inner(&def)?;
        }
        MapType::HashOfMaps => {
            ensure(def.value_size == 4, Errno::EINVAL)?;
            hash(&mut def, env)?;
            inner(&def)?;
        }
        MapType::Queue | MapType::Stack => queue(&def)?,
        MapType::LpmTrie => lpm(&def)?,
        MapType::Ringbuf | MapType::UserRingbuf => ringbuf(&def)?,
        MapType::StructOps => struct_ops(&def)?,
    }
    Ok(def)
}

fn ensure(ok: bool, errno: Errno) -> Result<(), Errno> {
    if ok { Ok(()) } else { Err(errno) }
}

fn common(def: &MapDef) -> Result<(), Errno> {
    let has_extra = matches!(def.map_type, MapType::BloomFilter | MapType::Arena);
    ensure(def.extra == 0 || has_extra, Errno::EINVAL)?;
    let ops = def.btf_vmlinux_value_type_id != 0;
    let typed = def.btf_key_type_id != 0 || def.btf_value_type_id != 0;
    ensure(!ops || (def.map_type == MapType::StructOps && !typed), Errno::EINVAL)?;
    for both in [f::RDONLY | f::WRONLY, f::RDONLY_PROG | f::WRONLY_PROG] {
        ensure(def.flags & both != both, Errno::EINVAL)?;
    }
    // One node: the number is read only with the flag.
    ensure(def.flags & f::NUMA_NODE == 0 || def.numa_node == 0, Errno::EINVAL)
}

fn allowed(def: &MapDef, flags: u32) -> Result<(), Errno> {
    ensure(def.flags & !flags == 0, Errno::EINVAL)
}

fn hash(def: &mut MapDef, env: &Env) -> Result<(), Errno> {
    let lru = matches!(def.map_type, MapType::LruHash | MapType::LruPercpuHash);
    let per_cpu = crate::is_per_cpu(def.map_type);
    let own_lists = def.flags & f::NO_COMMON_LRU != 0;
    allowed(def, HASH)?;
    ensure(lru || !own_lists, Errno::EINVAL)?;
    ensure(!lru || def.flags & f::NO_PREALLOC == 0, Errno::ENOTSUPP)?;
    ensure(def.flags & f::NUMA_NODE == 0 || !(per_cpu || own_lists), Errno::EINVAL)?;
    ensure(def.max_entries != 0 && def.key_size != 0 && def.value_size != 0, Errno::EINVAL)?;
    let elem = u64::from(def.key_size) + u64::from(def.value_size);
    ensure(elem < KMALLOC_MAX - HASH_HEADER, Errno::E2BIG)?;
    ensure(!per_cpu || def.value_size <= PERCPU_MAX, Errno::E2BIG)?;
    if own_lists {
        def.max_entries = def.max_entries.checked_next_multiple_of(env.cpus).unwrap_or(u32::MAX);
    }
    ensure(def.max_entries <= 1 << 27, Errno::E2BIG)
}

fn array(def: &MapDef, flags: u32) -> Result<(), Errno> {
    let sizes = def.max_entries != 0 && def.key_size == 4 && def.value_size != 0;
    ensure(sizes, Errno::EINVAL)?;
    allowed(def, flags)?;
    ensure(i32::try_from(def.value_size).is_ok(), Errno::E2BIG)
}

fn percpu_array(def: &MapDef) -> Result<(), Errno> {
    array(def, ACCESS)?;
    ensure(def.value_size <= PERCPU_MAX, Errno::E2BIG)
}

/// Arrays that hold a pointer an element.
fn refs(def: &MapDef, env: &Env) -> Result<(), Errno> {
    let sizes = def.max_entries != 0 && def.key_size == 4 && def.value_size == 4;
    ensure(sizes, Errno::EINVAL)?;
    let preserve = if def.map_type == MapType::PerfEventArray { f::PRESERVE_ELEMS } else { 0 };
    allowed(def, f::NUMA_NODE | f::RDONLY | f::WRONLY | preserve)?;
    env.pointers(def.max_entries)
}

fn sockets(def: &MapDef) -> Result<(), Errno> {
    let sizes = def.max_entries != 0 && def.key_size == 4 && matches!(def.value_size, 4 | 8);
    ensure(sizes, Errno::EINVAL)?;
    let all = def.map_type == MapType::ReuseportSockarray;
    let access = if all { ACCESS } else { f::RDONLY | f::WRONLY };
    allowed(def, access | f::NUMA_NODE)
}

fn socket_hash(def: &MapDef) -> Result<(), Errno> {
    let any_key = def.map_type == MapType::Sockhash && def.key_size != 0;
    let sizes = (any_key || def.key_size == 4) && matches!(def.value_size, 4 | 8);
    let most = if def.map_type == MapType::Sockhash { 1 << 27 } else { 1 << 31 };
    ensure(sizes && (1..=most).contains(&def.max_entries), Errno::EINVAL)?;
    allowed(def, f::NUMA_NODE | f::RDONLY | f::WRONLY)?;
    ensure(def.key_size <= 512, Errno::E2BIG)
}

fn cpumap(def: &MapDef) -> Result<(), Errno> {
    let sizes = def.max_entries != 0 && def.key_size == 4 && matches!(def.value_size, 4 | 8);
    ensure(sizes, Errno::EINVAL)?;
    allowed(def, f::NUMA_NODE)?;
    ensure(def.max_entries <= MAX_CPUS, Errno::E2BIG)
}

fn stack_trace(def: &MapDef, env: &Env) -> Result<(), Errno> {
    allowed(def, f::NUMA_NODE | f::RDONLY | f::WRONLY | f::STACK_BUILD_ID)?;
    let frame = if def.flags & f::STACK_BUILD_ID != 0 { 32 } else { 8 };
    let frames = def.value_size / frame;
    let sizes = def.max_entries != 0
        && def.key_size == 4
        && def.value_size.is_multiple_of(frame)
        && (1..=MAX_FRAMES).contains(&frames);
    ensure(sizes, Errno::EINVAL)?;
    ensure(def.max_entries <= 1 << 31, Errno::E2BIG)?;
    // A pointer, a header and the frames an element.
    let bytes = u64::from(def.max_entries) * (u64::from(def.value_size) + 32);
    ensure(bytes <= env.mem_limit, Errno::ENOMEM)
}

fn bloom(def: &MapDef) -> Result<(), Errno> {
    let sizes = def.max_entries != 0 && def.key_size == 0 && def.value_size != 0;
    ensure(sizes && def.extra <= 15, Errno::EINVAL)?;
    allowed(def, ACCESS | f::NUMA_NODE | f::ZERO_SEED)?;
    ensure(u64::from(def.value_size) <= KMALLOC_MAX, Errno::E2BIG)
}

fn cgroup_storage(def: &MapDef) -> Result<(), Errno> {
    ensure(matches!(def.key_size, 8 | 16) && def.value_size != 0, Errno::EINVAL)?;
    let max = if crate::is_per_cpu(def.map_type) { PERCPU_MAX } else { LOCAL_MAX };
    ensure(def.value_size <= max, Errno::E2BIG)?;
    allowed(def, ACCESS | f::NUMA_NODE)?;
    ensure(def.max_entries == 0, Errno::EINVAL)
}

/// Storage in sockets, inodes, tasks and cgroups: its types are told.
fn local_storage(def: &MapDef) -> Result<(), Errno> {
    let typed = def.btf_key_type_id != 0 && def.btf_value_type_id != 0;
    let sizes = def.max_entries == 0 && def.key_size == 4 && def.value_size != 0;
    let flags = def.flags & !f::CLONE == f::NO_PREALLOC;
    ensure(sizes && flags && typed, Errno::EINVAL)?;
    ensure(def.value_size <= LOCAL_MAX, Errno::E2BIG)
}

fn arena(def: &MapDef) -> Result<(), Errno> {
    let known = f::MMAPABLE | f::SEGV_ON_FAULT | f::NO_USER_CONV;
    let sizes = def.key_size == 0 && def.value_size == 0 && def.max_entries != 0;
    let flags = def.flags & f::MMAPABLE != 0 && def.flags & !known == 0;
    ensure(sizes && flags && def.extra.is_multiple_of(4096), Errno::EINVAL)?;
    let len = u64::from(def.max_entries) * 4096;
    ensure(len <= 1 << 32, Errno::E2BIG)?;
    // User space has it on one side of each boundary of 4 GiB.
    let last = def.extra.checked_add(len - 1).ok_or(Errno::ERANGE)?;
    ensure(def.extra == 0 || def.extra >> 32 == last >> 32, Errno::ERANGE)
}

/// The model of inner maps is there, and of a type that may be inside another.
fn inner(def: &MapDef) -> Result<(), Errno> {
    let model = def.inner.as_deref().ok_or(Errno::EINVAL)?;
    match model.map_type {
        MapType::ArrayOfMaps | MapType::HashOfMaps => Err(Errno::EINVAL),
        MapType::ProgArray | MapType::CgroupStorage | MapType::PercpuCgroupStorage => {
            Err(Errno::ENOTSUPP)
        }
        _ => Ok(()),
    }
}

fn queue(def: &MapDef) -> Result<(), Errno> {
    let sizes = def.max_entries != 0 && def.key_size == 0 && def.value_size != 0;
    ensure(sizes, Errno::EINVAL)?;
    allowed(def, ACCESS | f::NUMA_NODE)?;
    ensure(u64::from(def.value_size) <= KMALLOC_MAX, Errno::E2BIG)
}

fn lpm(def: &MapDef) -> Result<(), Errno> {
    let value_max = KMALLOC_MAX - 256 - LPM_HEADER;
    let sizes = def.max_entries != 0
        && (5..=260).contains(&def.key_size)
        && (1..=value_max).contains(&u64::from(def.value_size));
    ensure(sizes && def.flags & f::NO_PREALLOC != 0, Errno::EINVAL)?;
    allowed(def, ACCESS | f::NO_PREALLOC | f::NUMA_NODE)
}

/// Its type is the kernel's; that it has this size is for those to say who know the type.
fn struct_ops(def: &MapDef) -> Result<(), Errno> {
    let sizes = def.key_size == 4 && def.max_entries == 1;
    ensure(sizes && def.btf_vmlinux_value_type_id != 0, Errno::EINVAL)?;
    allowed(def, f::LINK)?;
    ensure(def.value_size >= DATA as u32, Errno::EINVAL)
}

fn ringbuf(def: &MapDef) -> Result<(), Errno> {
    allowed(def, f::NUMA_NODE)?;
    let sizes = def.key_size == 0 && def.value_size == 0;
    let whole_pages = def.max_entries.is_power_of_two() && def.max_entries >= 4096;
    ensure(sizes && whole_pages, Errno::EINVAL)
}
