//! Test runs of programs on socket buffers.

use maps::View;
use maps::raw::Slab;
use translate::ctx::SkBuff;
use uapi::{Errno, ProgType};

use super::given::Lent;
use super::{buffer, members, repeat};
use crate::core::Core;
use crate::door::{TestRun, TestRunOut};
use crate::helpers::{Ctx, CtxCell};
use crate::packet::{FRAME, FRAME_TAIL, PacketBuf};
use crate::runner::Ready;

/// Bytes of `struct __sk_buff`.
const SK_BUFF: usize = 192;
const CHECKSUM_COMPLETE: u32 = 4;
const ETH_HLEN: usize = 14;
/// Room before a socket buffer's data.
const HEADROOM: usize = 64;
/// Ethernet and IPv4 headers, Ethernet and IPv6 headers.
const IPV4_HLEN: usize = 34;
const IPV6_HLEN: usize = 54;
const LOOPBACK: u32 = 1;
/// Longest packet that a socket buffer may say it stands for.
const GSO_MAX: u32 = 65536;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// Members of `__sk_buff` that a test run takes: byte offset and size.
const TAKEN: &[(usize, usize)] = &[
    (8, 4),   // mark
    (32, 4),  // priority
    (36, 4),  // ingress_ifindex
    (40, 4),  // ifindex
    (48, 20), // cb
    (152, 8), // tstamp
    (160, 4), // wire_len
    (164, 4), // gso_segs
    (176, 4), // gso_size
    (184, 8), // hwtstamp
];

/// Whether programs of this type are test-run on a socket buffer.
pub(super) fn takes(t: ProgType) -> bool {
    use ProgType::{CgroupSkb, LwtIn, LwtOut, LwtXmit};
    use ProgType::{SchedAct, SchedCls, SocketFilter};
    matches!(t, SocketFilter | SchedCls | SchedAct | CgroupSkb | LwtIn | LwtOut | LwtXmit)
}

pub(super) fn run(
    core: &Core,
    t: ProgType,
    req: &TestRun,
    mut ready: Ready,
) -> Result<TestRunOut, Errno> {
    if req.flags & !CHECKSUM_COMPLETE != 0 || req.cpu != 0 || req.batch_size != 0 {
        return Err(Errno::EINVAL);
    }
    let data = req.data_in.as_deref().unwrap_or_default();
    if data.len() < shortest(data) || data.len() > FRAME - HEADROOM - FRAME_TAIL {
        return Err(Errno::EINVAL);
    }
    let ctx = buffer::context(req, SK_BUFF)?;
    let mut packet = PacketBuf::new()?;
    packet.place(HEADROOM, data)?;
    let l2 = matches!(t, ProgType::SchedCls | ProgType::SchedAct);
    let mut skb = skb(&packet, data, l2);
    if let Some(ctx) = &ctx {
        take(core, &mut skb, ctx)?;
    }
    let cell = CtxCell::new(skb);
    let addr = cell.addr();
    let stop = ready.stop.clone();
    let result = repeat(req.repeat, &stop, || ready.run(Ctx::Skb(&cell), addr))?;
    let after = cell.get();
    packet.end = packet.offset(after.data_end);
    packet.start = packet.offset(after.data);
    if !l2 {
        // Linux puts an empty Ethernet header back.
        packet.start -= ETH_HLEN;
        packet.slab().zero(packet.start, ETH_HLEN);
    }
    packet.meta = packet.start;
    let shown = ctx.map(|ctx| give(&after, ctx));
    Ok(buffer::finish(req, result, packet.with_meta(), shown))
}

/// Whether programs of this type see a socket buffer.
pub(super) fn has_sk_buff(t: ProgType) -> bool {
    use ProgType::{FlowDissector, LwtSeg6local, SkSkb};
    takes(t) || matches!(t, SkSkb | FlowDissector | LwtSeg6local)
}

