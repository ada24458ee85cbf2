//! One frame: registers and stack of a subprogram call.

use super::{RegState, Stack};

/// How a callback's frame came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Callback {
    /// An ordinary call, or the main program.
    #[default]
    None,
    /// Called by a helper that returns afterwards.
    Sync,
    /// Runs later on its own (timers, work queues).
    Async,
    /// The exception callback.
    Exception,
}

/// State of one frame.
#[derive(Clone, Debug)]
pub(crate) struct FuncState {
    pub(crate) regs: [RegState; 11],
    pub(crate) stack: Stack,
    /// The call instruction in the caller; -1 in the main program.
    pub(crate) callsite: i32,
    /// Position in the chain of frames.
    pub(crate) frameno: u8,
    /// Index of the subprogram.
    pub(crate) subprog: u32,
    /// How often asynchronous entries nested.
    pub(crate) async_entry_cnt: u32,
    pub(crate) callback: Callback,
    /// Smallest and largest value a callback may return.
    pub(crate) callback_ret: (i32, i32),
    /// How many iterations of the callback this path has walked.
    pub(crate) callback_depth: u32,
}

impl FuncState {
    /// A frame with nothing initialised but the frame pointer.
    pub(crate) fn new(callsite: i32, frameno: u8, subprog: u32) -> FuncState {
        let mut regs = [RegState::NOT_INIT; 11];
        regs[10] = RegState::pointer(super::RegKind::Stack);
        regs[10].frameno = frameno;
        FuncState {
            regs,
            stack: Stack::default(),
            callsite,
            frameno,
            subprog,
            async_entry_cnt: 0,
            callback: Callback::None,
            callback_ret: (0, 0),
            callback_depth: 0,
        }
    }

    pub(crate) fn in_callback(&self) -> bool {
        self.callback == Callback::Sync
    }

    pub(crate) fn in_async_callback(&self) -> bool {
        self.callback == Callback::Async
    }

    pub(crate) fn in_exception_callback(&self) -> bool {
        self.callback == Callback::Exception
    }
}
