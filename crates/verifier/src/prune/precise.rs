//! Precision: which scalars a decision rested on.
//!
//! A number's value matters for pruning only if some check depended on it. When one does, the
//! registers and slots it came from are looked for backwards along the path, and marked in every
//! stored state on the way.

use isa::{AluOp, AtomicOp, Callee, Op, Src};

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{Bug, Note, RegMask, SlotMask};
use crate::log::say2;
use crate::state::{HistEntry, HistFlags, RegState, StateId, VerifierState};
use crate::transfer::linked::unpack;
use crate::walk::NO_INSN;

const ARGS: u32 = 0b11_1110;
const TAIL_CALL: i32 = 12;

/// What is still looked for, per frame: registers and stack slots.
#[derive(Clone, Copy, Default)]
struct Wanted {
    frame: usize,
    regs: [u32; uapi::MAX_CALL_FRAMES],
    slots: [u64; uapi::MAX_CALL_FRAMES],
}

impl Wanted {
    fn is_empty(&self) -> bool {
        self.regs.iter().all(|m| *m == 0) && self.slots.iter().all(|m| *m == 0)
    }

    fn has(&self, reg: usize) -> bool {
        self.regs[self.frame] & 1 << reg != 0
    }

    fn want(&mut self, reg: usize) {
        self.regs[self.frame] |= 1 << reg;
    }

    fn drop(&mut self, reg: usize) {
        self.regs[self.frame] &= !(1 << reg);
    }

    /// A slot is written or read there.
    fn has_slot(&self, frame: usize, spi: usize) -> bool {
        self.slots[frame] & 1 << spi != 0
    }
}

/// Why backtracking stops short.
enum Stop {
    /// What is wanted cannot be followed: everything is marked.
    Lost,
    /// The engine contradicts itself.
    Bug(Bug),
}

type Back = Result<(), Stop>;

