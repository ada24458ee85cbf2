//! Calls of helpers and functions.

use uapi::{ArgKind, MapType};

use crate::event::{
    BadArg, BadAttach, BadExtension, BadFunc, BadHelper, BadLoad, BadLock, BadMap, BadStack, Reason,
};
use crate::explain::case::Case;
use crate::explain::cause::{About, Cause};
use crate::explain::words::{self, map_name};
use crate::state::{RegFlags, RegKind, RegState};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new(
        "helper-argument",
        |reason| matches!(reason, Reason::Arg(BadArg::WrongType { .. } | BadArg::NotFramePointer { .. })),
        "a helper gets an argument of the wrong kind",
    )
    .needs_of(|case| {
        let Some(n) = case.main_reg() else { return String::new() };
        let wanted = case.arg(n).map_or("another kind of value", |arg| kind_words(arg.kind));
        format!("argument {n} of {} must be {wanted}", case.callee())
    })
    .help_of(argument_help),
    Cause::new(
        "helper-constant",
        |reason| matches!(reason, Reason::Arg(BadArg::NotConstant { .. } | BadArg::StringNotConstant { .. })),
        "a helper needs a constant here",
    )
    .needs_of(|case| {
        let Some(n) = case.main_reg() else { return String::new() };
        format!("argument {n} of {} must have one value, known when the program is loaded", case.callee())
    })
    .help("pass a literal; a variable that the compiler cannot fold will not do"),
    Cause::new(
        "helper-unavailable",
        |reason| matches!(reason, Reason::Helper(BadHelper::NotForType { .. } | BadHelper::NotInProbe)),
        "this type of program may not call this helper",
    )
    .needs_of(|case| format!("{} is not among the helpers of {}", case.callee(), program_type(case)))
    .help("use a helper that this program type has, or do that work in a program of another type; a wrong SEC(\"...\") name also leads here")
    .about(About::None),
    Cause::new(
        "relocation-failed",
        |reason| matches!(reason, Reason::Helper(BadHelper::Unknown { .. })),
        "something that the program needs is not in this kernel",
    )
    .when(|case| poison(case).is_some())
    .needs_of(|case| poison(case).unwrap_or_default().to_owned())
    .help("the loader names what is missing; guard such code with bpf_core_field_exists, bpf_core_type_exists or bpf_ksym_exists, so that it is dead where the thing is missing")
    .about(About::None),
    Cause::new(
        "helper-unknown",
        |reason| matches!(reason, Reason::Helper(BadHelper::Unknown { .. })),
        "a helper is called that does not exist",
    )
    .needs("the kernel must have a helper of this number")
    .help("check the declaration of the function: undeclared functions and calls through NULL compile to such calls")
    .about(About::None),
    Cause::new(
        "helper-gpl",
        |reason| matches!(reason, Reason::Helper(BadHelper::GplOnly)),
        "a helper for GPL programs is called, and the program's licence is another one",
    )
    .needs_of(|case| {
        let licence = match case.env.prog.license.as_str() {
            "" => "the program has no licence".to_owned(),
            other => format!("the program's licence is \"{other}\""),
        };
        format!("{} is only for GPL-compatible programs; {licence}", case.callee())
    })
    .help("`char LICENSE[] SEC(\"license\") = \"GPL\";` if that is the licence of your code")
    .about(About::None),
    Cause::new(
        "helper-sleeps",
        |reason| matches!(reason, Reason::Helper(BadHelper::MightSleep | BadHelper::SleepsInRcu { .. } | BadHelper::SleepsUnpreemptible { .. } | BadHelper::SleepsWithoutIrq { .. })),
        "a helper that may sleep is called where the program must not sleep",
    )
    .needs_of(|case| format!("{} may sleep: only sleepable programs may call it, outside locks and RCU sections", case.callee()))
    .help("make the program sleepable (SEC(\"fentry.s/...\"), \"lsm.s/\", \"uprobe.s\", ...), or use a helper that does not sleep")
    .about(About::None),
    Cause::new(
        "sleepable-type",
        |reason| matches!(reason, Reason::Attach(BadAttach::CannotSleep | BadAttach::SyscallSleeps)),
        "a program of this type cannot be sleepable",
    )
    .needs("sleepable programs must be fentry, fexit, fmod_ret, lsm, iter, uprobe, syscall or struct_ops")
    .help("drop the \".s\" of the section's name (BPF_F_SLEEPABLE)")
    .about(About::None),
    Cause::new(
        "helper-object-type",
        |reason| matches!(reason, Reason::Arg(BadArg::WrongObject { .. })),
        "a pointer to another kind of kernel object is expected",
    )
    .needs_of(|case| format!("argument {} of {} must be of the other type", case.main_reg().unwrap_or(0), case.callee()))
    .help("pass an object of the type that the function takes"),
    Cause::new(
        "helper-string",
        |reason| matches!(reason, Reason::Arg(BadArg::StringNotReadOnly { .. } | BadArg::StringUnterminated)),
        "a helper needs a constant string",
    )
    .needs_of(|case| format!("the string for {} must be a constant (const, in .rodata) that ends with a zero byte", case.callee()))
    .help("declare it `static const char text[] = \"...\";`"),
    Cause::new(
        "helper-writes",
        |reason| matches!(reason, Reason::Arg(BadArg::WouldWrite { .. })),
        "a helper would write into a kernel object",
    )
    .needs_of(|case| format!("{} writes through {}: it must point to the program's own memory", case.callee(), case.main_name()))
    .help("pass a buffer on the stack or in a map; source and destination may be swapped"),
    Cause::new(
        "helper-pointer-moved",
        |reason| matches!(reason, Reason::Arg(BadArg::OffsetOnTrusted { .. })),
        "an object is passed through a pointer that was moved",
    )
    .needs_of(|case| format!("{} takes the pointer exactly as it was returned", case.callee()))
    .help("keep the original pointer"),
    Cause::new(
        "map-kind",
        |reason| matches!(reason, Reason::Arg(BadArg::MapType { .. })),
        "this helper does not work on this type of map",
    )
    .needs_of(|case| match map_argument(case) {
        Some(reg) => format!(
            "{} does not take {}, which is of type {}",
            case.callee(),
            map_name(case.env, reg),
            case.env.map_def(reg).map_type.name()
        ),
        None => format!("{} does not take maps of this type", case.callee()),
    })
    .help_of(map_help)
    .about(About::Made(|case| (1..=5).filter(|&n| is_map(case, n)).collect())),
    Cause::new(
        "map-without-keys",
        |reason| matches!(reason, Reason::Stack(BadStack::ZeroSized)),
        "a map without keys is accessed by key",
    )
    .when(|case| map_argument(case).is_some_and(|reg| case.env.map_def(reg).key_size == 0))
    .needs_of(|case| match map_argument(case) {
        Some(reg) => format!(
            "{} takes a key, and {} has none: it is of type {}",
            case.callee(),
            map_name(case.env, reg),
            case.env.map_def(reg).map_type.name()
        ),
        None => String::new(),
    })
    .help_of(map_help)
    .about(About::Made(|case| (1..=5).filter(|&n| is_map(case, n)).collect())),
    Cause::new(
        "map-descriptor",
        |reason| matches!(reason, Reason::Map(BadMap::Fd { .. } | BadMap::FdArray)),
        "an instruction refers to a map that is not there",
    )
    .needs("a map load must name the descriptor of a map")
    .help("declare the map in SEC(\".maps\") so that the loader makes it and fills in its descriptor")
    .about(About::None),
    Cause::new(
        "function-arguments",
        |reason| matches!(reason, Reason::Func(BadFunc::Arguments { .. })),
        "a global function gets arguments that do not match its prototype",
    )
    .needs_of(|case| {
        let why = case.reasons.first().filter(|_| case.reasons.len() > 1);
        let why = why.map_or(String::new(), |why| format!("; one is not: {why}"));
        format!("each argument must be what the prototype of {} says{why}", case.callee())
    })
    .help("a global function is verified alone, by its prototype: pass pointers to memory of the declared size, check pointers for NULL before; or make the function static")
    .about(About::Made(|case| (1..=5).filter(|&n| case.reg(n).is_some_and(RegState::is_init)).take(3).collect())),
    Cause::new(
        "call-depth",
        |reason| matches!(reason, Reason::Stack(BadStack::CallDepth { .. } | BadStack::FrameDepth { .. })),
        "functions call each other too deeply",
    )
    .needs("at most 8 functions may be active at once")
    .help("inline some of them (static __always_inline), or use tail calls")
    .about(About::None),
    Cause::new(
        "lock-calls",
        |reason| matches!(reason, Reason::Func(BadFunc::CallsUnderLock | BadFunc::UnderLock)),
        "a function is called while a spin lock is held",
    )
    .needs("between bpf_spin_lock and bpf_spin_unlock only few functions may be called")
    .help("do the calls before taking the lock, and only read and write memory under it")
    .about(About::None),
    Cause::new(
        "extension-signature",
        |reason| matches!(reason, Reason::Extension(
            BadExtension::Count { .. } | BadExtension::Return { .. } | BadExtension::Arg { .. } | BadExtension::Size { .. }
            | BadExtension::Unrecognized { .. } | BadExtension::NotCtx { .. } | BadExtension::Struct { .. } | BadExtension::NotGlobal { .. },
        )),
        "the program does not have the signature of the function that it replaces",
    )
    .needs("an extension's main function must be global and have the same arguments and result as the function replaced")
    .help("copy the prototype of the function, as the target program declares it")
    .about(About::None),
    Cause::new(
        "extension-target",
        |reason| matches!(reason, Reason::Extension(_)),
        "this function cannot be replaced by a program",
    )
    .needs("an extension replaces a global function (or the main function) of a loaded program that is neither an extension nor a probe, and does nothing that the function's callers do not expect")
    .help("make the function of the target program global (not static, with __noinline) and load it with BTF")
    .about(About::None),
    Cause::new(
        "lock-pairs",
        |reason| matches!(reason, Reason::Lock(BadLock::NotHeld { .. } | BadLock::Other { .. } | BadLock::Order { .. })),
        "a lock is given back that is not the one held",
    )
    .needs("each unlock must be of the lock taken last, through a pointer from the same lookup")
    .help("keep the pointer that bpf_spin_lock got and hand the same one to bpf_spin_unlock: a second lookup may give another element"),
    Cause::new(
        "lock-twice",
        |reason| matches!(reason, Reason::Lock(BadLock::Two | BadLock::Again)),
        "a lock is taken while one is held",
    )
    .needs("a program holds one bpf_spin_lock at a time, and no lock twice")
    .help("give the first lock back before; data that change together can lie behind one lock"),
    Cause::new(
        "lock-missing",
        |reason| matches!(reason, Reason::Lock(BadLock::None { .. })),
        "there is no lock where the program takes one",
    )
    .needs("the type of the map's value must have a struct bpf_spin_lock, by BTF")
    .help("put a struct bpf_spin_lock into the value's structure and declare the map with __type(value, …)"),
    Cause::new(
        "tracing-maps",
        |reason| matches!(reason, Reason::Map(BadMap::TracingGraph | BadMap::TracingField { .. } | BadMap::FilterLock)),
        "programs of this type may not use maps with such a field",
    )
    .needs("spin locks, timers and lists in map values are not for tracing and socket filter programs")
    .help("use atomic operations (__sync_fetch_and_add) or per-CPU maps instead of a lock")
    .about(About::None),
    Cause::new(
        "sleepable-maps",
        |reason| matches!(reason, Reason::Map(BadMap::Sleepable)),
        "a sleepable program uses a type of map that it may not",
    )
    .needs("sleepable programs may use array, hash, ring buffer and local storage maps")
    .help("use one of these map types, or a program that does not sleep")
    .about(About::None),
    Cause::new(
        "kernel-symbol",
        |reason| matches!(reason, Reason::Load(BadLoad::KernelSymbol { .. })),
        "a kernel variable is not there",
    )
    .needs("the kernel must export the symbol that the program reads (__ksym)")
    .help("declare it __weak and test its address before use")
    .about(About::None),
];

