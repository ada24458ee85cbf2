//! Running one program again and again: the fast path of hooks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use interp::{Limits, Trap, Vm};
use translate::ctx::XdpBuff;

use crate::core::Core;
use crate::cpus::CpuGuard;
use crate::helpers::{Ctx, CtxCell};
use crate::native;
use crate::packet::PacketBuf;
use crate::prog::Prog;
use crate::run::Run;
use crate::task::Task;

/// A program with a stack and a logical CPU of its own. It stays on its thread.
pub struct Runner {
    ready: Ready,
    xdp: CtxCell<XdpBuff>,
}

impl Runner {
    pub(crate) fn new(core: Arc<Core>, prog: Arc<Prog>) -> Runner {
        Runner { ready: Ready::new(core, prog), xdp: CtxCell::new(XdpBuff::default()) }
    }

    /// The logical CPU.
    pub fn cpu(&self) -> u32 {
        self.ready.cpu.id()
    }

    /// Sets the process that `bpf_get_current_*` and trace lines tell of.
    pub fn set_task(&mut self, task: Task) {
        self.ready.task = task;
    }

    /// The interface that the last run's `bpf_redirect` named.
    pub fn redirected_to(&self) -> Option<u32> {
        self.ready.redirect
    }

    /// Instructions that the last run took in the interpreter; machine code counts none.
    pub fn fuel_used(&self) -> u64 {
        self.ready.vm.fuel_used()
    }

    /// Runs an XDP program on a packet, which it may change; the value is its verdict.
    pub fn run_xdp(&mut self, packet: &mut PacketBuf) -> Result<u32, Trap> {
        self.xdp.set(XdpBuff {
            data: packet.addr(packet.start),
            data_end: packet.addr(packet.end),
            data_meta: packet.addr(packet.meta),
            hard_start: packet.addr(0),
            frame_end: packet.addr(packet.limit),
            ingress_ifindex: packet.ingress_ifindex,
            rx_queue_index: packet.rx_queue_index,
            egress_ifindex: 0,
            reserved: 0,
        });
        let ctx = Ctx::Xdp(&self.xdp, &mut packet.frags);
        let ret = self.ready.run(ctx, self.xdp.addr());
        let after = self.xdp.get();
        packet.start = packet.offset(after.data);
        packet.end = packet.offset(after.data_end).max(packet.start);
        packet.meta = packet.offset(after.data_meta).min(packet.start);
        ret.map(|value| value as u32)
    }
}

/// What runs need besides their context.
pub(crate) struct Ready {
    core: Arc<Core>,
    prog: Arc<Prog>,
    vm: Vm,
    cpu: CpuGuard,
    limits: Limits,
    task: Task,
    redirect: Option<u32>,
    /// Latency flags in trace lines (`b..11`: lower half of interrupts off, as in packet hooks).
    pub(crate) trace_flags: &'static str,
    /// Repeated runs end when it becomes true.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Ready {
    pub(crate) fn new(core: Arc<Core>, prog: Arc<Prog>) -> Ready {
        let cpu = core.cpus.enter();
        let limits = Limits { fuel: core.config.fuel };
        let trace_flags = "b..11";
        let (vm, task) = (Vm::new(), Task::current());
        Ready {
            core,
            prog,
            vm,
            cpu,
            limits,
            task,
            redirect: None,
            trace_flags,
            stop: Arc::default(),
        }
    }

    /// Runs the program on a context at `addr`.
    pub(crate) fn run(&mut self, ctx: Ctx<'_>, addr: u64) -> Result<u64, Trap> {
        let started = self.core.stats_on().then(Instant::now);
        let mut run = Run {
            core: &self.core,
            prog: self.prog.clone(),
            cpu: self.cpu.id(),
            task: &self.task,
            ctx,
            inner_maps: Vec::new(),
            granted: Vec::new(),
            next: None,
            waiting: Vec::new(),
            redirect: None,
            trace_flags: self.trace_flags,
            trap: None,
            callbacks: 0,
            stack_top: 0,
        };
        let ret = match &self.prog.native {
            Ok(code) => native::run(code, addr, &mut run),
            Err(_) => self.vm.run(&self.prog.code, addr, &mut run, self.limits),
        };
        self.redirect = run.redirect;
        if let Some(started) = started {
            self.prog.stats.runs.fetch_add(1, Relaxed);
            self.prog.stats.ns.fetch_add(started.elapsed().as_nanos() as u64, Relaxed);
        }
        ret
    }
}
