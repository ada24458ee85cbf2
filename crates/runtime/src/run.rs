//! One run of a program: the memory it may touch and the helpers it calls.

use std::sync::Arc;

use interp::{Callback, Host, Region, Trap, TrapKind};

use crate::core::Core;
use crate::event::Event;
use crate::heap::Pin;
use crate::helpers::{self, Call, Ctx, Tunnel, Walk};
use crate::map_obj::MapObj;
use crate::prog::Prog;
use crate::redirect::{Copied, Redirect};
use crate::socket::Socket;
use crate::task::Task;
use crate::world::World;

/// The state of one run.
pub(crate) struct Run<'r> {
    pub(crate) core: &'r Core,
    /// The program that runs now; a tail call changes it.
    pub(crate) prog: Arc<Prog>,
    pub(crate) cpu: u32,
    pub(crate) task: &'r Task,
    /// The event that it runs on, if that is one of another process.
    pub(crate) event: Option<Event<'r>>,
    pub(crate) ctx: Ctx<'r>,
    /// What the hook lends besides.
    pub(crate) world: World<'r>,
    /// What the packet is to be sent through.
    pub(crate) tunnel: Option<Tunnel>,
    /// The program has put an outer header before the packet.
    pub(crate) encapsulated: bool,
    /// Words that iterators go through.
    pub(crate) bits: Vec<Vec<u64>>,
    /// Lists that iterators go through.
    pub(crate) walks: Vec<Walk>,
    /// Objects that the run holds.
    pub(crate) kept: Vec<u64>,
    /// System calls that the program may still make.
    pub(crate) syscalls: u32,
    /// Sockets that it has found.
    pub(crate) found: Vec<Arc<Socket>>,
    /// The socket that the program chose.
    pub(crate) selected: Option<Arc<Socket>>,
    /// Maps reached through other maps.
    pub(crate) inner_maps: Vec<Arc<MapObj>>,
    /// Memory that helpers handed out.
    pub(crate) granted: Vec<Region>,
    /// The ring buffer that machine code reserved from last; 0 for none.
    pub(crate) ring: u64,
    /// Tail-call target until the switch.
    pub(crate) next: Option<Arc<Prog>>,
    /// Programs that called others from a subprogram; all that did in machine code, the first one
    /// first.
    pub(crate) waiting: Vec<Arc<Prog>>,
    /// Where a helper sent the packet.
    pub(crate) redirect: Option<Redirect>,
    /// Copies of it that are to be sent.
    pub(crate) copies: Vec<Copied>,
    /// Latency flags of trace lines.
    pub(crate) trace_flags: &'static str,
    /// Why machine code is to stop.
    pub(crate) trap: Option<Trap>,
    /// Callbacks that machine code may still make.
    pub(crate) callbacks: u64,
    /// Keeps objects that the program may look at.
    pub(crate) pin: Option<Pin>,
    /// Locks that it holds, of those that find a deadlock.
    pub(crate) locks: Vec<u64>,
    /// Machine code's stack is below.
    pub(crate) stack_top: u64,
}

/// System calls of one run.
const SYSCALLS: u32 = 4096;

impl<'r> Run<'r> {
    /// A run of `prog` on a context, outside of all events.
    pub(crate) fn new(
        core: &'r Core,
        prog: Arc<Prog>,
        cpu: u32,
        task: &'r Task,
        ctx: Ctx<'r>,
    ) -> Run<'r> {
        Run {
            core,
            pin: prog.sees_objects.then(|| core.heap.pin()),
            prog,
            cpu,
            task,
            event: None,
            ctx,
            world: World::default(),
            tunnel: None,
            encapsulated: false,
            bits: Vec::new(),
            walks: Vec::new(),
            kept: Vec::new(),
            syscalls: SYSCALLS,
            found: Vec::new(),
            selected: None,
            inner_maps: Vec::new(),
            granted: Vec::new(),
            ring: 0,
            next: None,
            waiting: Vec::new(),
            redirect: None,
            copies: Vec::new(),
            trace_flags: "...11",
            trap: None,
            callbacks: 0,
            locks: Vec::new(),
            stack_top: 0,
        }
    }
}

