//! Loops: paths that end at a state whose own paths are not finished are settled once they are.

use smallvec::SmallVec;

use crate::env::Env;
use crate::error::Checked;
use crate::event::{LoopChain, Note};
use crate::log::say2;
use crate::state::{StateId, VerifierState};

/// Rounds before everything is taken as precise.
const MAX_ROUNDS: u32 = 64;

/// The calls that lead to a strongly connected component, and its number.
pub(super) type SccChain = SmallVec<[u32; 4]>;

/// A path that ended at an equal state inside the loop.
#[derive(Clone)]
pub(super) struct Backedge {
    pub(super) state: VerifierState,
    pub(super) equal: StateId,
}

/// One stay in a component.
#[derive(Default)]
pub(super) struct SccVisit {
    /// The first state stored inside.
    entry: Option<StateId>,
    pub(super) backedges: Vec<Backedge>,
}

impl Env<'_> {
    /// The component that the outermost frame in any component is in.
    fn scc_chain(&self, state: &VerifierState) -> Option<SccChain> {
        let mut chain = SccChain::new();
        for frame in 0..state.frames.len() {
            let at = state.frame_insn(frame);
            match self.aux[at].scc {
                0 => chain.push(at as u32),
                scc => {
                    chain.push(scc);
                    // Components and call sites must not be mistaken for each other.
                    chain.push(u32::MAX);
                    return Some(chain);
                }
            }
        }
        None
    }

    /// A state was stored: it may be the first inside a component.
    pub(super) fn enter_scc(&mut self, id: StateId) {
        if self.scc_count == 0 {
            return;
        }
        let Some(chain) = self.scc_chain(self.store.get(id)) else { return };
        if self.store.visits.get(&chain).is_none_or(|visit| visit.entry.is_none()) {
            say2!(self, Note::LoopEnter { chain: LoopChain(&chain) });
            self.store.visits.entry(chain).or_default().entry = Some(id);
        }
    }

    /// Whether loop ends of the state's component are waiting: its marks are not final.
    pub(super) fn has_open_loop(&self, state: &VerifierState) -> bool {
        self.store.backedges != 0
            && self
                .scc_chain(state)
                .and_then(|chain| self.store.visits.get(&chain))
                .is_some_and(|visit| !visit.backedges.is_empty())
    }

    /// The current path ended at a state inside a loop that is still being walked.
    pub(super) fn add_backedge(&mut self, equal: StateId, state: VerifierState) {
        let Some(chain) = self.scc_chain(self.store.get(equal)) else { return };
        say2!(self, Note::LoopBackedge { chain: LoopChain(&chain) });
        let visit = self.store.visits.entry(chain).or_default();
        visit.backedges.push(Backedge { state, equal });
        self.store.backedges += 1;
        self.update_peak_states();
    }

    /// All paths from the state are walked: if it was the first of its component, the loop ends
    /// can take over what the rest of the loop needs.
    fn exit_scc(&mut self, id: StateId) -> Checked {
        if self.scc_count == 0 {
            return Ok(());
        }
        let Some(chain) = self.scc_chain(self.store.get(id)) else { return Ok(()) };
        let Some(visit) = self.store.visits.get_mut(&chain) else { return Ok(()) };
        if visit.entry != Some(id) {
            return Ok(());
        }
        visit.entry = None;
        say2!(self, Note::LoopExit { chain: LoopChain(&chain) });
        let Some(visit) = self.store.visits.get_mut(&chain) else { return Ok(()) };
        let backedges = std::mem::take(&mut visit.backedges);
        self.store.backedges -= backedges.len() as u32;
        self.update_peak_states();
        self.propagate_backedges(&backedges)
    }

    fn propagate_backedges(&mut self, backedges: &[Backedge]) -> Checked {
        for _ in 0..MAX_ROUNDS {
            let mut changed = false;
            for edge in backedges.iter().rev() {
                changed |= self.propagate_precision(edge.equal, Some(&edge.state))?;
            }
            if !changed {
                return Ok(());
            }
        }
        for edge in backedges {
            self.mark_all_precise(edge.state.parent);
        }
        Ok(())
    }

    /// The current path is walked to its end: so may be the states it came from.
    pub(crate) fn end_path(&mut self) -> Checked {
        let mut next = self.state.parent;
        let mut child: Option<StateId> = None;
        while let Some(id) = next {
            let state = self.store.get_mut(id);
            state.branches -= 1;
            let (left, parent) = (state.branches, state.parent);
            if left != 0 {
                break;
            }
            self.exit_scc(id)?;
            if let Some(child) = child {
                self.maybe_vacate(child);
            }
            child = Some(id);
            next = parent;
        }
        Ok(())
    }

    /// Drops a retired state once no path comes from it.
    pub(super) fn maybe_vacate(&mut self, id: StateId) {
        let stored = self.store.entry(id);
        if stored.retired && stored.state.branches == 0 && !self.has_open_loop(&stored.state) {
            self.store.vacate(id);
        }
    }

    pub(super) fn update_peak_states(&mut self) {
        let now = self.store.explored + self.store.retired + self.store.backedges;
        self.stats.peak_states = self.stats.peak_states.max(now);
    }
}
