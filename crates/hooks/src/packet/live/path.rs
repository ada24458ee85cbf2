//! A frame's way: out of a host past its egress programs, over the wire, into another host past
//! its ingress programs.

use std::net::IpAddr;

use runtime::{EntryProg, Fate, Frame, PacketBuf, Sent, SentBy};

use super::engine::Engine;
use super::points::{Note, Point};
use super::programs::Hook;
use super::ring::{Ring, Slot};
use super::sys::packet::Out;
use super::verdict::{Tc, Xdp};
use super::vnet::Vnet;

/// Times that programs may send one frame on, as Linux has it.
const MAX_WAYS: u8 = 8;
/// Copies that wait to be sent, and their bytes.
const MAX_HELD: usize = 4096;
const MAX_HELD_BYTES: usize = 64 << 20;
const MAC: usize = 6;
pub(super) const ETH_HLEN: usize = 14;
/// Bytes at the head that tell about addresses and checksums.
const HEAD: usize = 192;

/// Where a frame's bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// In a ring: of which port, which.
    Ring(usize, usize),
    /// In the pool of copies.
    Pool(usize),
}

/// A frame on its way.
#[derive(Clone, Copy)]
pub(super) struct Packet {
    pub(super) vnet: Vnet,
    vlan: Option<[u8; 4]>,
    pub(super) frame: Frame,
    ways: u8,
    /// A program has seen it.
    pub(super) seen: bool,
}

impl Packet {
    pub(super) fn new(slot: &Slot) -> Packet {
        let (vnet, vlan) = (slot.vnet, slot.vlan);
        Packet { vnet, vlan, frame: Frame::default(), ways: 0, seen: false }
    }
}

/// The buffer of a frame.
pub(super) fn buffer<'a>(
    rings: &'a mut [[Ring; 2]],
    pool: &'a mut [PacketBuf],
    at: At,
) -> &'a mut PacketBuf {
    match at {
        At::Ring(port, ring) => &mut rings[port][ring].buf,
        At::Pool(index) => &mut pool[index],
    }
}

fn head<const N: usize>(buf: &PacketBuf) -> Option<[u8; N]> {
    let mut head = [0; N];
    if buf.linear() < N {
        return None;
    }
    buf.memory().read(buf.start(), &mut head);
    Some(head)
}

impl Engine {
    pub(super) fn buffer(&mut self, at: At) -> &mut PacketBuf {
        buffer(&mut self.rings, &mut self.pool, at)
    }

    /// A host has sent a frame.
    pub(super) fn leave(&mut self, port: usize, at: At, mut packet: Packet) {
        let Some(at) = self.untag(at, &mut packet) else { return };
        self.note(port, at, &packet, Point::Sent, false, None);
        if !self.programs[port].any {
            return self.wire(port, at, packet);
        }
        packet.frame = self.frame(port, at, &packet);
        // The stack knows of no other receiver before the wire.
        packet.frame.pkt_type = pkt::HOST;
        if !self.cgroup(port, at, &mut packet, Hook::CgroupEgress) {
            return;
        }
        self.queue(port, at, packet);
    }

    /// A frame is to leave by an interface: its egress programs, then the wire.
    fn queue(&mut self, port: usize, at: At, mut packet: Packet) {
        let device = self.ports[port].device.clone();
        match self.tc(port, at, &mut packet, false) {
            Tc::Pass => device.count(Fate::EgressPass),
            Tc::Drop => return device.count(Fate::EgressDrop),
            Tc::Redirect(to) => {
                device.count(Fate::EgressRedirect);
                return self.redirect(at, packet, to);
            }
        }
        let pkt_type = std::mem::replace(&mut packet.frame.pkt_type, pkt::OUTGOING);
        self.tap(port, at, &packet);
        packet.frame.pkt_type = pkt_type;
        self.wire(port, at, packet);
    }

