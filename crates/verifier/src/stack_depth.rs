//! The stack that chains of calls use together.

use isa::{Callee, Imm64, Op};
use uapi::ProgType;

use crate::env::Env;
use crate::error::{Checked, reject};

/// Frames are laid out in steps of this many bytes.
const STEP: i32 = 16;
/// Stack that the callers of a subprogram with tail calls may use.
const MAX_BEFORE_TAIL_CALL: i32 = 256;
/// Frames at least this large get a stack of their own, where the program type allows.
const PRIVATE_FROM: i32 = 64;

/// Where a subprogram's frame lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Undecided,
    Kernel,
    Private,
}

/// A call being followed: subprogram and slot to come back to.
type Return = (usize, usize);

impl Env<'_> {
    /// Spills around calls that clobber nothing are taken out: the stack they used is free.
    pub(crate) fn release_fastcall_stack(&mut self) {
        for sub in &mut self.subprogs {
            let spilled = self.aux[sub.start..sub.end].iter().any(|a| a.fastcall_spills > 0);
            if spilled && !sub.keep_fastcall_stack {
                sub.stack_depth = -i32::from(sub.fastcall_stack_off);
            }
        }
    }

    /// No chain of calls uses more than 512 bytes; asynchronous callbacks begin anew.
    pub(crate) fn check_max_stack_depth(&mut self) -> Checked {
        let tail_calls = self.subprogs.iter().any(|s| s.has_tail_call);
        let private = !tail_calls && self.has_private_stack();
        let mut modes = vec![Mode::Undecided; self.subprogs.len()];
        // Asynchronous callbacks first: what they call uses the kernel's stack.
        for n in (0..self.subprogs.len()).rev() {
            if n == 0 || self.subprogs[n].is_async_cb {
                self.check_chain(n, private && n == 0, &mut modes)?;
            }
        }
        Ok(())
    }

    fn has_private_stack(&self) -> bool {
        use ProgType as P;
        matches!(
            self.prog.prog_type,
            Some(P::Kprobe | P::Tracepoint | P::PerfEvent | P::RawTracepoint | P::Tracing)
        )
    }

    fn check_chain(&mut self, start: usize, private: bool, modes: &mut [Mode]) -> Checked {
        let mut callers: Vec<Return> = Vec::new();
        let (mut sub, mut depth, mut tail_call_reachable) = (start, 0, false);
        let mut at = self.subprogs[start].start;
        depth += self.enter(sub, &callers, depth, private, modes)?;
        loop {
            let Some(callee) = self.next_call(sub, &mut at)? else {
                if tail_call_reachable {
                    for (caller, _) in &callers {
                        if self.exception_callback == Some(*caller) {
                            return reject!(EINVAL, "cannot tail call within exception cb");
                        }
                        self.subprogs[*caller].tail_call_reachable = true;
                    }
                }
                let Some((caller, resume)) = callers.pop() else { return Ok(()) };
                if modes[sub] != Mode::Private {
                    depth -= self.rounded_depth(sub);
                }
                (sub, at) = (caller, resume);
                continue;
            };
            callers.push((sub, at));
            tail_call_reachable |= self.subprogs[callee].has_tail_call;
            if callers.len() >= uapi::MAX_CALL_FRAMES {
                return reject!(E2BIG, "the call stack of {} frames is too deep !", callers.len());
            }
            (sub, at) = (callee, self.subprogs[callee].start);
            depth += self.enter(sub, &callers, depth, private, modes)?;
        }
    }

    /// Bytes that a frame adds to the chain.
    fn enter(
        &self,
        sub: usize,
        callers: &[Return],
        depth: i32,
        private: bool,
        modes: &mut [Mode],
    ) -> Checked<i32> {
        if !private {
            modes[sub] = Mode::Kernel;
        }
        let in_callback =
            || self.subprogs[sub].is_cb || callers.iter().any(|(c, _)| self.subprogs[*c].is_cb);
        if self.subprogs[sub].has_ld_abs && in_callback() {
            return reject!(EINVAL, "cannot use BPF_LD_[ABS|IND] within callback");
        }
        if sub != 0 && self.subprogs[sub].has_tail_call && depth >= MAX_BEFORE_TAIL_CALL {
            return reject!(
                EACCES,
                "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large"
            );
        }
        let own = self.rounded_depth(sub);
        if private && modes[sub] == Mode::Undecided && own >= PRIVATE_FROM {
            modes[sub] = Mode::Private;
        }
        if modes[sub] == Mode::Private {
            if own > uapi::MAX_STACK as i32 {
                return reject!(EACCES, "stack size of subprog {sub} is {own}. Too large");
            }
            return Ok(0);
        }
        if depth + own > uapi::MAX_STACK as i32 {
            return reject!(
                EACCES,
                "combined stack size of {} calls is {}. Too large",
                callers.len() + 1,
                depth + own
            );
        }
        Ok(own)
    }

    /// The next subprogram called from here on; `at` moves behind the call.
    fn next_call(&self, sub: usize, at: &mut usize) -> Checked<Option<usize>> {
        while *at < self.subprogs[sub].end {
            let call = *at;
            *at += 1;
            let Some(callee) = self.called_at(call) else { continue };
            if !self.subprogs[callee].is_async_cb && self.exception_callback != Some(callee) {
                return Ok(Some(callee));
            }
            if self.subprogs[callee].has_tail_call && self.subprogs[callee].is_async_cb {
                return reject!(EFAULT, "verifier bug: subprog has tail_call and async cb");
            }
            if !self.is_subprog_call(call) {
                continue;
            }
            if self.exception_callback == Some(callee) {
                return reject!(EINVAL, "insn {call} cannot call exception cb directly");
            }
            return Ok(Some(callee));
        }
        Ok(None)
    }

    fn rounded_depth(&self, subprog: usize) -> i32 {
        (self.subprogs[subprog].stack_depth + STEP - 1) / STEP * STEP
    }

    /// The subprogram that the instruction calls, or passes as a callback.
    fn called_at(&self, at: usize) -> Option<usize> {
        let rel = match self.ops[at]? {
            Op::Call(Callee::Subprog(rel)) => rel,
            Op::LdImm64 { imm: Imm64::Func(rel), .. } => rel,
            _ => return None,
        };
        self.subprog_starting((at as i64 + i64::from(rel) + 1) as usize)
    }
}
