//! A frame's way: out of a host past its egress programs, over the wire, into another host past
//! its ingress programs.

use runtime::{Fate, Frame, PacketBuf, Seen};

use super::engine::Engine;
use super::programs::{Hook, Program};
use super::ring::{Ring, Slot};
use super::sys::packet::Out;
use super::vnet::Vnet;

/// Redirections of one frame, as Linux has it.
const MAX_WAYS: u8 = 8;
const MAC: usize = 6;
const ETH_HLEN: usize = 14;

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
    vnet: Vnet,
    vlan: Option<[u8; 4]>,
    frame: Frame,
    ways: u8,
}

impl Packet {
    pub(super) fn new(slot: &Slot) -> Packet {
        Packet { vnet: slot.vnet, vlan: slot.vlan, frame: Frame::default(), ways: 0 }
    }
}

/// What programs want with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Drop,
    /// To an interface.
    Redirect(Option<u32>),
}

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;
const TC_NEXT: u32 = u32::MAX;
const TC_OK: u32 = 0;
const TC_SHOT: u32 = 2;
const TC_STOLEN: u32 = 4;
const TC_REDIRECT: u32 = 7;
const TC_TRAP: u32 = 8;

/// The buffer of a frame.
fn buffer<'a>(rings: &'a mut [[Ring; 2]], pool: &'a mut [PacketBuf], at: At) -> &'a mut PacketBuf {
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
    fn buffer(&mut self, at: At) -> &mut PacketBuf {
        buffer(&mut self.rings, &mut self.pool, at)
    }

    /// A host has sent a frame.
    pub(super) fn leave(&mut self, port: usize, at: At, mut packet: Packet) {
        let Some(at) = self.untag(at, &mut packet) else { return };
        if !self.programs[port].any {
            return self.wire(port, at, packet);
        }
        packet.frame = self.frame(port, at, &packet);
        if !self.cgroup(port, at, &mut packet, Hook::CgroupEgress) {
            return;
        }
        self.queue(port, at, packet);
    }

    /// A frame is to leave by an interface: its egress programs, then the wire.
    fn queue(&mut self, port: usize, at: At, mut packet: Packet) {
        let verdict = self.tc(port, at, &mut packet, [Hook::TcxEgress, Hook::TcEgress]);
        match verdict {
            Verdict::Pass => {}
            Verdict::Drop => return,
            Verdict::Redirect(to) => return self.redirect(at, packet, to),
        }
        self.tap(port, at, &mut packet);
        self.wire(port, at, packet);
    }

    /// A frame is on the wire of a host's interface: the switch finds out where it goes.
    fn wire(&mut self, from: usize, at: At, packet: Packet) {
        let Some(macs) = head::<{ 2 * MAC }>(self.buffer(at)) else { return };
        let [to, source] = [0, MAC].map(|at| {
            let mac: [u8; MAC] = std::array::from_fn(|byte| macs[at + byte]);
            mac
        });
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

    fn hold(&mut self, bytes: &[u8]) -> Option<At> {
        let index = self.spare()?;
        self.pool[index].set(bytes).ok()?;
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
        match self.xdp(port, at, &mut packet) {
            (fate @ Fate::Pass, _) => device.count(fate),
            (fate @ Fate::Tx, _) => {
                device.count(fate);
                if self.another_way(&mut packet) {
                    self.wire(port, at, packet);
                }
                return;
            }
            (fate @ Fate::Redirect, to) => {
                device.count(fate);
                return self.redirect_xdp(at, packet, to);
            }
            (fate, _) => return device.count(fate),
        }
        packet.frame = self.frame(port, at, &packet);
        packet.frame.ingress_ifindex = packet.frame.ifindex;
        self.receive(port, at, packet);
    }

    /// A frame that XDP has passed: ingress programs, then the host's stack.
    fn receive(&mut self, port: usize, at: At, mut packet: Packet) {
        let device = self.ports[port].device.clone();
        self.tap(port, at, &mut packet);
        match self.tc(port, at, &mut packet, [Hook::TcxIngress, Hook::TcIngress]) {
            Verdict::Pass => device.count(Fate::TcPass),
            Verdict::Drop => return device.count(Fate::TcDrop),
            Verdict::Redirect(to) => {
                device.count(Fate::TcPass);
                return self.redirect(at, packet, to);
            }
        }
        if self.cgroup(port, at, &mut packet, Hook::CgroupIngress) {
            self.deliver(port, at, packet);
        }
    }

    /// Into the host's stack.
    fn deliver(&mut self, port: usize, at: At, packet: Packet) {
        let whole = match self.buffer(at) {
            buf if buf.linear() == buf.len() => Some(at),
            buf => {
                let bytes = buf.to_vec();
                self.hold(&bytes)
            }
        };
        let Some(at) = whole else { return };
        let buf = self.buffer(at);
        if buf.linear() < ETH_HLEN || !packet.vnet.fits(buf.linear()) {
            return;
        }
        let out = Out::new(packet.vnet.bytes(), buf.memory().addr(buf.start()), buf.linear());
        self.ports[port].out.push(out);
    }

    /// `false` for a frame that has gone around too often.
    fn another_way(&mut self, packet: &mut Packet) -> bool {
        packet.ways += 1;
        if packet.ways > MAX_WAYS {
            self.report.lost += 1;
        }
        packet.ways <= MAX_WAYS
    }

    fn port_at(&self, ifindex: Option<u32>) -> Option<usize> {
        self.ports.iter().position(|port| Some(port.plan.ifindex) == ifindex)
    }

    fn redirect_xdp(&mut self, at: At, mut packet: Packet, to: Option<u32>) {
        match self.port_at(to) {
            Some(port) if self.another_way(&mut packet) => self.wire(port, at, packet),
            _ => self.report.lost += 1,
        }
    }

    fn redirect(&mut self, at: At, mut packet: Packet, to: Option<u32>) {
        match self.port_at(to) {
            Some(port) if self.another_way(&mut packet) => {
                packet.frame.ifindex = self.ports[port].plan.ifindex;
                self.queue(port, at, packet);
            }
            _ => self.report.lost += 1,
        }
    }

    /// What a `__sk_buff` tells.
    fn frame(&mut self, port: usize, at: At, packet: &Packet) -> Frame {
        let buf = self.buffer(at);
        let to = head::<MAC>(buf).unwrap_or_default();
        let len = buf.len();
        const HOST: u32 = 0;
        const BROADCAST: u32 = 1;
        const MULTICAST: u32 = 2;
        const OTHERHOST: u32 = 3;
        let plan = &self.ports[port].plan;
        let pkt_type = match to {
            mac if mac == plan.mac => HOST,
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => BROADCAST,
            [first, ..] if first & 1 != 0 => MULTICAST,
            _ => OTHERHOST,
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

    /// The XDP program's verdict, and where it sends the frame.
    fn xdp(&mut self, port: usize, at: At, packet: &mut Packet) -> (Fate, Option<u32>) {
        let buf = buffer(&mut self.rings, &mut self.pool, at);
        let Some(program) = self.programs[port].at(Hook::Xdp).first_mut() else {
            return (Fate::Pass, None);
        };
        buf.ingress_ifindex = self.ports[port].plan.ifindex;
        let start = buf.start();
        let ran = program.attached.runner.run_xdp(buf);
        match &ran {
            Ok(value) => program.tally.count(*value),
            Err(_) => program.tally.stopped += 1,
        }
        let moved = packet.vnet.grow(start as isize - buf.start() as isize);
        let fate = match ran {
            Ok(XDP_DROP) => Fate::Drop,
            Ok(XDP_PASS) if moved => Fate::Pass,
            Ok(XDP_TX) if moved => Fate::Tx,
            Ok(XDP_REDIRECT) if moved => Fate::Redirect,
            _ => Fate::Aborted,
        };
        (fate, program.attached.runner.redirected_to())
    }

    /// Runs one program of a list on a frame; `None` if it gives no verdict.
    fn run_one(
        &mut self,
        port: usize,
        (hook, index): (Hook, usize),
        at: At,
        packet: &mut Packet,
        seen: Seen,
    ) -> Option<u32> {
        let buf = buffer(&mut self.rings, &mut self.pool, at);
        let Program { attached, tally } = self.programs[port].at(hook).get_mut(index)?;
        let start = buf.start();
        let ran = attached.runner.run_frame(buf, &mut packet.frame, seen);
        let moved = packet.vnet.grow(start as isize - buf.start() as isize);
        match ran {
            Ok(Some(value)) if moved => {
                tally.count(value);
                Some(value)
            }
            Ok(None) => Some(TC_NEXT),
            _ => {
                tally.stopped += 1;
                None
            }
        }
    }

    /// The programs of tcx, then those of clsact if none has decided.
    fn tc(&mut self, port: usize, at: At, packet: &mut Packet, lists: [Hook; 2]) -> Verdict {
        let [tcx, clsact] = lists;
        for index in 0..self.programs[port].at(tcx).len() {
            match self.run_one(port, (tcx, index), at, packet, Seen::Link) {
                Some(TC_NEXT) => continue,
                Some(TC_OK) => return Verdict::Pass,
                Some(TC_SHOT) | None => return Verdict::Drop,
                Some(TC_REDIRECT) => return self.asked(port, tcx, index),
                // What is no verdict ends the list without one.
                Some(_) => break,
            }
        }
        for index in 0..self.programs[port].at(clsact).len() {
            match self.run_one(port, (clsact, index), at, packet, Seen::Link) {
                Some(TC_OK) => return Verdict::Pass,
                Some(TC_SHOT | TC_STOLEN | TC_TRAP) | None => return Verdict::Drop,
                Some(TC_REDIRECT) => return self.asked(port, clsact, index),
                Some(_) => {}
            }
        }
        Verdict::Pass
    }

    fn asked(&mut self, port: usize, hook: Hook, index: usize) -> Verdict {
        let program = self.programs[port].at(hook).get(index);
        Verdict::Redirect(program.and_then(|program| program.attached.runner.redirected_to()))
    }

    /// Whether all programs of the group let an IP packet pass.
    fn cgroup(&mut self, port: usize, at: At, packet: &mut Packet, hook: Hook) -> bool {
        let count = self.programs[port].at(hook).len();
        if count == 0 {
            return true;
        }
        let ip =
            matches!(head::<ETH_HLEN>(self.buffer(at)), Some([.., 0x08, 0x00] | [.., 0x86, 0xdd]));
        if !ip {
            return true;
        }
        let allows = |value: Option<u32>| value.is_some_and(|value| value & 1 == 1);
        let mut all = true;
        for index in 0..count {
            all &= allows(self.run_one(port, (hook, index), at, packet, Seen::Network));
        }
        all
    }

    /// Filters of packet sockets see the frame and change nothing.
    fn tap(&mut self, port: usize, at: At, packet: &mut Packet) {
        for index in 0..self.programs[port].at(Hook::Tap).len() {
            let mut own = *packet;
            self.run_one(port, (Hook::Tap, index), at, &mut own, Seen::Link);
        }
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
}
