//! Objects that live on the stack: dynptrs, iterators, saved interrupt flags.

use super::reasons;

reasons! {
    /// Objects that live on the stack: dynptrs, iterators, saved interrupt flags.
    BadObject {
        /// The place is not known.
        Variable { object: &'static str } => "{object} has to be at a constant offset",
        /// The place is not that of slots.
        Offset { object: &'static str, off: i32 } => "cannot pass in {object} at an offset={off}",
        /// A dynptr is made over another one.
        DynptrInUse => "Dynptr has to be an uninitialized dynptr",
        /// A dynptr lives on the stack, or is an argument of a callback.
        NotDynptr { arg: usize } => "arg#{arg} expected pointer to stack or const struct bpf_dynptr",
        /// No dynptr is there.
        NoDynptr { arg: usize } => "Expected an initialized dynptr as arg #{arg}",
        /// The dynptr is of another kind.
        DynptrKind { kind: &'static str, arg: usize } => "Expected a dynptr of type {kind} as arg #{arg}",
        /// The dynptr must not be changed.
        ConstDynptr => "cannot pass pointer to const bpf_dynptr, the helper mutates it",
        /// The dynptr holds a record that must be submitted or discarded.
        OverDynptr => "cannot overwrite referenced dynptr",
        /// Nothing to release.
        NoReference { arg: usize } => "arg {arg} is an unacquired reference",
        /// An iterator lives on the stack.
        NotIter { arg: usize } => "arg#{arg} expected pointer to an iterator on stack",
        /// The parameter is not that of an iterator.
        IterArg { arg: usize } => "expected valid iter pointer as arg #{arg}",
        /// An iterator is made over another one.
        IterInUse { iter: Box<str>, arg: usize } => "expected uninitialized iter_{iter} as arg #{arg}",
        /// No iterator is there.
        NoIter { iter: Box<str>, arg: usize } => "expected an initialized iter_{iter} as arg #{arg}",
        /// The section that protected the iterator is over.
        IterOutsideRcu { func: Box<str> } => "expected an RCU CS when using {func}",
        /// Flags are saved on the stack.
        NotIrq { arg: usize } => "arg#{arg} doesn't point to an irq flag on stack",
        /// Flags are saved over others.
        IrqInUse { arg: usize } => "expected uninitialized irq flag as arg#{arg}",
        /// No flags are saved there.
        NoIrq { arg: usize } => "expected an initialized irq flag as arg#{arg}",
        /// Another kind of function saved them.
        IrqKind { saved: &'static str, used: &'static str } => "irq flag acquired by {saved} kfuncs cannot be restored with {used} kfuncs",
        /// Flags saved later come first.
        IrqOrder { id: u32, insn: usize } => "cannot restore irq state out of order, expected id={id} acquired at insn_idx={insn}",
    }
}
