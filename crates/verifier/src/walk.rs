//! The walk over all paths, depth first: one instruction after the other on the current path,
//! the others pending.

use isa::{Callee, Imm64, Op};

use crate::calls;
use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::{BadFlow, BadFunc, BadLoad, Bug, Note};
use crate::log::say;
use crate::passes::Special;
use crate::state::{FuncState, HistEntry, HistFlags, RegKind, RegState, VerifierState};

/// Instructions walked before Linux gives up.
const MAX_PROCESSED: u32 = 1_000_000;
/// Paths pending before Linux gives up.
const MAX_PENDING: usize = 8192;
/// Helpers that may be called while a lock is held.
const UNDER_LOCK: [i32; 2] = [94, 194];

/// A path to be walked later.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) state: VerifierState,
    pub(crate) insn_idx: usize,
    pub(crate) prev_insn_idx: usize,
    /// Length of the log when the path was left.
    pub(crate) log_pos: usize,
}

/// Where the path goes after an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// On, at [`Env::insn_idx`].
    On,
    /// The path ends.
    End,
}

/// Before the first instruction of a path.
pub(crate) const NO_INSN: usize = usize::MAX;

impl<'a> Env<'a> {
    /// Walks a subprogram and all that it calls, from this state.
    pub(crate) fn walk(&mut self, first: FuncState, start: usize) -> Checked {
        self.state = VerifierState::new(first, start as u32, self.sleepable);
        self.insn_idx = start;
        self.prev_insn_idx = NO_INSN;
        self.pending.clear();
        self.log.last_line = None;
        if start == 0 {
            calls::take_argument_references(self);
        }
        if let Some(trace) = &mut self.trace {
            trace.clear();
        }
        let result = self.walk_paths();
        if let (Ok(()), Some(trace)) = (&result, &mut self.trace) {
            trace.clear();
        }
        self.pending.clear();
        self.store.clear();
        result
    }

    fn walk_paths(&mut self) -> Checked {
        let mut print_state = false;
        let mut previous = NO_INSN;
        loop {
            self.hist_open = false;
            self.prev_insn_idx = previous;
            let at = self.insn_idx;
            if at >= self.prog.insns.len() {
                return reject!(
                    EFAULT,
                    BadFlow::InsnIndex { insn: at, count: self.prog.insns.len() }
                );
            }
            self.stats.processed_insns += 1;
            if self.stats.processed_insns > MAX_PROCESSED {
                return reject!(
                    E2BIG,
                    BadFlow::TooManyInsns { processed: self.stats.processed_insns }
                );
            }
            self.state.last_insn_idx = previous as u32;
            self.state.insn_idx = at as u32;
            if self.trace.is_some() {
                self.trace_step(at);
            }
            let mut end = false;
            if self.aux[at].prune_point && self.is_visited(at)? {
                self.say_pruned(print_state);
                end = true;
            }
            if !end {
                if self.aux[at].jmp_point {
                    self.push_history(HistFlags::empty(), 0, 0, 0);
                }
                if self.log.on() {
                    self.print_before(&mut print_state);
                }
                if !self.state.speculative {
                    self.aux[at].seen = true;
                }
                if self.collected.is_some() {
                    self.collect(at);
                }
                previous = at;
                end = self.state.speculative && self.aux[at].nospec
                    || self.step(at, &mut print_state)? == Step::End;
            }
            if end {
                self.log.scratch_all();
                if !self.next_path(&mut previous)? {
                    return Ok(());
                }
                print_state = true;
            }
        }
    }

    #[cold]
    fn trace_step(&mut self, at: usize) {
        let step = crate::explain::Step::of(&self.state, at);
        if let Some(trace) = &mut self.trace {
            trace.push(step);
        }
    }

    /// One instruction; on a speculative path, what would be wrong is stopped by a barrier.
    fn step(&mut self, at: usize, print_state: &mut bool) -> Checked<Step> {
        self.store.live.begin_insn(&self.state, &self.subprogs, at);
        let result = self.check_insn(at, print_state);
        let recoverable = |r: &Reject| {
            use uapi::Errno;
            r.feature().is_none()
                && matches!(r.errno(), Errno::EPERM | Errno::EACCES | Errno::EINVAL)
        };
        match result {
            Ok(step) => {
                self.store.live.end_insn();
                if self.state.speculative && self.aux[at].nospec_result && step == Step::On {
                    return Ok(Step::End);
                }
                Ok(step)
            }
            Err(reject) if self.state.speculative && recoverable(&reject) => {
                reject.reasons().iter().for_each(|reason| say!(self, Note::Refused(reason)));
                self.store.live.end_insn();
                self.aux[at].nospec = true;
                self.aux[at].alu_state = 0;
                Ok(Step::End)
            }
            Err(reject) => Err(reject.at(at)),
        }
    }

