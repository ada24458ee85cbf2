//! ring3's own structures behind a program's context.
//!
//! Programs see the UAPI's layout; where that squeezes pointers into 32 bits (`xdp_md`,
//! `__sk_buff`) the verifier's `Access::Ctx` instructions are rewritten onto these. All other
//! contexts are passed as the UAPI lays them out. A host may put more behind a structure, by
//! making it the first field of a larger one.

mod field;
mod table;

pub(crate) use field::{Field, Kind};
pub(crate) use table::{fields, has_sk_buff};

/// Behind `struct xdp_md`. Addresses are host addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct XdpBuff {
    /// First byte of the packet.
    pub data: u64,
    /// After its last byte.
    pub data_end: u64,
    /// First byte of the metadata before the packet; `data` if there is none.
    pub data_meta: u64,
    /// First byte of the buffer: head room begins here.
    pub hard_start: u64,
    /// After the buffer's last byte: tail room ends here.
    pub frame_end: u64,
    /// Interface it came in by.
    pub ingress_ifindex: u32,
    /// Receive queue.
    pub rx_queue_index: u32,
    /// Interface it goes out by (device-map programs).
    pub egress_ifindex: u32,
    /// Zero.
    pub reserved: u32,
}

/// Behind `struct __sk_buff`. Addresses are host addresses; fields named as in the UAPI hold what
/// a program reads, byte order included. Of `pkt_type` one byte counts, of `protocol`, `vlan_tci`,
/// `vlan_proto`, `family`, `local_port`, `gso_segs` and `gso_size` two, as in Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "the names are those of the UAPI")]
pub struct SkBuff {
    /// First byte that the program type sees.
    pub data: u64,
    /// After the last byte of the (always linear) packet.
    pub data_end: u64,
    pub data_meta: u64,
    /// The Ethernet header: base of `ld_abs` at SKF_LL_OFF.
    pub mac_header: u64,
    /// The network header: base of `ld_abs` at SKF_NET_OFF.
    pub network_header: u64,
    /// First byte of the buffer.
    pub hard_start: u64,
    /// After the buffer's last byte.
    pub frame_end: u64,
    /// Address of a `struct bpf_flow_keys`.
    pub flow_keys: u64,
    /// Address of a `struct bpf_sock`, or 0.
    pub sk: u64,
    pub tstamp: u64,
    pub hwtstamp: u64,
    pub cb: [u32; 5],
    pub len: u32,
    pub pkt_type: u32,
    pub mark: u32,
    pub protocol: u32,
    pub vlan_present: u32,
    pub vlan_tci: u32,
    pub vlan_proto: u32,
    pub priority: u32,
    pub ingress_ifindex: u32,
    pub ifindex: u32,
    pub hash: u32,
    pub napi_id: u32,
    pub family: u32,
    pub remote_ip4: u32,
    pub local_ip4: u32,
    pub remote_ip6: [u32; 4],
    pub local_ip6: [u32; 4],
    pub remote_port: u32,
    pub local_port: u32,
    pub wire_len: u32,
    pub gso_segs: u32,
    pub gso_size: u32,
    /// 16 bits, as in Linux: what a program stores is cut.
    pub tc_index: u16,
    pub tc_classid: u16,
    pub queue_mapping: u16,
    pub tstamp_type: u8,
    /// Zero.
    pub reserved: u8,
}