/// A run whose context is the `struct __sk_buff` at `place` of `memory`: members that are not zero
/// there count, the others are the packet's.
pub(super) fn given(
    t: ProgType,
    req: &TestRun,
    mut ready: Ready,
    lent: Lent<'_>,
    memory: &Slab,
    place: usize,
) -> Result<TestRunOut, Errno> {
    let data = req.data_in.as_deref().unwrap_or_default();
    let long = data.len() > FRAME - HEADROOM - FRAME_TAIL;
    if data.len() < shortest(data) || long || place + SK_BUFF > memory.len() {
        return Err(Errno::EINVAL);
    }
    let mut ctx = vec![0; SK_BUFF];
    memory.read(place, &mut ctx);
    let mut packet = PacketBuf::new()?;
    packet.place(HEADROOM, data)?;
    let l2 = matches!(t, ProgType::SchedCls | ProgType::SchedAct | ProgType::FlowDissector);
    let mut skb = skb(&packet, data, l2);
    members::take(&mut skb, &ctx);
    let cell = CtxCell::new(skb);
    let addr = cell.addr();
    let stop = ready.stop.clone();
    let (retval, duration_ns) = repeat(req.repeat, &stop, || {
        ready.run_on(Ctx::Skb(&cell), addr, Some(lent.event), lent.world)
    })?;
    let after = cell.get();
    members::give(&skb, &after, &mut ctx);
    memory.write(place, View::from(ctx.as_slice()));
    packet.end = packet.offset(after.data_end);
    packet.start = packet.offset(after.data);
    if !l2 {
        packet.start -= ETH_HLEN;
    }
    packet.meta = packet.start;
    let data_out = packet.with_meta();
    let data_size_out = data_out.len() as u32;
    Ok(TestRunOut { retval, duration_ns, data_out, data_size_out, ..TestRunOut::default() })
}

/// The shortest packet that is run on: what its first header announces must be there.
fn shortest(data: &[u8]) -> usize {
    match data.get(12..ETH_HLEN) {
        Some([0x08, 0x00]) => IPV4_HLEN,
        Some([0x86, 0xdd]) => IPV6_HLEN,
        _ => ETH_HLEN,
    }
}

/// A packet at an interface, as programs of tc see it; `None` if it has no header.
pub(crate) fn received(packet: &PacketBuf) -> Option<SkBuff> {
    let head: [u8; ETH_HLEN + 2] = match packet.head() {
        Some(head) => head,
        None => {
            let short: [u8; ETH_HLEN] = packet.head()?;
            let mut head = [0; ETH_HLEN + 2];
            head[..ETH_HLEN].copy_from_slice(&short);
            head
        }
    };
    if !packet.frags.is_empty() {
        return None;
    }
    let fresh = SkBuff { data_meta: packet.addr(packet.meta), ..skb(packet, &head, true) };
    let Some(before) = packet.beside.as_deref() else { return Some(fresh) };
    Some(SkBuff {
        tstamp: before.tstamp,
        hwtstamp: before.hwtstamp,
        cb: before.cb,
        pkt_type: before.pkt_type,
        mark: before.mark,
        vlan_present: before.vlan_present,
        vlan_tci: before.vlan_tci,
        vlan_proto: before.vlan_proto,
        priority: before.priority,
        hash: before.hash,
        tc_index: before.tc_index,
        queue_mapping: before.queue_mapping,
        tstamp_type: before.tstamp_type,
        ..fresh
    })
}

fn skb(packet: &PacketBuf, data: &[u8], l2: bool) -> SkBuff {
    let start = if l2 { packet.start } else { packet.start + ETH_HLEN };
    let ethertype = u16::from_ne_bytes([data[12], data[13]]);
    SkBuff {
        data: packet.addr(start),
        data_end: packet.addr(packet.end),
        data_meta: packet.addr(start),
        mac_header: packet.addr(packet.start),
        network_header: packet.addr(packet.start + ETH_HLEN),
        hard_start: packet.hard_start(),
        frame_end: packet.addr(packet.limit),
        len: (packet.end - start) as u32,
        pkt_type: packet_type(&data[..6]),
        protocol: protocol(ethertype, data),
        ifindex: LOOPBACK,
        ingress_ifindex: 0,
        family: match u16::from_be(ethertype) {
            0x0800 => AF_INET,
            0x86dd => AF_INET6,
            _ => 0,
        },
        wire_len: (packet.end - start) as u32,
        ..SkBuff::default()
    }
}

