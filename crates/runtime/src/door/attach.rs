//! Requests and answers about what is attached where.

use super::Fd;

/// What a program is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AttachTo {
    /// What it was loaded for, or what the attach type alone says.
    #[default]
    Nothing,
    /// A network interface, by its index.
    Device {
        /// Its index.
        ifindex: u32,
    },
    /// A control group, by its path.
    Cgroup {
        /// Its path.
        path: String,
    },
    /// The network namespace of the door.
    Netns {},
    /// A hook of netfilter.
    Netfilter {
        /// `NFPROTO_*`.
        pf: u32,
        /// `NF_INET_*`.
        hook: u32,
        /// Order among the hook's users.
        priority: i32,
        /// `BPF_F_NETFILTER_*`.
        flags: u32,
    },
    /// A map: one of sockets, or the one that an iterator goes through.
    Map {
        /// Its descriptor.
        map: Fd,
    },
    /// A function of another program.
    Function {
        /// The program.
        prog: Fd,
        /// The function's type in its BTF.
        btf_id: u32,
    },
}

/// BPF_LINK_CREATE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkCreate {
    /// The program; a map of struct_ops with that attach type.
    pub prog: Fd,
    /// `enum bpf_attach_type`.
    pub attach_type: u32,
    /// `XDP_FLAGS_*`, or `BPF_F_*` of lists of programs.
    pub flags: u32,
    /// Where to.
    pub to: AttachTo,
    /// What `bpf_get_attach_cookie` tells the program.
    pub cookie: u64,
    /// Beside which program or link, as `flags` say: a descriptor or an id.
    pub relative: u32,
    /// What the list's revision must be; 0 for any.
    pub revision: u64,
}

/// BPF_PROG_ATTACH and BPF_PROG_DETACH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgAttach {
    /// The program; `None` detaches whichever there is.
    pub prog: Option<Fd>,
    /// `enum bpf_attach_type`.
    pub attach_type: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Where to.
    pub to: AttachTo,
    /// The program whose place it takes, with BPF_F_REPLACE.
    pub replace: Option<Fd>,
    /// Beside which program or link, as `flags` say: a descriptor or an id.
    pub relative: u32,
    /// What the list's revision must be; 0 for any.
    pub revision: u64,
}

/// BPF_PROG_QUERY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgQuery {
    /// `enum bpf_attach_type`.
    pub attach_type: u32,
    /// BPF_F_QUERY_EFFECTIVE or 0.
    pub flags: u32,
    /// Of what.
    pub to: AttachTo,
}

/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queried {
    /// Flags of the whole list (control groups).
    pub flags: u32,
    /// Programs in the order in which they run.
    pub progs: Vec<QueriedProg>,
    /// Number of changes to the list.
    pub revision: u64,
}

/// One attached program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueriedProg {
    /// Id of the program.
    pub id: u32,
    /// Flags that it was attached with.
    pub flags: u32,
    /// Id of the link that holds it; 0 for none.
    pub link: u32,
}

/// A network interface of ring3's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceAdd {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// The capture that its packets come from, by absolute path; none come without one.
    pub capture: Option<String>,
    /// Packets a second; 0 for the default.
    pub rate: u32,
    /// The capture begins again at its end.
    pub again: bool,
    /// Where the packets that leave are written, by absolute path.
    pub out: Option<String>,
    /// The interface at the other end of its wire, which is made with it.
    pub peer: Option<String>,
    /// The system's interface whose packets it gets copies of, and by which its own leave.
    pub real: Option<String>,
}

/// An interface and what became of its packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its index.
    pub ifindex: u32,
    /// What it was made with.
    pub made: DeviceAdd,
    /// Program of XDP; 0 for none.
    pub xdp_prog: u32,
    /// `XDP_FLAGS_*` of its mode.
    pub xdp_mode: u32,
    /// Counted since it was made.
    pub counts: DeviceCounts,
    /// The capture is at its end.
    pub ended: bool,
    /// Why no more packets come, if reading failed.
    pub error: String,
}

/// Packets by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// Packets that came in.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// XDP_ABORTED, and verdicts that are none.
    pub aborted: u64,
    /// XDP_DROP.
    pub drop: u64,
    /// XDP_PASS.
    pub pass: u64,
    /// XDP_TX.
    pub tx: u64,
    /// XDP_REDIRECT.
    pub redirect: u64,
    /// Packets that programs of tcx let pass.
    pub tc_pass: u64,
    /// Packets that they dropped.
    pub tc_drop: u64,
    /// Packets that they sent to an interface.
    pub tc_redirect: u64,
    /// Packets on their way out that programs of tcx let pass.
    pub egress_pass: u64,
    /// Packets that they dropped.
    pub egress_drop: u64,
    /// Packets that they sent to an interface.
    pub egress_redirect: u64,
    /// Packets that left.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Packets that could not go where a program sent them.
    pub lost: u64,
}
