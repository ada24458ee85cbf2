//! What a program section's name says: program type, attach type, flags.

use uapi::{AttachType as A, ProgType as P};

use crate::spec::AttachPoint::{self, Function, Iter, Lsm, Program, RawTracepoint};

/// `BPF_F_SLEEPABLE`.
const SLEEPABLE: u32 = 1 << 4;
/// `BPF_F_XDP_HAS_FRAGS`.
const XDP_FRAGS: u32 = 1 << 5;

/// One row: a name and what it stands for.
#[derive(Clone, Copy)]
pub(crate) struct SectionKind {
    /// The whole name, or with `target` the part before the first `/`.
    name: &'static str,
    /// A `/` and a target may follow.
    target: bool,
    pub(crate) prog_type: P,
    pub(crate) attach_type: Option<A>,
    pub(crate) flags: u32,
    pub(crate) attach_point: Option<AttachPoint>,
}

/// The first row that fits a section's name, without a leading `?`.
pub(crate) fn section_kind(section: &str) -> Option<&'static SectionKind> {
    KINDS.iter().find(|kind| match section.strip_prefix(kind.name) {
        Some("") => true,
        Some(rest) => kind.target && rest.starts_with('/'),
        None => false,
    })
}

const fn exact(name: &'static str, prog_type: P, attach_type: Option<A>) -> SectionKind {
    SectionKind { name, target: false, prog_type, attach_type, flags: 0, attach_point: None }
}

const fn slash(name: &'static str, prog_type: P, attach_type: Option<A>) -> SectionKind {
    SectionKind { name, target: true, prog_type, attach_type, flags: 0, attach_point: None }
}

impl SectionKind {
    const fn sleeps(mut self) -> SectionKind {
        self.flags |= SLEEPABLE;
        self
    }

    const fn frags(mut self) -> SectionKind {
        self.flags |= XDP_FRAGS;
        self
    }

    const fn at(mut self, point: AttachPoint) -> SectionKind {
        self.attach_point = Some(point);
        self
    }
}

