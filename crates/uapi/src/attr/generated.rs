//! Offsets in UAPI structs. Made by `cargo xtask generate` from facts/uapi.json.
#![allow(missing_docs, reason = "the names are Linux's")]

/// Bytes of `union bpf_attr`.
pub const ATTR_SIZE: usize = 168;

pub mod map_create {
    use crate::attr::Field;

    pub const SIZE: usize = 96;
    pub const MAP_TYPE: Field = Field { offset: 0, size: 4 };
    pub const KEY_SIZE: Field = Field { offset: 4, size: 4 };
    pub const VALUE_SIZE: Field = Field { offset: 8, size: 4 };
    pub const MAX_ENTRIES: Field = Field { offset: 12, size: 4 };
    pub const MAP_FLAGS: Field = Field { offset: 16, size: 4 };
    pub const INNER_MAP_FD: Field = Field { offset: 20, size: 4 };
    pub const NUMA_NODE: Field = Field { offset: 24, size: 4 };
    pub const MAP_NAME: Field = Field { offset: 28, size: 16 };
    pub const MAP_IFINDEX: Field = Field { offset: 44, size: 4 };
    pub const BTF_FD: Field = Field { offset: 48, size: 4 };
    pub const BTF_KEY_TYPE_ID: Field = Field { offset: 52, size: 4 };
    pub const BTF_VALUE_TYPE_ID: Field = Field { offset: 56, size: 4 };
    pub const BTF_VMLINUX_VALUE_TYPE_ID: Field = Field { offset: 60, size: 4 };
    pub const MAP_EXTRA: Field = Field { offset: 64, size: 8 };
    pub const VALUE_TYPE_BTF_OBJ_FD: Field = Field { offset: 72, size: 4 };
    pub const MAP_TOKEN_FD: Field = Field { offset: 76, size: 4 };
    pub const EXCL_PROG_HASH: Field = Field { offset: 80, size: 8 };
    pub const EXCL_PROG_HASH_SIZE: Field = Field { offset: 88, size: 4 };
}

pub mod map_elem {
    use crate::attr::Field;

    pub const SIZE: usize = 32;
    pub const MAP_FD: Field = Field { offset: 0, size: 4 };
    pub const KEY: Field = Field { offset: 8, size: 8 };
    pub const VALUE: Field = Field { offset: 16, size: 8 };
    pub const NEXT_KEY: Field = Field { offset: 16, size: 8 };
    pub const FLAGS: Field = Field { offset: 24, size: 8 };
}

pub mod map_batch {
    use crate::attr::Field;

    pub const SIZE: usize = 56;
    pub const IN_BATCH: Field = Field { offset: 0, size: 8 };
    pub const OUT_BATCH: Field = Field { offset: 8, size: 8 };
    pub const KEYS: Field = Field { offset: 16, size: 8 };
    pub const VALUES: Field = Field { offset: 24, size: 8 };
    pub const COUNT: Field = Field { offset: 32, size: 4 };
    pub const MAP_FD: Field = Field { offset: 36, size: 4 };
    pub const ELEM_FLAGS: Field = Field { offset: 40, size: 8 };
    pub const FLAGS: Field = Field { offset: 48, size: 8 };
}

pub mod prog_load {
    use crate::attr::Field;

