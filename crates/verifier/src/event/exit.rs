//! Ends of the program and of its functions.

use super::reasons;
use super::value::{Known, Reg, RegType};

reasons! {
    /// Ends of the program and of its functions.
    BadExit {
        /// A pointer would be returned.
        AddrLeak { reg: Reg } => "R{reg} leaks addr as return value",
        /// A global function returns a number.
        SubprogNotScalar { reg: Reg, is: RegType } => "At subprogram exit the register R{reg} is not a scalar value ({is})",
        /// A number is wanted.
        NotKnown { place: &'static str, reg: Reg, is: RegType } => "{place} the register R{reg} is not a known value ({is})",
        /// The number lies outside what may be returned.
        OutOfRange { place: &'static str, reg: Reg, known: Known, min: i32, max: i32 } => "{place} the register R{reg} has{known} should have been in [{min}, {max}]",
        /// A callback returns a number.
        CallbackNotScalar => "R0 not a scalar value",
        /// The frame is gone after the return.
        StackPointer => "cannot return stack pointer to the caller",
        /// An object was not released.
        ReferenceLeft { id: u32, insn: usize } => "Unreleased reference id={id} alloc_insn={insn}",
        /// An object was not released.
        ReferenceLeak { what: &'static str } => "{what} would lead to reference leak",
        /// A lock is held.
        LockHeld { what: &'static str } => "{what} cannot be used inside bpf_spin_lock-ed region",
        /// A protected region is open.
        RegionOpen { what: &'static str, region: &'static str } => "{what} cannot be used inside {region} region",
    }
}
