//! The way of a packet between interfaces: XDP, tcx on the way in, tcx on the way out, the wire.
//!
//! Verdicts are carried out as Linux does: XDP_TX and XDP_REDIRECT leave without tcx, redirects of
//! tc leave past tcx's egress or come in again. Copies and redirected packets wait until the
//! packet before them is done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use uapi::Errno;

use crate::attach::kinds::at;
use crate::attach::xdp;
use crate::device::{Device, Fate};
use crate::devmap;
use crate::hook::{Attached, Hooks, Place, Target};
use crate::packet::PacketBuf;
use crate::prog::Prog;
use crate::redirect::{Redirect, Way};
use crate::runner::Runner;
use crate::task::Task;

/// Times that a packet may be sent on. In Linux one that is sent round in circles stays for ever.
const MAX_HOPS: u32 = 64;
/// Packets that may wait for one that came in.
const MAX_WAITING: usize = 1024;

/// `TC_ACT_*`.
mod act {
    pub(super) const UNSPEC: u32 = u32::MAX;
    pub(super) const SHOT: u32 = 2;
    pub(super) const REDIRECT: u32 = 7;
}

/// Where a packet is on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It arrives at the interface.
    Arrive,
    /// It comes in again: only XDP in its generic mode sees it.
    Again,
    /// It is to leave past tcx.
    Leave,
}

struct Waiting {
    stage: Stage,
    device: Arc<Device>,
    data: Vec<u8>,
    beside: Option<Box<translate::ctx::SkBuff>>,
    ingress: u32,
    hops: u32,
}

/// Carries packets; it stays on its thread. While it holds programs it holds a CPU.
pub struct Path {
    hooks: Hooks,
    ready: BTreeMap<Place, Vec<Attached>>,
    entries: BTreeMap<u32, Runner>,
    /// Interfaces that packets left by.
    used: BTreeMap<u32, Arc<Device>>,
    waiting: VecDeque<Waiting>,
    /// `None` while a packet is carried.
    buf: Option<PacketBuf>,
    out: Vec<u8>,
}

impl Path {
    /// Ready to carry; ENOMEM without room for a page.
    pub fn new(hooks: Hooks) -> Result<Path, Errno> {
        Ok(Path {
            hooks,
            ready: BTreeMap::new(),
            entries: BTreeMap::new(),
            used: BTreeMap::new(),
            waiting: VecDeque::new(),
            buf: Some(PacketBuf::new()?),
            out: Vec::new(),
        })
    }

    /// Gives programs and the CPU back, and tells what was written to be handed on.
    pub fn rest(&mut self) {
        self.ready.clear();
        self.entries.clear();
        for device in std::mem::take(&mut self.used).into_values() {
            device.flush();
        }
    }

    /// A packet arrives at an interface; it and all that it sets off are carried to their ends.
    pub fn receive(&mut self, device: &Arc<Device>, data: &[u8]) {
        let Some(mut buf) = self.buf.take() else { return };
        if buf.set(data).is_err() {
            device.received(data.len());
            device.count(Fate::Aborted);
        } else {
            buf.ingress_ifindex = device.ifindex;
            self.arrive(device, &mut buf, Stage::Arrive, 0);
        }
        self.carry(buf);
    }

    /// A packet that `fill` makes is judged by a program that is attached nowhere, as one that came
    /// in by the interface; ENOMEM if there is no room for it.
    pub(crate) fn inject(
        &mut self,
        device: &Arc<Device>,
        runner: &mut Runner,
        fill: impl FnOnce(&mut PacketBuf) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut buf = self.buf.take().ok_or(Errno::ENOMEM)?;
        if let Err(errno) = fill(&mut buf) {
            self.buf = Some(buf);
            return Err(errno);
        }
        device.received(buf.len());
        let fate = verdict(runner.run_xdp(&mut buf).unwrap_or(0));
        let redirect = runner.take_redirect();
        self.judged(device, fate, redirect, &mut buf, 0);
        self.carry(buf);
        Ok(())
    }

    /// Tells where packets left that there are no more for now.
    pub(crate) fn flush(&self) {
        self.used.values().for_each(|device| device.flush());
    }

    /// A packet leaves by an interface, past the programs of tcx.
    pub fn send(&mut self, device: &Arc<Device>, data: &[u8]) {
        let Some(mut buf) = self.buf.take() else { return };
        if buf.set(data).is_ok() {
            buf.ingress_ifindex = 0;
            self.leave(device, &mut buf, 0);
        }
        self.carry(buf);
    }

