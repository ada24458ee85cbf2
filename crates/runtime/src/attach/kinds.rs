//! Attach types: the program type that each takes, and the link that it makes.

use uapi::{Errno, ProgType};

use crate::prog::Prog;

/// `enum bpf_attach_type`, those that code names.
pub(crate) mod at {
    pub(crate) const FLOW_DISSECTOR: u32 = 17;
    pub(crate) const TRACE_RAW_TP: u32 = 23;
    pub(crate) const TRACE_FENTRY: u32 = 24;
    pub(crate) const MODIFY_RETURN: u32 = 26;
    pub(crate) const LSM_MAC: u32 = 27;
    pub(crate) const TRACE_ITER: u32 = 28;
    pub(crate) const XDP_DEVMAP: u32 = 33;
    pub(crate) const XDP_CPUMAP: u32 = 35;
    pub(crate) const SK_LOOKUP: u32 = 36;
    pub(crate) const XDP: u32 = 37;
    pub(crate) const PERF_EVENT: u32 = 41;
    pub(crate) const TRACE_KPROBE_MULTI: u32 = 42;
    pub(crate) const LSM_CGROUP: u32 = 43;
    pub(crate) const STRUCT_OPS: u32 = 44;
    pub(crate) const NETFILTER: u32 = 45;
    pub(crate) const TCX_INGRESS: u32 = 46;
    pub(crate) const TCX_EGRESS: u32 = 47;
    pub(crate) const TRACE_UPROBE_MULTI: u32 = 48;
    pub(crate) const NETKIT_PRIMARY: u32 = 54;
    pub(crate) const NETKIT_PEER: u32 = 55;
    pub(crate) const TRACE_KPROBE_SESSION: u32 = 56;
    pub(crate) const TRACE_UPROBE_SESSION: u32 = 57;
    /// One above the last.
    pub(crate) const END: u32 = 58;
}

/// `enum bpf_link_type`.
pub(crate) mod lt {
    pub(crate) const RAW_TRACEPOINT: u32 = 1;
    pub(crate) const TRACING: u32 = 2;
    pub(crate) const CGROUP: u32 = 3;
    pub(crate) const ITER: u32 = 4;
    pub(crate) const NETNS: u32 = 5;
    pub(crate) const XDP: u32 = 6;
    pub(crate) const STRUCT_OPS: u32 = 9;
    pub(crate) const NETFILTER: u32 = 10;
    pub(crate) const TCX: u32 = 11;
}

/// First and last attach type, and the program type that goes there.
const PROGRAMS: &[(u32, u32, ProgType)] = &[
    (0, 1, ProgType::CgroupSkb),
    (2, 2, ProgType::CgroupSock),
    (3, 3, ProgType::SockOps),
    (4, 5, ProgType::SkSkb),
    (6, 6, ProgType::CgroupDevice),
    (7, 7, ProgType::SkMsg),
    (8, 11, ProgType::CgroupSockAddr),
    (12, 13, ProgType::CgroupSock),
    (14, 15, ProgType::CgroupSockAddr),
    (16, 16, ProgType::LircMode2),
    (at::FLOW_DISSECTOR, at::FLOW_DISSECTOR, ProgType::FlowDissector),
    (18, 18, ProgType::CgroupSysctl),
    (19, 20, ProgType::CgroupSockAddr),
    (21, 22, ProgType::CgroupSockopt),
    (at::TRACE_RAW_TP, at::MODIFY_RETURN, ProgType::Tracing),
    (at::LSM_MAC, at::LSM_MAC, ProgType::Lsm),
    (at::TRACE_ITER, at::TRACE_ITER, ProgType::Tracing),
    (29, 32, ProgType::CgroupSockAddr),
    (34, 34, ProgType::CgroupSock),
    (at::SK_LOOKUP, at::SK_LOOKUP, ProgType::SkLookup),
    (at::XDP, at::XDP, ProgType::Xdp),
    (38, 38, ProgType::SkSkb),
    (at::LSM_CGROUP, at::LSM_CGROUP, ProgType::Lsm),
    (at::TCX_INGRESS, at::TCX_EGRESS, ProgType::SchedCls),
    (49, 53, ProgType::CgroupSockAddr),
    (at::NETKIT_PRIMARY, at::NETKIT_PEER, ProgType::SchedCls),
];

/// The program type that an attach type is of; `None` if it says nothing of that.
pub(crate) fn prog_type(attach_type: u32) -> Option<ProgType> {
    let row = PROGRAMS.iter().find(|row| (row.0..=row.1).contains(&attach_type));
    row.map(|row| row.2)
}

/// Whether programs of control groups go there.
pub(crate) fn is_cgroup(attach_type: u32) -> bool {
    use ProgType::{CgroupDevice, CgroupSkb, CgroupSock, CgroupSockAddr, CgroupSockopt};
    use ProgType::{CgroupSysctl, SockOps};
    let types =
        [CgroupDevice, CgroupSkb, CgroupSock, CgroupSockAddr, CgroupSockopt, CgroupSysctl, SockOps];
    attach_type == at::LSM_CGROUP || prog_type(attach_type).is_some_and(|t| types.contains(&t))
}

/// EINVAL unless the program was loaded for such a place.
pub(crate) fn check(prog: &Prog, attach_type: u32) -> Result<(), Errno> {
    use ProgType::{CgroupSock, CgroupSockAddr, CgroupSockopt, SkLookup};
    let kprobe = [
        at::PERF_EVENT,
        at::TRACE_KPROBE_MULTI,
        at::TRACE_KPROBE_SESSION,
        at::TRACE_UPROBE_MULTI,
        at::TRACE_UPROBE_SESSION,
    ];
    let fits = match prog.prog_type {
        CgroupSock | CgroupSockAddr | CgroupSockopt | SkLookup => {
            attach_type == prog.attach_type && prog_type(attach_type) == Some(prog.prog_type)
        }
        ProgType::Ext => true,
        ProgType::CgroupSkb if prog.demands.attach_type => attach_type == prog.attach_type,
        ProgType::Netfilter => attach_type == at::NETFILTER,
        ProgType::PerfEvent | ProgType::Tracepoint => attach_type == at::PERF_EVENT,
        ProgType::Kprobe => {
            kprobe.contains(&attach_type)
                && (prog.attach_type == 0 || prog.attach_type == attach_type)
        }
        other => prog_type(attach_type) == Some(other),
    };
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}
