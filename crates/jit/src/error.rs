//! Why a program is not compiled.

/// A failure to compile; slots are those of the translated program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JitError {
    /// The machine this runs on is not x86-64.
    #[error("machine code for this processor is not supported")]
    Machine,
    /// No instruction at all, or more than fit the code's 32-bit offsets.
    #[error("a program of {0} instruction slots")]
    Length(usize),
    /// Not an instruction.
    #[error("instruction {pc}: {source}")]
    Decode {
        /// Slot.
        pc: usize,
        /// What the decoder says.
        source: isa::DecodeError,
    },
    /// An instruction that translation should have replaced.
    #[error("instruction {pc}: {what} is not part of translated bytecode")]
    Untranslated {
        /// Slot.
        pc: usize,
        /// Which.
        what: &'static str,
    },
    /// An instruction that only the interpreter runs.
    #[error("instruction {pc}: {what} is left to the interpreter")]
    Interpreted {
        /// Slot.
        pc: usize,
        /// Which.
        what: &'static str,
    },
    /// A jump out of its function, or into the middle of an instruction.
    #[error("instruction {pc}: jump to {target}, which is not an instruction of the function")]
    Jump {
        /// Slot of the jump.
        pc: usize,
        /// Slot it names.
        target: i64,
    },
    /// A call or function address that names no start of a function.
    #[error("instruction {pc}: {target} does not start a function")]
    Call {
        /// Slot of the call.
        pc: usize,
        /// Slot it names.
        target: i64,
    },
    /// A function without `exit` or jump at its end.
    #[error("the function ending before slot {0} falls through")]
    FallsThrough(usize),
    /// Starts of functions are not ascending from 0.
    #[error("the starts of functions are not ascending slots from 0")]
    Starts,
    /// A helper without a body.
    #[error("instruction {pc}: no body for helper {id}")]
    Helper {
        /// Slot.
        pc: usize,
        /// Number.
        id: i32,
    },
    /// A kernel function without a body.
    #[error("instruction {pc}: no body for kernel function {id} of module {off}")]
    Kfunc {
        /// Slot.
        pc: usize,
        /// BTF id.
        id: i32,
        /// Index of the module.
        off: i16,
    },
    /// The stack of one function is larger than 2 GiB.
    #[error("instruction {0}: stack access out of reach")]
    Stack(usize),
    /// The operating system refused memory for code.
    #[error("no memory for code: {0}")]
    Memory(rustix::io::Errno),
    /// Machine code of more than 2 GiB.
    #[error("the machine code is larger than 2 GiB")]
    TooLarge,
    /// A broken invariant of the compiler.
    #[error("instruction {pc}: compiler bug: {what}")]
    Bug {
        /// Slot.
        pc: usize,
        /// Which invariant.
        what: &'static str,
    },
}
