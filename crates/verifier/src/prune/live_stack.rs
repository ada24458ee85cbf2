//! Which stack slots may still be read: per chain of calls and instruction, reads and certain
//! writes are gathered on the walk and spread backwards on demand.
//!
//! A slot is live before an instruction if the instruction may read it, or if it is live before a
//! successor and the instruction does not surely write it. What a callee does to its callers'
//! frames is carried over to the call.

use isa::Insn;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::env::{InsnAux, Subprog};
use crate::event::{CallChain, Note, SlotChange, SlotMask};
use crate::log::Log;
use crate::passes::successors;
use crate::state::VerifierState;

const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const TAIL_CALL: i32 = 12;

/// Call sites down to a subprogram, and its first instruction.
type Chain = SmallVec<[u32; 4]>;

/// Slots of one frame, at one instruction: bit n is slot n.
#[derive(Clone, Copy, Default)]
struct Masks {
    may_read: u64,
    must_write: u64,
    /// Surely written here or later in the subprogram.
    written_after: u64,
    live_before: u64,
}

/// Masks of one frame for each instruction of a subprogram, and those to look at again.
struct FrameMasks {
    masks: Vec<Masks>,
    /// Instructions (from the subprogram's first) whose own reads or writes changed.
    dirty: Vec<u32>,
}

/// The program's flow, worked out once.
#[derive(Default)]
struct Flow {
    /// Place in its subprogram's postorder.
    rank: Vec<u32>,
    /// Slots after which each slot may come, `before[starts[n]..starts[n + 1]]`.
    starts: Vec<u32>,
    before: Vec<u32>,
}

/// A subprogram as called along one chain.
struct Instance {
    chain: Chain,
    /// First slots of the subprograms along the chain.
    starts: Chain,
    subprog: usize,
    start: usize,
    len: usize,
    updated: bool,
    must_write_dropped: bool,
    /// Per frame of the chain, per instruction; allocated when touched.
    frames: Vec<Option<FrameMasks>>,
    visited: Vec<bool>,
}

/// What all instances read and write.
#[derive(Default)]
pub(crate) struct LiveStack {
    by_chain: FxHashMap<Chain, usize>,
    instances: Vec<Instance>,
    current: Option<usize>,
    /// Slots surely written by the current instruction.
    writes: [u64; uapi::MAX_CALL_FRAMES],
    insn: usize,
    flow: Flow,
}

impl LiveStack {
    /// The frames changed: look the instance up again.
    pub(crate) fn forget_current(&mut self) {
        self.current = None;
    }

    /// Before an instruction of the current path.
    pub(crate) fn begin_insn(&mut self, state: &VerifierState, subs: &[Subprog], at: usize) {
        self.ensure_current(state, subs);
        self.insn = at;
        self.writes = [0; uapi::MAX_CALL_FRAMES];
    }

    /// The instruction surely writes these slots of that frame.
    pub(crate) fn mark_write(&mut self, frame: usize, mask: u64) {
        self.writes[frame] |= mask;
    }

    /// After the instruction, unless the frames changed.
    pub(crate) fn end_insn(&mut self) {
        if let Some(current) = self.current {
            let (at, writes) = (self.insn, self.writes);
            self.instances[current].commit(at, &writes);
        }
    }

    /// The instruction may read these slots of that frame.
    pub(crate) fn mark_read(
        &mut self,
        state: &VerifierState,
        subs: &[Subprog],
        frame: usize,
        at: usize,
        mask: u64,
    ) {
        let current = self.ensure_current(state, subs);
        self.instances[current].read(frame, at, mask);
    }

    fn ensure_current(&mut self, state: &VerifierState, subs: &[Subprog]) -> usize {
        if let Some(current) = self.current {
            return current;
        }
        let current = self.instance(state, subs, state.curframe());
        self.current = Some(current);
        current
    }