    /// Ends the current path and takes up the last pending one; whether there was any.
    fn next_path(&mut self, previous: &mut usize) -> Checked<bool> {
        self.end_path()?;
        self.update_live_stack();
        let Some(next) = self.pending.pop() else { return Ok(false) };
        if let Some(trace) = &mut self.trace {
            trace.rewind();
        }
        if self.log.on() && !self.log.all_paths() {
            self.log.text.truncate(next.log_pos);
            self.log.insn_print_start = self.log.insn_print_start.min(next.log_pos);
            self.log.insn_print_end = self.log.insn_print_end.min(next.log_pos);
        }
        self.state = next.state;
        self.insn_idx = next.insn_idx;
        *previous = next.prev_insn_idx;
        Ok(true)
    }

    fn say_pruned(&mut self, print_state: bool) {
        if !self.log.on() {
            return;
        }
        if print_state {
            let text = self.origin_text();
            self.log.say(&Note::Safe { insn: self.insn_idx, from: Some(&text) });
        } else {
            self.log.say(&Note::Safe { insn: self.insn_idx, from: None });
        }
    }

    fn check_insn(&mut self, at: usize, print_state: &mut bool) -> Checked<Step> {
        let Some(op) = self.ops[at] else {
            return self.malformed(at);
        };
        match op {
            Op::Alu { .. }
            | Op::Neg { .. }
            | Op::MovSx { .. }
            | Op::End { .. }
            | Op::AddrSpaceCast { .. } => self.check_alu(op)?,
            Op::Load { .. } | Op::Store { .. } => self.check_load_or_store(op)?,
            Op::Atomic { .. } | Op::LoadAcquire { .. } | Op::StoreRelease { .. } => {
                self.check_atomic(op)?;
            }
            Op::LdImm64 { dst, imm } => {
                self.check_ld_imm64(dst.index(), imm)?;
                self.insn_idx += 1;
                if !self.state.speculative {
                    self.aux[self.insn_idx].seen = true;
                }
            }
            Op::LdAbs { .. } | Op::LdInd { .. } => self.check_ld_abs(op)?,
            Op::Ja { off, .. } => {
                self.stats_jumps += 1;
                self.insn_idx = (at as i64 + i64::from(off) + 1) as usize;
                return Ok(Step::On);
            }
            Op::MayGoto { off } => {
                self.stats_jumps += 1;
                self.check_may_goto(off)?;
            }
            Op::Jmp { width, cond, dst, src, off } => {
                self.stats_jumps += 1;
                self.check_cond_jmp(width, cond, dst.index(), src, off)?;
            }
            Op::Call(callee) => {
                self.stats_jumps += 1;
                self.check_call(at, callee)?;
                self.log.scratch_reg(0);
                if self.special_at(at) == Special::Throw {
                    self.check_resource_leak(true, true, "bpf_throw")?;
                    return Ok(Step::End);
                }
            }
            Op::Exit => {
                self.stats_jumps += 1;
                if self.check_exit()? {
                    return Ok(Step::End);
                }
                *print_state = true;
                return Ok(Step::On);
            }
        }
        // A jump to the first slot stands one before it.
        self.insn_idx = self.insn_idx.wrapping_add(1);
        Ok(Step::On)
    }

    /// What Linux says of an instruction that means nothing.
    #[cold]
    fn malformed(&mut self, at: usize) -> Checked<Step> {
        match isa::decode(&self.prog.insns, at) {
            Ok(_) => reject!(EINVAL, BadLoad::Opcode { code: self.prog.insns[at].code }),
            Err(error) => {
                reject!(EINVAL, BadLoad::Malformed { text: error.kernel_message().into() })
            }
        }
    }

    fn check_call(&mut self, at: usize, callee: Callee) -> Checked {
        let allowed = match callee {
            Callee::Helper(id) => UNDER_LOCK.contains(&id),
            Callee::Kfunc { .. } => self.special_at(at).is_allowed_under_lock(),
            Callee::Subprog(_) => true,
        };
        if self.state.active_locks != 0 && !allowed {
            return reject!(EINVAL, BadFunc::CallsUnderLock);
        }
        match callee {
            Callee::Subprog(rel) => self.check_func_call(rel),
            Callee::Helper(_) => calls::check_helper_call(self, at),
            Callee::Kfunc { .. } => calls::check_kfunc_call(self, at),
        }
    }

