//! BPF_PROG_TEST_RUN.

mod buffer;
mod flow;
mod given;
mod live;
mod lookup;
mod members;
mod netfilter;
mod operation;
pub(crate) mod skb;
mod tracing;
mod xdp;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use interp::{Region, Trap, TrapKind};
use maps::View;
use maps::raw::Slab;
use uapi::{Errno, ProgType};

use crate::core::Core;
use crate::door::{Bpf, TestRun, TestRunOut};
use crate::helpers::Ctx;
use crate::prog::Prog;
use crate::runner::Ready;
use crate::world::World;

/// Largest context of a syscall program, less one.
const SYSCALL_CTX_MAX: usize = 0xffff;
/// Argument bytes of a raw tracepoint.
const RAW_TP_ARGS: usize = 12 * 8;

/// Runs `prog` as `req` says, on the calling thread.
pub(crate) fn test_run(
    core: &Arc<Core>,
    prog: &Arc<Prog>,
    req: &TestRun,
    stop: &Arc<AtomicBool>,
    door: &dyn Bpf,
) -> Result<TestRunOut, Errno> {
    let empty = |size: Option<usize>| size == Some(0);
    let ctx_in = req.ctx_in.as_ref().map(Vec::len);
    if empty(ctx_in) || empty(req.ctx_out.map(|n| n as usize)) {
        return Err(Errno::EINVAL);
    }
    let mut ready = Ready::new(core.clone(), prog.clone());
    ready.stop.clone_from(stop);
    if let Some(given) = &req.given {
        return given::run(prog.prog_type, given, req, ready);
    }
    let kernel = core.config.kernel_btf.as_deref();
    match prog.prog_type {
        ProgType::Xdp => xdp::run(core, prog, req, ready),
        ProgType::Syscall => syscall(req, ready, door),
        ProgType::RawTracepoint => raw_tracepoint(prog, req, ready),
        ProgType::FlowDissector => flow::run(req, ready),
        ProgType::SkLookup => lookup::run(req, ready),
        ProgType::Netfilter => netfilter::run(req, ready, kernel),
        ProgType::StructOps => operation::run(prog, req, ready, kernel),
        ProgType::Tracing => tracing::run(core, prog, req),
        t if skb::takes(t) => skb::run(core, t, req, ready),
        _ => Err(Errno::ENOTSUPP),
    }
}

/// What a trap of a run is to the caller.
pub(crate) fn trapped(trap: &Trap) -> Errno {
    match trap.kind {
        TrapKind::Fuel => Errno::EINTR,
        _ => Errno::EFAULT,
    }
}

/// Runs `times` times unless it is to stop; the last value and the mean time in nanoseconds.
fn repeat(
    times: u32,
    stop: &AtomicBool,
    mut run: impl FnMut() -> Result<u64, Trap>,
) -> Result<(u32, u32), Errno> {
    let times = times.max(1);
    let start = Instant::now();
    let mut ret = 0;
    for _ in 0..times {
        ret = run().map_err(|t| trapped(&t))?;
        if stop.load(Relaxed) {
            return Err(Errno::EINTR);
        }
    }
    let mean = start.elapsed().as_nanos() / u128::from(times);
    Ok((ret as u32, u32::try_from(mean).unwrap_or(u32::MAX)))
}

/// Memory that is no packet: nothing in or out, no repeats.
fn no_packet(req: &TestRun) -> Result<(), Errno> {
    let plain = req.data_in.is_none()
        && req.data_out.is_none()
        && req.ctx_out.is_none()
        && req.repeat == 0
        && req.batch_size == 0;
    if plain { Ok(()) } else { Err(Errno::EINVAL) }
}

/// No flags, no CPU, no batches.
fn no_options(req: &TestRun) -> Result<(), Errno> {
    let none = req.flags == 0 && req.cpu == 0 && req.batch_size == 0;
    if none { Ok(()) } else { Err(Errno::EINVAL) }
}

fn syscall(req: &TestRun, mut ready: Ready, door: &dyn Bpf) -> Result<TestRunOut, Errno> {
    let asked = TestRun { ctx_out: None, ..req.clone() };
    no_packet(&asked)?;
    let ctx = req.ctx_in.as_deref().unwrap_or_default();
    if req.flags != 0 || ctx.len() > SYSCALL_CTX_MAX {
        return Err(Errno::EINVAL);
    }
    let memory = Slab::new(ctx.len().max(8))?;
    memory.write(0, View::from(ctx));
    let region =
        Region { start: memory.addr(0), end: memory.addr(0) + ctx.len() as u64, writable: true };
    ready.trace_flags = "...11";
    let start = if ctx.is_empty() { 0 } else { region.start };
    let world = World { door: Some(door), ..World::default() };
    let ran = ready.run_on(Ctx::Flat(region), start, None, world);
    let retval = ran.map_err(|t| trapped(&t))? as u32;
    // Linux writes the context back to where it came from.
    let mut ctx_out = vec![0; ctx.len()];
    memory.read(0, &mut ctx_out);
    let ctx_size_out = ctx_out.len() as u32;
    Ok(TestRunOut { retval, ctx_out, ctx_size_out, ..TestRunOut::default() })
}

fn raw_tracepoint(prog: &Prog, req: &TestRun, mut ready: Ready) -> Result<TestRunOut, Errno> {
    no_packet(&TestRun { ctx_out: None, ..req.clone() })?;
    const RUN_ON_CPU: u32 = 1;
    let ctx = req.ctx_in.as_deref().unwrap_or_default();
    let elsewhere = req.flags & RUN_ON_CPU != 0;
    let short = (ctx.len() as u32) < prog.ctx_end;
    if short || ctx.len() > RAW_TP_ARGS || (!elsewhere && req.cpu != 0) {
        return Err(Errno::EINVAL);
    }
    if elsewhere {
        ready = ready.on_cpu(req.cpu).ok_or(Errno::ENXIO)?;
    }
    let memory = Slab::new(RAW_TP_ARGS)?;
    memory.write(0, View::from(ctx));
    let start = memory.addr(0);
    let region = Region { start, end: start + RAW_TP_ARGS as u64, writable: false };
    ready.trace_flags = "...11";
    let retval = ready.run(Ctx::Flat(region), start).map_err(|t| trapped(&t))? as u32;
    Ok(TestRunOut { retval, ..TestRunOut::default() })
}
