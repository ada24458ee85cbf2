//! Functions of the program: calls, prototypes, callbacks.

use super::reasons;
use super::value::Reg;

reasons! {
    /// Functions of the program: calls, prototypes, callbacks.
    BadFunc {
        /// The function takes a number.
        NotScalar { reg: Reg } => "R{reg} is not a scalar",
        /// The function takes the context.
        NotCtx { arg: usize } => "arg#{arg} expects pointer to ctx",
        /// The function takes memory that is there.
        MaybeNull { arg: usize } => "arg#{arg} is expected to be non-NULL",
        /// The function takes an arena address.
        NotArena { reg: Reg } => "R{reg} is not a pointer to arena or scalar.",
        /// An exception callback takes its cookie only.
        ExceptionCallbackArgs => "exception cb only supports single integer argument",
        /// Registers hold five.
        TooManyArgs { name: Box<str>, args: u32 } => "Global function {name}() with {args} > 5 args. Buggy compiler.",
        /// A global function returns a number.
        ReturnsNoScalar { name: Box<str> } => "Global function {name}() doesn't return scalar. Only those are supported.",
        /// A tag for pointers on something else.
        TagWithoutPointer { arg: usize } => "arg#{arg} has pointer tag, but is not a pointer type",
        /// The parameter's type has no rule.
        ArgType { arg: usize, kind: &'static str, name: Box<str> } => "Arg#{arg} type {kind} in {name}() is not supported yet.",
        /// Tags that exclude each other.
        Tags { arg: usize } => "arg#{arg} has invalid combination of tags",
        /// Tags that exclude each other.
        ArenaTags { arg: usize } => "arg#{arg} arena cannot be combined with any other tags",
        /// Memory of unknown size.
        SizeUnknown { arg: usize, kind: &'static str, name: Box<str> } => "arg#{arg} reference type('{kind} {name}') size cannot be determined: -22",
        /// Tags that exclude each other.
        UntrustedTags { arg: usize } => "arg#{arg} untrusted cannot be combined with any other tags",
        /// The kernel has no such type.
        NoKernelType { arg: usize, kind: &'static str, name: Box<str> } => "arg#{arg} reference type('{kind} {name}') has no matches",
        /// Tags are for global functions.
        TagOnStatic { arg: usize } => "arg#{arg} type tag is not supported in static functions",
        /// No such tag.
        UnknownTag { arg: usize } => "arg#{arg} has unsupported set of tags",
        /// The context's type must have a name.
        Nameless { arg: usize } => "arg#{arg} type doesn't have a name",
        /// The context of this program has no type.
        NotVoidCtx { arg: usize } => "arg#{arg} should be void pointer",
        /// The context is of another type.
        CtxType { arg: usize, expected: Box<str> } => "arg#{arg} should be `struct {expected} *`",
        /// The arguments do not fit the prototype.
        Arguments { func: usize, name: Box<str> } => "Caller passes invalid args into func#{func} ('{name}')",
        /// A global function is called under a lock.
        UnderLock => "global function calls are not allowed while holding a lock,\nuse static function instead",
        /// A global function that may sleep is called where sleeping is forbidden.
        MaySleep => "global functions that may sleep are not allowed in non-sleepable context,\ni.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context",
        /// A call under a lock.
        CallsUnderLock => "function calls are not allowed while holding a lock",
        /// Callbacks need BTF.
        NoFuncInfo => "missing btf func_info",
        /// Callbacks are static functions.
        CallbackNotStatic => "callback function not static",
        /// Exceptions do not leave callbacks.
        ThrowInCallback { at: usize, func: usize } => "bpf_throw kfunc (insn {at}) cannot be called from callback subprog {func}",
        /// The exception callback is not for calling.
        CallsExceptionCallback { at: usize } => "insn {at} cannot call exception cb directly",
        /// An exception callback must return.
        TailCallInExceptionCallback => "cannot tail call within exception cb",
        /// Such a load ends the program.
        LdAbsInCallback => "cannot use BPF_LD_[ABS|IND] within callback",
        /// One callback at most.
        ExceptionCallbackTags => "multiple exception callback tags for main subprog",
        /// The tag names no function.
        ExceptionCallbackMissing { name: Box<str> } => "exception callback '{name}' could not be found in BTF",
        /// The tag names a static function.
        ExceptionCallbackStatic { name: Box<str> } => "exception callback '{name}' must have global linkage",
        /// The tag names the program itself.
        ExceptionCallbackIsMain => "invalid exception callback insn_off in func_info: 0",
    }
}