    pub const SIZE: usize = 168;
    pub const PROG_TYPE: Field = Field { offset: 0, size: 4 };
    pub const INSN_CNT: Field = Field { offset: 4, size: 4 };
    pub const INSNS: Field = Field { offset: 8, size: 8 };
    pub const LICENSE: Field = Field { offset: 16, size: 8 };
    pub const LOG_LEVEL: Field = Field { offset: 24, size: 4 };
    pub const LOG_SIZE: Field = Field { offset: 28, size: 4 };
    pub const LOG_BUF: Field = Field { offset: 32, size: 8 };
    pub const KERN_VERSION: Field = Field { offset: 40, size: 4 };
    pub const PROG_FLAGS: Field = Field { offset: 44, size: 4 };
    pub const PROG_NAME: Field = Field { offset: 48, size: 16 };
    pub const PROG_IFINDEX: Field = Field { offset: 64, size: 4 };
    pub const EXPECTED_ATTACH_TYPE: Field = Field { offset: 68, size: 4 };
    pub const PROG_BTF_FD: Field = Field { offset: 72, size: 4 };
    pub const FUNC_INFO_REC_SIZE: Field = Field { offset: 76, size: 4 };
    pub const FUNC_INFO: Field = Field { offset: 80, size: 8 };
    pub const FUNC_INFO_CNT: Field = Field { offset: 88, size: 4 };
    pub const LINE_INFO_REC_SIZE: Field = Field { offset: 92, size: 4 };
    pub const LINE_INFO: Field = Field { offset: 96, size: 8 };
    pub const LINE_INFO_CNT: Field = Field { offset: 104, size: 4 };
    pub const ATTACH_BTF_ID: Field = Field { offset: 108, size: 4 };
    pub const ATTACH_PROG_FD: Field = Field { offset: 112, size: 4 };
    pub const ATTACH_BTF_OBJ_FD: Field = Field { offset: 112, size: 4 };
    pub const CORE_RELO_CNT: Field = Field { offset: 116, size: 4 };
    pub const FD_ARRAY: Field = Field { offset: 120, size: 8 };
    pub const CORE_RELOS: Field = Field { offset: 128, size: 8 };
    pub const CORE_RELO_REC_SIZE: Field = Field { offset: 136, size: 4 };
    pub const LOG_TRUE_SIZE: Field = Field { offset: 140, size: 4 };
    pub const PROG_TOKEN_FD: Field = Field { offset: 144, size: 4 };
    pub const FD_ARRAY_CNT: Field = Field { offset: 148, size: 4 };
    pub const SIGNATURE: Field = Field { offset: 152, size: 8 };
    pub const SIGNATURE_SIZE: Field = Field { offset: 160, size: 4 };
    pub const KEYRING_ID: Field = Field { offset: 164, size: 4 };
}

pub mod obj {
    use crate::attr::Field;

    pub const SIZE: usize = 24;
    pub const PATHNAME: Field = Field { offset: 0, size: 8 };
    pub const BPF_FD: Field = Field { offset: 8, size: 4 };
    pub const FILE_FLAGS: Field = Field { offset: 12, size: 4 };
    pub const PATH_FD: Field = Field { offset: 16, size: 4 };
}

pub mod prog_attach {
    use crate::attr::Field;

    pub const SIZE: usize = 32;
    pub const TARGET_FD: Field = Field { offset: 0, size: 4 };
    pub const TARGET_IFINDEX: Field = Field { offset: 0, size: 4 };
    pub const ATTACH_BPF_FD: Field = Field { offset: 4, size: 4 };
    pub const ATTACH_TYPE: Field = Field { offset: 8, size: 4 };
    pub const ATTACH_FLAGS: Field = Field { offset: 12, size: 4 };
    pub const REPLACE_BPF_FD: Field = Field { offset: 16, size: 4 };
    pub const RELATIVE_FD: Field = Field { offset: 20, size: 4 };
    pub const RELATIVE_ID: Field = Field { offset: 20, size: 4 };
    pub const EXPECTED_REVISION: Field = Field { offset: 24, size: 8 };
}

pub mod test_run {
    use crate::attr::Field;

    pub const SIZE: usize = 80;
    pub const PROG_FD: Field = Field { offset: 0, size: 4 };
    pub const RETVAL: Field = Field { offset: 4, size: 4 };
    pub const DATA_SIZE_IN: Field = Field { offset: 8, size: 4 };
    pub const DATA_SIZE_OUT: Field = Field { offset: 12, size: 4 };
    pub const DATA_IN: Field = Field { offset: 16, size: 8 };
    pub const DATA_OUT: Field = Field { offset: 24, size: 8 };
    pub const REPEAT: Field = Field { offset: 32, size: 4 };
    pub const DURATION: Field = Field { offset: 36, size: 4 };
    pub const CTX_SIZE_IN: Field = Field { offset: 40, size: 4 };
    pub const CTX_SIZE_OUT: Field = Field { offset: 44, size: 4 };
    pub const CTX_IN: Field = Field { offset: 48, size: 8 };
    pub const CTX_OUT: Field = Field { offset: 56, size: 8 };
    pub const FLAGS: Field = Field { offset: 64, size: 4 };
    pub const CPU: Field = Field { offset: 68, size: 4 };
    pub const BATCH_SIZE: Field = Field { offset: 72, size: 4 };
}

pub mod get_id {
    use crate::attr::Field;

    pub const SIZE: usize = 16;
    pub const START_ID: Field = Field { offset: 0, size: 4 };
    pub const PROG_ID: Field = Field { offset: 0, size: 4 };
    pub const MAP_ID: Field = Field { offset: 0, size: 4 };
    pub const BTF_ID: Field = Field { offset: 0, size: 4 };
    pub const LINK_ID: Field = Field { offset: 0, size: 4 };
    pub const NEXT_ID: Field = Field { offset: 4, size: 4 };
    pub const OPEN_FLAGS: Field = Field { offset: 8, size: 4 };
    pub const FD_BY_ID_TOKEN_FD: Field = Field { offset: 12, size: 4 };
}

