//! At a prune point: is there a stored state that covers this one, and is this one worth storing?

use super::equal::{Match, may_be_looping};
use super::store::Store;
use crate::env::Env;
use crate::error::{Checked, Reject};
use crate::event::BadFlow;
use crate::state::{HistFlags, RegState, SlotByte, StackSlot, StateId, VerifierState};

/// States kept for one instruction without CAP_BPF.
const MAX_STATES_UNPRIVILEGED: u32 = 64;
/// History longer than this is cut by storing a state.
const MAX_HISTORY: usize = 40;

impl Env<'_> {
    /// Whether the path may end here. Stores the current state if that may help others.
    pub(crate) fn is_visited(&mut self, at: usize) -> Checked<bool> {
        let force = self.test_state_freq
            || self.aux[at].force_checkpoint
            || self.state.hist.len() > MAX_HISTORY;
        let jumps = self.stats_jumps - self.store.last_jumps;
        let insns = self.stats.processed_insns - self.store.last_insns;
        let mut add = force || jumps >= 2 && insns >= 8;
        let bucket = Store::bucket_of(self.prog.insns.len(), at, self.state.cur().callsite);
        self.clean_finished(bucket, at);
        let mut count = 0;
        let mut n = self.store.bucket(bucket).len();
        while n > 0 {
            n -= 1;
            let id = self.store.bucket(bucket)[n];
            count += 1;
            if self.store.get(id).insn_idx != at as u32 {
                continue;
            }
            match self.compare(id, at)? {
                Compared::Hit { open_loop } => {
                    self.hit(id, at, open_loop)?;
                    return Ok(true);
                }
                Compared::Unfinished => {
                    if !force && jumps < 20 && insns < 100 {
                        add = false;
                    }
                }
                Compared::Miss => {}
            }
            self.miss(bucket, n, id, at, add);
        }
        self.stats.max_states_per_insn = self.stats.max_states_per_insn.max(count);
        if !self.caps.bpf_capable && count > MAX_STATES_UNPRIVILEGED || !add {
            return Ok(false);
        }
        self.store_state(bucket, at);
        Ok(false)
    }

    fn compare(&mut self, id: StateId, at: usize) -> Checked<Compared> {
        let old = self.store.get(id);
        if old.branches == 0 {
            let open_loop = self.has_open_loop(old);
            let exact = if open_loop { Match::RangeWithin } else { Match::Not };
            let equal = self.states_equal(old, &self.state, exact);
            return Ok(if equal { Compared::Hit { open_loop } } else { Compared::Miss });
        }
        let frame = old.cur();
        if frame.in_async_callback() && frame.async_entry_cnt != self.state.cur().async_entry_cnt {
            return Ok(Compared::Unfinished);
        }
        let within = |env: &Self| env.states_equal(old, &env.state, Match::RangeWithin);
        if self.aux[at].is_iter_next {
            let hit = within(self) && self.steps_active_iter();
            return Ok(if hit { Compared::Hit { open_loop: true } } else { Compared::Unfinished });
        }
        if self.aux[at].is_may_goto
            && old.may_goto_depth != self.state.may_goto_depth
            && within(self)
        {
            return Ok(Compared::Hit { open_loop: true });
        }
        if self.aux[at].calls_callback {
            let hit = within(self);
            return Ok(if hit { Compared::Hit { open_loop: false } } else { Compared::Unfinished });
        }
        let endless = may_be_looping(old, &self.state)
            && self.states_equal(old, &self.state, Match::Exact)
            && !Self::iter_depths_differ(old, &self.state)
            && old.may_goto_depth == self.state.may_goto_depth
            && old.callback_unroll_depth == self.state.callback_unroll_depth;
        if endless {
            return Err(self.endless_loop(id, at));
        }
        Ok(Compared::Unfinished)
    }

    #[cold]
    fn endless_loop(&mut self, id: StateId, at: usize) -> Reject {
        self.say_source_line(at);
        let frame = self.state.curframe();
        let cur = self.state_text(&self.state, frame);
        let old = self.state_text(self.store.get(id), frame);
        Reject::new(uapi::Errno::EINVAL, BadFlow::Loop { insn: at })
            .then(BadFlow::LoopNow { state: cur.into() })
            .then(BadFlow::LoopBefore { state: old.into() })
            .at(at)
    }

    fn hit(&mut self, id: StateId, at: usize, open_loop: bool) -> Checked {
        self.store.entry_mut(id).hits += 1;
        if self.aux[at].jmp_point {
            self.push_history(HistFlags::empty(), 0, 0, 0);
        }
        self.propagate_precision(id, None)?;
        if open_loop {
            let mut state = self.state.clone();
            state.insn_idx = at as u32;
            self.add_backedge(id, state);
        }
        Ok(())
    }

    fn miss(&mut self, bucket: usize, n: usize, id: StateId, at: usize, add: bool) {
        let checkpoint = self.aux[at].force_checkpoint;
        let stored = self.store.entry_mut(id);
        stored.misses += u32::from(add);
        let patience = if checkpoint && stored.state.branches > 0 { 64 } else { 3 };
        if stored.misses > stored.hits * patience + patience {
            let id = self.store.retire(bucket, n);
            self.maybe_vacate(id);
        }
    }

    fn store_state(&mut self, bucket: usize, at: usize) {
        self.stats.total_states += 1;
        self.store.last_jumps = self.stats_jumps;
        self.store.last_insns = self.stats.processed_insns;
        if self.caps.bpf_capable {
            self.state.for_each_reg_where(
                |reg| reg.precise && reg.is_scalar(),
                |reg| reg.precise = false,
            );
        }
        let mut stored = self.state.clone();
        stored.insn_idx = at as u32;
        stored.cleaned = false;
        let depth = stored.dfs_depth;
        let id = self.store.add(bucket, stored);
        self.update_peak_states();
        self.enter_scc(id);
        self.state.parent = Some(id);
        self.state.first_insn_idx = at as u32;
        self.state.dfs_depth = depth + 1;
        self.state.hist = std::rc::Rc::default();
        self.hist_open = false;
    }

    /// States whose paths are all walked: registers and slots that nobody reads are cleared once.
    fn clean_finished(&mut self, bucket: usize, at: usize) {
        for n in 0..self.store.bucket(bucket).len() {
            let id = self.store.bucket(bucket)[n];
            let old = self.store.get(id);
            if old.branches != 0
                || old.insn_idx != at as u32
                || old.cleaned
                || !same_callsites(old, &self.state)
                || self.has_open_loop(old)
            {
                continue;
            }
            self.clean(id);
        }
    }

    fn clean(&mut self, id: StateId) {
        self.store.get_mut(id).cleaned = true;
        for frame in 0..self.store.get(id).frames.len() {
            let state = self.store.get(id);
            let live = self.aux[state.frame_insn(frame)].live_regs;
            let func = state.frame(frame);
            let dead_reg = |n: usize| live & 1 << n == 0;
            let any_dead = (0..10).any(|n| dead_reg(n) && func.regs[n].is_init());
            let dead_slots: u64 = (0..func.stack.slots().len())
                .filter(|spi| func.stack.slot(*spi).bytes != [SlotByte::Invalid; 8])
                .filter(|spi| {
                    !self.store.live.is_alive(&self.aux, &self.subprogs, state, frame, *spi)
                })
                .fold(0, |mask, spi| mask | 1 << spi);
            if !any_dead && dead_slots == 0 {
                continue;
            }
            let func = self.store.get_mut(id).frame_mut(frame);
            for n in (0..10).filter(|n| dead_reg(*n)) {
                func.regs[n] = RegState::NOT_INIT;
            }
            if dead_slots != 0 {
                for (spi, slot) in func.stack.slots_mut().iter_mut().enumerate() {
                    if dead_slots & 1 << spi != 0 {
                        *slot = StackSlot::INVALID;
                    }
                }
            }
        }
    }

    /// The newest unfinished state at this instruction on the way to the current path.
    pub(crate) fn find_previous_entry(&self, at: usize, from_parent: bool) -> Option<StateId> {
        let cur = if from_parent { self.store.get(self.state.parent?) } else { &self.state };
        let callsite = self.state.cur().callsite;
        let bucket = Store::bucket_of(self.prog.insns.len(), at, callsite);
        self.store.bucket(bucket).iter().rev().copied().find(|id| {
            let old = self.store.get(*id);
            old.insn_idx == at as u32
                && old.branches != 0
                && same_callsites(old, cur)
                && old.dfs_depth < cur.dfs_depth
        })
    }
}

/// What a comparison said.
enum Compared {
    /// Covered; `open_loop`: by a state whose loop is still being walked.
    Hit {
        open_loop: bool,
    },
    /// The old state's own paths are not finished.
    Unfinished,
    Miss,
}

fn same_callsites(a: &VerifierState, b: &VerifierState) -> bool {
    a.frames.len() == b.frames.len()
        && a.frames.iter().zip(&b.frames).all(|(x, y)| x.callsite == y.callsite)
}
