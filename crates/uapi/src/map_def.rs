//! The attributes a map is created with.

use crate::MapType;

/// Flags of BPF_MAP_CREATE (`map_flags`).
#[allow(missing_docs, reason = "the names are Linux's, less BPF_F_")]
pub mod map_flags {
    pub const NO_PREALLOC: u32 = 1 << 0;
    pub const NO_COMMON_LRU: u32 = 1 << 1;
    pub const NUMA_NODE: u32 = 1 << 2;
    pub const RDONLY: u32 = 1 << 3;
    pub const WRONLY: u32 = 1 << 4;
    pub const STACK_BUILD_ID: u32 = 1 << 5;
    pub const ZERO_SEED: u32 = 1 << 6;
    pub const RDONLY_PROG: u32 = 1 << 7;
    pub const WRONLY_PROG: u32 = 1 << 8;
    pub const CLONE: u32 = 1 << 9;
    pub const MMAPABLE: u32 = 1 << 10;
    pub const PRESERVE_ELEMS: u32 = 1 << 11;
    pub const INNER_MAP: u32 = 1 << 12;
    pub const LINK: u32 = 1 << 13;
    pub const SEGV_ON_FAULT: u32 = 1 << 17;
    pub const NO_USER_CONV: u32 = 1 << 18;
}

/// What BPF_MAP_CREATE is told, descriptors aside. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapDef {
    /// At most 15 bytes of `[A-Za-z0-9_.]`, or empty.
    pub name: String,
    /// The type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Elements, or bytes of a ring buffer, or pages of an arena.
    pub max_entries: u32,
    /// [`map_flags`].
    pub flags: u32,
    /// Type-specific: bloom filter hashes, arena address.
    pub extra: u64,
    /// NUMA node, with `map_flags::NUMA_NODE`.
    pub numa_node: u32,
    /// Type id of the key in the program's BTF, 0 for none.
    pub btf_key_type_id: u32,
    /// Type id of the value, 0 for none.
    pub btf_value_type_id: u32,
    /// Type id of a struct_ops value in the kernel's BTF.
    pub btf_vmlinux_value_type_id: u32,
    /// What the maps inside a map of maps look like.
    pub inner: Option<Box<MapDef>>,
}

impl MapDef {
    /// A map without name, flags or BTF.
    pub fn new(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapDef {
        MapDef {
            name: String::new(),
            map_type,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            extra: 0,
            numa_node: 0,
            btf_key_type_id: 0,
            btf_value_type_id: 0,
            btf_vmlinux_value_type_id: 0,
            inner: None,
        }
    }

    /// The flags as programs meet them: Linux adds to some types what it was not told.
    pub fn prog_flags(&self) -> u32 {
        match self.map_type {
            // A lookup leads into the kernel's own structure.
            MapType::Devmap | MapType::DevmapHash => self.flags | map_flags::RDONLY_PROG,
            _ => self.flags,
        }
    }
}
