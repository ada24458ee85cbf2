//! Socket buffers of packets on their way through an interface.

use interp::Trap;
use translate::ctx::SkBuff;

use crate::helpers::{Ctx, CtxCell};
use crate::packet::PacketBuf;
use crate::runner::Runner;
use crate::test_run::skb::protocol;

const ETH_HLEN: usize = 14;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// What a program's `__sk_buff` tells of a packet besides its bytes. What one program writes, the
/// next one of the same interface reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame {
    /// The interface that it is at.
    pub ifindex: u32,
    /// The interface that it came in by; 0 for its own host's packets.
    pub ingress_ifindex: u32,
    /// `PACKET_*`: for whom it is.
    pub pkt_type: u32,
    /// `skb->mark`.
    pub mark: u32,
    /// `skb->priority`.
    pub priority: u32,
    /// `skb->tc_index`.
    pub tc_index: u16,
    /// Five words for programs.
    pub cb: [u32; 5],
    /// Bytes of each segment that it stands for; 0 for a packet that is one.
    pub gso_size: u32,
    /// Number of these.
    pub gso_segs: u32,
    /// Receive or send queue.
    pub queue: u16,
}

/// Where a program's data begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// At the Ethernet header.
    Link,
    /// Behind it.
    Network,
}

impl Runner {
    /// Runs a program on a packet, which it may change as its type allows; the value is what it
    /// returned. Packets without a whole Ethernet header pass all: `None`.
    pub fn run_frame(
        &mut self,
        packet: &mut PacketBuf,
        frame: &mut Frame,
        seen: Seen,
    ) -> Result<Option<u32>, Trap> {
        if packet.linear() < ETH_HLEN {
            return Ok(None);
        }
        let cell = CtxCell::new(buffer(packet, frame, seen));
        let ret = self.ready.run(Ctx::Skb(&cell), cell.addr());
        let after = cell.get();
        let header = if seen == Seen::Network { ETH_HLEN } else { 0 };
        packet.start = packet.offset(after.data).saturating_sub(header);
        packet.end = packet.offset(after.data_end).max(packet.start);
        packet.meta = packet.offset(after.data_meta).min(packet.start);
        (frame.mark, frame.priority) = (after.mark, after.priority);
        (frame.pkt_type, frame.cb) = (after.pkt_type, after.cb);
        (frame.tc_index, frame.queue) = (after.tc_index, after.queue_mapping);
        ret.map(|value| Some(value as u32))
    }
}

fn buffer(packet: &PacketBuf, frame: &Frame, seen: Seen) -> SkBuff {
    let mut head = [0; ETH_HLEN + 2];
    let there = packet.linear().min(head.len());
    packet.slab().read(packet.start, &mut head[..there]);
    let start = if seen == Seen::Link { packet.start } else { packet.start + ETH_HLEN };
    let ethertype = u16::from_ne_bytes([head[12], head[13]]);
    let len = (packet.end - start) as u32;
    SkBuff {
        data: packet.addr(start),
        data_end: packet.addr(packet.end),
        data_meta: packet.addr(if seen == Seen::Link { packet.meta } else { start }),
        mac_header: packet.addr(packet.start),
        network_header: packet.addr(packet.start + ETH_HLEN),
        hard_start: packet.hard_start(),
        frame_end: packet.addr(packet.limit),
        len,
        pkt_type: frame.pkt_type,
        mark: frame.mark,
        priority: frame.priority,
        tc_index: frame.tc_index,
        cb: frame.cb,
        queue_mapping: frame.queue,
        protocol: protocol(ethertype, &head),
        ifindex: frame.ifindex,
        ingress_ifindex: frame.ingress_ifindex,
        family: match u16::from_be(ethertype) {
            0x0800 => AF_INET,
            0x86dd => AF_INET6,
            _ => 0,
        },
        wire_len: len,
        gso_size: frame.gso_size,
        gso_segs: frame.gso_segs,
        ..SkBuff::default()
    }
}
