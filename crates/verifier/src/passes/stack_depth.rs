//! The stack that chains of calls take together; runs after the walk, which measures each frame.

use uapi::{AttachType, MAX_CALL_FRAMES, MAX_STACK, ProgType};

use super::kfuncs::Special;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadFunc, BadStack};

/// The JIT aligns frames so.
const ALIGN: i32 = 16;
/// Frames at least this large get a stack of their own where the program type allows it.
const PRIVATE_MIN: i32 = 64;
/// Stack that callers of a tail call may have taken.
const TAIL_CALL_MAX: i32 = 256;

/// How a subprogram's frame is placed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Unknown,
    /// On the kernel's stack, with its callers.
    Shared,
    /// On a stack of its own.
    Private,
}

/// Every chain of calls fits, and the needless spills of fast calls are left out.
pub(crate) fn check(env: &mut Env<'_>) -> Checked {
    drop_fastcall_stack(env);
    let private = !env.subprogs.iter().any(|s| s.has_tail_call) && allows_private(env);
    let mut modes = vec![Mode::Unknown; env.subprogs.len()];
    for n in (0..env.subprogs.len()).rev() {
        if n == 0 || env.subprogs[n].is_async_cb {
            check_from(env, n, n == 0 && private, &mut modes)?;
        }
    }
    Ok(())
}

/// Spills around inlined calls are removed, and their stack with them.
fn drop_fastcall_stack(env: &mut Env<'_>) {
    for sub in &mut env.subprogs {
        let removed = env.aux[sub.start..sub.end].iter().any(|a| a.fastcall_spills > 0);
        if removed && !sub.keep_fastcall_stack {
            sub.stack_depth = -i32::from(sub.fastcall_stack_off);
        }
    }
}

/// Programs that run on interrupts and may be many deep.
fn allows_private(env: &Env<'_>) -> bool {
    use ProgType as P;
    match env.prog_type {
        Some(P::Kprobe | P::Tracepoint | P::PerfEvent | P::RawTracepoint) => true,
        Some(P::Tracing) => env.attach_type != AttachType::TraceIter.raw(),
        _ => false,
    }
}

/// One chain of calls, innermost last: subprogram and the slot to go on from.
struct Chain {
    frames: Vec<(usize, usize)>,
    depth: i32,
}

fn rounded(depth: i32) -> i32 {
    depth.saturating_add(ALIGN - 1) / ALIGN * ALIGN
}

fn check_from(env: &mut Env<'_>, first: usize, private: bool, modes: &mut [Mode]) -> Checked {
    let mut chain = Chain { frames: vec![(first, env.subprogs[first].start)], depth: 0 };
    let mut tail_calls = false;
    enter(env, &mut chain, private, modes)?;
    while let Some(&(sub, from)) = chain.frames.last() {
        match next_call(env, &chain, sub, from)? {
            Some((at, callee)) => {
                tail_calls |= env.subprogs[callee].has_tail_call;
                if let Some(top) = chain.frames.last_mut() {
                    top.1 = at + 1;
                }
                if chain.frames.len() >= MAX_CALL_FRAMES {
                    return reject!(E2BIG, BadStack::CallDepth { frames: chain.frames.len() });
                }
                chain.frames.push((callee, env.subprogs[callee].start));
                enter(env, &mut chain, private, modes)?;
            }
            None => {
                chain.frames.pop();
                if tail_calls {
                    mark_tail_call_reachable(env, &chain)?;
                }
                if modes[sub] != Mode::Private {
                    chain.depth -= rounded(env.subprogs[sub].stack_depth);
                }
            }
        }
    }
    Ok(())
}

/// The frame of the last subprogram of the chain is laid down.
fn enter(env: &Env<'_>, chain: &mut Chain, private: bool, modes: &mut [Mode]) -> Checked {
    let frame = chain.frames.len() - 1;
    let (n, _) = chain.frames[frame];
    let sub = &env.subprogs[n];
    if !private {
        modes[n] = Mode::Shared;
    }
    if sub.has_ld_abs && chain.frames.iter().any(|(s, _)| env.subprogs[*s].is_cb) {
        return reject!(EINVAL, BadFunc::LdAbsInCallback);
    }
    if n != 0 && sub.has_tail_call && chain.depth >= TAIL_CALL_MAX {
        return reject!(EACCES, BadStack::BeforeTailCall { depth: chain.depth });
    }
    let own = rounded(sub.stack_depth);
    if private && modes[n] == Mode::Unknown && own >= PRIVATE_MIN {
        modes[n] = Mode::Private;
    }
    if modes[n] == Mode::Private {
        if own > MAX_STACK as i32 {
            return reject!(EACCES, BadStack::FuncTooLarge { func: n, size: own });
        }
        return Ok(());
    }
    chain.depth += own;
    if chain.depth > MAX_STACK as i32 {
        return reject!(EACCES, BadStack::TooLarge { calls: frame + 1, size: chain.depth });
    }
    Ok(())
}

/// The next call, or callback handed on, from slot `from` of `sub` on.
fn next_call(
    env: &Env<'_>,
    chain: &Chain,
    sub: usize,
    from: usize,
) -> Checked<Option<(usize, usize)>> {
    for at in from..env.subprogs[sub].end {
        let insn = env.prog.insns[at];
        let src = insn.src().0;
        let call = insn.code == 0x85 && src == 1;
        let address = insn.code == 0x18 && src == 4;
        if insn.code == 0x85 && src == 2 && env.special_at(at) == Special::Throw {
            if chain.frames.iter().any(|(s, _)| env.subprogs[*s].is_cb) {
                return reject!(EINVAL, BadFunc::ThrowInCallback { at, func: sub });
            }
            continue;
        }
        if !call && !address {
            continue;
        }
        let target = (at as i64 + i64::from(insn.imm) + 1) as usize;
        let Some(callee) = env.subprog_starting(target) else { return reject!(EFAULT) };
        if env.subprogs[callee].is_async_cb && !call {
            continue; // runs on a stack of its own, later
        }
        if call && env.subprogs[callee].is_exception_cb {
            return reject!(EINVAL, BadFunc::CallsExceptionCallback { at });
        }
        return Ok(Some((at, callee)));
    }
    Ok(None)
}

/// The JIT keeps the tail call counter through these frames.
fn mark_tail_call_reachable(env: &mut Env<'_>, chain: &Chain) -> Checked {
    for (sub, _) in &chain.frames {
        if env.subprogs[*sub].is_exception_cb {
            return reject!(EINVAL, BadFunc::TailCallInExceptionCallback);
        }
        env.subprogs[*sub].tail_call_reachable = true;
    }
    Ok(())
}
