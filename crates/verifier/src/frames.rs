//! Frames of calls between subprograms and of callbacks.

use isa::{Callee, Op};

use crate::calls;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadExit, BadFunc, BadStack, Bug, Known, Note, Reg};
use crate::log::say;
use crate::prune::IdMap;
use crate::state::{Callback, FuncState, RegState, VerifierState};
use crate::walk::Pending;

/// Fills a callback's argument registers from its caller's frame.
pub(crate) type CallbackSetUp<'f> = &'f dyn Fn(&FuncState, &mut FuncState) -> Checked;

impl Env<'_> {
    /// A call of a subprogram at the current instruction.
    pub(crate) fn check_func_call(&mut self, rel: i32) -> Checked {
        let at = self.insn_idx;
        let target = (at as i64 + i64::from(rel) + 1) as usize;
        let Some(subprog) = self.subprog_starting(target) else {
            return reject!(EFAULT, Bug::FuncEntry { target });
        };
        let args = self.check_subprog_call(subprog);
        if let Err(reject) = &args
            && (reject.errno() == uapi::Errno::EFAULT || reject.feature().is_some())
        {
            return args;
        }
        if self.subprogs[subprog].is_global {
            return self.call_global(subprog, args);
        }
        let mut callee = self.new_frame(subprog, at)?;
        callee.regs[1..6].copy_from_slice(&self.state.cur().regs[1..6]);
        self.clear_caller_saved();
        self.state.frames.push(std::rc::Rc::new(callee));
        self.store.live.forget_current();
        self.insn_idx = self.subprogs[subprog].start.wrapping_sub(1);
        if self.log.on() {
            let current = self.state.curframe();
            self.log.say(&Note::Caller);
            self.print_frame(current - 1, true);
            self.log.say(&Note::Callee);
            self.print_frame(current, true);
        }
        Ok(())
    }

    /// A global function is verified on its own: here only its arguments are checked.
    fn call_global(&mut self, subprog: usize, args: Checked) -> Checked {
        let name = self.subprogs[subprog].name.clone();
        if self.state.active_locks != 0 {
            return reject!(EINVAL, BadFunc::UnderLock);
        }
        let state = &self.state;
        let atomic = state.active_rcu_lock
            || state.active_preempt_locks != 0
            || state.active_irq_id != 0
            || !self.in_sleepable();
        if self.subprogs[subprog].might_sleep && atomic {
            return reject!(EINVAL, BadFunc::MaySleep);
        }
        if let Err(reject) = args {
            return Err(reject.then(BadFunc::Arguments { func: subprog, name: name.into() }));
        }
        say!(self, Note::AssumedValid { func: subprog, name: &name });
        if self.subprogs[subprog].changes_pkt_data {
            self.clear_packet_pointers();
        }
        self.subprogs[subprog].called = true;
        self.clear_caller_saved();
        self.mark_reg_unknown(0);
        Ok(())
    }

    /// Whether the current path runs where it may sleep.
    pub(crate) fn in_sleepable(&self) -> bool {
        self.sleepable || self.state.in_sleepable
    }

    /// r0 to r5 do not survive calls.
    pub(crate) fn clear_caller_saved(&mut self) {
        for n in 0..6 {
            self.mark_reg_not_init(n);
        }
    }

    fn new_frame(&mut self, subprog: usize, callsite: usize) -> Checked<FuncState> {
        let depth = self.state.frames.len();
        if depth >= uapi::MAX_CALL_FRAMES {
            return reject!(E2BIG, BadStack::FrameDepth { frames: depth + 1 });
        }
        self.log.scratch_all();
        Ok(FuncState::new(callsite as i32, depth as u8, subprog as u32))
    }

    /// The end of a subprogram or callback: back to its caller. Whether there was one.
    pub(crate) fn check_func_exit(&mut self) -> Checked {
        self.update_live_stack();
        let callee = self.state.frames[self.state.curframe()].clone();
        let r0 = callee.regs[0];
        if r0.is_kind(crate::state::RegKind::Stack) {
            return reject!(EINVAL, BadExit::StackPointer);
        }
        if callee.in_callback() {
            if !r0.is_scalar() {
                return reject!(EACCES, BadExit::CallbackNotScalar);
            }
            self.mark_chain_precision(0)?;
            let (min, max) = callee.callback_ret;
            if r0.v.smin < min.into() || r0.v.smax > max.into() {
                let (reg, known) = (Reg(0), Known::of(&r0));
                let place = "At callback return";
                return reject!(EINVAL, BadExit::OutOfRange { place, reg, known, min, max });
            }
        } else {
            let caller = self.state.curframe() - 1;
            self.state.frame_mut(caller).regs[0] = r0;
        }
        let back = callee.callsite as usize + usize::from(!callee.in_callback());
        self.insn_idx = back;
        if self.log.on() {
            let current = self.state.curframe();
            self.log.say(&Note::Returning);
            self.print_frame(current, true);
            self.log.say(&Note::BackAt { insn: back });
            self.print_frame(current - 1, true);
        }
        self.state.frames.pop();
        if callee.in_callback() {
            self.widen_against_previous(back, false);
        }
        Ok(())
    }

    /// A tail call in a subprogram that succeeds returns to the caller, with the packet changed;
    /// that it fails is left for later.
    pub(crate) fn check_tail_call_return(&mut self) -> Checked {
        if self.state.curframe() == 0 {
            return Ok(());
        }
        self.log.scratch_reg(0);
        self.push_branch(self.insn_idx + 1, self.insn_idx, false)?;
        self.clear_packet_pointers();
        self.mark_reg_unknown(0);
        self.check_func_exit()?;
        self.insn_idx -= 1;
        Ok(())
    }

    /// Loops over callbacks and `may_goto` converge: numbers that changed since the last round on
    /// this path, and decide nothing, are forgotten. `from_parent`: look before the current state
    /// (of the pending path) only.
    pub(crate) fn widen_against_previous(&mut self, insn_idx: usize, pending: bool) {
        let Some(previous) = self.find_previous_entry(insn_idx, pending) else { return };
        let capable = self.caps.bpf_capable;
        let Env { store, state, pending: queue, .. } = self;
        let old = store.get(previous);
        let cur = if pending {
            match queue.last_mut() {
                Some(top) => &mut top.state,
                None => return,
            }
        } else {
            state
        };
        widen(old, cur, capable);
    }

    /// A helper at `insn_idx` calls subprogram `subprog` any number of times before it returns:
    /// the frame is pushed as a pending path that starts at the callback.
    pub(crate) fn push_sync_callback(
        &mut self,
        insn_idx: usize,
        subprog: usize,
        ret: (i32, i32),
        set_up: CallbackSetUp<'_>,
    ) -> Checked {
        self.check_callback_args(subprog)?;
        self.subprogs[subprog].is_cb = true;
        self.push_branch(self.subprogs[subprog].start, insn_idx, false)?;
        let mut callee = self.new_frame(subprog, insn_idx)?;
        set_up(self.state.cur(), &mut callee)?;
        callee.callback = Callback::Sync;
        callee.callback_ret = ret;
        if let Some(other) = self.other_branch() {
            other.callback_unroll_depth += 1;
            other.cur_mut().callback_depth += 1;
            other.frames.push(std::rc::Rc::new(callee));
        }
        self.state.cur_mut().callback_depth = 0;
        Ok(())
    }

    /// Subprogram `subprog` will run later on its own (timers, work queues): a path of its own.
    pub(crate) fn push_async_callback(
        &mut self,
        insn_idx: usize,
        subprog: usize,
        sleepable: bool,
        set_up: CallbackSetUp<'_>,
    ) -> Checked {
        self.check_callback_args(subprog)?;
        self.subprogs[subprog].is_cb = true;
        self.subprogs[subprog].is_async_cb = true;
        let start = self.subprogs[subprog].start;
        self.log.scratch_all();
        let mut frame = FuncState::new(-1, 0, subprog as u32);
        frame.async_entry_cnt = self.state.cur().async_entry_cnt + 1;
        set_up(self.state.cur(), &mut frame)?;
        frame.callback = Callback::Async;
        let state = VerifierState::new(frame, start as u32, sleepable);
        self.push_pending(Pending {
            state,
            insn_idx: start,
            prev_insn_idx: insn_idx,
            log_pos: self.log.text.len(),
        })
    }

    fn check_callback_args(&mut self, subprog: usize) -> Checked {
        match self.check_subprog_call(subprog) {
            Err(reject) if reject.errno() == uapi::Errno::EFAULT || reject.feature().is_some() => {
                Err(reject)
            }
            _ => Ok(()),
        }
    }

    /// `exit`: of the program, of a subprogram or of a callback. Whether the path ends here.
    pub(crate) fn check_exit(&mut self) -> Checked<bool> {
        let main = self.state.curframe() == 0;
        self.check_resource_leak(false, main, "BPF_EXIT instruction in main prog")?;
        if !main {
            self.check_func_exit()?;
            return Ok(false);
        }
        calls::check_return_code(self, 0)?;
        Ok(true)
    }

    /// Whether the instruction calls a static or global subprogram.
    pub(crate) fn is_subprog_call(&self, at: usize) -> bool {
        matches!(self.ops.get(at), Some(Some(Op::Call(Callee::Subprog(_)))))
    }
}

