//! What Linux 6.18 on x86-64 charges for a map (`memlock` of fdinfo), in bytes.

use uapi::{MapDef, MapType, map_flags};

use crate::is_per_cpu;

const PAGE: u64 = 4096;
const POINTER: u64 = 8;
/// Headers: of a hash, of one of its buckets and elements, of an LPM node, of a stack trace.
const HASH: u64 = 896;
const BUCKET: u64 = 16;
const HASH_ELEM: u64 = 48;
const LPM_NODE: u64 = 24;
const STACK_TRACE: u64 = 16;

/// The charge of a map with these attributes that holds `live` elements.
pub(crate) fn memlock(def: &MapDef, cpus: u32, live: u32) -> u64 {
    use MapType as T;
    let (max, cpus) = (u64::from(def.max_entries), u64::from(cpus));
    let value = u64::from(def.value_size);
    let stride = value.next_multiple_of(8);
    let pow2 = max.next_power_of_two();
    match def.map_type {
        T::Array if def.flags & map_flags::MMAPABLE != 0 => {
            PAGE + (max * stride).next_multiple_of(PAGE)
        }
        T::Array => 312 + max * stride,
        T::PercpuArray => 312 + max * (POINTER + stride * cpus),
        T::Hash | T::PercpuHash | T::LruHash | T::LruPercpuHash | T::HashOfMaps => {
            hash(def, cpus, live.into())
        }
        T::ProgArray | T::PerfEventArray | T::CgroupArray | T::ArrayOfMaps => 312 + max * POINTER,
        T::Devmap => 344 + max * POINTER,
        T::DevmapHash => 344 + pow2 * POINTER,
        T::Sockmap => 376 + max * POINTER,
        T::Sockhash => 384 + pow2 * BUCKET,
        T::Cpumap | T::Xskmap => 304 + max * POINTER,
        T::ReuseportSockarray => 296 + max * POINTER,
        T::StackTrace => 320 + pow2 * POINTER + max * (STACK_TRACE + stride),
        T::Queue | T::Stack => 312 + (max + 1) * value,
        T::LpmTrie => u64::from(live) * (LPM_NODE + u64::from(def.key_size) - 4 + value),
        T::Ringbuf | T::UserRingbuf => 328 + 3 * PAGE + max + max / PAGE * 2 * POINTER,
        T::BloomFilter => 312 + bloom_bits(def) / 8,
        _ => 0,
    }
}

fn hash(def: &MapDef, cpus: u64, live: u64) -> u64 {
    let (per_cpu, max) = (is_per_cpu(def.map_type), u64::from(def.max_entries));
    let lru = matches!(def.map_type, MapType::LruHash | MapType::LruPercpuHash);
    let stride = u64::from(def.value_size).next_multiple_of(8);
    let key = u64::from(def.key_size).next_multiple_of(8);
    let elem = HASH_ELEM + key + if per_cpu { POINTER } else { stride };
    let copies = if per_cpu { stride * cpus } else { 0 };
    let base = HASH + BUCKET * max.next_power_of_two();
    if def.flags & map_flags::NO_PREALLOC != 0 {
        let extra = if per_cpu { 2 * POINTER } else { 0 };
        return base + live * (elem + POINTER + extra + copies);
    }
    // Replacing wants a spare element a CPU.
    let spare = if per_cpu || lru { 0 } else { cpus };
    base + spare * POINTER + (max + spare) * elem + max * copies
}

/// Bits of a bloom filter: 7/5 an entry and hash, five hashes where none are named.
pub(crate) fn bloom_bits(def: &MapDef) -> u64 {
    let hashes = if def.extra == 0 { 5 } else { def.extra };
    let wanted = u64::from(def.max_entries) * hashes * 7 / 5;
    wanted.next_power_of_two().clamp(64, 1 << 32)
}
