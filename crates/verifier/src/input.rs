//! What the verifier is given.

use std::sync::Arc;
use std::time::Duration;

use crate::outcome::SubprogFacts;
use btf::Btf;
use isa::Insn;
use uapi::{HelperProto, MapDef, ProgType};

/// A program as BPF_PROG_LOAD takes it, after relocation.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// At most 15 bytes.
    pub name: String,
    /// `None` for a number that is no program type.
    pub prog_type: Option<ProgType>,
    /// `enum bpf_attach_type`, 0 where the type has none.
    pub expected_attach_type: u32,
    /// `BPF_F_*` flags of the load (strict alignment, sleepable, …).
    pub flags: u32,
    /// Decides whether GPL-only helpers may be called.
    pub license: String,
    /// The slots; `imm` of a map load holds a descriptor of [`World::maps`].
    pub insns: Vec<Insn>,
    /// The program's own BTF.
    pub btf: Option<Arc<Btf>>,
    /// One record a subprogram, by instruction offset.
    pub func_info: Vec<FuncInfo>,
    /// Source lines, by instruction offset.
    pub line_info: Vec<LineInfo>,
    /// Target in the kernel's BTF of tracing, LSM and struct_ops programs.
    pub attach_btf_id: u32,
    /// The program whose function this one replaces; `attach_btf_id` is a type id in its BTF then.
    pub target: Option<Arc<Target>>,
    /// Descriptors that `MapIdx` loads and kfunc calls index.
    pub fd_array: Vec<i32>,
}

/// A loaded program that another one attaches to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its type; for an extension that is [`ProgType::Ext`].
    pub prog_type: ProgType,
    /// What it was loaded to be attached to.
    pub attach_type: u32,
    /// Its own BTF.
    pub btf: Option<Arc<Btf>>,
    /// Its functions, in order of [`Target::functions`].
    pub func_info: Vec<FuncInfo>,
    /// What its verification found out about each function.
    pub functions: Vec<SubprogFacts>,
}

/// `struct bpf_func_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// First slot of the subprogram.
    pub insn_off: u32,
    /// Type id of its FUNC.
    pub type_id: u32,
}

/// `struct bpf_line_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// First slot of the line.
    pub insn_off: u32,
    /// String offset of the file's name.
    pub file_name_off: u32,
    /// String offset of the line's text.
    pub line_off: u32,
    /// Line number in the upper 22 bits, column in the lower 10.
    pub line_col: u32,
}

/// A map that the program may refer to.
#[derive(Clone, Debug)]
pub struct MapInfo {
    /// The descriptor that instructions name.
    pub fd: i32,
    /// The attributes it was created with; `extra` of an arena is its address in user space.
    pub def: MapDef,
    /// BTF that the key and value type ids refer to.
    pub btf: Option<Arc<Btf>>,
    /// The same of the maps that are its values (`def.inner`).
    pub inner_btf: Option<Arc<Btf>>,
    /// User space can no longer write it.
    pub frozen: bool,
    /// Contents of the single value of a frozen read-only array: its loads are constants.
    pub value: Option<Vec<u8>>,
}

/// What a program may refer to besides itself.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Maps by descriptor.
    pub maps: Vec<MapInfo>,
    /// The kernel's BTF: types of BTF pointers, kfuncs, attach targets.
    pub kernel_btf: Option<Arc<Btf>>,
    /// Helpers of the embedder, besides Linux's.
    pub host_helpers: Vec<HelperProto>,
}

/// Options that decide what is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The loader holds CAP_BPF: loops, calls between subprograms, large programs.
    pub cap_bpf: bool,
    /// The loader holds CAP_PERFMON: pointers may leak, stack may be read uninitialised, no
    /// speculation rules.
    pub cap_perfmon: bool,
    /// The loader holds CAP_NET_ADMIN.
    pub cap_net_admin: bool,
    /// The loader holds CAP_SYS_ADMIN, which implies the others.
    pub cap_sys_admin: bool,
    /// Possible CPUs, at least 1: `bpf_get_smp_processor_id` returns less.
    pub cpus: u32,
    /// Keep the facts of [`crate::Facts`] (a little time and memory).
    pub collect_facts: bool,
}

impl Default for Policy {
    /// Root's view on a machine of two CPUs: everything allowed, facts kept.
    fn default() -> Policy {
        Policy {
            cap_bpf: true,
            cap_perfmon: true,
            cap_net_admin: true,
            cap_sys_admin: true,
            cpus: 2,
            collect_facts: true,
        }
    }
}

/// Options that decide only what is printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// `log_level` of BPF_PROG_LOAD: bits 1 (failing path), 2 (every path), 4 (statistics).
    pub level: u32,
    /// Bytes of log to keep, the tail first to stay; 0 keeps 16 MiB.
    pub capacity: usize,
    /// Tells the time since some fixed moment, for [`crate::Stats::time`]; the verifier has no
    /// clock of its own, and takes no time without one.
    pub clock: Option<fn() -> Duration>,
}
