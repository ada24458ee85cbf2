//! Programs as machine code: compiled at load, run with the helpers of this runtime.
//!
//! Whatever calls back into this runtime does so through [`Run`], whose address the code carries.
//! Machine code checks no access: it is as safe as the verifier is right. What faults all the same
//! ends the run with a [`Trap`]. Helpers touch what they are to use before they begin, so that a
//! bad address ends the run too.
#![allow(unsafe_code, reason = "a named unsafe module of this crate")]

mod back;
pub(crate) mod doors;
mod leaf;

use std::sync::Arc;

use interp::{Host, Limits, Trap, TrapKind, Vm};
use isa::{Insn, Op};
use jit::{ArrayMap, Back, Fault, HashMap, Input, Machine, Options, RunContext, Target};

use crate::arena;
use crate::core::{Core, HostHelper};
use crate::helpers;
use crate::map_obj::MapObj;
use crate::prog::Prog;
use crate::run::Run;
use back::Reentry;

/// A program's machine code, or why there is none.
pub(crate) type Native = Result<jit::Program, String>;

/// Compiles a translated program that uses these maps.
pub(crate) fn compile(
    core: &Core,
    translated: &translate::Translated,
    maps: &[(i32, Arc<MapObj>)],
    hosts: &[HostHelper],
) -> Native {
    let input = Input { insns: &translated.insns, starts: &translated.starts };
    let blind = core.config.jit_harden.then(|| core.random.next());
    let arena = arena::window(maps.iter().map(|(_, map)| &**map));
    let arena = arena.map(|a| jit::Arena { base: a.base, user_high: a.user_high });
    let options = Options { blind, arena, ..Options::default() };
    jit::Program::new(input, &Doors { maps, hosts }, &options).map_err(|e| e.to_string())
}

const TRACE_PRINTK: u32 = 6;

/// What code calls.
struct Doors<'a> {
    maps: &'a [(i32, Arc<MapObj>)],
    hosts: &'a [HostHelper],
}

impl Doors<'_> {
    fn map(&self, handle: u64) -> Option<&MapObj> {
        self.maps.iter().map(|(_, map)| &**map).find(|map| map.handle() == handle)
    }
}

