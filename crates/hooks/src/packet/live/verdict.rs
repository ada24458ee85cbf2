//! Programs run on a frame, and what they want with it.

use runtime::{EntryProg, Fate, Seen, Sent};

use super::engine::Engine;
use super::path::{At, Packet, buffer};
use super::points::Point;
use super::programs::{Hook, Program, prepare};

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

/// XDP_FLAGS_SKB_MODE.
const GENERIC: u32 = 2;
/// Bytes of a page that a program of several pieces gets in the first one.
const FIRST_PIECE: usize = 4096 - 256 - 320;

/// What programs of tc want with a frame.
pub(super) enum Tc {
    Pass,
    Drop,
    Redirect(Option<Sent>),
}

/// What the program of a map's entry wants.
pub(super) enum Xdp {
    Pass,
    Drop,
    Redirect(Option<Sent>),
}

fn fate(value: Option<u32>) -> Fate {
    match value {
        Some(XDP_DROP) => Fate::Drop,
        Some(XDP_PASS) => Fate::Pass,
        Some(XDP_TX) => Fate::Tx,
        Some(XDP_REDIRECT) => Fate::Redirect,
        _ => Fate::Aborted,
    }
}

impl Engine {
    /// The XDP program's verdict, and where it sends the frame.
    pub(super) fn xdp(&mut self, port: usize, at: At, packet: &mut Packet) -> (Fate, Option<Sent>) {
        let ifindex = self.ports[port].plan.ifindex;
        let buf = buffer(&mut self.rings, &mut self.pool, at);
        let Some(program) = self.programs[port].at(Hook::Xdp).first_mut() else {
            return (Fate::Pass, None);
        };
        buf.ingress_ifindex = ifindex;
        if program.attached.frags && buf.linear() > FIRST_PIECE {
            buf.split(FIRST_PIECE);
        }
        let start = buf.start();
        let ran = program.attached.runner.run_xdp(buf).ok();
        let sent = program.attached.runner.sent(ifindex);
        program.tally.count_run(ran);
        let moved = packet.vnet.grow(start as isize - buf.start() as isize);
        packet.seen = true;
        let name = self.capture.is_some().then(|| program.attached.name.clone());
        if let Some(name) = name {
            self.note(port, at, packet, Point::At(Hook::Xdp), true, Some((&name, ran)));
        }
        let fate = fate(ran);
        // A frame whose checksum is left to do has lost the place of it.
        if moved || fate == Fate::Drop { (fate, sent) } else { (Fate::Aborted, None) }
    }

    pub(super) fn has_generic_xdp(&mut self, port: usize) -> bool {
        let first = self.programs[port].at(Hook::Xdp).first();
        first.is_some_and(|program| program.attached.flags & GENERIC != 0)
    }

    /// Runs the program of a map's entry.
    pub(super) fn run_entry(
        &mut self,
        port: usize,
        at: At,
        packet: &mut Packet,
        prog: &EntryProg,
        egress: u32,
    ) -> Xdp {
        let ifindex = self.ports[port].plan.ifindex;
        let hooks = &self.hooks;
        if !self.entries.contains_key(&prog.id()) {
            let Some(mut runner) = hooks.entry(prog) else { return Xdp::Drop };
            prepare(&mut runner, &self.ports[port].asked);
            self.entries.insert(prog.id(), runner);
        }
        let Some(runner) = self.entries.get_mut(&prog.id()) else { return Xdp::Drop };
        let buf = buffer(&mut self.rings, &mut self.pool, at);
        let start = buf.start();
        let ran = runner.run_entry(buf, egress).ok();
        let sent = runner.sent(ifindex);
        let key = (ifindex, Hook::Xdp, prog.id());
        self.report.tallies.entry(key).or_default().count_run(ran);
        let moved = packet.vnet.grow(start as isize - buf.start() as isize);
        self.note(port, at, packet, Point::At(Hook::Xdp), true, Some((prog.name(), ran)));
        match fate(ran) {
            Fate::Pass if moved => Xdp::Pass,
            Fate::Redirect if moved => Xdp::Redirect(sent),
            _ => Xdp::Drop,
        }
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
        let value = match ran {
            // Too short for a packet: nobody is asked.
            Ok(None) => return Some(TC_NEXT),
            Ok(value) => value,
            Err(_) => None,
        };
        tally.count_run(value);
        packet.seen |= hook != Hook::Tap;
        let clones = attached.runner.clones();
        let name = self.capture.is_some().then(|| attached.name.clone());
        if let Some(name) = name {
            let inbound = hook.is_inbound(&packet.frame);
            self.note(port, at, packet, Point::At(hook), inbound, Some((&name, value)));
        }
        for clone in clones {
            self.send_clone(&clone, *packet);
        }
        value.filter(|_| moved)
    }

    /// The programs of tcx, then those of clsact if none has decided.
    pub(super) fn tc(&mut self, port: usize, at: At, packet: &mut Packet, ingress: bool) -> Tc {
        let [tcx, clsact] = match ingress {
            true => [Hook::TcxIngress, Hook::TcIngress],
            false => [Hook::TcxEgress, Hook::TcEgress],
        };
        for index in 0..self.programs[port].at(tcx).len() {
            match self.run_one(port, (tcx, index), at, packet, Seen::Link) {
                Some(TC_NEXT) => continue,
                Some(TC_OK) => return Tc::Pass,
                Some(TC_SHOT) | None => return Tc::Drop,
                Some(TC_REDIRECT) => return self.asked(port, tcx, index),
                // What is no verdict ends the list without one.
                Some(_) => break,
            }
        }
        for index in 0..self.programs[port].at(clsact).len() {
            match self.run_one(port, (clsact, index), at, packet, Seen::Link) {
                Some(TC_OK) => return Tc::Pass,
                Some(TC_SHOT | TC_STOLEN | TC_TRAP) | None => return Tc::Drop,
                Some(TC_REDIRECT) => return self.asked(port, clsact, index),
                Some(_) => {}
            }
        }
        Tc::Pass
    }

    fn asked(&mut self, port: usize, hook: Hook, index: usize) -> Tc {
        let ifindex = self.ports[port].plan.ifindex;
        let program = self.programs[port].at(hook).get_mut(index);
        Tc::Redirect(program.and_then(|program| program.attached.runner.sent(ifindex)))
    }

    /// Whether all programs of the group let an IP packet pass.
    pub(super) fn cgroup(&mut self, port: usize, at: At, packet: &mut Packet, hook: Hook) -> bool {
        let count = self.programs[port].at(hook).len();
        if count == 0 || !self.is_ip(at) {
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
    pub(super) fn tap(&mut self, port: usize, at: At, packet: &Packet) {
        for index in 0..self.programs[port].at(Hook::Tap).len() {
            let mut own = *packet;
            self.run_one(port, (Hook::Tap, index), at, &mut own, Seen::Link);
        }
    }
}
