//! Running one program again and again: the fast path of hooks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use interp::{Limits, Region, Trap, TrapKind, Vm};
use maps::View;
use maps::raw::Slab;
use translate::ctx::XdpBuff;

use crate::core::Core;
use crate::cpus::CpuGuard;
use crate::event::Event;
use crate::helpers::{Ctx, CtxCell};
use crate::native;
use crate::packet::PacketBuf;
use crate::prog::Prog;
use crate::redirect::{Copied, Redirect};
use crate::route::Routes;
use crate::run::Run;
use crate::socket::Socket;
use crate::task::Task;
use crate::test_run::skb;
use crate::world::World;

/// A program with a stack and a logical CPU of its own. It stays on its thread.
pub struct Runner {
    pub(crate) ready: Ready,
    xdp: CtxCell<XdpBuff>,
    /// Contexts of events, behind one word.
    record: Option<Slab>,
    /// Contexts that programs write.
    writable: Option<Slab>,
}

/// Bytes of the largest context of an event, with the word before it.
const RECORD: usize = 4096;
const WORD: usize = 8;

impl Runner {
    pub(crate) fn new(core: Arc<Core>, prog: Arc<Prog>) -> Runner {
        Runner {
            ready: Ready::new(core, prog),
            xdp: CtxCell::new(XdpBuff::default()),
            record: None,
            writable: None,
        }
    }

    /// The logical CPU.
    pub fn cpu(&self) -> u32 {
        self.ready.cpu.id()
    }

    /// Sets the process that `bpf_get_current_*` and trace lines tell of.
    pub fn set_task(&mut self, task: Task) {
        self.ready.task = task;
    }

    /// Sets the routes that programs on packets ask for.
    pub fn set_routes(&mut self, routes: Arc<dyn Routes>) {
        self.ready.routes = Some(routes);
    }

    /// Where the last run sent its packet.
    pub(crate) fn take_redirect(&mut self) -> Option<Redirect> {
        self.ready.redirect.take()
    }

    /// The copies that it made.
    pub(crate) fn take_copies(&mut self) -> Vec<Copied> {
        std::mem::take(&mut self.ready.copies)
    }

    /// Instructions that the last run took in the interpreter; machine code counts none.
    pub fn fuel_used(&self) -> u64 {
        self.ready.vm.fuel_used()
    }

    /// Runs a program on an event, whose context is a copy of `record`, at most 4088 bytes.
    pub fn run_event(&mut self, record: &[u8], event: &Event<'_>) -> Result<u64, Trap> {
        let len = WORD + record.len();
        let memory = self.record(len)?;
        memory.write(0, View::from(event.args.to_ne_bytes().as_slice()));
        memory.write(WORD, View::from(record));
        let start = memory.addr(0);
        let region = Region { start, end: start + len as u64, writable: false };
        self.ready.task.pid = event.pid;
        self.ready.task.tgid = event.tgid;
        let ctx = Ctx::Flat(region);
        self.ready.run_on(ctx, start + WORD as u64, Some(event), event.process.world())
    }

    /// Runs a program on a context of at most 4088 bytes, which it may change, with what the hook
    /// lends besides; the value is r0.
    pub fn run_context(
        &mut self,
        context: &mut [u8],
        event: Option<&Event<'_>>,
        world: World<'_>,
    ) -> Result<u64, Trap> {
        let len = WORD + context.len();
        let memory = self.record(len)?;
        memory.write(WORD, View::from(&*context));
        let start = memory.addr(0);
        let region = Region { start, end: start + len as u64, writable: true };
        if let Some(event) = event {
            (self.ready.task.pid, self.ready.task.tgid) = (event.pid, event.tgid);
        }
        let ret = self.ready.run_on(Ctx::Flat(region), start + WORD as u64, event, world);
        if let Some(memory) = &self.record {
            memory.read(WORD, context);
        }
        ret
    }

    /// The socket that the last run redirected to, selected or assigned.
    pub fn selected_socket(&self) -> Option<&Arc<Socket>> {
        self.ready.selected.as_ref()
    }

