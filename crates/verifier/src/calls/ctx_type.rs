//! Whether a type in a program's BTF is the context of its program type.

use btf::{Btf, Kind, TypeId};
use uapi::{AttachType, ProgType};

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::BadFunc;

/// The structure that a program type calls its context; empty where it has no name of its own.
fn canonical(prog_type: ProgType) -> &'static str {
    use ProgType as P;
    match prog_type {
        P::SocketFilter
        | P::SchedCls
        | P::SchedAct
        | P::CgroupSkb
        | P::LwtIn
        | P::LwtOut
        | P::LwtXmit
        | P::LwtSeg6local
        | P::SkSkb
        | P::FlowDissector => "__sk_buff",
        P::Xdp => "xdp_md",
        P::CgroupSock => "bpf_sock",
        P::CgroupSockAddr => "bpf_sock_addr",
        P::SockOps => "bpf_sock_ops",
        P::SkMsg => "sk_msg_md",
        P::Kprobe => "pt_regs",
        P::PerfEvent => "bpf_perf_event_data",
        P::RawTracepoint | P::RawTracepointWritable => "bpf_raw_tracepoint_args",
        P::CgroupDevice => "bpf_cgroup_dev_ctx",
        P::CgroupSysctl => "bpf_sysctl",
        P::CgroupSockopt => "bpf_sockopt",
        P::SkReuseport => "sk_reuseport_md",
        P::SkLookup => "bpf_sk_lookup",
        P::Netfilter => "bpf_nf_ctx",
        P::Tracepoint | P::Tracing | P::StructOps | P::Ext | P::Lsm | P::Syscall | P::LircMode2 => {
            ""
        }
    }
}

/// The typedef of registers that kprobe and perf_event programs may name.
fn is_user_regs(btf: &Btf, mut id: TypeId) -> bool {
    while let Some(t) = btf.ty(id).filter(|t| t.kind.is_modifier()) {
        if t.kind == Kind::Typedef {
            return t.name == "bpf_user_pt_regs_t";
        }
        id = TypeId(t.size_or_type);
    }
    false
}

/// A pointer to `target` is the program's context by its name alone.
pub(super) fn is_ctx_type(env: &Env<'_>, btf: &Btf, target: TypeId) -> bool {
    let Some(prog_type) = env.prog_type else { return false };
    if prog_type == ProgType::Kprobe && is_user_regs(btf, target) {
        return true;
    }
    let wanted = canonical(prog_type);
    match btf.resolved(target) {
        Some(t) if t.kind.is_composite() && !wanted.is_empty() => {
            t.name == wanted
                || (wanted, t.name) == ("__sk_buff", "sk_buff")
                || (wanted, t.name) == ("xdp_md", "xdp_buff")
                // The kernel's own name of it, a typedef there.
                || (prog_type, t.name) == (ProgType::Kprobe, "bpf_user_pt_regs_t")
        }
        _ => false,
    }
}

/// The argument is tagged as context: its type must be one that the program type takes.
pub(super) fn check_ctx_tag(env: &Env<'_>, btf: &Btf, target: TypeId, n: usize) -> Checked {
    use ProgType as P;
    let Some(prog_type) = env.prog_type else { return reject!(EINVAL) };
    let registers = matches!(prog_type, P::Kprobe | P::PerfEvent);
    if registers && is_user_regs(btf, target) {
        return Ok(());
    }
    let Some(t) = btf.resolved(target) else { return Ok(()) };
    if t.name.is_empty() {
        return reject!(EINVAL, BadFunc::Nameless { arg: n });
    }
    let (composite, word) = (t.kind.is_composite(), t.kind == Kind::Int && t.size_or_type == 8);
    let attach = AttachType::from_raw(env.attach_type);
    let special = match prog_type {
        P::Kprobe | P::PerfEvent => composite && t.name == "pt_regs",
        P::RawTracepoint | P::RawTracepointWritable => word,
        P::Tracing => match attach {
            Some(AttachType::TraceRawTp) => {
                word || (composite && t.name == "bpf_raw_tracepoint_args")
            }
            Some(AttachType::TraceIter) => composite && t.name.starts_with("bpf_iter__"),
            Some(AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn) => {
                word
            }
            _ => false,
        },
        P::Lsm | P::StructOps => word,
        P::Tracepoint | P::Syscall | P::Ext => true,
        _ => false,
    };
    let wanted = canonical(prog_type);
    if special {
        return Ok(());
    }
    if wanted.is_empty() {
        return reject!(EINVAL, BadFunc::NotVoidCtx { arg: n });
    }
    if !composite || t.name != wanted {
        return reject!(EINVAL, BadFunc::CtxType { arg: n, expected: wanted.into() });
    }
    Ok(())
}