    /// A frame is on the wire of a host's interface: the switch finds out where it goes.
    fn wire(&mut self, from: usize, at: At, packet: Packet) {
        let Some(macs) = head::<{ 2 * MAC }>(self.buffer(at)) else { return };
        let [to, source] = [0, MAC].map(|at| {
            let mac: [u8; MAC] = std::array::from_fn(|byte| macs[at + byte]);
            mac
        });
        let len = self.buffer(at).len();
        self.ports[from].device.left(len);
        self.learn(source, from);
        match self.port_of(to) {
            Some(port) if port == from => {}
            Some(port) => self.arrive(port, at, packet),
            None => self.flood(from, at, &packet),
        }
    }

    fn port_of(&self, mac: [u8; MAC]) -> Option<usize> {
        if mac[0] & 1 != 0 {
            return None;
        }
        let known = self.ports.iter().position(|port| port.plan.mac == mac);
        known.or_else(|| self.learned.get(&mac).copied())
    }

    /// To all but one.
    fn flood(&mut self, from: usize, at: At, packet: &Packet) {
        for port in (0..self.ports.len()).filter(|port| *port != from) {
            if let Some(copy) = self.copy(at) {
                self.arrive(port, copy, *packet);
            }
        }
    }

    fn copy(&mut self, at: At) -> Option<At> {
        let bytes = self.buffer(at).to_vec();
        self.hold(&bytes)
    }

    /// A place for a frame's bytes until it is sent; `None`, and the frame is lost, without room.
    pub(super) fn hold(&mut self, bytes: &[u8]) -> Option<At> {
        let room = self.used < MAX_HELD && self.held + bytes.len() <= MAX_HELD_BYTES;
        let index = if room { self.spare() } else { None };
        let Some(index) = index.filter(|index| self.pool[*index].set(bytes).is_ok()) else {
            self.report.lost += 1;
            return None;
        };
        self.held += bytes.len();
        Some(At::Pool(index))
    }

    /// A frame comes in by a host's interface.
    fn arrive(&mut self, port: usize, at: At, mut packet: Packet) {
        let device = self.ports[port].device.clone();
        device.received(self.buffer(at).len());
        if !self.programs[port].any {
            device.count(Fate::Pass);
            return self.deliver(port, at, packet);
        }
        let (fate, sent) = self.xdp(port, at, &mut packet);
        device.count(fate);
        match fate {
            Fate::Pass => {}
            Fate::Tx if self.another_way(&mut packet) => return self.wire(port, at, packet),
            Fate::Redirect => return self.redirect_xdp(port, at, packet, sent),
            _ => return,
        }
        if let Some(at) = self.whole(at) {
            self.receive(port, at, packet);
        }
    }

    /// A frame that XDP has passed: ingress programs, then the host's stack.
    fn receive(&mut self, port: usize, at: At, mut packet: Packet) {
        let mark = packet.frame.mark;
        packet.frame = self.frame(port, at, &packet);
        packet.frame.mark = mark;
        packet.frame.ingress_ifindex = packet.frame.ifindex;
        let device = self.ports[port].device.clone();
        self.tap(port, at, &packet);
        match self.tc(port, at, &mut packet, true) {
            Tc::Pass => device.count(Fate::TcPass),
            Tc::Drop => return device.count(Fate::TcDrop),
            Tc::Redirect(to) => {
                device.count(Fate::TcRedirect);
                return self.redirect(at, packet, to);
            }
        }
        if self.cgroup(port, at, &mut packet, Hook::CgroupIngress) {
            self.deliver(port, at, packet);
        }
    }

    /// The frame in one piece.
    fn whole(&mut self, at: At) -> Option<At> {
        let buf = self.buffer(at);
        if buf.linear() == buf.len() {
            return Some(at);
        }
        self.copy(at)
    }

    /// Into the host's stack.
    fn deliver(&mut self, port: usize, at: At, mut packet: Packet) {
        let Some(at) = self.whole(at) else { return };
        if packet.seen {
            self.settle(at, &mut packet.vnet);
        }
        self.note(port, at, &packet, Point::Received, true, None);
        let buf = self.buffer(at);
        if buf.linear() < ETH_HLEN || !packet.vnet.fits(buf.linear()) {
            return;
        }
        let out = Out::new(packet.vnet.bytes(), buf.memory().addr(buf.start()), buf.linear());
        self.ports[port].out.push(out);
    }