/// What loaders put in the place of an instruction that cannot work here, and why.
fn poison(case: &Case<'_>) -> Option<&'static str> {
    /// libbpf's mark of a failed CO-RE relocation.
    const CORE: i32 = 195_896_080;
    let imm = case.env.prog.insns.get(case.insn?)?.imm;
    match imm {
        CORE => Some(
            "a field, type or value that the program refers to (CO-RE) is not in the kernel's BTF, so that this instruction must not be reached",
        ),
        2_001_000_000..2_002_000_000 => Some(
            "a map that the program refers to was not made, so that this instruction must not be reached",
        ),
        2_002_000_000..2_003_000_000 => Some(
            "a kernel function that the program calls is not in this kernel, so that this call must not be reached",
        ),
        _ => None,
    }
}

fn is_map(case: &Case<'_>, n: usize) -> bool {
    case.reg(n).is_some_and(|reg| reg.kind == RegKind::MapPtr)
}

fn map_argument<'c>(case: &Case<'c>) -> Option<&'c RegState> {
    (1..=5).filter_map(|n| case.reg(n)).find(|reg| reg.kind == RegKind::MapPtr)
}

fn map_help(case: &Case<'_>) -> String {
    match map_argument(case).map(|reg| case.env.map_def(reg).map_type) {
        Some(MapType::Ringbuf) => {
            "ring buffers take bpf_ringbuf_output, bpf_ringbuf_reserve and bpf_ringbuf_submit"
                .into()
        }
        Some(MapType::PerfEventArray) => "perf event arrays take bpf_perf_event_output".into(),
        Some(MapType::ProgArray) => "program arrays take bpf_tail_call".into(),
        Some(MapType::Queue | MapType::Stack) => {
            "queues and stacks take bpf_map_push_elem, bpf_map_pop_elem and bpf_map_peek_elem"
                .into()
        }
        _ => "use the helpers of that map type, or another type of map".into(),
    }
}

