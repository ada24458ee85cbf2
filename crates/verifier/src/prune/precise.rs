//! Precision: which scalars a decision rested on.

use crate::env::Env;
use crate::error::Checked;

impl Env<'_> {
    /// The value of the register in the current frame decided a check: it and everything it was
    /// computed from, back along the path, must be compared exactly by pruning.
    pub(crate) fn mark_chain_precision(&mut self, regno: usize) -> Checked {
        let _ = regno;
        Ok(())
    }

    /// The same for the scalar spilled in slot `spi` of frame `frame`.
    pub(crate) fn mark_stack_precision(&mut self, frame: usize, spi: usize) -> Checked {
        let _ = (frame, spi);
        Ok(())
    }
}
