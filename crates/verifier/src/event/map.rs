//! Maps that the program names.

use super::reasons;

reasons! {
    /// Maps that the program names.
    BadMap {
        /// The descriptor is no map.
        Fd { fd: i32 } => "fd {fd} is not pointing to valid bpf_map",
        /// More than 64 maps.
        TooMany => "The total number of maps per program has reached the limit of 64",
        /// An index into nothing.
        FdArray => "fd_idx without fd_array is invalid",
        /// Not in tracing programs.
        TracingGraph => "tracing progs cannot use bpf_{{list_head,rb_root}} yet",
        /// Not in socket filters.
        FilterLock => "socket filter progs cannot use bpf_spin_lock yet",
        /// Not in tracing programs.
        TracingField { field: &'static str } => "tracing progs cannot use {field} yet",
        /// The map is for user space.
        StructOps => "bpf_struct_ops map cannot be used in prog",
        /// The map's elements may vanish while the program sleeps.
        Sleepable => "Sleepable programs can only use array, hash, ringbuf and local storage maps",
        /// One storage of a kind.
        SecondStorage => "only one cgroup storage of each type is allowed",
        /// User space has not said where it has the arena.
        ArenaUnplaced => "arena's user address must be set via map_extra or mmap()",
        /// One arena.
        SecondArena => "Only one arena per program",
        /// The loader may not.
        ArenaPrivileged => "CAP_BPF and CAP_PERFMON are required to use arena",
        /// Far outside any value.
        Offset { off: u32 } => "direct value offset of {off} is not allowed",
        /// The map's values have no address at load time.
        NoDirectValue => "no direct value access support for this map type",
    }
}