/// The program's type as section names and facts write it.
fn program_type(case: &Case<'_>) -> String {
    match case.env.variant {
        Some(variant) => format!("{} programs", variant.label),
        None => "programs of this type".into(),
    }
}

fn kind_words(kind: ArgKind) -> &'static str {
    match kind {
        ArgKind::Anything => "any number",
        ArgKind::ConstMapPtr => "a map",
        ArgKind::MapKey => "a pointer to a key",
        ArgKind::MapValue => "a pointer to a value",
        ArgKind::Mem => "a pointer to memory (stack, map value, packet, ...)",
        ArgKind::ConstSize | ArgKind::ConstSizeOrZero | ArgKind::ConstAllocSizeOrZero => {
            "a number of bytes"
        }
        ArgKind::Ctx => "the context as the program got it",
        ArgKind::SpinLock => "a pointer to a struct bpf_spin_lock in a map value",
        ArgKind::SockCommon | ArgKind::BtfIdSockCommon => "a pointer to a socket of any kind",
        ArgKind::Socket => "a pointer to a full socket (struct bpf_sock)",
        ArgKind::BtfId(_) => "a pointer to a kernel object",
        ArgKind::RingbufMem => "a record from bpf_ringbuf_reserve",
        ArgKind::PercpuBtfId => "a pointer to a per-CPU kernel variable",
        ArgKind::Func => "a static function",
        ArgKind::Stack => "a pointer to the stack",
        ArgKind::ConstStr => "a constant string",
        ArgKind::Timer => "a pointer to a struct bpf_timer in a map value",
        ArgKind::KptrXchgDest => "a pointer to a kptr field of a map value",
        ArgKind::Dynptr(_) => "a dynptr",
    }
}

fn argument_help(case: &Case<'_>) -> String {
    let Some((n, reg)) = case.main_reg().zip(case.main()) else { return String::new() };
    let wanted = case.arg(n).map(|arg| arg.kind);
    match (wanted, reg.kind) {
        (Some(ArgKind::MapKey | ArgKind::MapValue | ArgKind::Mem), RegKind::Scalar) => {
            "pass an address: `&variable`, not the value".into()
        }
        (_, RegKind::BtfId) if reg.flags.contains(RegFlags::UNTRUSTED) => {
            "the object may be gone already: acquire it, or get the pointer from an argument of the program".into()
        }
        (Some(ArgKind::ConstMapPtr), _) => "pass the map itself: `&map`".into(),
        (Some(ArgKind::Ctx), RegKind::Ctx) => "pass the context unchanged".into(),
        (Some(ArgKind::Ctx), _) => "pass the program's own argument".into(),
        (Some(ArgKind::Mem), RegKind::Ctx) => {
            "copy the fields to the stack first, and pass the copy".into()
        }
        _ => format!(
            "{} is {}: check the order of the arguments and the helper's declaration",
            case.main_name(),
            words::register(case.env, reg)
        ),
    }
}