impl Run<'_> {
    /// The map behind a helper's map argument.
    pub(crate) fn map(&self, handle: u64) -> Result<&Arc<MapObj>, Trap> {
        let known = |m: &&Arc<MapObj>| m.handle() == handle;
        self.maps()
            .find(known)
            .ok_or(Trap::here(TrapKind::Helper("a helper was called without a map")))
    }

    /// The maps that the run may know of.
    pub(crate) fn maps(&self) -> impl Iterator<Item = &Arc<MapObj>> {
        let waiting = self.waiting.iter().flat_map(|prog| &prog.maps);
        self.prog.maps.iter().chain(&self.inner_maps).chain(waiting)
    }

    /// Keeps a map that was found in another one for the rest of the run; its handle.
    pub(crate) fn hold(&mut self, map: Arc<MapObj>) -> u64 {
        let handle = map.handle();
        if self.inner_maps.iter().all(|m| m.handle() != handle) {
            self.inner_maps.push(map);
        }
        handle
    }

    /// The programs of the run: which of them calls is not known where one called another.
    pub(crate) fn progs(&self) -> impl Iterator<Item = &Arc<Prog>> {
        std::iter::once(&self.prog).chain(&self.waiting)
    }

    /// Keeps the memory of objects from now on.
    pub(crate) fn pin(&mut self) {
        if self.pin.is_none() {
            self.pin = Some(self.core.heap.pin());
        }
    }

    /// An object for the rest of the run, whose hold is the run's own.
    pub(crate) fn keep(&mut self, object: u64) -> u64 {
        if self.kept.contains(&object) {
            self.core.heap.release(object);
        } else if object != 0 {
            self.kept.push(object);
        }
        object
    }

    /// Gives back what the run holds; locks are left only by a program that was stopped.
    pub(crate) fn finish(&mut self) {
        for lock in self.locks.drain(..) {
            helpers::unlock(lock);
        }
        for object in self.kept.drain(..) {
            self.core.heap.release(object);
        }
    }

    fn kernel_region(&self, addr: u64) -> Option<Region> {
        let process = self.event?.process;
        let (start, end) = process.kernel(addr)?;
        Some(Region { start, end, writable: process.may_store(addr) })
    }

    fn world_region(&self, addr: u64) -> Option<Region> {
        let socket = self.world.socket.and_then(|socket| socket.region(addr));
        let session = self.world.session.map(|s| s.region()).filter(|r| holds(r, addr));
        let found = self.found.iter().find_map(|socket| socket.region(addr));
        socket
            .or(found)
            .or(session)
            .or_else(|| self.world.message.map(|m| m.region()).filter(|r| holds(r, addr)))
    }

    fn map_region(&self, addr: u64) -> Option<Region> {
        let value = |m: &Arc<MapObj>| {
            let (start, end) = m.map.ops().value_at(addr)?;
            let writable = m.map.def().flags & uapi::map_flags::RDONLY_PROG == 0;
            Some(Region { start, end, writable })
        };
        self.maps().find_map(value)
    }
}

fn holds(region: &Region, addr: u64) -> bool {
    (region.start..region.end).contains(&addr)
}

