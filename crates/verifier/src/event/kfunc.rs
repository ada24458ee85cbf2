//! Calls of kernel functions.

use super::reasons;
use super::value::{Reg, RegType};

reasons! {
    /// Calls of kernel functions.
    BadKfunc {
        /// The program's type does not have the function.
        NotAllowed { func: Box<str> } => "calling kernel function {func} is not allowed",
        /// Only for programs bound to a device.
        NotBound => "metadata kfuncs require device-bound program",
        /// The function has no prototype.
        NoProto { id: u32 } => "kernel function btf_id {id} does not have a valid func_proto",
        /// A module is named by a negative place.
        NegativeModule => "negative offset disallowed for kernel module function call",
        /// A module is named without a list of modules.
        NoModules => "kernel function offset > 0 without fd_array is invalid",
        /// The function's module is not known.
        NoBtf => "failed to find BTF for kernel function",
        /// A weak function that the kernel does not have is reached.
        NotEliminated => "invalid kernel function call not eliminated in verifier pass",
        /// Registers hold five.
        TooManyArgs { func: Box<str>, args: u32 } => "Function {func} has {args} > 5 args",
        /// The program may not sleep.
        MustSleep { func: Box<str> } => "program must be sleepable to call sleepable kfunc {func}",
        /// The function may sleep, the section may not.
        SleepsInRcu { func: Box<str> } => "kernel func {func} is sleepable within rcu_read_lock region",
        /// The function may sleep, the section may not.
        SleepsUnpreemptible { func: Box<str> } => "kernel func {func} is sleepable within non-preemptible region",
        /// The function may sleep, the section may not.
        SleepsWithoutIrq { func: Box<str> } => "kernel func {func} is sleepable within IRQ-disabled region",
        /// The function works on what RCU protects.
        NeedsRcu { func: Box<str> } => "kernel func {func} requires RCU critical section protection",
        /// The sections do not nest.
        NestedRcu { func: Box<str> } => "nested rcu read lock (kernel function {func})",
        /// No section is open.
        UnmatchedRcu { func: Box<str> } => "unmatched rcu read unlock (kernel function {func})",
        /// No section is open.
        UnmatchedPreempt { func: Box<str> } => "unmatched attempt to enable preemption (kernel function {func})",
        /// The order of a tree is not the place for it.
        RcuInCallback => "Calling bpf_rcu_read_{{lock,unlock}} in unnecessary rbtree callback",
        /// A number is wanted.
        NotScalar { reg: Reg } => "R{reg} is not a scalar",
        /// A known number is wanted.
        NotConstant { reg: Reg } => "R{reg} must be a known constant",
        /// A known number is wanted.
        SizeNotConstant { reg: Reg } => "R{reg} is not a const",
        /// A type of parameter without rule.
        ArgType { arg: usize, kind: &'static str } => "Unrecognized arg#{arg} type {kind}",
        /// The pointer may be null.
        MaybeNull { arg: usize } => "Possibly NULL pointer passed to trusted arg{arg}",
        /// The pointer may be stale.
        NotTrusted { reg: Reg } => "R{reg} must be referenced or trusted",
        /// The pointer may be stale.
        NotRcu { reg: Reg } => "R{reg} must be a rcu pointer",
        /// The context is wanted.
        NotCtx { arg: usize, is: RegType } => "arg#{arg} expected pointer to ctx, but got {is}",
        /// The map itself is wanted.
        NotMap { reg: Reg } => "pointer in R{reg} isn't map pointer",
        /// The parameter points to something that is no structure.
        PointerKind { func: Box<str>, arg: usize, kind: &'static str, name: Box<str> } => "kernel function {func} args#{arg} pointer type {kind} {name} is not supported",
        /// Memory can only be given where numbers are wanted.
        NotScalars { arg: usize, kind: &'static str, name: Box<str>, or: &'static str } => "arg#{arg} pointer type {kind} {name} must point to {or}scalar, or struct with scalar",
        /// The register holds something that is no kernel object.
        NotObject { arg: usize, is: RegType, expected: RegType } => "arg#{arg} is {is} expected {expected} or socket",
        /// The register points to another structure.
        WrongObject { func: Box<str>, arg: usize, kind: &'static str, name: Box<str>, reg: Reg, is_kind: &'static str, is: Box<str> } => "kernel function {func} args#{arg} expected pointer to {kind} {name} but R{reg} has a pointer to {is_kind} {is}",
        /// Memory of unknown size.
        SizeUnknown { arg: usize, kind: &'static str, name: Box<str> } => "arg#{arg} reference type('{kind} {name}') size cannot be determined: -22",
        /// The memory and its size do not fit.
        MemoryPair { arg: usize, len: usize } => "arg#{arg} arg#{len} memory, len pair leads to invalid memory access",
        /// A function of the program is wanted.
        NotFunc { arg: usize } => "arg{arg} expected pointer to func",
        /// A constant string is wanted.
        NotString { arg: usize } => "arg#{arg} doesn't point to a const string",
        /// The release takes what was acquired.
        NotReferenced { func: Box<str> } => "release kernel function {func} expects refcounted PTR_TO_BTF_ID",
        /// Nothing to release.
        NotAcquired { func: Box<str>, id: u32 } => "kfunc {func}#{id} reference has not been acquired before",
        /// The callback is refused.
        Callback { func: Box<str>, id: u32 } => "kfunc {func}#{id} failed callback verification",
        /// The result points to something that has no size.
        ResultKind { func: Box<str>, kind: &'static str, name: Box<str> } => "kernel function {func} returns pointer type {kind} {name} is not supported",
        /// No such type.
        CastType { id: i64 } => "Unknown type ID {id} passed to kfunc bpf_rdonly_cast",
        /// A structure is wanted.
        CastToStruct => "kfunc bpf_rdonly_cast type ID argument must be of a struct or void",
        /// The program type's packet is read only.
        ReadOnlyPacket => "the prog does not allow writes to packet data",
        /// Iterators over tasks of a cgroup may deadlock elsewhere.
        CssTask => "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs",
        /// The compiler found a variable that was never set.
        Trap => "unexpected __bpf_trap() due to uninitialized variable?",
        /// The pointer leads to no value of a map.
        NotMapValue { arg: usize } => "arg#{arg} doesn't point to a map value",
        /// Locks live in map values and allocated objects.
        NotLockable { arg: usize } => "arg#{arg} doesn't point to map value or allocated object",
    }
}