    fn settle(&mut self, at: At, vnet: &mut Vnet) {
        let buf = self.buffer(at);
        let mut head = [0; HEAD];
        let head = &mut head[..buf.linear().min(HEAD)];
        let start = buf.start();
        buf.memory().read(start, head);
        let len = head.len();
        vnet.settle(head, |at, sum| {
            if at + sum.len() <= len {
                buf.memory().write(start + at, maps::View::from(&sum[..]));
            }
        });
    }

    /// `false` for a frame that has gone around too often.
    fn another_way(&mut self, packet: &mut Packet) -> bool {
        packet.ways += 1;
        if packet.ways > MAX_WAYS {
            self.report.lost += 1;
        }
        packet.ways <= MAX_WAYS
    }

    fn port_at(&self, ifindex: u32) -> Option<usize> {
        self.ports.iter().position(|port| port.plan.ifindex == ifindex)
    }

    fn lose(&mut self, port: usize) {
        self.ports[port].device.count(Fate::Lost);
        self.report.lost += 1;
    }

    /// XDP_REDIRECT, from `port`: to interfaces, each after the program of its entry, or on to
    /// another CPU, which here is this one.
    fn redirect_xdp(&mut self, port: usize, at: At, mut packet: Packet, sent: Option<Sent>) {
        if !self.another_way(&mut packet) {
            return;
        }
        match sent {
            Some(Sent::Device(to, _, prog)) => self.forward(port, at, packet, to, prog),
            Some(Sent::Devices(list)) => {
                for (to, prog) in list {
                    if let Some(copy) = self.copy(at) {
                        self.forward(port, copy, packet, to, prog);
                    }
                }
            }
            Some(Sent::Cpu(prog)) => self.hand_to_cpu(port, at, packet, prog),
            None => self.lose(port),
        }
    }

    fn forward(
        &mut self,
        from: usize,
        at: At,
        mut packet: Packet,
        to: u32,
        prog: Option<EntryProg>,
    ) {
        let Some(port) = self.port_at(to) else { return self.lose(from) };
        let ran = prog.map(|prog| self.run_entry(from, at, &mut packet, &prog, to));
        if let Some(Xdp::Pass) | None = ran {
            self.wire(port, at, packet);
        }
    }

    fn hand_to_cpu(&mut self, port: usize, at: At, mut packet: Packet, prog: Option<EntryProg>) {
        match prog.map(|prog| self.run_entry(port, at, &mut packet, &prog, 0)) {
            None | Some(Xdp::Pass) => {
                if let Some(at) = self.whole(at) {
                    self.receive(port, at, packet);
                }
            }
            Some(Xdp::Redirect(sent)) => self.redirect_xdp(port, at, packet, sent),
            Some(Xdp::Drop) => {}
        }
    }

    /// A program of tc sends the frame elsewhere.
    fn redirect(&mut self, at: At, mut packet: Packet, sent: Option<Sent>) {
        let Some(Sent::Device(ifindex, by, _)) = sent else {
            self.report.lost += 1;
            return;
        };
        let Some(port) = self.port_at(ifindex).filter(|_| by != SentBy::Peer) else {
            self.report.lost += 1;
            return;
        };
        if !self.another_way(&mut packet) {
            return;
        }
        packet.frame.ifindex = ifindex;
        match by {
            SentBy::In => self.come_in(port, at, packet),
            SentBy::Neighbour(hop) if !self.address(port, at, hop) => self.report.lost += 1,
            _ => self.queue(port, at, packet),
        }
    }

    /// As if the frame had come in by the interface: only XDP in its generic mode sees it.
    pub(super) fn come_in(&mut self, port: usize, at: At, mut packet: Packet) {
        if !self.has_generic_xdp(port) {
            return self.receive(port, at, packet);
        }
        packet.frame.ifindex = self.ports[port].plan.ifindex;
        self.arrive(port, at, packet);
    }

    /// A copy that `bpf_clone_redirect` made of a frame.
    pub(super) fn send_clone(&mut self, clone: &runtime::Clone, mut packet: Packet) {
        let Some(port) = self.port_at(clone.ifindex) else { return };
        if !self.another_way(&mut packet) {
            return;
        }
        let Some(at) = self.hold(&clone.data) else { return };
        packet.frame.ifindex = clone.ifindex;
        match clone.by {
            SentBy::In => self.come_in(port, at, packet),
            _ => self.queue(port, at, packet),
        }
    }