impl Host for Run<'_> {
    fn region(&mut self, addr: u64) -> Option<Region> {
        let own = self.ctx.regions().into_iter().flatten().find(|r| holds(r, addr));
        own.or_else(|| self.map_region(addr))
            .or_else(|| self.granted.iter().find(|r| holds(r, addr)).copied())
            .or_else(|| self.world_region(addr))
            .or_else(|| self.core.heap.region(addr))
            .or_else(|| self.kernel_region(addr))
    }

    fn call(&mut self, id: u32, args: [u64; 5], vm: &mut dyn Callback) -> Result<u64, Trap> {
        if let Some(body) = helpers::body(id) {
            if let Some(proto) = uapi::helper(id) {
                helpers::check_memory(self, vm, proto, &args)?;
            }
            return body(&mut Call { run: self, vm }, args);
        }
        let found = self.progs().flat_map(|p| &p.host_helpers).find(|h| h.proto.id == id).cloned();
        let Some(host) = found else { return Err(Trap::here(TrapKind::NoHelper(id))) };
        helpers::check_memory(self, vm, &host.proto, &args)?;
        Ok((host.body)(args))
    }

    /// Translated calls name bodies.
    fn kfunc(
        &mut self,
        id: i32,
        _: i16,
        args: [u64; 5],
        vm: &mut dyn Callback,
    ) -> Result<u64, Trap> {
        let body = u32::try_from(id).ok().and_then(helpers::kfunc::body);
        let body = body.ok_or(Trap::here(TrapKind::NoKfunc(id)))?;
        body(&mut Call { run: self, vm }, args)
    }

    fn program(&mut self, _: u64) -> Option<Arc<interp::Program>> {
        self.prog = self.next.take()?.current();
        if self.prog.sees_objects {
            self.pin();
        }
        Some(self.prog.code.clone())
    }

    fn suspend(&mut self) {
        self.waiting.push(self.prog.clone());
    }

    fn resume(&mut self) {
        if let Some(prog) = self.waiting.pop() {
            self.prog = prog;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use isa::Insn;
    use maps::raw::Slab;
    use uapi::{MapDef, MapType, ProgType};

    use super::*;
    use crate::core::Config;
    use crate::engine::Engine;
    use crate::map_obj::Owner;
    use crate::native;
    use crate::runner::Ready;

    pub(crate) fn run(insns: &[Insn]) -> Result<u64, Trap> {
        run_on(Engine::Interp, insns)
    }

    #[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    /// Runs slots that no verifier has seen.
    fn run_on(engine: Engine, insns: &[Insn]) -> Result<u64, Trap> {
        run_with(engine, insns, &[])
    }

    #[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    /// Slots that load one of `maps` name its position.
    fn run_with(engine: Engine, insns: &[Insn], maps: &[MapDef]) -> Result<u64, Trap> {
        let core = Arc::new(Core::new(Config::default()));
        let maps: Vec<Arc<MapObj>> = maps.iter().map(|def| map_object(&core, def)).collect();
        let mut insns = insns.to_vec();
        for pc in 0..insns.len() {
            if insns[pc].code == 0x18 {
                let handle = maps[insns[pc].imm as usize].handle();
                insns[pc].imm = handle as u32 as i32;
                insns[pc + 1].imm = (handle >> 32) as i32;
            }
        }
        let insns = &insns[..];
        let code = Arc::new(interp::Program::new(insns).unwrap());
        let origin = (0..insns.len() as u32).collect();
        let translated = translate::Translated { insns: insns.to_vec(), origin, starts: vec![0] };
        let native = match engine {
            Engine::Jit => {
                let named: Vec<_> = maps.iter().map(|map| (0, map.clone())).collect();
                native::compile(&core, &translated, &named, &[])
            }
            Engine::Interp => Err(String::new()),
        };
        let prog = core.progs.add(|id| Prog {
            id,
            prog_type: ProgType::Syscall,
            attach_type: 0,
            owner: Owner { prog_type: ProgType::Syscall, attach_type: 0, frags: false, proto: 0 },
            name: String::new(),
            tag: [0; 8],
            gpl: true,
            uid: 0,
            load_time: 0,
            verified_insns: 0,
            translated,
            code,
            native,
            maps,
            bound: Default::default(),
            btf: None,
            func_info: Vec::new(),
            line_info: Vec::new(),
            attach_btf_id: 0,
            ctx_end: 0,
            host_helpers: Vec::new(),
            functions: Vec::new(),
            demands: Default::default(),
            extends: None,
            target: Default::default(),
            replaced: Default::default(),
            streams: Default::default(),
            object_types: Vec::new(),
            sees_objects: false,
            exception_callback: None,
            stats: Default::default(),
        });
        let memory = Slab::new(64).unwrap();
        let start = memory.addr(0);
        let ctx = Ctx::Flat(Region { start, end: start + 64, writable: false });
        Ready::new(core, prog).run(ctx, start)
    }

    #[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    fn map_object(core: &Core, def: &MapDef) -> Arc<MapObj> {
        let map = maps::Map::create(def, &core.env).unwrap();
        let charge = core.map_bytes.charge(0, def, u64::MAX).unwrap();
        core.maps.add(|id| MapObj::new(id, map, charge))
    }

    /// bpf_get_current_comm(r10 - at, size), or into the context.
    fn comm(target: Insn, at: i32, size: i32) -> Result<u64, Trap> {
        run(&[
            target,
            Insn::new(0x07, 1, 0, 0, at),
            Insn::new(0xb7, 2, 0, 0, size),
            Insn::new(0x85, 0, 0, 0, 16),
            Insn::new(0x95, 0, 0, 0, 0),
        ])
    }

    #[test]
    fn helpers_do_not_leave_the_program_s_memory() {
        let (stack, ctx) = (Insn::new(0xbf, 1, 10, 0, 0), Insn::new(0xbf, 1, 1, 0, 0));
        assert_eq!(comm(stack, -16, 16), Ok(0));
        let stopped = |r: Result<u64, Trap>| match r {
            Err(trap) => (trap.pc, matches!(trap.kind, TrapKind::Memory { write: true, .. })),
            Ok(_) => (0, false),
        };
        // Past the stack's end, far below it, nowhere, and into read-only memory.
        assert_eq!(stopped(comm(stack, -16, 17)), (3, true));
        assert_eq!(stopped(comm(stack, -600, 16)), (3, true));
        assert_eq!(stopped(comm(Insn::new(0xb7, 1, 0, 0, 4096), 0, 16)), (3, true));
        assert_eq!(stopped(comm(ctx, 0, 16)), (3, true));
    }

    #[test]
    fn faults_of_machine_code_name_their_instruction() {
        if Engine::best() == Engine::Interp {
            return;
        }
        let at = |code: u8| {
            let (src, imm) = if code == 0x72 { (0, 5) } else { (2, 0) };
            [
                Insn::new(0xb7, 0, 0, 0, 0),
                Insn::new(0xb7, 2, 0, 0, 0x1000),
                Insn::new(code, 2, src, 8, imm),
                Insn::new(0x95, 0, 0, 0, 0),
            ]
        };
        for (code, size, write) in
            [(0x61, 4, false), (0x79, 8, false), (0x72, 1, true), (0x6b, 2, true)]
        {
            // What is loaded must be wanted, or the load goes.
            let mut insns = at(code).to_vec();
            if !write {
                insns.insert(3, Insn::new(0xbf, 0, 2, 0, 0));
            }
            let kind = TrapKind::Memory { addr: 0x1008, size, write };
            assert_eq!(run_on(Engine::Jit, &insns), Err(Trap { pc: 2, kind }), "{code:#x}");
        }
        // The process goes on.
        assert_eq!(run_on(Engine::Jit, &[Insn::new(0xb7, 0, 0, 0, 3), at(0x61)[3]]), Ok(3));
    }

    /// Addresses where nothing is, or that cannot be written, given to helpers by machine code.
    #[test]
    fn bad_addresses_of_helpers_stop_machine_code() {
        if Engine::best() == Engine::Interp {
            return;
        }
        let memory = |r: Result<u64, Trap>| match r {
            Err(Trap { pc, kind: TrapKind::Memory { addr, write, .. } }) => Some((pc, addr, write)),
            other => panic!("{other:?}"),
        };
        // bpf_get_current_comm, and bpf_csum_diff of two addresses.
        let comm = |addr: i32| {
            let insns = [
                Insn::new(0xb7, 1, 0, 0, addr),
                Insn::new(0xb7, 2, 0, 0, 16),
                Insn::new(0x85, 0, 0, 0, 16),
                Insn::new(0x95, 0, 0, 0, 0),
            ];
            memory(run_on(Engine::Jit, &insns))
        };
        assert_eq!(comm(0x1000), Some((2, 0x1000, true)));
        assert_eq!(comm(-4096), Some((2, -4096_i64 as u64, true)));
        let sum = [
            Insn::new(0xbf, 1, 10, 0, 0),
            Insn::new(0x07, 1, 0, 0, -8),
            Insn::new(0xb7, 2, 0, 0, 8),
            Insn::new(0xb7, 3, 0, 0, 0x2000),
            Insn::new(0xb7, 4, 0, 0, 8),
            Insn::new(0xb7, 5, 0, 0, 0),
            Insn::new(0x85, 0, 0, 0, 28),
            Insn::new(0x95, 0, 0, 0, 0),
        ];
        assert_eq!(memory(run_on(Engine::Jit, &sum)), Some((6, 0x2000, false)));
    }

    #[test]
    fn bad_keys_stop_machine_code() {
        if Engine::best() == Engine::Interp {
            return;
        }
        // Looked up in place, and not.
        let kinds = [(MapType::Array, 4), (MapType::Hash, 4), (MapType::Hash, 16)];
        for (map_type, key_size) in kinds.into_iter().chain([(MapType::LruHash, 12)]) {
            for helper in [1, 2, 3] {
                let insns = [
                    Insn::new(0x18, 1, 0, 0, 0),
                    Insn::new(0, 0, 0, 0, 0),
                    Insn::new(0xb7, 2, 0, 0, 0x1008),
                    Insn::new(0xbf, 3, 10, 0, 0),
                    Insn::new(0x07, 3, 0, 0, -8),
                    Insn::new(0xb7, 4, 0, 0, 0),
                    Insn::new(0x85, 0, 0, 0, helper),
                    Insn::new(0x95, 0, 0, 0, 0),
                ];
                let def = MapDef::new(map_type, key_size, 8, 8);
                match run_with(Engine::Jit, &insns, &[def]) {
                    Err(Trap { pc: 6, kind: TrapKind::Memory { addr, .. } }) => {
                        assert!((0x1008..0x1018).contains(&addr), "{addr:#x}");
                    }
                    other => panic!("{map_type:?} {helper}: {other:?}"),
                }
            }
        }
    }
}
