//! Ids of two states that stand for each other.

use smallvec::SmallVec;

use crate::state::ADD_CONST;

/// Most pairs: every register and slot of every frame (`BPF_ID_MAP_SIZE`).
const MAX_PAIRS: usize = (11 + 64) * 8;

/// Pairs seen so far: an id of the old state always means the same id of the new one.
#[derive(Default)]
pub(crate) struct IdMap {
    pairs: SmallVec<[(u32, u32); 32]>,
    /// Last id given to numbers that have none.
    fresh: u32,
}

impl IdMap {
    /// An empty map; `last` is the last id in use.
    pub(crate) fn new(last: u32) -> IdMap {
        IdMap { pairs: SmallVec::new(), fresh: last }
    }

    /// Whether the ids may stand for each other.
    pub(crate) fn check(&mut self, old: u32, cur: u32) -> bool {
        if (old == 0) != (cur == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for &(o, c) in &self.pairs {
            if o == old {
                return c == cur;
            }
            if c == cur {
                return false;
            }
        }
        if self.pairs.len() >= MAX_PAIRS {
            return false;
        }
        self.pairs.push((old, cur));
        true
    }

    /// Of numbers: links that the old state did not have do no harm, those it had must be there.
    pub(crate) fn check_scalar(&mut self, old: u32, cur: u32) -> bool {
        if old == 0 {
            return true;
        }
        let cur = if cur != 0 {
            cur
        } else {
            self.fresh += 1;
            self.fresh
        };
        if !self.check(old, cur) {
            return false;
        }
        old & ADD_CONST == 0 || self.check(old & !ADD_CONST, cur & !ADD_CONST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_means_one_id() {
        let mut ids = IdMap::new(100);
        assert!(ids.check(1, 7) && ids.check(1, 7));
        assert!(!ids.check(1, 8) && !ids.check(2, 7));
        assert!(!ids.check(0, 3) && !ids.check(3, 0) && ids.check(0, 0));
    }

    #[test]
    fn lost_links_are_found() {
        // Old: two linked numbers; new: two unlinked ones.
        let mut ids = IdMap::new(100);
        assert!(ids.check_scalar(5, 0));
        assert!(!ids.check_scalar(5, 0));
        // Links added by the new state are fine.
        assert!(ids.check_scalar(0, 9));
    }
}
