//! The stack.

use super::reasons;
use super::value::{Bits, Reg};

reasons! {
    /// The stack.
    BadStack {
        /// A part of a spilled pointer is overwritten.
        CorruptsSpill => "attempt to corrupt spilled pointer on stack",
        /// A part of a pointer is spilled.
        SpillSize => "invalid size of register spill",
        /// The frame is gone after the return.
        IntoCaller => "cannot spill pointers to stack into stack frame of the caller",
        /// A store at an unknown offset may hit a pointer.
        VariableOverSpill { insn: usize, off: i32 } => "spilled ptr in range of var-offset stack write; insn {insn}, ptr off: {off}",
        /// A store at an unknown offset to stack never set.
        VariableOverUnset { insn: usize, off: i32 } => "uninit stack in range of var-offset write prohibited for !root; insn {insn}, off: {off}",
        /// A stack pointer with an unknown offset.
        VariableToHelper { var_off: Bits, off: i32, size: i32 } => "variable offset stack pointer cannot be passed into helper function; var_off={var_off} off={off} size={size}",
        /// A part of a pointer is read.
        LeaksPointer { off: i32 } => "leaking pointer from stack off {off}",
        /// A part of a pointer is read.
        FillSize => "invalid size of register fill",
        /// Stack that was never set is read.
        Unset { off: i32, byte: i32, size: i32 } => "invalid read from stack off {off}+{byte} size {size}",
        /// No bytes are asked for.
        ZeroSized => "invalid zero-sized read",
        /// A stack pointer with an unknown offset.
        VariableForbidden { reg: Reg, var_off: Bits } => "R{reg} variable offset stack access prohibited for !root, var_off={var_off}",
        /// A helper would write over a dynptr.
        OverDynptr { off: i32 } => "potential write to dynptr at off={off} disallowed",
        /// Stack that was never set is given to a helper.
        UnsetForHelper { reg: Reg, off: i32, byte: i32, size: i32 } => "invalid read from stack R{reg} off {off}+{byte} size {size}",
        /// Stack that was never set is given to a helper, at an offset that varies.
        UnsetVariable { reg: Reg, var_off: Bits, byte: i32, size: i32 } => "invalid read from stack R{reg} var_off {var_off}+{byte} size {size}",
        /// A stack offset without limit.
        UnboundedVariable { access: &'static str, reg: Reg } => "invalid unbounded variable-offset {access} stack R{reg}",
        /// Outside the stack.
        Outside { access: &'static str, reg: Reg, off: i32, size: i32 } => "invalid {access} stack R{reg} off={off} size={size}",
        /// Possibly outside the stack.
        OutsideVariable { access: &'static str, reg: Reg, var_off: Bits, off: i32, size: i32 } => "invalid variable-offset {access} stack R{reg} var_off={var_off} off={off} size={size}",
        /// A stack pointer with an unknown offset.
        VariableMoved { reg: Reg, var_off: Bits, off: i64 } => "R{reg} variable stack access prohibited for !root, var_off={var_off} off={off}",
        /// A stack pointer that leaves the stack.
        MovedOut { reg: Reg, off: i64 } => "R{reg} stack pointer arithmetic goes out of range, prohibited for !root; off={off}",
        /// Functions call each other too deeply.
        CallDepth { frames: usize } => "the call stack of {frames} frames is too deep !",
        /// Functions call each other too deeply.
        FrameDepth { frames: usize } => "the call stack of {frames} frames is too deep",
        /// A tail call under large frames.
        BeforeTailCall { depth: i32 } => "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large",
        /// One frame is too large.
        FuncTooLarge { func: usize, size: i32 } => "stack size of subprog {func} is {size}. Too large",
        /// The frames together are too large.
        TooLarge { calls: usize, size: i32 } => "combined stack size of {calls} calls is {size}. Too large",
    }
}