impl jit::Env for Doors<'_> {
    fn helper(&self, id: i32) -> Option<Target> {
        let id = u32::try_from(id).ok()?;
        if let Some(target) = leaf::target(id) {
            return Some(target);
        }
        let args = match helpers::body(id) {
            // Its contract leaves out what the format asks for.
            Some(_) if id == TRACE_PRINTK => 5,
            Some(_) => uapi::helper(id).map_or(5, |proto| proto.args.len()),
            None => self.hosts.iter().find(|h| h.proto.id == id)?.proto.args.len(),
        };
        Some(jit::helper::<Run<'static>>(id, args.min(5) as u8))
    }

    /// Translated calls name bodies.
    fn kfunc(&self, id: i32, _: i16) -> Option<Target> {
        let id = u32::try_from(id).ok()?;
        helpers::kfunc::body(id)?;
        Some(jit::kfunc::<Run<'static>>(id, 5))
    }

    fn array(&self, map: u64) -> Option<ArrayMap> {
        doors::array(self.map(map)?)
    }

    /// Links that another process may break are followed by a helper, which looks where they lead.
    fn hash(&self, map: u64) -> Option<HashMap> {
        let map = self.map(map)?;
        map.map.ops().shared().is_none().then(|| doors::hash(map))?
    }

    fn on_map(&self, id: i32, map: u64) -> Option<Target> {
        self.map(map)?.map.ops().refs().is_none().then(|| leaf::on_map(id))?
    }
}

/// Runs `code`, that of the run's program, on a context at `ctx`.
pub(crate) fn run(code: &jit::Program, ctx: u64, run: &mut Run<'_>) -> Result<u64, Trap> {
    let mut context = RunContext::new();
    context.cpu = run.cpu;
    run.stack_top = &raw const context as u64;
    run.callbacks = run.core.config.fuel;
    // SAFETY: the verifier has accepted the program for contexts of its type, of which `ctx` is
    // one; its maps live as long as the program, which the run holds; all tagged helpers are a
    // `Run`'s, and how long its borrows live is nothing that code depends on.
    match unsafe { code.run_with(ctx, run, &mut context) } {
        Ok(value) => Ok(value),
        Err(fault) => Err(trap(run, code, fault)),
    }
}

/// Runs the function at `index` of the run's program by itself, on a stack of its own.
pub(crate) fn call(
    code: &jit::Program,
    index: usize,
    args: [u64; 5],
    run: &mut Run<'_>,
) -> Result<u64, Trap> {
    let mut context = RunContext::new();
    context.cpu = run.cpu;
    run.stack_top = &raw const context as u64;
    run.callbacks = run.core.config.fuel;
    // SAFETY: as in `run`; the callers pass what the verifier assumed of the function.
    match unsafe { code.call_with(index, args, run, &mut context) } {
        Ok(value) => Ok(value),
        Err(fault) => Err(trap(run, code, fault)),
    }
}

#[cold]
fn trap(run: &mut Run<'_>, code: &jit::Program, fault: Fault) -> Trap {
    match fault {
        Fault::Stopped { ip } => {
            let trap = run.trap.take().unwrap_or(STOPPED);
            let pc = code
                .slot_at(ip)
                .or_else(|| programs(run).find_map(|p| p.native.as_ref().ok()?.slot_at(ip)));
            match pc {
                Some(pc) if trap.pc == Trap::NO_PC => Trap { pc: pc as usize, ..trap },
                _ => trap,
            }
        }
        Fault::Memory { pc, address } => {
            let first = run.waiting.first().unwrap_or(&run.prog);
            debug_assert!(first.native.as_ref().is_ok_and(|n| n.base() == code.base()));
            memory(first, pc, address)
        }
        Fault::Elsewhere { ip, address } => {
            let slot = |prog: &Arc<Prog>| {
                let pc = prog.native.as_ref().ok()?.slot_at(ip)?;
                Some(memory(prog, pc, address))
            };
            let unknown = Trap::here(TrapKind::Memory { addr: address, size: 0, write: false });
            programs(run).find_map(slot).unwrap_or(unknown)
        }
    }
}

/// What has run machine code: those that called others first.
fn programs<'a>(run: &'a Run<'_>) -> impl Iterator<Item = &'a Arc<Prog>> {
    run.waiting.iter().chain([&run.prog])
}

/// A helper or callback ended the run without saying why.
const STOPPED: Trap =
    Trap { pc: Trap::NO_PC, kind: TrapKind::Helper("the run was stopped in a callback") };

/// The access that instruction `pc` made.
fn memory(prog: &Prog, pc: u32, addr: u64) -> Trap {
    let pc = pc as usize;
    let insn = prog.translated.insns.get(pc).copied().unwrap_or(Insn::new(0, 0, 0, 0, 0));
    let write = match isa::decode(&[insn], 0) {
        Ok(Op::Load { .. } | Op::LoadAcquire { .. }) => false,
        Ok(_) => true,
        Err(_) => false,
    };
    const BYTES: [u32; 4] = [4, 2, 1, 8];
    let size = BYTES[usize::from(insn.code >> 3 & 3)];
    Trap { pc, kind: TrapKind::Memory { addr, size, write } }
}

impl Machine for Run<'_> {
    fn helper(&mut self, id: u32, args: [u64; 5], back: &mut Back<'_, Self>) -> Option<u64> {
        let mut vm = Reentry::new(back, self.stack_top);
        match Host::call(self, id, args, &mut vm) {
            Ok(value) => Some(value),
            Err(trap) => {
                self.trap = Some(trap);
                None
            }
        }
    }

    fn kfunc(&mut self, id: u32, args: [u64; 5], back: &mut Back<'_, Self>) -> Option<u64> {
        let mut vm = Reentry::new(back, self.stack_top);
        let id = i32::try_from(id).unwrap_or(-1);
        match Host::kfunc(self, id, 0, args, &mut vm) {
            Ok(value) => Some(value),
            Err(trap) => {
                self.trap = Some(trap);
                None
            }
        }
    }

    fn tail_call(&mut self, _: u64, map: u64, index: u64) -> Option<u64> {
        let refs = self.map(map).ok()?.map.ops().refs()?;
        let held = refs.get(&(index as u32).to_ne_bytes())?;
        let next = held.object.downcast::<Prog>().ok()?.current();
        let address = match &next.native {
            Ok(code) => code.address(),
            Err(_) => interpret as *const () as u64,
        };
        // The code that runs now must stay, and its maps: a subprogram returns into it.
        let before = std::mem::replace(&mut self.prog, next);
        self.waiting.push(before);
        Some(address)
    }
}

/// Where a tail call goes whose program has no machine code.
extern "C" fn interpret(ctx: u64, _: u64, _: u64, _: u64, _: u64, context: *mut RunContext) -> u64 {
    // SAFETY: code passes the context of its run, whose user `run` has made a `Run` that nobody
    // else uses now.
    let (context, run) = unsafe { (&mut *context, &mut *(*context).user.cast::<Run<'_>>()) };
    let code = run.prog.code.clone();
    let (limits, mut vm) = (Limits { fuel: run.core.config.fuel }, Vm::new());
    let ret = vm.run_after(context.tail_calls, &code, ctx, run, limits);
    context.tail_calls = vm.tail_calls();
    ret.unwrap_or_else(|trap| {
        run.trap = Some(trap);
        context.stop = 1;
        0
    })
}
