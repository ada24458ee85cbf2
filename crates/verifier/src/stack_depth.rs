//! The stack that chains of calls use together.

use isa::{Callee, Imm64, Op};

use crate::env::Env;
use crate::error::{Checked, reject};

/// Stack of one program's frames, in steps of the JIT.
const STEP: i32 = 16;
/// Stack that a caller of a subprogram with tail calls may have used.
const MAX_BEFORE_TAIL_CALL: i32 = 256;

impl Env<'_> {
    /// No chain of calls uses more than 512 bytes; asynchronous callbacks begin anew.
    pub(crate) fn check_max_stack_depth(&mut self) -> Checked {
        for n in 0..self.subprogs.len() {
            if n == 0 || self.subprogs[n].is_async_cb {
                self.check_chain(n)?;
            }
        }
        Ok(())
    }

    fn check_chain(&mut self, start: usize) -> Checked {
        // Callers: subprogram, where to go on, stack before it, whether it came after a tail call
        // was reachable.
        let mut callers: Vec<(usize, usize)> = Vec::new();
        let (mut at_sub, mut depth, mut frame) = (start, 0, 0usize);
        let mut insn = self.subprogs[start].start;
        let mut tail_call_reachable = false;
        let mut depths = [0i32; uapi::MAX_CALL_FRAMES + 1];
        'subprog: loop {
            if insn == self.subprogs[at_sub].start {
                if self.subprogs[at_sub].has_tail_call {
                    tail_call_reachable = true;
                }
                if frame > 0 && self.subprogs[at_sub].has_tail_call && depth >= MAX_BEFORE_TAIL_CALL
                {
                    return reject!(
                        EACCES,
                        "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large"
                    );
                }
                let own = self.rounded_depth(at_sub);
                depth += own;
                depths[frame] = own;
                if depth > uapi::MAX_STACK as i32 {
                    return reject!(
                        EACCES,
                        "combined stack size of {} calls is {depth}. Too large",
                        frame + 1
                    );
                }
            }
            while insn < self.subprogs[at_sub].end {
                let at = insn;
                insn += 1;
                let Some(callee) = self.called_at(at) else { continue };
                if self.exception_callback == Some(callee) {
                    return reject!(EINVAL, "insn {at} cannot call exception cb directly");
                }
                if self.subprogs[callee].is_async_cb {
                    if self.subprogs[callee].has_tail_call {
                        return reject!(EFAULT, "verifier bug: subprog has tail_call and async cb");
                    }
                    if !self.is_subprog_call(at) {
                        continue;
                    }
                }
                callers.push((at_sub, insn));
                self.subprogs[callee].tail_call_reachable |= tail_call_reachable;
                frame += 1;
                if frame >= uapi::MAX_CALL_FRAMES {
                    return reject!(
                        E2BIG,
                        "the call stack of {frame} frames is too deep !"
                    );
                }
                at_sub = callee;
                insn = self.subprogs[callee].start;
                continue 'subprog;
            }
            let Some((caller, resume)) = callers.pop() else { return Ok(()) };
            depth -= depths[frame];
            frame -= 1;
            (at_sub, insn) = (caller, resume);
        }
    }

    fn rounded_depth(&self, subprog: usize) -> i32 {
        let depth = self.subprogs[subprog].stack_depth.max(1);
        (depth + STEP - 1) / STEP * STEP
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