/// libbpf's names. Names with a target come in any order; none is a prefix of another up to `/`.
static KINDS: &[SectionKind] = &[
    exact("socket", P::SocketFilter, None),
    exact("sk_reuseport/migrate", P::SkReuseport, Some(A::SkReuseportSelectOrMigrate)),
    exact("sk_reuseport", P::SkReuseport, Some(A::SkReuseportSelect)),
    slash("kprobe", P::Kprobe, None),
    slash("uprobe", P::Kprobe, None),
    slash("uprobe.s", P::Kprobe, None).sleeps(),
    slash("kretprobe", P::Kprobe, None),
    slash("uretprobe", P::Kprobe, None),
    slash("uretprobe.s", P::Kprobe, None).sleeps(),
    slash("kprobe.multi", P::Kprobe, Some(A::TraceKprobeMulti)),
    slash("kretprobe.multi", P::Kprobe, Some(A::TraceKprobeMulti)),
    slash("kprobe.session", P::Kprobe, Some(A::TraceKprobeSession)),
    slash("uprobe.multi", P::Kprobe, Some(A::TraceUprobeMulti)),
    slash("uretprobe.multi", P::Kprobe, Some(A::TraceUprobeMulti)),
    slash("uprobe.session", P::Kprobe, Some(A::TraceUprobeSession)),
    slash("uprobe.multi.s", P::Kprobe, Some(A::TraceUprobeMulti)).sleeps(),
    slash("uretprobe.multi.s", P::Kprobe, Some(A::TraceUprobeMulti)).sleeps(),
    slash("uprobe.session.s", P::Kprobe, Some(A::TraceUprobeSession)).sleeps(),
    slash("ksyscall", P::Kprobe, None),
    slash("kretsyscall", P::Kprobe, None),
    slash("usdt", P::Kprobe, None),
    slash("usdt.s", P::Kprobe, None).sleeps(),
    exact("tc/ingress", P::SchedCls, Some(A::TcxIngress)),
    exact("tc/egress", P::SchedCls, Some(A::TcxEgress)),
    exact("tcx/ingress", P::SchedCls, Some(A::TcxIngress)),
    exact("tcx/egress", P::SchedCls, Some(A::TcxEgress)),
    exact("tc", P::SchedCls, None),
    exact("classifier", P::SchedCls, None),
    exact("action", P::SchedAct, None),
    exact("netkit/primary", P::SchedCls, Some(A::NetkitPrimary)),
    exact("netkit/peer", P::SchedCls, Some(A::NetkitPeer)),
    slash("tracepoint", P::Tracepoint, None),
    slash("tp", P::Tracepoint, None),
    slash("raw_tracepoint", P::RawTracepoint, None),
    slash("raw_tp", P::RawTracepoint, None),
    slash("raw_tracepoint.w", P::RawTracepointWritable, None),
    slash("raw_tp.w", P::RawTracepointWritable, None),
    slash("tp_btf", P::Tracing, Some(A::TraceRawTp)).at(RawTracepoint),
    slash("fentry", P::Tracing, Some(A::TraceFentry)).at(Function),
    slash("fmod_ret", P::Tracing, Some(A::ModifyReturn)).at(Function),
    slash("fexit", P::Tracing, Some(A::TraceFexit)).at(Function),
    slash("fentry.s", P::Tracing, Some(A::TraceFentry)).at(Function).sleeps(),
    slash("fmod_ret.s", P::Tracing, Some(A::ModifyReturn)).at(Function).sleeps(),
    slash("fexit.s", P::Tracing, Some(A::TraceFexit)).at(Function).sleeps(),
    slash("freplace", P::Ext, None).at(Program),
    slash("lsm", P::Lsm, Some(A::LsmMac)).at(Lsm),
    slash("lsm.s", P::Lsm, Some(A::LsmMac)).at(Lsm).sleeps(),
    slash("lsm_cgroup", P::Lsm, Some(A::LsmCgroup)).at(Lsm),
    slash("iter", P::Tracing, Some(A::TraceIter)).at(Iter),
    slash("iter.s", P::Tracing, Some(A::TraceIter)).at(Iter).sleeps(),
    exact("syscall", P::Syscall, None).sleeps(),
    exact("xdp.frags/devmap", P::Xdp, Some(A::XdpDevmap)).frags(),
    exact("xdp/devmap", P::Xdp, Some(A::XdpDevmap)),
    exact("xdp.frags/cpumap", P::Xdp, Some(A::XdpCpumap)).frags(),
    exact("xdp/cpumap", P::Xdp, Some(A::XdpCpumap)),
    exact("xdp.frags", P::Xdp, Some(A::Xdp)).frags(),
    exact("xdp", P::Xdp, Some(A::Xdp)),
    exact("perf_event", P::PerfEvent, None),
    exact("lwt_in", P::LwtIn, None),
    exact("lwt_out", P::LwtOut, None),
    exact("lwt_xmit", P::LwtXmit, None),
    exact("lwt_seg6local", P::LwtSeg6local, None),
    exact("sockops", P::SockOps, Some(A::CgroupSockOps)),
    exact("sk_skb/stream_parser", P::SkSkb, Some(A::SkSkbStreamParser)),
    exact("sk_skb/stream_verdict", P::SkSkb, Some(A::SkSkbStreamVerdict)),
    exact("sk_skb/verdict", P::SkSkb, Some(A::SkSkbVerdict)),
    exact("sk_skb", P::SkSkb, None),
    exact("sk_msg", P::SkMsg, Some(A::SkMsgVerdict)),
    exact("lirc_mode2", P::LircMode2, Some(A::LircMode2)),
    exact("flow_dissector", P::FlowDissector, Some(A::FlowDissector)),
    exact("cgroup_skb/ingress", P::CgroupSkb, Some(A::CgroupInetIngress)),
    exact("cgroup_skb/egress", P::CgroupSkb, Some(A::CgroupInetEgress)),
    exact("cgroup/skb", P::CgroupSkb, None),
    exact("cgroup/sock_create", P::CgroupSock, Some(A::CgroupInetSockCreate)),
    exact("cgroup/sock_release", P::CgroupSock, Some(A::CgroupInetSockRelease)),
    exact("cgroup/sock", P::CgroupSock, Some(A::CgroupInetSockCreate)),
    exact("cgroup/post_bind4", P::CgroupSock, Some(A::CgroupInet4PostBind)),
    exact("cgroup/post_bind6", P::CgroupSock, Some(A::CgroupInet6PostBind)),
    exact("cgroup/bind4", P::CgroupSockAddr, Some(A::CgroupInet4Bind)),
    exact("cgroup/bind6", P::CgroupSockAddr, Some(A::CgroupInet6Bind)),
    exact("cgroup/connect4", P::CgroupSockAddr, Some(A::CgroupInet4Connect)),
    exact("cgroup/connect6", P::CgroupSockAddr, Some(A::CgroupInet6Connect)),
    exact("cgroup/connect_unix", P::CgroupSockAddr, Some(A::CgroupUnixConnect)),
    exact("cgroup/sendmsg4", P::CgroupSockAddr, Some(A::CgroupUdp4Sendmsg)),
    exact("cgroup/sendmsg6", P::CgroupSockAddr, Some(A::CgroupUdp6Sendmsg)),
    exact("cgroup/sendmsg_unix", P::CgroupSockAddr, Some(A::CgroupUnixSendmsg)),
    exact("cgroup/recvmsg4", P::CgroupSockAddr, Some(A::CgroupUdp4Recvmsg)),
    exact("cgroup/recvmsg6", P::CgroupSockAddr, Some(A::CgroupUdp6Recvmsg)),
    exact("cgroup/recvmsg_unix", P::CgroupSockAddr, Some(A::CgroupUnixRecvmsg)),
    exact("cgroup/getpeername4", P::CgroupSockAddr, Some(A::CgroupInet4Getpeername)),
    exact("cgroup/getpeername6", P::CgroupSockAddr, Some(A::CgroupInet6Getpeername)),
    exact("cgroup/getpeername_unix", P::CgroupSockAddr, Some(A::CgroupUnixGetpeername)),
    exact("cgroup/getsockname4", P::CgroupSockAddr, Some(A::CgroupInet4Getsockname)),
    exact("cgroup/getsockname6", P::CgroupSockAddr, Some(A::CgroupInet6Getsockname)),
    exact("cgroup/getsockname_unix", P::CgroupSockAddr, Some(A::CgroupUnixGetsockname)),
    exact("cgroup/sysctl", P::CgroupSysctl, Some(A::CgroupSysctl)),
    exact("cgroup/getsockopt", P::CgroupSockopt, Some(A::CgroupGetsockopt)),
    exact("cgroup/setsockopt", P::CgroupSockopt, Some(A::CgroupSetsockopt)),
    exact("cgroup/dev", P::CgroupDevice, Some(A::CgroupDevice)),
    slash("struct_ops", P::StructOps, None),
    slash("struct_ops.s", P::StructOps, None).sleeps(),
    exact("sk_lookup", P::SkLookup, Some(A::SkLookup)),
    exact("netfilter", P::Netfilter, Some(A::Netfilter)),
];
