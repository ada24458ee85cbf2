//! Frames of calls between subprograms and of callbacks.

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::state::FuncState;

/// Fills a callback's argument registers from its caller's frame.
pub(crate) type CallbackSetUp<'f> = &'f dyn Fn(&FuncState, &mut FuncState) -> Checked;

impl Env<'_> {
    /// A helper at `insn_idx` calls subprogram `subprog` any number of times before it returns:
    /// the frame is pushed as a pending path that starts at the callback.
    pub(crate) fn push_sync_callback(
        &mut self,
        insn_idx: usize,
        subprog: usize,
        ret: (i32, i32),
        set_up: CallbackSetUp<'_>,
    ) -> Checked {
        let _ = (insn_idx, subprog, ret, set_up);
        reject!(EINVAL)
    }

    /// Subprogram `subprog` will run later on its own (timers, work queues): a path of its own.
    pub(crate) fn push_async_callback(
        &mut self,
        insn_idx: usize,
        subprog: usize,
        sleepable: bool,
        set_up: CallbackSetUp<'_>,
    ) -> Checked {
        let _ = (insn_idx, subprog, sleepable, set_up);
        reject!(EINVAL)
    }
}