/// Forgets imprecise numbers of `cur` that differ from `old`.
fn widen(old: &VerifierState, cur: &mut VerifierState, capable: bool) {
    let mut ids = IdMap::default();
    for n in (0..old.frames.len().min(cur.frames.len())).rev() {
        let before = old.frame(n);
        for r in 0..11 {
            if must_widen(&before.regs[r], &cur.frame(n).regs[r], &mut ids) {
                cur.frame_mut(n).regs[r] = RegState { precise: !capable, ..RegState::UNKNOWN };
            }
        }
        let slots = before.stack.slots().len().min(cur.frame(n).stack.slots().len());
        for s in 0..slots {
            let (a, b) = (before.stack.slot(s), cur.frame(n).stack.slot(s));
            if a.is_spilled() && b.is_spilled() && must_widen(&a.spilled, &b.spilled, &mut ids) {
                cur.frame_mut(n).stack.slot_mut(s).spilled =
                    RegState { precise: !capable, ..RegState::UNKNOWN };
            }
        }
    }
}

fn must_widen(old: &RegState, cur: &RegState, ids: &mut IdMap) -> bool {
    old.is_scalar()
        && cur.is_scalar()
        && !old.precise
        && !cur.precise
        && !(old.same_content(cur)
            && ids.check(old.id, cur.id)
            && ids.check(old.ref_obj_id, cur.ref_obj_id))
}