    /// Memory for a context of `len` bytes, the word before it included.
    fn record(&mut self, len: usize) -> Result<&Slab, Trap> {
        if len > RECORD {
            return Err(Trap::here(TrapKind::Helper("a context that is too long")));
        }
        let memory = match self.record.take() {
            Some(memory) => memory,
            None => Slab::new(RECORD)
                .map_err(|_| Trap::here(TrapKind::Helper("no memory for a context")))?,
        };
        Ok(self.record.insert(memory))
    }

    /// Runs a program on a context that it may write, with what the context points to behind it.
    ///
    /// Each of `pointers` is a word of `memory` and what it points to, both as offsets.
    pub fn run_writable(
        &mut self,
        memory: &mut [u8],
        pointers: &[(usize, usize)],
        event: &Event<'_>,
    ) -> Result<u64, Trap> {
        let none = |_| Trap::here(TrapKind::Helper("no memory for a context"));
        let slab = match self.writable.take() {
            Some(slab) if slab.len() >= memory.len() => slab,
            _ => Slab::new(memory.len().next_multiple_of(RECORD)).map_err(none)?,
        };
        let slab = self.writable.insert(slab);
        slab.write(0, View::from(&*memory));
        let start = slab.addr(0);
        for &(at, to) in pointers {
            let inside = at.checked_add(WORD).is_some_and(|end| end <= memory.len());
            if !inside || to > memory.len() {
                return Err(Trap::here(TrapKind::Helper("a pointer outside of its context")));
            }
            slab.write(at, View::from((start + to as u64).to_ne_bytes().as_slice()));
        }
        let region = Region { start, end: start + memory.len() as u64, writable: true };
        self.ready.task.pid = event.pid;
        self.ready.task.tgid = event.tgid;
        let ret = self.ready.run_on(Ctx::Flat(region), start, Some(event), event.process.world());
        if let Some(slab) = &self.writable {
            slab.read(0, memory);
        }
        ret
    }