    fn carry(&mut self, mut buf: PacketBuf) {
        while let Some(next) = self.waiting.pop_front() {
            if buf.set(&next.data).is_err() {
                next.device.count(Fate::Lost);
                continue;
            }
            buf.ingress_ifindex = next.ingress;
            buf.beside = next.beside;
            match next.stage {
                Stage::Leave => self.leave(&next.device, &mut buf, next.hops),
                stage => self.arrive(&next.device, &mut buf, stage, next.hops),
            }
        }
        self.buf = Some(buf);
    }

    fn programs(&mut self, attach_type: u32, ifindex: u32) -> &mut Vec<Attached> {
        let place = Place { attach_type, target: Target::Device(ifindex) };
        let hooks = &self.hooks;
        self.ready.entry(place).or_insert_with_key(|place| {
            let mut attached = hooks.attached(place);
            // Packets come while no process runs.
            for one in &mut attached {
                one.runner.set_task(idle());
            }
            attached
        })
    }

    fn arrive(&mut self, device: &Arc<Device>, buf: &mut PacketBuf, stage: Stage, hops: u32) {
        device.received(buf.len());
        let generic = |one: &Attached| one.flags & xdp::SKB != 0;
        let programs = self.programs(at::XDP, device.ifindex);
        let Some(one) = programs.first_mut().filter(|one| stage == Stage::Arrive || generic(one))
        else {
            device.count(Fate::Pass);
            return self.ingress(device, buf, hops);
        };
        let fate = verdict(one.runner.run_xdp(buf).unwrap_or(0));
        let redirect = one.runner.take_redirect();
        self.judged(device, fate, redirect, buf, hops);
    }

    /// What XDP said of a packet is done with it.
    fn judged(
        &mut self,
        device: &Arc<Device>,
        fate: Fate,
        redirect: Option<Redirect>,
        buf: &mut PacketBuf,
        hops: u32,
    ) {
        device.count(fate);
        match fate {
            Fate::Pass => self.ingress(device, buf, hops),
            Fate::Tx => self.wire(device, buf, hops),
            Fate::Redirect => self.redirect(device, redirect, buf, hops),
            _ => {}
        }
    }

    /// XDP_REDIRECT: no tcx sees it.
    fn redirect(
        &mut self,
        device: &Arc<Device>,
        redirect: Option<Redirect>,
        buf: &mut PacketBuf,
        hops: u32,
    ) {
        match redirect {
            Some(Redirect::Device { ifindex, prog, .. }) => {
                self.forward(device, ifindex, prog, buf, hops);
            }
            Some(Redirect::All { map, but_ingress }) => {
                let packet = buf.to_vec();
                let from = but_ingress.then_some(device.ifindex);
                for (ifindex, prog) in devmap::entries(&map) {
                    if Some(ifindex) == from || buf.set(&packet).is_err() {
                        continue;
                    }
                    self.forward(device, ifindex, prog, buf, hops);
                }
            }
            Some(Redirect::Cpu { prog }) => {
                let passed = prog.is_none_or(|prog| self.run_entry(&prog, buf, 0));
                if passed {
                    self.wait(Stage::Again, device, device, buf, hops);
                }
            }
            None => device.count(Fate::Lost),
        }
    }

    fn forward(
        &mut self,
        from: &Device,
        to: u32,
        prog: Option<Arc<Prog>>,
        buf: &mut PacketBuf,
        hops: u32,
    ) {
        let Some(device) = self.hooks.device(to) else { return from.count(Fate::Lost) };
        if prog.is_none_or(|prog| self.run_entry(&prog, buf, to)) {
            self.wire(&device, buf, hops);
        }
    }

    /// Runs the program of a map's entry; whether the packet goes on.
    fn run_entry(&mut self, prog: &Arc<Prog>, buf: &mut PacketBuf, to: u32) -> bool {
        let Some(core) = self.hooks.core.upgrade() else { return false };
        let runner = self.entries.entry(prog.id).or_insert_with(|| {
            let mut runner = Runner::new(core, prog.clone());
            runner.set_task(idle());
            runner
        });
        verdict(runner.run_xdp_egress(buf, to).unwrap_or(0)) == Fate::Pass
    }

    fn ingress(&mut self, device: &Arc<Device>, buf: &mut PacketBuf, hops: u32) {
        let fates = [Fate::TcPass, Fate::TcDrop, Fate::TcRedirect];
        self.classify(at::TCX_INGRESS, device, buf, hops, fates);
    }

