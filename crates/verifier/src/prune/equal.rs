//! Whether what was proven from an old state holds from a new one.

use super::IdMap;
use crate::env::Env;
use crate::state::{ADD_CONST, FuncState, RegKind, RegState, SlotByte, StackSlot, VerifierState};

/// How closely states must agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Match {
    /// Imprecise numbers may differ.
    Not,
    /// The same, to detect endless loops.
    Exact,
    /// All numbers within the old ranges: loops still being walked.
    RangeWithin,
}

impl Env<'_> {
    /// Whether `cur` needs no walk because `old` had one.
    pub(super) fn states_equal(
        &self,
        old: &VerifierState,
        cur: &VerifierState,
        exact: Match,
    ) -> bool {
        if old.frames.len() != cur.frames.len()
            || old.speculative && !cur.speculative
            || old.in_sleepable != cur.in_sleepable
        {
            return false;
        }
        let mut ids = IdMap::new(self.id_gen);
        if !refs_equal(old, cur, &mut ids) {
            return false;
        }
        for n in 0..old.frames.len() {
            let (o, c) = (old.frame(n), cur.frame(n));
            let live = self.aux[old.frame_insn(n)].live_regs;
            if o.callsite != c.callsite || !self.frames_equal(o, c, live, &mut ids, exact) {
                return false;
            }
        }
        true
    }

    fn frames_equal(
        &self,
        old: &FuncState,
        cur: &FuncState,
        live: u16,
        ids: &mut IdMap,
        exact: Match,
    ) -> bool {
        if old.callback_depth > cur.callback_depth {
            return false;
        }
        (0..11)
            .all(|n| live & 1 << n == 0 || self.regs_equal(&old.regs[n], &cur.regs[n], ids, exact))
            && self.stacks_equal(old, cur, ids, exact)
    }

    fn regs_equal(&self, old: &RegState, cur: &RegState, ids: &mut IdMap, exact: Match) -> bool {
        if exact == Match::Exact {
            return regs_exact(old, cur, ids);
        }
        if old.kind == RegKind::NotInit && (exact == Match::Not || !cur.is_init()) {
            return true;
        }
        if !old.same_type(cur) {
            return false;
        }
        match old.kind {
            RegKind::Scalar => self.scalars_equal(old, cur, ids, exact),
            RegKind::MapKey
            | RegKind::MapValue
            | RegKind::Mem
            | RegKind::Buf
            | RegKind::TpBuffer => {
                old.same_target(cur)
                    && old.v.contains(&cur.v)
                    && ids.check(old.id, cur.id)
                    && ids.check(old.ref_obj_id, cur.ref_obj_id)
            }
            RegKind::Pkt | RegKind::PktMeta => {
                let (a, b) = (old.range(), cur.range());
                let range_ok = if a < 0 || b < 0 { a == b } else { a <= b };
                range_ok
                    && old.off == cur.off
                    && ids.check(old.id, cur.id)
                    && old.v.contains(&cur.v)
            }
            RegKind::Stack => regs_exact(old, cur, ids) && old.frameno == cur.frameno,
            RegKind::Arena => true,
            _ => regs_exact(old, cur, ids),
        }
    }

    fn scalars_equal(&self, old: &RegState, cur: &RegState, ids: &mut IdMap, exact: Match) -> bool {
        if self.store.explore_alu_limits {
            return old.same_content(cur) && ids.check_scalar(old.id, cur.id);
        }
        if !old.precise && exact == Match::Not && self.collected.is_none() {
            return true;
        }
        let (o, c) = (old.id & ADD_CONST, cur.id & ADD_CONST);
        if old.id != 0 && o != c || o != 0 && old.off != cur.off {
            return false;
        }
        ids.check_scalar(old.id, cur.id) && old.v.contains(&cur.v)
    }

    fn stacks_equal(
        &self,
        old: &FuncState,
        cur: &FuncState,
        ids: &mut IdMap,
        exact: Match,
    ) -> bool {
        old.stack
            .slots()
            .iter()
            .enumerate()
            .all(|(spi, o)| self.slots_equal(o, cur.stack.slots().get(spi), ids, exact))
    }

    /// One slot; `cur` is `None` beyond what the new state allocated.
    fn slots_equal(
        &self,
        old: &StackSlot,
        cur: Option<&StackSlot>,
        ids: &mut IdMap,
        exact: Match,
    ) -> bool {
        if exact != Match::Not && cur.is_none_or(|cur| cur.bytes != old.bytes) {
            return false;
        }
        let uninit_ok = self.caps.allow_uninit_stack;
        let matters = |byte: SlotByte| match byte {
            SlotByte::Invalid => false,
            SlotByte::Misc => !uninit_ok,
            _ => true,
        };
        if !old.bytes.iter().any(|b| matters(*b)) {
            return true;
        }
        let Some(cur) = cur else { return false };
        let unbound = RegState::UNKNOWN;
        let old_reg = self.as_register(old, &unbound);
        if let (Some(a), Some(b)) = (old_reg, self.as_register(cur, &unbound)) {
            return self.regs_equal(a, b, ids, exact);
        }
        for (o, c) in old.bytes.iter().zip(&cur.bytes) {
            let zero_for_misc = *o == SlotByte::Misc && *c == SlotByte::Zero;
            if matters(*o) && !zero_for_misc && o != c {
                return false;
            }
        }
        match old.bytes[7] {
            SlotByte::Spill => self.regs_equal(&old.spilled, &cur.spilled, ids, exact),
            SlotByte::Dynptr | SlotByte::Iter | SlotByte::Irq => {
                // How often an iterator was stepped (`off`) does not matter.
                let (a, b) = (&old.spilled, &cur.spilled);
                (a.data, a.data2) == (b.data, b.data2) && ids.check(a.ref_obj_id, b.ref_obj_id)
            }
            _ => true,
        }
    }

    /// The slot as one 64-bit number: spilled whole, or all bytes unknown.
    fn as_register<'s>(&self, slot: &'s StackSlot, unbound: &'s RegState) -> Option<&'s RegState> {
        if slot.is_full_spill() && slot.spilled.is_scalar() {
            return Some(&slot.spilled);
        }
        let uninit_ok = self.caps.allow_uninit_stack;
        let all_misc = slot
            .bytes
            .iter()
            .all(|byte| *byte == SlotByte::Misc || *byte == SlotByte::Invalid && uninit_ok);
        all_misc.then_some(unbound)
    }
}

