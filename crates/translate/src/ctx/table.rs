//! The context tables: one row a field.

use std::mem::offset_of;

use uapi::ProgType;

use super::{Field, Kind, SkBuff, XdpBuff};

/// The rows for programs of this type; `None` where the context is passed as it is.
pub(crate) fn fields(prog_type: ProgType) -> Option<&'static [Field]> {
    match prog_type {
        ProgType::Xdp => Some(XDP_MD),
        _ if has_sk_buff(prog_type) => Some(SK_BUFF),
        _ => None,
    }
}

/// Whether the context is a `__sk_buff`.
pub(crate) fn has_sk_buff(prog_type: ProgType) -> bool {
    use ProgType::*;
    matches!(
        prog_type,
        SocketFilter
            | SchedCls
            | SchedAct
            | CgroupSkb
            | LwtIn
            | LwtOut
            | LwtXmit
            | LwtSeg6local
            | SkSkb
            | FlowDissector
    )
}

/// UAPI offset and size, our field and its width in Linux, conversion.
macro_rules! rows {
    ($ours:ty; $($off:literal $size:literal $field:ident $width:literal $kind:ident;)*) => {
        &[$(Field {
            off: $off,
            size: $size,
            target: offset_of!($ours, $field) as u16,
            width: $width,
            kind: Kind::$kind,
        },)*]
    };
}

const XDP_MD: &[Field] = rows! { XdpBuff;
    0 4 data 8 Pointer;
    4 4 data_end 8 Pointer;
    8 4 data_meta 8 Pointer;
    12 4 ingress_ifindex 4 Number;
    16 4 rx_queue_index 4 Number;
    20 4 egress_ifindex 4 Number;
};

const SK_BUFF: &[Field] = rows! { SkBuff;
    0 4 len 4 Number;
    4 4 pkt_type 1 Number;
    8 4 mark 4 Number;
    12 4 queue_mapping 2 Below0xffff;
    16 4 protocol 2 Number;
    20 4 vlan_present 4 Number;
    24 4 vlan_tci 2 Number;
    28 4 vlan_proto 2 Number;
    32 4 priority 4 Number;
    36 4 ingress_ifindex 4 Number;
    40 4 ifindex 4 Number;
    44 4 tc_index 2 Number;
    48 20 cb 20 Bytes;
    68 4 hash 4 Number;
    72 4 tc_classid 2 Number;
    76 4 data 8 Pointer;
    80 4 data_end 8 Pointer;
    84 4 napi_id 4 Number;
    88 4 family 2 Number;
    92 4 remote_ip4 4 Number;
    96 4 local_ip4 4 Number;
    100 16 remote_ip6 16 Bytes;
    116 16 local_ip6 16 Bytes;
    132 4 remote_port 4 Number;
    136 4 local_port 2 Number;
    140 4 data_meta 8 Pointer;
    144 8 flow_keys 8 Bytes;
    152 8 tstamp 8 Bytes;
    160 4 wire_len 4 Number;
    164 4 gso_segs 2 Number;
    168 8 sk 8 Bytes;
    176 4 gso_size 2 Number;
    180 1 tstamp_type 1 Number;
    184 8 hwtstamp 8 Bytes;
};