    fn check_ld_imm64(&mut self, dst: usize, imm: Imm64) -> Checked {
        self.check_reg_write(dst)?;
        let at = self.insn_idx;
        let reg = match imm {
            Imm64::Value(value) => {
                self.mark_reg_known(dst, value);
                return Ok(());
            }
            Imm64::BtfId { .. } => match self.aux[at].kernel_var {
                Some(reg) => reg,
                None => return Err(Reject::needs("this kernel variable")),
            },
            Imm64::Func(rel) => {
                let target = (at as i64 + i64::from(rel) + 1) as usize;
                let subprog = self.subprog_starting(target);
                if self.prog.func_info.is_empty() {
                    return reject!(EINVAL, BadFunc::NoFuncInfo);
                }
                match subprog {
                    Some(n) if !self.subprogs[n].is_global => {
                        RegState { data: n as u32, ..RegState::pointer(RegKind::Func) }
                    }
                    _ => return reject!(EINVAL, BadFunc::CallbackNotStatic),
                }
            }
            Imm64::MapFd(_) | Imm64::MapIdx(_) => {
                RegState { data: self.ld_map(at)?, ..RegState::pointer(RegKind::MapPtr) }
            }
            Imm64::MapValue { .. } | Imm64::MapIdxValue { .. } => {
                let map = self.ld_map(at)?;
                if self.map(map as usize).def.map_type == uapi::MapType::Arena {
                    self.mark_reg_unknown(dst);
                    return Ok(());
                }
                let off = self.aux[at].map_off as i32;
                RegState { data: map, off, ..RegState::pointer(RegKind::MapValue) }
            }
        };
        *self.reg_mut(dst) = reg;
        Ok(())
    }

    fn ld_map(&self, at: usize) -> Checked<u32> {
        match self.aux[at].map {
            Some(map) => Ok(map),
            None => reject!(EFAULT, Bug::UnresolvedMap { insn: at }),
        }
    }

    /// `skb[…]`: a call that may end the program.
    fn check_ld_abs(&mut self, op: Op) -> Checked {
        use uapi::ProgType as P;
        if !matches!(self.prog_type, Some(P::SocketFilter | P::SchedCls | P::SchedAct)) {
            return reject!(EINVAL, BadLoad::LdAbsType);
        }
        self.check_reg_read(6)?;
        self.check_resource_leak(false, true, "BPF_LD_[ABS|IND]")?;
        let ctx = *self.reg(6);
        if !ctx.is_kind(RegKind::Ctx) {
            return reject!(EINVAL, BadLoad::LdAbsCtx);
        }
        if let Op::LdInd { src, .. } = op {
            self.check_reg_read(src.index())?;
        }
        self.check_ptr_off_reg(&ctx, 6)?;
        self.clear_caller_saved();
        self.mark_reg_unknown(0);
        if self.state.curframe() > 0 {
            // Outside the packet the subprogram returns zero at once.
            self.log.scratch_reg(0);
            self.push_branch(self.insn_idx + 1, self.insn_idx, false)?;
            self.mark_reg_known(0, 0);
            self.check_func_exit()?;
            self.insn_idx -= 1;
        }
        Ok(())
    }

    /// Goes on at the jump, leaving for later that the budget lasts.
    fn check_may_goto(&mut self, off: i16) -> Checked {
        let at = self.insn_idx;
        self.push_branch(at + 1, at, false)
            .map_err(|reject| reject.with_errno(uapi::Errno::ENOMEM))?;
        if let Some(other) = self.other_branch() {
            other.may_goto_depth += 1;
        }
        self.widen_against_previous(at, true);
        self.insn_idx = (at as i64 + i64::from(off)) as usize;
        Ok(())
    }

    /// Leaves a copy of the current state to be walked from `to` later.
    pub(crate) fn push_branch(&mut self, to: usize, from: usize, speculative: bool) -> Checked {
        let mut state = self.state.clone();
        state.speculative |= speculative;
        if let Some(parent) = state.parent {
            self.store.get_mut(parent).branches += 1;
        }
        let log_pos = self.log.text.len();
        self.push_pending(Pending { state, insn_idx: to, prev_insn_idx: from, log_pos })
    }

    pub(crate) fn push_pending(&mut self, pending: Pending) -> Checked {
        let is_async = pending.state.cur().in_async_callback();
        self.pending.push(pending);
        if let Some(trace) = &mut self.trace {
            trace.mark();
        }
        if self.pending.len() > MAX_PENDING {
            let tail = if is_async { " for async cb" } else { "" };
            // EFAULT, odd as it is: what Linux answers where a branch cannot be kept.
            return reject!(EFAULT, BadFlow::TooManyBranches { pending: self.pending.len(), tail });
        }
        Ok(())
    }

    /// The path just pushed.
    pub(crate) fn other_branch(&mut self) -> Option<&mut VerifierState> {
        self.pending.last_mut().map(|pending| &mut pending.state)
    }

    /// Remembers this instruction for backtracking; what is said twice of one is joined.
    pub(crate) fn push_history(&mut self, flags: HistFlags, frame: u8, spi: u8, linked: u64) {
        let (idx, prev_idx) = (self.insn_idx as u32, self.prev_insn_idx as u32);
        let hist = std::rc::Rc::make_mut(&mut self.state.hist);
        if self.hist_open
            && let Some(last) = hist.last_mut()
        {
            last.flags |= flags;
            if flags.contains(HistFlags::STACK_ACCESS) {
                (last.frame, last.spi) = (frame, spi);
            }
            last.linked = linked;
            return;
        }
        hist.push(HistEntry { idx, prev_idx, flags, frame, spi, linked });
        self.hist_open = true;
    }
}
