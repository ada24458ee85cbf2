//! What cannot happen: Linux checks it, and so does ring3.

use super::reasons;
use super::value::Ranges;

reasons! {
    /// What cannot happen: Linux checks it, and so does ring3.
    Bug {
        /// No history where one must be.
        Backtracking => "verifier bug: backtracking misuse",
        /// The ranges of a number contradict each other.
        Invariants { context: &'static str, what: &'static str, ranges: Ranges } => "verifier bug: REG INVARIANTS VIOLATION ({context}): {what} {ranges}",
        /// No function of that number.
        FuncInfo => "Verifier bug",
        /// No function begins there.
        FuncEntry { target: usize } => "verifier bug: invalid func entry: {target}",
        /// A global function needs no registers of its caller but its arguments.
        GlobalRegs { regs: u32 } => "verifier bug: global subprog unexpected regs {regs:x}",
        /// A call leaves no arguments behind.
        CallRegs { regs: u32 } => "verifier bug: backtracking call unexpected regs {regs:x}",
        /// A function needs only its arguments.
        ExitRegs { regs: u32 } => "verifier bug: backtracking exit unexpected regs {regs:x}",
        /// A function needs only its arguments.
        CalleeRegs { regs: u32 } => "verifier bug: callee unexpected regs {regs:x}",
        /// A function begins with an empty stack.
        CalleeSlots { slots: u64 } => "verifier bug: callee leftover stack slots {slots:x}",
        /// The main program has no caller.
        ExitFromFirst => "verifier bug: subprog exit from frame 0",
        /// Calls nest eight deep at most.
        EnterFromLast => "verifier bug: subprog enter from frame 7",
        /// The backward walk left the program.
        PrecisionIndex { insn: i32 } => "verifier bug: backtracking idx {insn}",
        /// Wanted registers at a function's start.
        PrecisionEntry { func: u32, regs: u32, slots: u64 } => "verifier bug: backtracking func entry subprog {func} reg_mask {regs:x} stack_mask {slots:x}",
        /// No such frame.
        PrecisionFrame { frame: usize } => "verifier bug: backtracking into frame {frame}",
        /// No such slot.
        PrecisionSlot { slot: usize, slots: usize } => "verifier bug: backtracking (stack slot {slot}, total slots {slots})",
        /// A helper takes no such object.
        ObjectArgument => "verifier bug: invalid PTR_TO_BTF_ID register for type match",
        /// A map load was not resolved.
        UnresolvedMap { insn: usize } => "verifier bug: unresolved map at insn {insn}",
    }
}