pub mod info {
    use crate::attr::Field;

    pub const SIZE: usize = 16;
    pub const BPF_FD: Field = Field { offset: 0, size: 4 };
    pub const INFO_LEN: Field = Field { offset: 4, size: 4 };
    pub const INFO: Field = Field { offset: 8, size: 8 };
}

pub mod prog_query {
    use crate::attr::Field;

    pub const SIZE: usize = 64;
    pub const TARGET_FD: Field = Field { offset: 0, size: 4 };
    pub const TARGET_IFINDEX: Field = Field { offset: 0, size: 4 };
    pub const ATTACH_TYPE: Field = Field { offset: 4, size: 4 };
    pub const QUERY_FLAGS: Field = Field { offset: 8, size: 4 };
    pub const ATTACH_FLAGS: Field = Field { offset: 12, size: 4 };
    pub const PROG_IDS: Field = Field { offset: 16, size: 8 };
    pub const PROG_CNT: Field = Field { offset: 24, size: 4 };
    pub const COUNT: Field = Field { offset: 24, size: 4 };
    pub const PROG_ATTACH_FLAGS: Field = Field { offset: 32, size: 8 };
    pub const LINK_IDS: Field = Field { offset: 40, size: 8 };
    pub const LINK_ATTACH_FLAGS: Field = Field { offset: 48, size: 8 };
    pub const REVISION: Field = Field { offset: 56, size: 8 };
}

pub mod raw_tracepoint {
    use crate::attr::Field;

    pub const SIZE: usize = 24;
    pub const NAME: Field = Field { offset: 0, size: 8 };
    pub const PROG_FD: Field = Field { offset: 8, size: 4 };
    pub const COOKIE: Field = Field { offset: 16, size: 8 };
}

pub mod btf_load {
    use crate::attr::Field;

    pub const SIZE: usize = 40;
    pub const BTF: Field = Field { offset: 0, size: 8 };
    pub const BTF_LOG_BUF: Field = Field { offset: 8, size: 8 };
    pub const BTF_SIZE: Field = Field { offset: 16, size: 4 };
    pub const BTF_LOG_SIZE: Field = Field { offset: 20, size: 4 };
    pub const BTF_LOG_LEVEL: Field = Field { offset: 24, size: 4 };
    pub const BTF_LOG_TRUE_SIZE: Field = Field { offset: 28, size: 4 };
    pub const BTF_FLAGS: Field = Field { offset: 32, size: 4 };
    pub const BTF_TOKEN_FD: Field = Field { offset: 36, size: 4 };
}

pub mod task_fd_query {
    use crate::attr::Field;

    pub const SIZE: usize = 48;
    pub const PID: Field = Field { offset: 0, size: 4 };
    pub const FD: Field = Field { offset: 4, size: 4 };
    pub const FLAGS: Field = Field { offset: 8, size: 4 };
    pub const BUF_LEN: Field = Field { offset: 12, size: 4 };
    pub const BUF: Field = Field { offset: 16, size: 8 };
    pub const PROG_ID: Field = Field { offset: 24, size: 4 };
    pub const FD_TYPE: Field = Field { offset: 28, size: 4 };
    pub const PROBE_OFFSET: Field = Field { offset: 32, size: 8 };
    pub const PROBE_ADDR: Field = Field { offset: 40, size: 8 };
}

pub mod link_create {
    use crate::attr::Field;

    pub const SIZE: usize = 64;
    pub const PROG_FD: Field = Field { offset: 0, size: 4 };
    pub const MAP_FD: Field = Field { offset: 0, size: 4 };
    pub const TARGET_FD: Field = Field { offset: 4, size: 4 };
    pub const TARGET_IFINDEX: Field = Field { offset: 4, size: 4 };
    pub const ATTACH_TYPE: Field = Field { offset: 8, size: 4 };
    pub const FLAGS: Field = Field { offset: 12, size: 4 };
    pub const TARGET_BTF_ID: Field = Field { offset: 16, size: 4 };
    pub const ITER_INFO: Field = Field { offset: 16, size: 8 };
    pub const ITER_INFO_LEN: Field = Field { offset: 24, size: 4 };
    pub const PERF_EVENT: Field = Field { offset: 16, size: 8 };
    pub const KPROBE_MULTI: Field = Field { offset: 16, size: 32 };
    pub const TRACING: Field = Field { offset: 16, size: 16 };
    pub const NETFILTER: Field = Field { offset: 16, size: 16 };
    pub const TCX: Field = Field { offset: 16, size: 16 };
    pub const UPROBE_MULTI: Field = Field { offset: 16, size: 48 };
    pub const NETKIT: Field = Field { offset: 16, size: 16 };
    pub const CGROUP: Field = Field { offset: 16, size: 16 };
}

