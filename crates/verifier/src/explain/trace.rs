//! The path being walked, step by step: kept only while a rejection is being explained.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::state::{FuncState, RegState, VerifierState};

/// Steps kept of one path; the oldest are forgotten first.
const KEPT: usize = 20_000;

/// State before one instruction.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) insn: usize,
    pub(crate) frames: SmallVec<[Rc<FuncState>; 4]>,
    /// References held, with where each was acquired.
    pub(crate) refs: SmallVec<[(u32, u32); 2]>,
}

impl Step {
    pub(crate) fn of(state: &VerifierState, insn: usize) -> Step {
        let refs = state.refs.iter().map(|r| (r.id, r.insn_idx)).collect();
        Step { insn, frames: state.frames.clone(), refs }
    }

    pub(crate) fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    pub(crate) fn reg(&self, frame: usize, n: usize) -> Option<&RegState> {
        self.frames.get(frame)?.regs.get(n)
    }
}

/// The current path, and where pending ones left it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    steps: Vec<Step>,
    /// Steps forgotten before the first one kept.
    forgotten: usize,
    /// Length of the path when each pending path was left.
    marks: Vec<usize>,
}

impl Trace {
    pub(crate) fn clear(&mut self) {
        *self = Trace::default();
    }

    pub(crate) fn push(&mut self, step: Step) {
        if self.steps.len() >= 2 * KEPT {
            self.steps.drain(..KEPT);
            self.forgotten += KEPT;
        }
        self.steps.push(step);
    }

    /// A path is put aside.
    pub(crate) fn mark(&mut self) {
        self.marks.push(self.forgotten + self.steps.len());
    }

    /// The path put aside last is taken up.
    pub(crate) fn rewind(&mut self) {
        let Some(mark) = self.marks.pop() else { return };
        match mark.checked_sub(self.forgotten) {
            Some(kept) => self.steps.truncate(kept),
            None => {
                self.steps.clear();
                self.forgotten = mark;
            }
        }
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The path is known from its start on.
    pub(crate) fn is_whole(&self) -> bool {
        self.forgotten == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(insn: usize) -> Step {
        Step::of(&VerifierState::new(FuncState::new(-1, 0, 0), 0, false), insn)
    }

    fn insns(trace: &Trace) -> Vec<usize> {
        trace.steps().iter().map(|s| s.insn).collect()
    }

    #[test]
    fn a_pending_path_goes_on_where_it_was_left() {
        let mut trace = Trace::default();
        trace.push(step(0));
        trace.push(step(1));
        trace.mark();
        trace.push(step(2));
        trace.mark();
        trace.push(step(3));
        trace.rewind();
        assert_eq!(insns(&trace), [0, 1, 2]);
        trace.rewind();
        trace.push(step(7));
        assert_eq!(insns(&trace), [0, 1, 7]);
    }

    #[test]
    fn long_paths_forget_their_start() {
        let mut trace = Trace::default();
        trace.push(step(0));
        trace.mark();
        (1..=2 * KEPT).for_each(|n| trace.push(step(n)));
        assert_eq!(trace.steps().len(), KEPT + 1);
        assert!(!trace.is_whole());
        trace.rewind();
        assert!(trace.steps().is_empty());
    }
}