    /// The instance of a frame of the state.
    fn instance(&mut self, state: &VerifierState, subs: &[Subprog], frame: usize) -> usize {
        let chain = chain_of(state, subs, frame);
        if let Some(&found) = self.by_chain.get(&chain) {
            return found;
        }
        let starts =
            state.frames[..=frame].iter().map(|f| subs[f.subprog as usize].start as u32).collect();
        self.insert(chain, starts, subs)
    }

    fn insert(&mut self, chain: Chain, starts: Chain, subs: &[Subprog]) -> usize {
        let start = starts[starts.len() - 1] as usize;
        let subprog = subs.partition_point(|s| s.start <= start).saturating_sub(1);
        let len = subs[subprog].end - subs[subprog].start;
        let frames = (0..chain.len()).map(|_| None).collect();
        let visited = vec![false; len];
        self.by_chain.insert(chain.clone(), self.instances.len());
        self.instances.push(Instance {
            chain,
            starts,
            subprog,
            start,
            len,
            updated: false,
            must_write_dropped: false,
            frames,
            visited,
        });
        self.instances.len() - 1
    }

    /// Spreads what was gathered along the current path's frames, innermost first.
    pub(crate) fn update(
        &mut self,
        state: &VerifierState,
        subs: &[Subprog],
        insns: &[Insn],
        postorder: &[u32],
        aux: &[InsnAux],
        mut log: Option<&mut Log>,
    ) {
        self.current = None;
        for frame in (0..state.frames.len()).rev() {
            let at = self.instance(state, subs, frame);
            if !self.instances[at].updated {
                continue;
            }
            let sub = self.instances[at].subprog;
            let from = subs[sub].postorder_start;
            let to = subs.get(sub + 1).map_or(postorder.len(), |s| s.postorder_start);
            if self.flow.rank.is_empty() {
                self.flow = Flow::new(insns, subs, postorder);
            }
            let order = &postorder[from..to];
            self.instances[at].spread(insns, order, &self.flow, aux, log.as_deref_mut());
            if frame > 0 {
                self.carry_out(at, subs);
            }
            self.instances[at].updated = false;
            self.instances[at].must_write_dropped = false;
        }
    }

    /// What the subprogram does to its callers' frames happens at the call.
    fn carry_out(&mut self, at: usize, subs: &[Subprog]) {
        let inner = &self.instances[at];
        let depth = inner.chain.len() - 1;
        let callsite = inner.chain[depth - 1] as usize;
        let entry: SmallVec<[(usize, Masks); 8]> =
            (0..depth).filter_map(|f| Some((f, inner.frames[f].as_ref()?.masks[0]))).collect();
        let starts: Chain = inner.starts[..depth].into();
        let mut chain: Chain = inner.chain[..depth].into();
        chain[depth - 1] = starts[depth - 1];
        let outer = match self.by_chain.get(&chain) {
            Some(&outer) => outer,
            None => self.insert(chain, starts, subs),
        };
        let mut writes = [0; uapi::MAX_CALL_FRAMES];
        for (frame, masks) in &entry {
            writes[*frame] = masks.written_after;
            self.instances[outer].read(*frame, callsite, masks.live_before);
        }
        self.instances[outer].commit(callsite, &writes);
    }

    /// Whether slot `spi` of a frame may be read from where the stored state stands.
    pub(crate) fn is_alive(
        &self,
        aux: &[InsnAux],
        subs: &[Subprog],
        state: &VerifierState,
        frame: usize,
        spi: usize,
    ) -> bool {
        let innermost = state.curframe();
        let live = |at_frame: usize, insn: usize| {
            let chain = chain_of(state, subs, at_frame);
            self.by_chain.get(&chain).is_some_and(|i| self.instances[*i].is_live(frame, insn, spi))
        };
        if live(innermost, state.insn_idx as usize) {
            return true;
        }
        (frame..innermost).any(|outer| {
            let callsite = state.frame_insn(outer);
            let resumes = if aux[callsite].calls_callback { callsite } else { callsite + 1 };
            live(outer, resumes)
        })
    }
}