/// The same but for ids, which must correspond.
fn regs_exact(old: &RegState, cur: &RegState, ids: &mut IdMap) -> bool {
    old.same_content(cur) && ids.check(old.id, cur.id) && ids.check(old.ref_obj_id, cur.ref_obj_id)
}

fn refs_equal(old: &VerifierState, cur: &VerifierState, ids: &mut IdMap) -> bool {
    old.refs.len() == cur.refs.len()
        && old.active_locks == cur.active_locks
        && old.active_preempt_locks == cur.active_preempt_locks
        && old.active_rcu_lock == cur.active_rcu_lock
        && ids.check(old.active_irq_id, cur.active_irq_id)
        && ids.check(old.active_lock_id, cur.active_lock_id)
        && old.active_lock_home == cur.active_lock_home
        && old
            .refs
            .iter()
            .zip(&cur.refs)
            .all(|(o, c)| ids.check(o.id, c.id) && o.kind == c.kind && o.home == c.home)
}

/// A quick look whether the current frame's registers are the same.
pub(super) fn may_be_looping(old: &VerifierState, cur: &VerifierState) -> bool {
    old.frames.len() == cur.frames.len()
        && old
            .cur()
            .regs
            .iter()
            .zip(&cur.cur().regs)
            .all(|(a, b)| a.same_content(b) && a.id == b.id && a.ref_obj_id == b.ref_obj_id)
}
