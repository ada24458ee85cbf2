//! Every map type: the program's side (raw pointers, concurrent) and the user's side (safe).

use uapi::{MapDef, MapType};

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
