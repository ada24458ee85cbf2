//! Where states are kept.

use rustc_hash::FxHashMap;

use super::live_stack::LiveStack;
use super::scc::{SccChain, SccVisit};
use crate::state::{StateId, VerifierState};

/// A stored state and how useful it was.
pub(super) struct Stored {
    pub(super) state: VerifierState,
    pub(super) hits: u32,
    pub(super) misses: u32,
    /// No longer compared with, kept for paths that come from it.
    pub(super) retired: bool,
    /// Its place may be used again.
    vacant: bool,
}

/// Stored states.
#[derive(Default)]
pub(crate) struct Store {
    stored: Vec<Stored>,
    vacancies: Vec<u32>,
    /// By instruction and call site, as Linux hashes them; oldest first.
    buckets: Vec<Vec<StateId>>,
    pub(super) visits: FxHashMap<SccChain, SccVisit>,
    /// What instructions read and write of the stack.
    pub(crate) live: LiveStack,
    /// Masked arithmetic was met: unknown numbers must be equal to be pruned.
    pub(crate) explore_alu_limits: bool,
    /// States to compare with, states retired, and loop ends waiting.
    pub(super) explored: u32,
    pub(super) retired: u32,
    pub(super) backedges: u32,
    /// Jumps and instructions when a state was last stored.
    pub(super) last_jumps: u32,
    pub(super) last_insns: u32,
}

impl Store {
    /// Forgets all states, keeps what was learnt of the stack's use.
    pub(crate) fn clear(&mut self) {
        self.stored.clear();
        self.vacancies.clear();
        self.buckets.iter_mut().for_each(Vec::clear);
        self.visits.clear();
        // Linux goes on counting states of functions verified before.
        self.backedges = 0;
    }

    pub(crate) fn get(&self, id: StateId) -> &VerifierState {
        &self.stored[id.0 as usize].state
    }

    pub(crate) fn get_mut(&mut self, id: StateId) -> &mut VerifierState {
        &mut self.stored[id.0 as usize].state
    }

    pub(super) fn entry(&self, id: StateId) -> &Stored {
        &self.stored[id.0 as usize]
    }

    pub(super) fn entry_mut(&mut self, id: StateId) -> &mut Stored {
        &mut self.stored[id.0 as usize]
    }

    /// Bucket of an instruction and call site in a program of `len` slots.
    pub(super) fn bucket_of(len: usize, insn: usize, callsite: i32) -> usize {
        ((insn as u32 ^ callsite as u32) % len as u32) as usize
    }

    /// States of a bucket, oldest first.
    pub(super) fn bucket(&self, bucket: usize) -> &[StateId] {
        self.buckets.get(bucket).map_or(&[], Vec::as_slice)
    }

    /// Stores a state as the newest of its bucket.
    pub(super) fn add(&mut self, bucket: usize, state: VerifierState) -> StateId {
        let stored = Stored { state, hits: 0, misses: 0, retired: false, vacant: false };
        let id = match self.vacancies.pop() {
            Some(at) => {
                self.stored[at as usize] = stored;
                StateId(at)
            }
            None => {
                self.stored.push(stored);
                StateId(self.stored.len() as u32 - 1)
            }
        };
        if self.buckets.len() <= bucket {
            self.buckets.resize_with(bucket + 1, Vec::new);
        }
        self.buckets[bucket].push(id);
        self.explored += 1;
        id
    }

    /// Takes the state at this place of its bucket out of comparison.
    pub(super) fn retire(&mut self, bucket: usize, at: usize) -> StateId {
        let id = self.buckets[bucket].remove(at);
        self.entry_mut(id).retired = true;
        self.explored -= 1;
        self.retired += 1;
        id
    }

    /// Drops a retired state that nothing refers to any more.
    pub(super) fn vacate(&mut self, id: StateId) {
        let stored = self.entry_mut(id);
        if stored.vacant {
            return;
        }
        stored.vacant = true;
        stored.state.frames.clear();
        stored.state.hist = std::rc::Rc::default();
        self.vacancies.push(id.0);
        self.retired -= 1;
    }
}