impl Env<'_> {
    /// The value of the register in the current frame decided a check: it and everything it was
    /// computed from, back along the path, must be compared exactly by pruning.
    pub(crate) fn mark_chain_precision(&mut self, regno: usize) -> Checked {
        if !self.caps.bpf_capable {
            return Ok(());
        }
        let mut wanted = Wanted { frame: self.state.curframe(), ..Wanted::default() };
        wanted.want(regno);
        self.backtrack(wanted, None).map(|_| ())
    }

    /// The same of a number spilled to the stack.
    pub(crate) fn mark_stack_precision(&mut self, frame: usize, spi: usize) -> Checked {
        if !self.caps.bpf_capable {
            return Ok(());
        }
        let mut wanted = Wanted { frame: self.state.curframe(), ..Wanted::default() };
        wanted.slots[frame] |= 1 << spi;
        self.backtrack(wanted, None).map(|_| ())
    }

    /// What was precise in the state that covers a path must be precise on that path too.
    /// `cur`: the path's end, or the current one. Whether any mark was new.
    pub(super) fn propagate_precision(
        &mut self,
        old: StateId,
        cur: Option<&VerifierState>,
    ) -> Checked<bool> {
        if !self.caps.bpf_capable {
            return Ok(false);
        }
        let old = self.store.get(old);
        let mut wanted = Wanted { frame: old.curframe(), ..Wanted::default() };
        for (n, frame) in old.frames.iter().enumerate() {
            for (r, reg) in frame.regs[..10].iter().enumerate() {
                if reg.precise && reg.is_scalar() {
                    wanted.regs[n] |= 1 << r;
                }
            }
            for (s, slot) in frame.stack.slots().iter().enumerate() {
                if slot.is_spilled_scalar() && slot.spilled.precise {
                    wanted.slots[n] |= 1 << s;
                }
            }
        }
        self.say_propagating(&wanted);
        self.backtrack(wanted, cur)
    }

    fn say_propagating(&mut self, wanted: &Wanted) {
        if !self.log.all_paths() {
            return;
        }
        for n in (0..=wanted.frame).rev() {
            let (regs, slots) = (RegMask(wanted.regs[n] & 0x3ff), SlotMask(wanted.slots[n]));
            if regs.0 != 0 || slots.0 != 0 {
                self.log.say(&Note::Propagating { frame: n, regs, slots });
            }
        }
    }

    /// Looks for what is wanted from the end of a path (`end`, or the current one) backwards.
    fn backtrack(&mut self, mut wanted: Wanted, end: Option<&VerifierState>) -> Checked<bool> {
        let mut changed = false;
        if wanted.is_empty() {
            return Ok(false);
        }
        let path = end.unwrap_or(&self.state);
        let mut hist = path.hist.clone();
        let (mut first, mut last) = (path.first_insn_idx as usize, path.insn_idx as usize);
        let first_parent = path.parent;
        let mut parent = path.parent;
        let mut at_entry: Option<StateId> = None;
        let mut subsequent = NO_INSN;
        let mut skip = true;
        loop {
            let (frame, from, before) = (wanted.frame, last as i32, subsequent as i32);
            say2!(self, Note::Backtrack { frame, last: from, first, subsequent: before });
            if last as u32 == u32::MAX {
                return self.reach_entry(&mut wanted, at_entry, changed);
            }
            let mut left = hist.len();
            let mut at = last;
            loop {
                let entry = match left.checked_sub(1).map(|n| hist[n]) {
                    Some(entry) if entry.idx as usize == at => Some(entry),
                    _ => None,
                };
                if skip {
                    skip = false;
                } else {
                    match self.step_back(at, subsequent, entry, &mut wanted) {
                        Ok(()) => {}
                        Err(Stop::Lost) => {
                            changed |= self.mark_all_precise(first_parent);
                            return Ok(changed);
                        }
                        Err(Stop::Bug(bug)) => return reject!(EFAULT, bug),
                    }
                }
                if wanted.is_empty() {
                    return Ok(changed);
                }
                subsequent = at;
                // The state's first instruction, reached by the jump that led to the state.
                let only_arrival = left == 0 || left == 1 && hist[0].idx as usize == at;
                if at == first && only_arrival {
                    break;
                }
                at = match entry {
                    Some(entry) => {
                        left -= 1;
                        entry.prev_idx as usize
                    }
                    None => at.wrapping_sub(1),
                };
                if at >= self.prog.insns.len() {
                    return reject!(EFAULT, Bug::PrecisionIndex { insn: at as i32 });
                }
            }
            let Some(id) = parent else { break };
            changed |= self.mark_in_state(id, &mut wanted)?;
            if wanted.is_empty() {
                return Ok(changed);
            }
            subsequent = first;
            let state = self.store.get(id);
            (last, first) = (state.last_insn_idx as usize, state.first_insn_idx as usize);
            hist = state.hist.clone();
            parent = state.parent;
            at_entry = Some(id);
        }
        if !wanted.is_empty() {
            changed |= self.mark_all_precise(first_parent);
        }
        Ok(changed)
    }

    /// The first instruction of a global function: only its arguments may be wanted.
    fn reach_entry(
        &mut self,
        wanted: &mut Wanted,
        id: Option<StateId>,
        mut changed: bool,
    ) -> Checked<bool> {
        let Some(id) = id else { return Ok(changed) };
        let state = self.store.get(id);
        let first = state.frame(0);
        let slots = wanted.slots.iter().any(|m| *m != 0);
        if state.curframe() == 0
            && first.subprog > 0
            && first.callsite == -1
            && !slots
            && wanted.regs[0] & !ARGS == 0
        {
            let regs = wanted.regs[0];
            let state = self.store.get_mut(id);
            for n in (0..10).filter(|n| regs & 1 << n != 0) {
                if state.frame(0).regs[n].is_scalar() && !state.frame(0).regs[n].precise {
                    state.frame_mut(0).regs[n].precise = true;
                    changed = true;
                }
            }
            return Ok(changed);
        }
        reject!(
            EFAULT,
            Bug::PrecisionEntry {
                func: first.subprog,
                regs: wanted.regs[wanted.frame],
                slots: wanted.slots[wanted.frame]
            }
        )
    }

    /// Marks what is wanted in a stored state; what is marked already, or is no number, is found.
    fn mark_in_state(&mut self, id: StateId, wanted: &mut Wanted) -> Checked<bool> {
        let mut changed = false;
        for n in (0..=wanted.frame).rev() {
            let state = self.store.get_mut(id);
            if n >= state.frames.len() {
                return reject!(EFAULT, Bug::PrecisionFrame { frame: n });
            }
            for r in 0..11 {
                if wanted.regs[n] & 1 << r == 0 {
                    continue;
                }
                let reg = &state.frame(n).regs[r];
                if !reg.is_scalar() || reg.precise {
                    wanted.regs[n] &= !(1 << r);
                } else {
                    state.frame_mut(n).regs[r].precise = true;
                    changed = true;
                }
            }
            for s in 0..64 {
                if wanted.slots[n] & 1 << s == 0 {
                    continue;
                }
                let Some(slot) = state.frame(n).stack.slots().get(s) else {
                    return reject!(
                        EFAULT,
                        Bug::PrecisionSlot { slot: s, slots: state.frame(n).stack.slots().len() }
                    );
                };
                if !slot.is_spilled_scalar() || slot.spilled.precise {
                    wanted.slots[n] &= !(1 << s);
                } else {
                    state.frame_mut(n).stack.slot_mut(s).spilled.precise = true;
                    changed = true;
                }
            }
            if self.log.all_paths() {
                let text = self.frame_text(self.store.get(id), n, true);
                let (regs, slots) = (RegMask(wanted.regs[n]), SlotMask(wanted.slots[n]));
                self.log.say(&Note::BacktrackState { frame: n, regs, slots, state: &text });
            }
        }
        Ok(changed)
    }

    /// Marks every number of every state on the way.
    pub(super) fn mark_all_precise(&mut self, mut next: Option<StateId>) -> bool {
        let mut changed = false;
        let frame = self.state.curframe();
        say2!(self, Note::ForcesAll { frame });
        while let Some(id) = next {
            self.say_forced(id);
            let state = self.store.get_mut(id);
            state.for_each_reg_where(
                |reg| reg.is_scalar() && !reg.precise,
                |reg| {
                    reg.precise = true;
                    changed = true;
                },
            );
            next = state.parent;
        }
        changed
    }

    fn say_forced(&mut self, id: StateId) {
        if !self.log.all_paths() {
            return;
        }
        let state = self.store.get(id);
        for (n, frame) in state.frames.iter().enumerate() {
            let newly = |reg: &RegState| reg.is_scalar() && !reg.precise;
            let regs = frame.regs[..10].iter().enumerate().filter(|(_, reg)| newly(reg));
            for (r, _) in regs {
                say2!(self, Note::ForcesReg { frame: n, reg: r });
            }
            for (s, slot) in frame.stack.slots().iter().enumerate() {
                if slot.is_spilled() && newly(&slot.spilled) {
                    let off = -8 * s as i32 - 8;
                    say2!(self, Note::ForcesSlot { frame: n, off });
                }
            }
        }
    }

    /// One instruction backwards.
    fn step_back(
        &mut self,
        at: usize,
        subsequent: usize,
        hist: Option<HistEntry>,
        wanted: &mut Wanted,
    ) -> Back {
        if self.prog.insns[at].code == 0 {
            return Ok(());
        }
        if self.log.all_paths() {
            let frame = wanted.frame;
            let (regs, slots) = (RegMask(wanted.regs[frame]), SlotMask(wanted.slots[frame]));
            let insn = self.insn_text(at);
            self.log.say(&Note::BacktrackInsn { frame, regs, slots, insn: at, text: &insn });
        }
        sync_linked(hist, wanted);
        let Some(op) = self.ops[at] else { return Ok(()) };
        match op {
            Op::Alu { op: AluOp::Mov, dst, src, .. } if wanted.has(dst.index()) => {
                wanted.drop(dst.index());
                if let Src::Reg(src) = src {
                    want_unless_fp(wanted, src.index());
                }
            }
            Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. }
                if wanted.has(dst.index()) =>
            {
                wanted.drop(dst.index());
                want_unless_fp(wanted, src.index());
            }
            Op::Alu { op, dst, src: Src::Reg(src), .. }
                if op != AluOp::Mov && wanted.has(dst.index()) =>
            {
                want_unless_fp(wanted, src.index());
            }
            Op::Alu { .. } | Op::MovSx { .. } | Op::AddrSpaceCast { .. } => return Ok(()),
            Op::Neg { .. } | Op::End { .. } => return Ok(()),
            Op::Load { dst, .. } | Op::LoadAcquire { dst, .. } => {
                load_back(dst.index(), hist, wanted);
            }
            Op::Atomic { op, fetch, base, src, .. } => {
                let old = if op == AtomicOp::Cmpxchg { 0 } else { src.index() };
                let asked = fetch && wanted.has(old);
                store_back(base.index(), Some(src.index()), hist, wanted)?;
                // Linux 6.18 goes on looking for the register, which does no harm, and forgets
                // the slot that the number came from, which does.
                if asked {
                    want_slot(hist, wanted);
                }
            }
            Op::StoreRelease { base, src, .. } => {
                store_back(base.index(), Some(src.index()), hist, wanted)?;
            }
            Op::Store { base, src, .. } => {
                let src = match src {
                    Src::Reg(src) => Some(src.index()),
                    Src::Imm(_) => None,
                };
                store_back(base.index(), src, hist, wanted)?;
            }
            Op::LdImm64 { dst, .. } => {
                wanted.drop(dst.index());
                return Ok(());
            }
            Op::LdAbs { .. } | Op::LdInd { .. } => {
                if wanted.has(0) {
                    return Err(Stop::Lost);
                }
                // Not followed by the next instruction: it returned from its subprogram.
                return if subsequent == at + 1 { Ok(()) } else { enter_callee(wanted) };
            }
            Op::Call(callee) => return self.call_back(at, subsequent, callee, hist, wanted),
            Op::Exit => return self.exit_back(subsequent, wanted),
            Op::Jmp { dst, src: Src::Reg(src), .. } => {
                if !wanted.has(dst.index()) && !wanted.has(src.index()) {
                    return Ok(());
                }
                let flags = hist.map_or(HistFlags::empty(), |h| h.flags);
                if !flags.contains(HistFlags::SRC_IS_STACK) {
                    wanted.want(src.index());
                }
                if !flags.contains(HistFlags::DST_IS_STACK) {
                    wanted.want(dst.index());
                }
            }
            Op::Jmp { .. } | Op::Ja { .. } | Op::MayGoto { .. } => {}
        }
        sync_linked(hist, wanted);
        Ok(())
    }

    fn call_back(
        &self,
        at: usize,
        subsequent: usize,
        callee: Callee,
        hist: Option<HistEntry>,
        wanted: &mut Wanted,
    ) -> Back {
        let frame = wanted.frame;
        let regs = wanted.regs[frame];
        if let Callee::Subprog(rel) = callee {
            let target = (at as i64 + i64::from(rel) + 1) as usize;
            let global = self.subprog_starting(target).is_some_and(|n| self.subprogs[n].is_global);
            if global {
                if regs & ARGS != 0 {
                    return Err(Stop::Bug(Bug::GlobalRegs { regs }));
                }
                wanted.drop(0);
                return Ok(());
            }
            leave_callee(wanted, true)?;
            return Ok(());
        }
        if self.aux[at].calls_callback && at.wrapping_add(1) != subsequent {
            return leave_callee(wanted, false);
        }
        if matches!(callee, Callee::Kfunc { id: 0, .. }) {
            return Err(Stop::Lost);
        }
        if matches!(callee, Callee::Helper(TAIL_CALL)) && at.wrapping_add(1) != subsequent {
            // The path went on behind the caller's call: the tail call ended the subprogram.
            wanted.drop(0);
            return enter_callee(wanted);
        }
        wanted.drop(0);
        if wanted.regs[frame] & ARGS != 0 {
            return Err(Stop::Bug(Bug::CallRegs { regs: wanted.regs[frame] }));
        }
        sync_linked(hist, wanted);
        Ok(())
    }

    /// Into the subprogram or callback that the path returned from.
    fn exit_back(&self, subsequent: usize, wanted: &mut Wanted) -> Back {
        let from_call =
            subsequent != NO_INSN && subsequent > 0 && self.is_subprog_call(subsequent - 1);
        let r0 = from_call && wanted.has(0);
        let frame = wanted.frame;
        if subsequent != NO_INSN && self.aux[subsequent].calls_callback {
            // The arguments of the helper that calls back were looked for before.
            wanted.regs[frame] &= !ARGS;
        }
        if wanted.regs[frame] & ARGS != 0 {
            return Err(Stop::Bug(Bug::ExitRegs { regs: wanted.regs[frame] }));
        }
        wanted.drop(0);
        enter_callee(wanted)?;
        if r0 {
            wanted.want(0);
        }
        Ok(())
    }
}