pub mod link_update {
    use crate::attr::Field;

    pub const SIZE: usize = 16;
    pub const LINK_FD: Field = Field { offset: 0, size: 4 };
    pub const NEW_PROG_FD: Field = Field { offset: 4, size: 4 };
    pub const NEW_MAP_FD: Field = Field { offset: 4, size: 4 };
    pub const FLAGS: Field = Field { offset: 8, size: 4 };
    pub const OLD_PROG_FD: Field = Field { offset: 12, size: 4 };
    pub const OLD_MAP_FD: Field = Field { offset: 12, size: 4 };
}

pub mod link_detach {
    use crate::attr::Field;

    pub const SIZE: usize = 4;
    pub const LINK_FD: Field = Field { offset: 0, size: 4 };
}

pub mod enable_stats {
    use crate::attr::Field;

    pub const SIZE: usize = 4;
    pub const TYPE: Field = Field { offset: 0, size: 4 };
}

pub mod iter_create {
    use crate::attr::Field;

    pub const SIZE: usize = 8;
    pub const LINK_FD: Field = Field { offset: 0, size: 4 };
    pub const FLAGS: Field = Field { offset: 4, size: 4 };
}

pub mod prog_bind_map {
    use crate::attr::Field;

    pub const SIZE: usize = 12;
    pub const PROG_FD: Field = Field { offset: 0, size: 4 };
    pub const MAP_FD: Field = Field { offset: 4, size: 4 };
    pub const FLAGS: Field = Field { offset: 8, size: 4 };
}

pub mod token_create {
    use crate::attr::Field;

    pub const SIZE: usize = 8;
    pub const FLAGS: Field = Field { offset: 0, size: 4 };
    pub const BPFFS_FD: Field = Field { offset: 4, size: 4 };
}

pub mod prog_stream_read {
    use crate::attr::Field;

    pub const SIZE: usize = 24;
    pub const STREAM_BUF: Field = Field { offset: 0, size: 8 };
    pub const STREAM_BUF_LEN: Field = Field { offset: 8, size: 4 };
    pub const STREAM_ID: Field = Field { offset: 12, size: 4 };
    pub const PROG_FD: Field = Field { offset: 16, size: 4 };
}

pub mod prog_info {
    use crate::attr::Field;

    pub const SIZE: usize = 232;
    pub const TYPE: Field = Field { offset: 0, size: 4 };
    pub const ID: Field = Field { offset: 4, size: 4 };
    pub const TAG: Field = Field { offset: 8, size: 8 };
    pub const JITED_PROG_LEN: Field = Field { offset: 16, size: 4 };
    pub const XLATED_PROG_LEN: Field = Field { offset: 20, size: 4 };
    pub const JITED_PROG_INSNS: Field = Field { offset: 24, size: 8 };
    pub const XLATED_PROG_INSNS: Field = Field { offset: 32, size: 8 };
    pub const LOAD_TIME: Field = Field { offset: 40, size: 8 };
    pub const CREATED_BY_UID: Field = Field { offset: 48, size: 4 };
    pub const NR_MAP_IDS: Field = Field { offset: 52, size: 4 };
    pub const MAP_IDS: Field = Field { offset: 56, size: 8 };
    pub const NAME: Field = Field { offset: 64, size: 16 };
    pub const IFINDEX: Field = Field { offset: 80, size: 4 };
    pub const GPL_COMPATIBLE: Field = Field { offset: 84, size: 4 };
    pub const NETNS_DEV: Field = Field { offset: 88, size: 8 };
    pub const NETNS_INO: Field = Field { offset: 96, size: 8 };
    pub const NR_JITED_KSYMS: Field = Field { offset: 104, size: 4 };
    pub const NR_JITED_FUNC_LENS: Field = Field { offset: 108, size: 4 };
    pub const JITED_KSYMS: Field = Field { offset: 112, size: 8 };
    pub const JITED_FUNC_LENS: Field = Field { offset: 120, size: 8 };
    pub const BTF_ID: Field = Field { offset: 128, size: 4 };
    pub const FUNC_INFO_REC_SIZE: Field = Field { offset: 132, size: 4 };
    pub const FUNC_INFO: Field = Field { offset: 136, size: 8 };
    pub const NR_FUNC_INFO: Field = Field { offset: 144, size: 4 };
    pub const NR_LINE_INFO: Field = Field { offset: 148, size: 4 };
    pub const LINE_INFO: Field = Field { offset: 152, size: 8 };
    pub const JITED_LINE_INFO: Field = Field { offset: 160, size: 8 };
    pub const NR_JITED_LINE_INFO: Field = Field { offset: 168, size: 4 };
    pub const LINE_INFO_REC_SIZE: Field = Field { offset: 172, size: 4 };
    pub const JITED_LINE_INFO_REC_SIZE: Field = Field { offset: 176, size: 4 };
    pub const NR_PROG_TAGS: Field = Field { offset: 180, size: 4 };
    pub const PROG_TAGS: Field = Field { offset: 184, size: 8 };
    pub const RUN_TIME_NS: Field = Field { offset: 192, size: 8 };
    pub const RUN_CNT: Field = Field { offset: 200, size: 8 };
    pub const RECURSION_MISSES: Field = Field { offset: 208, size: 8 };
    pub const VERIFIED_INSNS: Field = Field { offset: 216, size: 4 };
    pub const ATTACH_BTF_OBJ_ID: Field = Field { offset: 220, size: 4 };
    pub const ATTACH_BTF_ID: Field = Field { offset: 224, size: 4 };
}

