//! All members of `struct __sk_buff`, for runs whose caller makes the whole context.

use translate::ctx::SkBuff;

/// Where a member is in the UAPI's structure, and how it is set and read in ours.
struct Member {
    off: usize,
    size: usize,
    set: fn(&mut SkBuff, u64),
    get: fn(&SkBuff) -> u64,
}

macro_rules! members {
    ($($off:literal $size:literal $field:ident $([$index:literal])? as $t:ty;)*) => {
        &[$(Member {
            off: $off,
            size: $size,
            set: |skb, value| skb.$field $([$index])? = value as $t,
            get: |skb| skb.$field $([$index])? as u64,
        },)*]
    };
}

const MEMBERS: &[Member] = members! {
    4 4 pkt_type as u32;
    8 4 mark as u32;
    12 4 queue_mapping as u16;
    16 4 protocol as u32;
    20 4 vlan_present as u32;
    24 4 vlan_tci as u32;
    28 4 vlan_proto as u32;
    32 4 priority as u32;
    36 4 ingress_ifindex as u32;
    40 4 ifindex as u32;
    44 4 tc_index as u16;
    48 4 cb[0] as u32;
    52 4 cb[1] as u32;
    56 4 cb[2] as u32;
    60 4 cb[3] as u32;
    64 4 cb[4] as u32;
    68 4 hash as u32;
    72 4 tc_classid as u16;
    84 4 napi_id as u32;
    88 4 family as u32;
    92 4 remote_ip4 as u32;
    96 4 local_ip4 as u32;
    100 4 remote_ip6[0] as u32;
    104 4 remote_ip6[1] as u32;
    108 4 remote_ip6[2] as u32;
    112 4 remote_ip6[3] as u32;
    116 4 local_ip6[0] as u32;
    120 4 local_ip6[1] as u32;
    124 4 local_ip6[2] as u32;
    128 4 local_ip6[3] as u32;
    132 4 remote_port as u32;
    136 4 local_port as u32;
    144 8 flow_keys as u64;
    152 8 tstamp as u64;
    160 4 wire_len as u32;
    164 4 gso_segs as u32;
    168 8 sk as u64;
    176 4 gso_size as u32;
    180 1 tstamp_type as u8;
    184 8 hwtstamp as u64;
};

/// Sets the members that are not zero in `ctx`, which holds a whole `struct __sk_buff`.
pub(super) fn take(skb: &mut SkBuff, ctx: &[u8]) {
    for member in MEMBERS {
        let mut word = [0; 8];
        word[..member.size].copy_from_slice(&ctx[member.off..member.off + member.size]);
        match u64::from_le_bytes(word) {
            0 => {}
            value => (member.set)(skb, value),
        }
    }
}

/// Puts the members that changed during a run into `ctx`.
pub(super) fn give(before: &SkBuff, after: &SkBuff, ctx: &mut [u8]) {
    for member in MEMBERS {
        let value = (member.get)(after);
        if value != (member.get)(before) {
            let bytes = &value.to_le_bytes()[..member.size];
            ctx[member.off..member.off + member.size].copy_from_slice(bytes);
        }
    }
}