fn chain_of(state: &VerifierState, subs: &[Subprog], frame: usize) -> Chain {
    let mut chain: Chain = (0..frame).map(|n| state.frames[n + 1].callsite as u32).collect();
    chain.push(subs[state.frames[frame].subprog as usize].start as u32);
    chain
}

/// How a mask changed.
fn tell(log: &mut Log, old: u64, new: u64, change: SlotChange<'_>) {
    if old != new {
        let (gained, lost) = (SlotMask(new & !old), SlotMask(old & !new));
        log.say(&Note::SlotUse(SlotChange { gained, lost, ..change }));
    }
}

/// Slots that may follow; a tail call that succeeds leaves the subprogram at `exit`.
fn followers(insns: &[Insn], at: usize, exit: Option<usize>) -> SmallVec<[usize; 2]> {
    let mut next = successors(insns, at);
    let insn = insns[at];
    if insn.code == CALL && insn.src().0 == 0 && insn.imm == TAIL_CALL {
        next.extend(exit);
    }
    next
}

/// The last exit of a subprogram; the main program returns to no caller.
fn exit_of(insns: &[Insn], start: usize, end: usize) -> Option<usize> {
    (start..end).rev().find(|at| start > 0 && insns[*at].code == EXIT)
}

impl Flow {
    fn new(insns: &[Insn], subs: &[Subprog], postorder: &[u32]) -> Flow {
        let mut rank = vec![u32::MAX; insns.len()];
        let mut edges = Vec::new();
        for (n, sub) in subs.iter().enumerate() {
            let to = subs.get(n + 1).map_or(postorder.len(), |s| s.postorder_start);
            let exit = exit_of(insns, sub.start, sub.end);
            for (place, &at) in postorder[sub.postorder_start..to].iter().enumerate() {
                rank[at as usize] = place as u32;
                let next = followers(insns, at as usize, exit);
                edges.extend(next.iter().map(|to| (*to as u32, at)));
            }
        }
        edges.sort_unstable();
        let mut starts = vec![0u32; insns.len() + 1];
        for (to, _) in &edges {
            starts[*to as usize + 1] += 1;
        }
        for n in 0..insns.len() {
            starts[n + 1] += starts[n];
        }
        Flow { rank, starts, before: edges.into_iter().map(|(_, from)| from).collect() }
    }