/// A packet that a flow dissector looks at, with the address of its keys.
pub(super) fn dissected(packet: &PacketBuf, data: &[u8], keys: u64) -> SkBuff {
    SkBuff { flow_keys: keys, ..skb(packet, data, true) }
}

/// A packet at a hook of netfilter: `header` bytes stand before its network header.
pub(super) fn network(packet: &PacketBuf, header: usize, protocol: u16) -> SkBuff {
    let start = packet.addr(packet.start + header);
    SkBuff {
        data: start,
        data_end: packet.addr(packet.end),
        data_meta: start,
        mac_header: packet.addr(packet.start),
        network_header: start,
        hard_start: packet.hard_start(),
        frame_end: packet.addr(packet.limit),
        len: (packet.end - packet.start - header) as u32,
        protocol: protocol.into(),
        ifindex: LOOPBACK,
        ..SkBuff::default()
    }
}

/// PACKET_HOST, MULTICAST or OTHERHOST, seen from the loopback interface: it has no broadcasts.
pub(crate) fn packet_type(destination: &[u8]) -> u32 {
    match destination {
        [0, 0, 0, 0, 0, 0] => 0,
        [first, ..] if first & 1 != 0 => 2,
        _ => 3,
    }
}

/// The protocol in network byte order; old length fields become 802.2 or 802.3.
pub(crate) fn protocol(ethertype: u16, data: &[u8]) -> u32 {
    let value = match u16::from_be(ethertype) {
        value if value >= 0x600 => value,
        _ if data.get(14..16) == Some(&[0xff, 0xff]) => 1,
        _ => 4,
    };
    value.to_be().into()
}

fn word(ctx: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([ctx[at], ctx[at + 1], ctx[at + 2], ctx[at + 3]])
}

fn double(ctx: &[u8], at: usize) -> u64 {
    u64::from(word(ctx, at)) | u64::from(word(ctx, at + 4)) << 32
}

/// Fills in what the caller set; EINVAL for a member that cannot be set.
fn take(core: &Core, skb: &mut SkBuff, ctx: &[u8]) -> Result<(), Errno> {
    match word(ctx, 40) {
        0 => {}
        known if known == LOOPBACK || core.network.get(known).is_some() => skb.ifindex = known,
        _ => return Err(Errno::ENODEV),
    }
    let taken = |at: usize| TAKEN.iter().any(|(off, size)| (*off..off + size).contains(&at));
    if ctx.iter().enumerate().any(|(at, byte)| *byte != 0 && !taken(at)) {
        return Err(Errno::EINVAL);
    }
    skb.mark = word(ctx, 8);
    skb.priority = word(ctx, 32);
    skb.ingress_ifindex = word(ctx, 36);
    for (i, word_of_cb) in skb.cb.iter_mut().enumerate() {
        *word_of_cb = word(ctx, 48 + 4 * i);
    }
    skb.tstamp = double(ctx, 152);
    match word(ctx, 160) {
        0 => {}
        len if len < skb.len || len > GSO_MAX => return Err(Errno::EINVAL),
        len => skb.wire_len = len,
    }
    if word(ctx, 164) > 65535 {
        return Err(Errno::EINVAL);
    }
    skb.gso_segs = word(ctx, 164);
    skb.gso_size = word(ctx, 176) & 0xffff;
    skb.hwtstamp = double(ctx, 184);
    Ok(())
}

/// The members that come back.
fn give(skb: &SkBuff, mut ctx: Vec<u8>) -> Vec<u8> {
    let mut put = |at: usize, bytes: &[u8]| ctx[at..at + bytes.len()].copy_from_slice(bytes);
    put(8, &skb.mark.to_ne_bytes());
    put(12, &u32::from(skb.queue_mapping).to_ne_bytes());
    put(32, &skb.priority.to_ne_bytes());
    put(36, &skb.ingress_ifindex.to_ne_bytes());
    put(40, &skb.ifindex.to_ne_bytes());
    for (i, word) in skb.cb.iter().enumerate() {
        put(48 + 4 * i, &word.to_ne_bytes());
    }
    put(152, &skb.tstamp.to_ne_bytes());
    put(160, &skb.wire_len.to_ne_bytes());
    put(164, &skb.gso_segs.to_ne_bytes());
    put(184, &skb.hwtstamp.to_ne_bytes());
    ctx
}
