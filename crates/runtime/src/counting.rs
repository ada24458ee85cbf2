//! Whether runs are counted: while somebody holds a descriptor that asks for it (BPF_ENABLE_STATS).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::door::Counted;

/// How many ask for times, in the lower half, and for instructions, in the upper one.
#[derive(Default)]
pub(crate) struct Counting(AtomicU64);

/// One who asks, until dropped.
pub(crate) struct Asking {
    counting: Arc<Counting>,
    unit: u64,
}

impl Counting {
    pub(crate) fn ask(self: &Arc<Counting>, what: Counted) -> Asking {
        let unit = match what {
            Counted::RunTime => 1,
            Counted::Insns => 1 << 32,
        };
        self.0.fetch_add(unit, Relaxed);
        Asking { counting: Arc::clone(self), unit }
    }

    /// Whether runs are counted, and whether their instructions are too.
    pub(crate) fn now(&self) -> (bool, bool) {
        let asked = self.0.load(Relaxed);
        (asked != 0, asked >> 32 != 0)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.counting.0.fetch_sub(self.unit, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_while_asked() {
        let counting = Arc::new(Counting::default());
        let time = counting.ask(Counted::RunTime);
        let insns = counting.ask(Counted::Insns);
        assert_eq!(counting.now(), (true, true));
        drop(insns);
        assert_eq!(counting.now(), (true, false));
        drop(time);
        assert_eq!(counting.now(), (false, false));
    }
}