    fn leave(&mut self, device: &Arc<Device>, buf: &mut PacketBuf, hops: u32) {
        let fates = [Fate::EgressPass, Fate::EgressDrop, Fate::EgressRedirect];
        if self.classify(at::TCX_EGRESS, device, buf, hops, fates) {
            self.wire(device, buf, hops);
        }
    }

    /// The programs of tcx at one side; whether the packet goes on there.
    fn classify(
        &mut self,
        side: u32,
        device: &Arc<Device>,
        buf: &mut PacketBuf,
        hops: u32,
        [pass, drop, redirect]: [Fate; 3],
    ) -> bool {
        let ingress = buf.ingress_ifindex;
        let (mut action, mut to) = (act::UNSPEC, None);
        let mut copies = Vec::new();
        let programs = self.programs(side, device.ifindex);
        if programs.is_empty() {
            return true;
        }
        for one in programs {
            action = one.runner.run_tc(buf, device.ifindex, ingress).unwrap_or(act::SHOT);
            to = one.runner.take_redirect();
            copies.extend(one.runner.take_copies());
            if action != act::UNSPEC {
                break;
            }
        }
        for copy in copies {
            if let Some(target) = self.hooks.device(copy.ifindex) {
                let stage = if copy.way == Way::In { Stage::Again } else { Stage::Leave };
                self.wait_data(stage, device, &target, copy.data, buf, hops);
            }
        }
        match action {
            act::SHOT => device.count(drop),
            act::REDIRECT => {
                device.count(redirect);
                self.tc_redirect(device, to, buf, hops);
            }
            _ => {
                // TCX_PASS, and what is no verdict.
                device.count(pass);
                return true;
            }
        }
        false
    }

    fn tc_redirect(
        &mut self,
        device: &Arc<Device>,
        to: Option<Redirect>,
        buf: &PacketBuf,
        hops: u32,
    ) {
        let (ifindex, stage) = match to {
            Some(Redirect::Device { ifindex, way: Way::Out, .. }) => (ifindex, Stage::Leave),
            Some(Redirect::Device { ifindex, way: Way::In, .. }) => (ifindex, Stage::Again),
            _ => return device.count(Fate::Lost),
        };
        match self.hooks.device(ifindex) {
            Some(target) => self.wait(stage, device, &target, buf, hops),
            None => device.count(Fate::Lost),
        }
    }

    /// It leaves; the other end of the wire, if there is one here, receives it.
    fn wire(&mut self, device: &Arc<Device>, buf: &PacketBuf, hops: u32) {
        self.out.clear();
        buf.append_to(&mut self.out);
        device.sent(&self.out);
        self.used.entry(device.ifindex).or_insert_with(|| device.clone());
        if device.peer != 0
            && let Some(peer) = self.hooks.device(device.peer)
        {
            let (data, ingress) = (self.out.clone(), peer.ifindex);
            let stage = Stage::Arrive;
            let next = Waiting { stage, device: peer, data, beside: None, ingress, hops: hops + 1 };
            self.push(device, next);
        }
    }

    fn wait(&mut self, stage: Stage, from: &Device, to: &Arc<Device>, buf: &PacketBuf, hops: u32) {
        self.wait_data(stage, from, to, buf.to_vec(), buf, hops);
    }

    fn wait_data(
        &mut self,
        stage: Stage,
        from: &Device,
        to: &Arc<Device>,
        data: Vec<u8>,
        buf: &PacketBuf,
        hops: u32,
    ) {
        let ingress = if stage == Stage::Again { to.ifindex } else { buf.ingress_ifindex };
        let beside = buf.beside.clone();
        let next = Waiting { stage, device: to.clone(), data, beside, ingress, hops: hops + 1 };
        self.push(from, next);
    }

    fn push(&mut self, from: &Device, next: Waiting) {
        if next.hops > MAX_HOPS || self.waiting.len() >= MAX_WAITING {
            return from.count(Fate::Lost);
        }
        self.waiting.push_back(next);
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.rest();
    }
}

fn idle() -> Task {
    Task { comm: "<idle>".into(), ..Task::default() }
}

/// `enum xdp_action`.
fn verdict(value: u32) -> Fate {
    const FATES: [Fate; 5] = [Fate::Aborted, Fate::Drop, Fate::Pass, Fate::Tx, Fate::Redirect];
    FATES.get(value as usize).copied().unwrap_or(Fate::Aborted)
}