fn want_unless_fp(wanted: &mut Wanted, reg: usize) {
    if reg != 10 {
        wanted.want(reg);
    }
}

fn enter_callee(wanted: &mut Wanted) -> Back {
    if wanted.frame + 1 >= uapi::MAX_CALL_FRAMES {
        return Err(Stop::Bug(Bug::EnterFromLast));
    }
    wanted.frame += 1;
    Ok(())
}

/// From the first instruction of a callee to its call: arguments are wanted in the caller.
fn leave_callee(wanted: &mut Wanted, arguments: bool) -> Back {
    let frame = wanted.frame;
    if wanted.regs[frame] & !ARGS != 0 {
        return Err(Stop::Bug(Bug::CalleeRegs { regs: wanted.regs[frame] }));
    }
    if wanted.slots[frame] != 0 {
        return Err(Stop::Bug(Bug::CalleeSlots { slots: wanted.slots[frame] }));
    }
    if frame == 0 {
        return Err(Stop::Bug(Bug::ExitFromFirst));
    }
    let regs = std::mem::take(&mut wanted.regs[frame]);
    wanted.frame -= 1;
    if arguments {
        wanted.regs[frame - 1] |= regs & ARGS;
    }
    Ok(())
}

fn load_back(reg: usize, hist: Option<HistEntry>, wanted: &mut Wanted) {
    if !wanted.has(reg) {
        return;
    }
    wanted.drop(reg);
    want_slot(hist, wanted);
}

