//! Programs that replace a function of another program.

use super::reasons;

reasons! {
    /// Programs that replace a function of another program.
    BadExtension {
        /// The other program has no types.
        NoBtf => "FENTRY/FEXIT program can only be attached to another program annotated with BTF",
        /// No program is named.
        KernelFunction => "Cannot replace kernel functions",
        /// The program has no such function.
        NoFunction { name: Box<str> } => "Subprog {name} doesn't exist",
        /// The function ends the program.
        ExceptionCallback => "Extension programs cannot attach to exception callback",
        /// The function does not keep to its prototype.
        StaticFunction => "Cannot replace static functions",
        /// The packet may move where the other program does not expect it.
        ChangesPacket => "Extension program changes packet data, while original does not",
        /// The program may sleep where the other does not expect it.
        MaySleep => "Extension program may sleep, while original does not",
        /// Extensions of extensions.
        Recursive => "Cannot recursively attach",
        /// Extensions of probes.
        OfProbe => "Cannot extend fentry/fexit",
        /// The program has no types.
        NeedsBtf => "Program extension requires BTF",
        /// Only functions that are verified on their own.
        NotGlobal { name: Box<str> } => "{name}() is not a global function",
        /// Another number of arguments.
        Count { name: Box<str>, args: u32, theirs: Box<str>, their_args: u32 } => "{name}() has {args} args while {theirs}() has {their_args} args",
        /// Another result.
        Return { kind: &'static str, name: Box<str>, their_kind: &'static str, theirs: Box<str> } => "Return type {kind} of {name}() doesn't match type {their_kind} of {theirs}()",
        /// Another kind of argument.
        Arg { arg: usize, name: Box<str>, kind: &'static str, theirs: Box<str>, their_kind: &'static str } => "arg{arg} in {name}() is {kind} while {theirs}() has {their_kind}",
        /// An argument of another size.
        Size { arg: usize, name: Box<str>, size: u32, theirs: Box<str>, their_size: u32 } => "arg{arg} in {name}() has size {size} while {theirs}() has {their_size}",
        /// Neither number nor pointer.
        Unrecognized { arg: usize, name: Box<str> } => "arg{arg} in {name}() has unrecognized type",
        /// A pointer to something else than a structure.
        NotCtx { arg: usize, name: Box<str> } => "arg{arg} in {name}() is not a pointer to context",
        /// A pointer to another structure.
        Struct { arg: usize, name: Box<str>, ty: Box<str>, theirs: Box<str>, their_type: Box<str> } => "arg{arg} {name}(struct {ty} *) doesn't match {theirs}(struct {their_type} *)",
    }
}