pub mod map_info {
    use crate::attr::Field;

    pub const SIZE: usize = 104;
    pub const TYPE: Field = Field { offset: 0, size: 4 };
    pub const ID: Field = Field { offset: 4, size: 4 };
    pub const KEY_SIZE: Field = Field { offset: 8, size: 4 };
    pub const VALUE_SIZE: Field = Field { offset: 12, size: 4 };
    pub const MAX_ENTRIES: Field = Field { offset: 16, size: 4 };
    pub const MAP_FLAGS: Field = Field { offset: 20, size: 4 };
    pub const NAME: Field = Field { offset: 24, size: 16 };
    pub const IFINDEX: Field = Field { offset: 40, size: 4 };
    pub const BTF_VMLINUX_VALUE_TYPE_ID: Field = Field { offset: 44, size: 4 };
    pub const NETNS_DEV: Field = Field { offset: 48, size: 8 };
    pub const NETNS_INO: Field = Field { offset: 56, size: 8 };
    pub const BTF_ID: Field = Field { offset: 64, size: 4 };
    pub const BTF_KEY_TYPE_ID: Field = Field { offset: 68, size: 4 };
    pub const BTF_VALUE_TYPE_ID: Field = Field { offset: 72, size: 4 };
    pub const BTF_VMLINUX_ID: Field = Field { offset: 76, size: 4 };
    pub const MAP_EXTRA: Field = Field { offset: 80, size: 8 };
    pub const HASH: Field = Field { offset: 88, size: 8 };
    pub const HASH_SIZE: Field = Field { offset: 96, size: 4 };
}

pub mod btf_info {
    use crate::attr::Field;

    pub const SIZE: usize = 32;
    pub const BTF: Field = Field { offset: 0, size: 8 };
    pub const BTF_SIZE: Field = Field { offset: 8, size: 4 };
    pub const ID: Field = Field { offset: 12, size: 4 };
    pub const NAME: Field = Field { offset: 16, size: 8 };
    pub const NAME_LEN: Field = Field { offset: 24, size: 4 };
    pub const KERNEL_BTF: Field = Field { offset: 28, size: 4 };
}

pub mod link_info {
    use crate::attr::Field;

    pub const SIZE: usize = 64;
    pub const TYPE: Field = Field { offset: 0, size: 4 };
    pub const ID: Field = Field { offset: 4, size: 4 };
    pub const PROG_ID: Field = Field { offset: 8, size: 4 };
    pub const RAW_TRACEPOINT: Field = Field { offset: 16, size: 24 };
    pub const TRACING: Field = Field { offset: 16, size: 24 };
    pub const CGROUP: Field = Field { offset: 16, size: 16 };
    pub const ITER: Field = Field { offset: 16, size: 32 };
    pub const NETNS: Field = Field { offset: 16, size: 8 };
    pub const XDP: Field = Field { offset: 16, size: 4 };
    pub const STRUCT_OPS: Field = Field { offset: 16, size: 4 };
    pub const NETFILTER: Field = Field { offset: 16, size: 16 };
    pub const KPROBE_MULTI: Field = Field { offset: 16, size: 32 };
    pub const UPROBE_MULTI: Field = Field { offset: 16, size: 48 };
    pub const PERF_EVENT: Field = Field { offset: 16, size: 48 };
    pub const TCX: Field = Field { offset: 16, size: 8 };
    pub const NETKIT: Field = Field { offset: 16, size: 8 };
    pub const SOCKMAP: Field = Field { offset: 16, size: 8 };
}