/// The stack slot that the instruction read, if it did.
fn want_slot(hist: Option<HistEntry>, wanted: &mut Wanted) {
    if let Some(h) = hist
        && h.flags.contains(HistFlags::STACK_ACCESS)
    {
        wanted.slots[usize::from(h.frame)] |= 1 << h.spi;
    }
}

fn store_back(
    base: usize,
    src: Option<usize>,
    hist: Option<HistEntry>,
    wanted: &mut Wanted,
) -> Back {
    if wanted.has(base) {
        // A number as base: a difference of pointers.
        return Err(Stop::Lost);
    }
    let Some(h) = hist else { return Ok(()) };
    let (frame, spi) = (usize::from(h.frame), usize::from(h.spi));
    if h.flags.contains(HistFlags::STACK_ACCESS) && wanted.has_slot(frame, spi) {
        wanted.slots[frame] &= !(1 << spi);
        if let Some(src) = src {
            wanted.want(src);
        }
    }
    Ok(())
}

/// If one of several linked numbers is wanted, all are.
fn sync_linked(hist: Option<HistEntry>, wanted: &mut Wanted) {
    let Some(h) = hist else { return };
    if h.linked == 0 {
        return;
    }
    let set = unpack(h.linked);
    let some = set.iter().any(|p| {
        let (frame, index) = (usize::from(p.frame), p.index);
        if p.is_reg {
            wanted.regs[frame] & 1 << index != 0
        } else {
            wanted.slots[frame] & 1 << index != 0
        }
    });
    if some {
        for p in &set {
            if p.is_reg {
                wanted.regs[usize::from(p.frame)] |= 1 << p.index;
            } else {
                wanted.slots[usize::from(p.frame)] |= 1 << p.index;
            }
        }
    }
}
