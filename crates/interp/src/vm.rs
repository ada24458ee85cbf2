//! A run: entry, tail calls, and the way back from helpers.

use crate::{
    Callback, Host, Observer, Program, Region, Trap, TrapKind,
    code::{R, Regs},
    memory::Memory,
    step::{Exit, Frame, execute},
};

/// Tail calls of one run (Linux's MAX_TAIL_CALL_CNT).
const MAX_TAIL_CALLS: u32 = 33;

/// What a run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instructions, callbacks and tail-called programs included; checked at jumps and calls. A
    /// 64-bit immediate counts as its two slots.
    pub fuel: u64,
}

impl Default for Limits {
    /// 2^34 instructions: half a minute or so.
    fn default() -> Limits {
        Limits { fuel: 1 << 34 }
    }
}

/// Stack and bookkeeping of runs, one after the other; keep one a thread.
pub struct Vm {
    pub(crate) memory: Memory,
    /// Callers waiting, of all nested runs.
    pub(crate) frames: Vec<Frame>,
    /// Instructions left; negative only when a run has trapped.
    pub(crate) fuel: i64,
    tail_calls: u32,
    /// The program that a helper wants to run next.
    pending: Option<u64>,
    limits: Limits,
}

impl Default for Vm {
    fn default() -> Vm {
        Vm::new()
    }
}

impl Vm {
    /// Allocates the stack (24 KiB).
    pub fn new() -> Vm {
        Vm {
            memory: Memory::new(),
            frames: Vec::with_capacity(8),
            fuel: 0,
            tail_calls: 0,
            pending: None,
            limits: Limits { fuel: 0 },
        }
    }

    /// Runs `program` with r1 = `ctx`; the value is its r0.
    pub fn run(
        &mut self,
        program: &Program,
        ctx: u64,
        host: &mut dyn Host,
        limits: Limits,
    ) -> Result<u64, Trap> {
        self.run_observed(program, ctx, host, limits, &mut ())
    }

    /// Like [`Vm::run`], for a program that another engine's tail call names: `tail_calls` of its
    /// run have been made before.
    pub fn run_after(
        &mut self,
        tail_calls: u32,
        program: &Program,
        ctx: u64,
        host: &mut dyn Host,
        limits: Limits,
    ) -> Result<u64, Trap> {
        self.start(limits);
        self.tail_calls = tail_calls;
        self.drive(host, program, 0, [ctx, 0, 0, 0, 0], &mut ())
    }

    /// Tail calls of the last run, those before [`Vm::run_after`] included.
    pub fn tail_calls(&self) -> u32 {
        self.tail_calls
    }

    /// Like [`Vm::run`], showing each instruction to `observer` before it runs.
    pub fn run_observed(
        &mut self,
        program: &Program,
        ctx: u64,
        host: &mut dyn Host,
        limits: Limits,
        observer: &mut impl Observer,
    ) -> Result<u64, Trap> {
        self.start(limits);
        self.drive(host, program, 0, [ctx, 0, 0, 0, 0], observer)
    }

    /// Runs the subprogram at function address `func` by itself (a timer's callback).
    pub fn run_function(
        &mut self,
        program: &Program,
        func: u64,
        args: [u64; 5],
        host: &mut dyn Host,
        limits: Limits,
    ) -> Result<u64, Trap> {
        self.start(limits);
        let entry = function(program, func)?;
        self.drive(host, program, entry, args, &mut ())
    }

    /// Instructions that the last run used.
    pub fn fuel_used(&self) -> u64 {
        self.limits.fuel.min(i64::MAX as u64).saturating_sub(self.fuel.max(0) as u64)
    }

    fn start(&mut self, limits: Limits) {
        self.memory.reset();
        self.frames.clear();
        self.fuel = i64::try_from(limits.fuel).unwrap_or(i64::MAX);
        self.tail_calls = 0;
        self.pending = None;
        self.limits = limits;
    }

    /// Runs from `entry` on a new frame, then whatever tail calls name.
    pub(crate) fn drive(
        &mut self,
        host: &mut dyn Host,
        program: &Program,
        entry: usize,
        args: [u64; 5],
        observer: &mut impl Observer,
    ) -> Result<u64, Trap> {
        let mut exit = self.enter(host, program, entry, args, observer)?;
        loop {
            match exit {
                Exit::Done(value) => return Ok(value),
                Exit::Tail { name, ctx, pc } => {
                    let unknown = Trap { pc, kind: TrapKind::NoProgram(name) };
                    let next = host.program(name).ok_or(unknown)?;
                    exit = self.enter(host, &next, 0, [ctx, 0, 0, 0, 0], observer)?;
                }
            }
        }
    }

    fn enter(
        &mut self,
        host: &mut dyn Host,
        program: &Program,
        entry: usize,
        args: [u64; 5],
        observer: &mut impl Observer,
    ) -> Result<Exit, Trap> {
        let Some(top) = self.memory.push_frame() else {
            return Err(Trap { pc: entry, kind: TrapKind::CallDepth });
        };
        let mut regs = Regs::default();
        regs.0[1..6].copy_from_slice(&args);
        regs[R::R10] = top;
        let outer = self.frames.len();
        let exit = execute(self, host, program, entry, regs, observer);
        self.frames.truncate(outer);
        self.memory.pop_frame();
        exit
    }

    /// Calls a helper or kernel function through `door`: its value, and the program to run next.
    pub(crate) fn call_out<O: Observer>(
        &mut self,
        program: &Program,
        observer: &mut O,
        door: impl FnOnce(&mut dyn Callback) -> Result<u64, Trap>,
    ) -> Result<(u64, Option<u64>), Trap> {
        let grants = self.memory.grants();
        let value = door(&mut Reentry { vm: self, program, observer });
        self.memory.forget(grants);
        Ok((value?, self.pending.take()))
    }
}

fn function(program: &Program, func: u64) -> Result<usize, Trap> {
    program.function(func).ok_or(Trap::here(TrapKind::BadTarget))
}

/// A helper's view of the run that called it.
struct Reentry<'v, O> {
    vm: &'v mut Vm,
    program: &'v Program,
    observer: &'v mut O,
}

impl<O: Observer> Callback for Reentry<'_, O> {
    fn call_back(&mut self, host: &mut dyn Host, func: u64, args: [u64; 5]) -> Result<u64, Trap> {
        let entry = function(self.program, func)?;
        // The helper may have changed the packet before.
        self.vm.memory.forget(self.vm.memory.grants());
        self.vm.drive(host, self.program, entry, args, self.observer)
    }

    fn grant(&mut self, region: Region) {
        self.vm.memory.grant(region);
    }

    fn region(&self, addr: u64) -> Option<Region> {
        self.vm.memory.own_region(addr)
    }

    fn checks(&self) -> bool {
        true
    }

    fn tail_call(&mut self, prog: u64) -> bool {
        let allowed = self.vm.tail_calls < MAX_TAIL_CALLS;
        if allowed {
            self.vm.tail_calls += 1;
            self.vm.pending = Some(prog);
        }
        allowed
    }
}

/// One run on a [`Vm`] of its own.
pub fn run(program: &Program, ctx: u64, host: &mut dyn Host, limits: Limits) -> Result<u64, Trap> {
    Vm::new().run(program, ctx, host, limits)
}

/// Like [`run`], watched.
pub fn run_observed(
    program: &Program,
    ctx: u64,
    host: &mut dyn Host,
    limits: Limits,
    observer: &mut impl Observer,
) -> Result<u64, Trap> {
    Vm::new().run_observed(program, ctx, host, limits, observer)
}