    fn before(&self, at: usize) -> &[u32] {
        &self.before[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// A set of places in a postorder, emptied in ascending order.
struct Places(Vec<u64>);

impl Places {
    fn add(&mut self, place: u32) {
        if let Some(word) = self.0.get_mut(place as usize / 64) {
            *word |= 1 << (place % 64);
        }
    }

    /// Takes the first place from `from` on.
    fn take_from(&mut self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.0.get(word)? & !0 << (from % 64);
        while bits == 0 {
            word += 1;
            bits = *self.0.get(word)?;
        }
        let bit = bits.trailing_zeros() as usize;
        self.0[word] &= !(1 << bit);
        Some(word * 64 + bit)
    }
}

impl Instance {
    fn frame(&mut self, frame: usize) -> &mut FrameMasks {
        let len = self.len;
        self.frames[frame].get_or_insert_with(|| FrameMasks {
            masks: vec![Masks::default(); len],
            // Everything is to be looked at once.
            dirty: (0..len as u32).collect(),
        })
    }

    fn read(&mut self, frame: usize, at: usize, mask: u64) {
        let idx = at - self.start;
        let frame = self.frame(frame);
        let masks = &mut frame.masks[idx];
        if mask & !masks.may_read == 0 {
            return;
        }
        let news = mask & !masks.may_read & !masks.live_before != 0;
        masks.may_read |= mask;
        frame.dirty.push(idx as u32);
        self.updated |= news;
    }

    /// Sure writes of one visit: a slot stays sure only if every visit writes it.
    fn commit(&mut self, at: usize, writes: &[u64]) {
        let idx = at - self.start;
        let seen = self.visited[idx];
        for (frame, &mask) in writes.iter().enumerate().take(self.frames.len()) {
            let mut mask = mask;
            if mask == 0 && (!seen || self.frames[frame].is_none()) {
                continue;
            }
            let frame = self.frame(frame);
            let masks = &mut frame.masks[idx];
            let old = masks.must_write;
            if seen {
                mask &= old;
            }
            if old == mask {
                continue;
            }
            masks.must_write = mask;
            frame.dirty.push(idx as u32);
            self.updated = true;
            self.must_write_dropped |= old & !mask != 0;
        }
        self.visited[idx] = true;
    }

    /// Liveness backwards until nothing changes: rounds over the postorder, looking only at
    /// instructions for which something changed.
    fn spread(
        &mut self,
        insns: &[Insn],
        order: &[u32],
        flow: &Flow,
        aux: &[InsnAux],
        mut log: Option<&mut Log>,
    ) {
        let (start, len) = (self.start, self.len);
        let chain = CallChain(&self.chain);
        let exit = exit_of(insns, start, start + len);
        let mut pending: Vec<Option<Places>> = Vec::new();
        for frame in &mut self.frames {
            let Some(frame) = frame else {
                pending.push(None);
                continue;
            };
            let mut places = Places(vec![0; order.len().div_ceil(64)]);
            if self.must_write_dropped {
                for masks in &mut frame.masks {
                    masks.written_after = 0;
                }
                frame.dirty.clear();
                (0..order.len()).for_each(|place| places.add(place as u32));
            }
            for idx in frame.dirty.drain(..) {
                places.add(flow.rank[start + idx as usize]);
            }
            pending.push(Some(places));
        }
        let mut rounds = 0;
        let mut changed = true;
        while changed {
            changed = false;
            rounds += 1;
            for (n, frame) in self.frames.iter_mut().enumerate() {
                let (Some(frame), Some(places)) = (frame, &mut pending[n]) else { continue };
                let mut from = 0;
                while let Some(place) = places.take_from(from) {
                    from = place + 1;
                    let at = order[place] as usize;
                    let next = followers(insns, at, exit);
                    if next.is_empty() {
                        continue;
                    }
                    let masks = &mut frame.masks;
                    let (mut after, mut written) = (0, u64::MAX);
                    for to in next {
                        if let Some(to) = to.checked_sub(start).and_then(|to| masks.get(to)) {
                            after |= to.live_before;
                            written &= to.written_after;
                        }
                    }
                    let here = &mut masks[at - start];
                    written |= here.must_write;
                    let before = after & !here.must_write | here.may_read;
                    if before == here.live_before && written == here.written_after {
                        continue;
                    }
                    changed = true;
                    flow.before(at).iter().for_each(|from| places.add(flow.rank[*from as usize]));
                    let told = here.may_read != 0
                        || here.must_write != 0
                        || at == start
                        || aux[at].prune_point;
                    if told && let Some(log) = log.as_deref_mut() {
                        let none = SlotMask(0);
                        let of = |what| SlotChange {
                            chain,
                            frame: n,
                            insn: at,
                            what,
                            gained: none,
                            lost: none,
                        };
                        tell(log, here.live_before, before, of("live"));
                        tell(log, here.written_after, written, of("written"));
                    }
                    (here.live_before, here.written_after) = (before, written);
                }
            }
        }
        if let Some(log) = log {
            log.say(&Note::SlotsDone { chain, rounds });
        }
    }

    fn is_live(&self, frame: usize, at: usize, spi: usize) -> bool {
        let frame = self.frames.get(frame).and_then(Option::as_ref);
        let masks = frame.and_then(|f| f.masks.get(at.wrapping_sub(self.start)));
        masks.is_some_and(|m| m.live_before & 1 << spi != 0)
    }
}