    /// Puts the hardware addresses of the next hop on a frame; `false` where it is not known.
    fn address(&mut self, port: usize, at: At, hop: Option<IpAddr>) -> bool {
        let buf = self.buffer(at);
        let mut bytes = [0; HEAD];
        let len = buf.linear().min(HEAD);
        buf.memory().read(buf.start(), &mut bytes[..len]);
        let Some(to) = destination(&bytes[..len]) else { return false };
        let plan = self.ports[port].plan.clone();
        let routes = &self.ports[port].routes;
        let Some(hop) = hop.or_else(|| routes.next_hop(plan.ifindex, to)) else { return false };
        // Who has no answer yet is asked in Linux; the switch knows its hosts.
        let known = || self.ports.iter().find(|port| IpAddr::V4(port.plan.ip) == hop);
        let mac = routes.neighbour(plan.ifindex, hop).or_else(|| known().map(|port| port.plan.mac));
        let Some(mac) = mac else { return false };
        let addresses = [mac, plan.mac];
        let buf = self.buffer(at);
        buf.memory().write(buf.start(), maps::View::from(addresses.as_flattened()));
        true
    }

    /// What a `__sk_buff` tells.
    pub(super) fn frame(&mut self, port: usize, at: At, packet: &Packet) -> Frame {
        let buf = self.buffer(at);
        let to = head::<MAC>(buf).unwrap_or_default();
        let len = buf.len();
        let plan = &self.ports[port].plan;
        let pkt_type = match to {
            mac if mac == plan.mac => pkt::HOST,
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => pkt::BROADCAST,
            [first, ..] if first & 1 != 0 => pkt::MULTICAST,
            _ => pkt::OTHERHOST,
        };
        let gso_size = if packet.vnet.is_many() { packet.vnet.gso_size.into() } else { 0 };
        Frame {
            ifindex: plan.ifindex,
            pkt_type,
            gso_size,
            gso_segs: packet.vnet.segments(len),
            ..Frame::default()
        }
    }

    /// Whether the frame is one of IP.
    pub(super) fn is_ip(&mut self, at: At) -> bool {
        matches!(head::<ETH_HLEN>(self.buffer(at)), Some([.., 0x08, 0x00] | [.., 0x86, 0xdd]))
    }

    /// Puts a tag that the kernel took out back into the frame.
    fn untag(&mut self, at: At, packet: &mut Packet) -> Option<At> {
        let Some(tag) = packet.vlan.take() else { return Some(at) };
        let mut bytes = self.buffer(at).to_vec();
        if bytes.len() < 2 * MAC || !packet.vnet.grow(tag.len() as isize) {
            return None;
        }
        bytes.splice(2 * MAC..2 * MAC, tag);
        self.hold(&bytes)
    }

    /// Writes the frame to the network's capture, if there is one.
    pub(super) fn note(
        &mut self,
        port: usize,
        at: At,
        packet: &Packet,
        point: Point,
        inbound: bool,
        program: Option<(&str, Option<u32>)>,
    ) {
        let Some(capture) = &mut self.capture else { return };
        if capture.wants(point) {
            let buf = buffer(&mut self.rings, &mut self.pool, at);
            capture.write(&Note { port, point, inbound, program }, buf, &packet.vnet);
        }
    }
}

/// `PACKET_*`: for whom a frame is.
pub(super) mod pkt {
    pub(in super::super) const HOST: u32 = 0;
    pub(in super::super) const BROADCAST: u32 = 1;
    pub(in super::super) const MULTICAST: u32 = 2;
    pub(in super::super) const OTHERHOST: u32 = 3;
    pub(in super::super) const OUTGOING: u32 = 4;
}

/// Where an IP packet goes.
fn destination(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..ETH_HLEN)? {
        [0x08, 0x00] => Some(IpAddr::from(*frame.get(30..)?.first_chunk::<4>()?)),
        [0x86, 0xdd] => Some(IpAddr::from(*frame.get(38..)?.first_chunk::<16>()?)),
        _ => None,
    }
}