    /// Runs an XDP program on a packet, which it may change; the value is its verdict.
    pub fn run_xdp(&mut self, packet: &mut PacketBuf) -> Result<u32, Trap> {
        self.xdp.set(XdpBuff {
            data: packet.addr(packet.start),
            data_end: packet.addr(packet.end),
            data_meta: packet.addr(packet.meta),
            hard_start: packet.hard_start(),
            frame_end: packet.addr(packet.limit),
            ingress_ifindex: packet.ingress_ifindex,
            rx_queue_index: packet.rx_queue_index,
            egress_ifindex: packet.egress_ifindex,
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

impl Runner {
    /// Runs a program of tc on a packet that came in by an interface; the value is its verdict.
    /// Packets without a whole Ethernet header pass.
    pub fn run_skb(&mut self, packet: &mut PacketBuf, ifindex: u32) -> Result<u32, Trap> {
        self.run_tc(packet, ifindex, ifindex)
    }

    /// The same at `ifindex`, for a packet that had come in by `ingress_ifindex`, 0 for none. What
    /// a program sets beside the packet, the next one sees.
    pub(crate) fn run_tc(
        &mut self,
        packet: &mut PacketBuf,
        ifindex: u32,
        ingress_ifindex: u32,
    ) -> Result<u32, Trap> {
        let Some(mut skb) = skb::received(packet) else { return Ok(0) };
        (skb.ifindex, skb.ingress_ifindex) = (ifindex, ingress_ifindex);
        let cell = CtxCell::new(skb);
        let ret = self.ready.run(Ctx::Skb(&cell), cell.addr());
        let after = cell.get();
        packet.start = packet.offset(after.data);
        packet.end = packet.offset(after.data_end).max(packet.start);
        packet.meta = packet.offset(after.data_meta).min(packet.start);
        packet.beside = Some(Box::new(after));
        ret.map(|value| value as u32)
    }

    /// Runs a program of an entry in a map of interfaces on a packet that leaves by one.
    pub(crate) fn run_xdp_egress(&mut self, packet: &mut PacketBuf, to: u32) -> Result<u32, Trap> {
        packet.egress_ifindex = to;
        let ran = self.run_xdp(packet);
        packet.egress_ifindex = 0;
        ran
    }
}

/// What runs need besides their context.
pub(crate) struct Ready {
    pub(crate) core: Arc<Core>,
    pub(crate) prog: Arc<Prog>,
    vm: Vm,
    cpu: CpuGuard,
    limits: Limits,
    task: Task,
    redirect: Option<Redirect>,
    copies: Vec<Copied>,
    selected: Option<Arc<Socket>>,
    /// Memory that every run may touch besides its context.
    pub(crate) granted: Vec<Region>,
    routes: Option<Arc<dyn Routes>>,
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
        let routes = core.routes.read().clone();
        Ready {
            routes,
            core,
            prog,
            vm,
            cpu,
            limits,
            task,
            redirect: None,
            copies: Vec::new(),
            selected: None,
            granted: Vec::new(),
            trace_flags,
            stop: Arc::default(),
        }
    }

    /// Runs the program on a context at `addr`.
    pub(crate) fn run(&mut self, ctx: Ctx<'_>, addr: u64) -> Result<u64, Trap> {
        let routes = self.routes.take();
        let world = World { routes: routes.as_deref(), ..World::default() };
        let ran = self.run_on(ctx, addr, None, world);
        self.routes = routes;
        ran
    }

    /// The same on this logical CPU, after whoever has it now; `None` if there is no such one.
    pub(crate) fn on_cpu(mut self, cpu: u32) -> Option<Ready> {
        self.cpu.move_to(cpu).then_some(self)
    }

    /// The socket that the last run chose.
    pub(crate) fn selected(&self) -> Option<&Arc<Socket>> {
        self.selected.as_ref()
    }

    /// Who runs it.
    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    /// The same on an event of another process, and with what a hook lends.
    pub(crate) fn run_on(
        &mut self,
        ctx: Ctx<'_>,
        addr: u64,
        event: Option<&Event<'_>>,
        world: World<'_>,
    ) -> Result<u64, Trap> {
        let (counted, insns) = self.core.counting.now();
        let started = counted.then(Instant::now);
        let mut run = Run::new(&self.core, self.prog.current(), self.cpu.id(), &self.task, ctx);
        run.event = event.copied();
        run.world = world;
        if let (None, Some(routes)) = (world.routes, &self.routes) {
            run.world.routes = Some(&**routes);
        }
        run.granted.clone_from(&self.granted);
        run.trace_flags = self.trace_flags;
        let prog = run.prog.clone();
        let ret = match &prog.native {
            Ok(code) if !insns => native::run(code, addr, &mut run),
            _ => self.vm.run(&prog.code, addr, &mut run, self.limits),
        };
        let ret = match ret {
            Err(Trap { kind: TrapKind::Thrown(cookie), .. }) => {
                let prog = run.prog.clone();
                caught(&mut self.vm, &prog, cookie, &mut run, self.limits, insns)
            }
            ret => ret,
        };
        run.finish();
        self.redirect = run.redirect;
        self.copies = run.copies;
        self.selected = run.selected.take();
        if insns {
            self.prog.stats.insns.fetch_add(self.vm.fuel_used(), Relaxed);
        }
        if let Some(started) = started {
            self.prog.stats.runs.fetch_add(1, Relaxed);
            self.prog.stats.ns.fetch_add(started.elapsed().as_nanos() as u64, Relaxed);
        }
        ret
    }
}

/// What an exception of this program ends in: the value of its callback, or the cookie.
#[cold]
fn caught(
    vm: &mut Vm,
    prog: &Prog,
    cookie: u64,
    run: &mut Run<'_>,
    limits: Limits,
    interpret: bool,
) -> Result<u64, Trap> {
    match prog.exception_callback {
        None => Ok(cookie),
        Some(index) => call_function(vm, prog, index, [cookie, 0, 0, 0, 0], run, limits, interpret),
    }
}

/// Runs a function of the run's program by itself.
pub(crate) fn call_function(
    vm: &mut Vm,
    prog: &Prog,
    index: usize,
    args: [u64; 5],
    run: &mut Run<'_>,
    limits: Limits,
    interpret: bool,
) -> Result<u64, Trap> {
    match &prog.native {
        Ok(code) if !interpret => native::call(code, index, args, run),
        _ => {
            let slot = prog.translated.starts.get(index).copied().unwrap_or(0);
            let func = interp::FUNC_BASE + u64::from(slot);
            vm.run_function(&prog.code, func, args, run, limits)
        }
    }
}
