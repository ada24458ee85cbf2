//! The order of instructions, and the limits of the walk.

use super::reasons;

reasons! {
    /// The order of instructions, and the limits of the walk.
    BadFlow {
        /// No path leads there.
        Unreachable { insn: usize } => "unreachable insn {insn}",
        /// A jump into the second half of an instruction.
        IntoImm64 { insn: usize } => "jump into the middle of ldimm64 insn {insn}",
        /// A jump out of the function.
        JumpRange { from: usize, to: i64 } => "jump out of range from insn {from} to {to}",
        /// A loop where none is allowed.
        BackEdge { from: usize, to: usize } => "back-edge from insn {from} to {to}",
        /// The code runs off its end.
        NoExit => "last insn is not an exit or jmp",
        /// A call out of the program.
        CallTarget => "call to invalid destination",
        /// More than 256 functions.
        TooManySubprogs => "too many subprograms",
        /// The loop makes no progress.
        Loop { insn: usize } => "infinite loop detected at insn {insn}",
        /// The state that came back.
        LoopNow { state: Box<str> } => "cur state:{state}",
        /// The state that it equals.
        LoopBefore { state: Box<str> } => "old state:{state}",
        /// The walk is too long.
        TooManyInsns { processed: u32 } => "BPF program is too large. Processed {processed} insn",
        /// Too many branches wait.
        TooManyBranches { pending: usize, tail: &'static str } => "The sequence of {pending} jumps is too complex{tail}.",
        /// The walk left the program.
        InsnIndex { insn: usize, count: usize } => "invalid insn idx {insn} insn_cnt {count}",
    }
}
