//! Kernel functions that programs may call: what their names do not say.
//!
//! Prototypes come from the kernel's BTF, and so do the suffixes of parameters that carry meaning.

use crate::ProgType;

/// A kernel function, by name: type ids differ from kernel to kernel.
#[derive(Clone, Copy, Debug)]
pub struct Kfunc {
    /// Its name.
    pub name: &'static str,
    /// `KF_*` of [`kfunc_flags`].
    pub flags: u32,
    /// Bits of [`kfunc_hooks`].
    pub hooks: u16,
    /// Rule besides the hook, if there is one.
    pub only: KfuncOnly,
}

/// What a program must be besides of the right type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KfuncOnly {
    /// Nothing else.
    Any,
    /// An LSM program.
    Lsm,
    /// On an iterator.
    Iterator,
    /// On entry and exit of functions in one program.
    Session,
    /// Bound to a device.
    Device,
}

/// Flags of kernel functions, Linux's numbers.
#[allow(missing_docs, reason = "the names are Linux's")]
pub mod kfunc_flags {
    pub const ACQUIRE: u32 = 1 << 0;
    pub const RELEASE: u32 = 1 << 1;
    pub const RET_NULL: u32 = 1 << 2;
    pub const TRUSTED_ARGS: u32 = 1 << 4;
    pub const SLEEPABLE: u32 = 1 << 5;
    pub const DESTRUCTIVE: u32 = 1 << 6;
    pub const RCU: u32 = 1 << 7;
    pub const ITER_NEW: u32 = 1 << 8;
    pub const ITER_NEXT: u32 = 1 << 9;
    pub const ITER_DESTROY: u32 = 1 << 10;
    pub const RCU_PROTECTED: u32 = 1 << 11;
    pub const FASTCALL: u32 = 1 << 12;
    pub const ARENA_RET: u32 = 1 << 13;
    pub const ARENA_ARG1: u32 = 1 << 14;
    pub const ARENA_ARG2: u32 = 1 << 15;
}

/// Sets of kernel functions, each for some program types.
#[allow(missing_docs, reason = "the names are Linux's")]
pub mod kfunc_hooks {
    pub const COMMON: u16 = 1 << 0;
    pub const XDP: u16 = 1 << 1;
    pub const TC: u16 = 1 << 2;
    pub const STRUCT_OPS: u16 = 1 << 3;
    pub const TRACING: u16 = 1 << 4;
    pub const SYSCALL: u16 = 1 << 5;
    /// Targets of fmod_ret: not for calling.
    pub const FMODRET: u16 = 1 << 6;
    pub const CGROUP: u16 = 1 << 7;
    pub const SCHED_ACT: u16 = 1 << 8;
    pub const SK_SKB: u16 = 1 << 9;
    pub const SOCKET_FILTER: u16 = 1 << 10;
    pub const LWT: u16 = 1 << 11;
    pub const NETFILTER: u16 = 1 << 12;
    pub const KPROBE: u16 = 1 << 13;
}

/// The sets that programs of a type may call.
pub const fn kfunc_hooks_of(prog_type: ProgType) -> u16 {
    use ProgType as P;
    use kfunc_hooks as hooks;
    let own = match prog_type {
        P::Xdp => hooks::XDP,
        P::SchedCls => hooks::TC,
        P::StructOps => hooks::STRUCT_OPS,
        P::Tracing | P::Tracepoint | P::PerfEvent | P::Lsm => hooks::TRACING,
        P::Syscall => hooks::SYSCALL,
        P::CgroupSkb
        | P::CgroupSock
        | P::CgroupDevice
        | P::CgroupSockAddr
        | P::CgroupSockopt
        | P::CgroupSysctl
        | P::SockOps => hooks::CGROUP,
        P::SchedAct => hooks::SCHED_ACT,
        P::SkSkb => hooks::SK_SKB,
        P::SocketFilter => hooks::SOCKET_FILTER,
        P::LwtIn | P::LwtOut | P::LwtXmit | P::LwtSeg6local => hooks::LWT,
        P::Netfilter => hooks::NETFILTER,
        P::Kprobe => hooks::KPROBE,
        _ => 0,
    };
    hooks::COMMON | own
}

/// The kernel function of this name, if programs may call it at all.
pub fn kfunc(name: &str) -> Option<&'static Kfunc> {
    let table = crate::KFUNCS;
    table.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &table[at])
}

impl Kfunc {
    /// Whether it has any of these flags.
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }
}
