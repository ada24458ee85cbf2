//! Calculations with numbers and pointers.

use super::reasons;
use super::value::{Reg, RegType};

reasons! {
    /// Calculations with numbers and pointers.
    BadPtr {
        /// This operation is for numbers.
        Arithmetic { reg: Reg } => "R{reg} pointer arithmetic prohibited",
        /// Both operands are pointers.
        TwoPointers { reg: Reg, op: &'static str } => "R{reg} pointer {op} pointer prohibited",
        /// The divisor is zero.
        DivByZero => "div by zero",
        /// The number has fewer bits.
        Shift { by: i32 } => "invalid shift {by}",
        /// These values cannot be compared.
        Comparison { reg: Reg } => "R{reg} pointer comparison prohibited",
        /// A part of a pointer is copied.
        PartialCopy { reg: Reg, what: &'static str } => "R{reg} {what}",
        /// A pointer has 64 bits.
        Arithmetic32 { reg: Reg } => "R{reg} 32-bit pointer arithmetic prohibited",
        /// The pointer may be NULL.
        MaybeNull { reg: Reg, is: RegType } => "R{reg} pointer arithmetic on {is} prohibited, null-check it first",
        /// Such pointers cannot be moved.
        Fixed { reg: Reg, is: RegType } => "R{reg} pointer arithmetic on {is} prohibited",
        /// Bits of a pointer are changed.
        Bitwise { reg: Reg, op: &'static str } => "R{reg} bitwise operator {op} on pointer prohibited",
        /// Pointers can be added to and subtracted from only.
        Operator { reg: Reg, op: &'static str } => "R{reg} pointer arithmetic with {op} operator prohibited",
        /// A pointer is subtracted from a number.
        FromScalar { reg: Reg } => "R{reg} tried to subtract pointer from scalar",
        /// Stack pointers are moved by addition.
        FromStack { reg: Reg } => "R{reg} subtraction from stack pointer prohibited",
        /// The number is too large.
        Constant { is: RegType, value: i64 } => "math between {is} pointer and {value} is not allowed",
        /// The pointer was moved too far.
        Offset { is: RegType, off: i32 } => "{is} pointer offset {off} is not allowed",
        /// The number has no lower limit.
        UnboundedMin { is: RegType } => "math between {is} pointer and register with unbounded min value is not allowed",
        /// The number is too large.
        OutOfBounds { value: i64, is: RegType } => "value {value} makes {is} pointer be out of bounds",
        /// The program has no arena.
        NoArena => "addr_space_cast insn can only be used in a program that has an associated arena",
    }
}
