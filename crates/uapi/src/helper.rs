//! Contracts of helpers: what they take, return and may be called from.

use std::borrow::Cow;

/// What a helper promises and asks for; Linux's `struct bpf_func_proto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperProto {
    /// Number that `call` names.
    pub id: u32,
    /// With the prefix `bpf_`.
    pub name: Cow<'static, str>,
    /// Callable only under a GPL-compatible licence.
    pub gpl_only: bool,
    /// Callable only from sleepable programs.
    pub might_sleep: bool,
    /// Packet pointers are accepted as memory, keys and values.
    pub pkt_access: bool,
    /// What r0 holds after the call.
    pub ret: RetType,
    /// r1 and on; at most five.
    pub args: Cow<'static, [ArgType]>,
}

/// What r0 holds after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetType {
    /// The kind of value.
    pub kind: RetKind,
    /// It may be null.
    pub maybe_null: bool,
    /// Read-only memory.
    pub readonly: bool,
    /// From the ring buffer.
    pub ringbuf: bool,
    /// A trusted pointer.
    pub trusted: bool,
}

/// Kinds of return values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Linux's, less RET_")]
pub enum RetKind {
    Integer,
    Void,
    MapValue,
    Socket,
    TcpSock,
    SockCommon,
    Mem,
    MemOrBtfId,
    /// Pointer to this kernel struct; empty: decided by the verifier (kptr_xchg).
    BtfId(&'static str),
}

/// What a helper asks of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgType {
    /// The kind of value.
    pub kind: ArgKind,
    /// Null will do.
    pub maybe_null: bool,
    /// The helper may leave reading to after its own writes: no need to initialise.
    pub uninit: bool,
    /// The helper writes through it.
    pub write: bool,
    /// Must be aligned to its size.
    pub aligned: bool,
    /// The reference ends with the call.
    pub release: bool,
    /// Bytes, for memory of a size that the contract fixes; 0: the next argument says.
    pub size: u32,
}

/// Kinds of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Linux's, less ARG_")]
pub enum ArgKind {
    Anything,
    ConstMapPtr,
    MapKey,
    MapValue,
    Mem,
    /// Size of the memory before it, more than zero.
    ConstSize,
    /// Size of the memory before it, zero allowed.
    ConstSizeOrZero,
    ConstAllocSizeOrZero,
    Ctx,
    SpinLock,
    SockCommon,
    Socket,
    /// Pointer to this kernel struct; empty: decided by the helper's other rules.
    BtfId(&'static str),
    BtfIdSockCommon,
    RingbufMem,
    PercpuBtfId,
    Func,
    Stack,
    ConstStr,
    Timer,
    KptrXchgDest,
    Dynptr(DynptrArg),
}

impl RetType {
    /// A value of this kind, without flags.
    pub const fn new(kind: RetKind) -> RetType {
        RetType { kind, maybe_null: false, readonly: false, ringbuf: false, trusted: false }
    }

    /// The same, or null.
    pub const fn or_null(self) -> RetType {
        RetType { maybe_null: true, ..self }
    }

    /// The same, read only.
    pub const fn rdonly(self) -> RetType {
        RetType { readonly: true, ..self }
    }

    /// The same, as a ring-buffer record.
    pub const fn of_ringbuf(self) -> RetType {
        RetType { ringbuf: true, ..self }
    }

    /// The same, trusted.
    pub const fn trust(self) -> RetType {
        RetType { trusted: true, ..self }
    }
}

impl ArgType {
    /// An argument of this kind, without flags.
    pub const fn new(kind: ArgKind) -> ArgType {
        ArgType {
            kind,
            maybe_null: false,
            uninit: false,
            write: false,
            aligned: false,
            release: false,
            size: 0,
        }
    }

    /// The same, or null.
    pub const fn or_null(self) -> ArgType {
        ArgType { maybe_null: true, ..self }
    }

    /// The same, and the caller need not initialise it.
    pub const fn uninit(self) -> ArgType {
        ArgType { uninit: true, ..self }
    }

    /// The same, written by the helper.
    pub const fn write(self) -> ArgType {
        ArgType { write: true, ..self }
    }

    /// The same, aligned to its size.
    pub const fn aligned(self) -> ArgType {
        ArgType { aligned: true, ..self }
    }

    /// The same, released by the call.
    pub const fn release(self) -> ArgType {
        ArgType { release: true, ..self }
    }

    /// The same, of `size` bytes.
    pub const fn sized(self, size: u32) -> ArgType {
        ArgType { size, ..self }
    }
}

/// Which dynptr an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Linux's, less DYNPTR_TYPE_")]
pub enum DynptrArg {
    Any,
    Local,
    Ringbuf,
}

/// What is known of a helper besides its contract.
#[derive(Clone, Copy, Debug)]
pub struct HelperFacts {
    /// First Linux that has it, as `major.minor`.
    pub since: &'static str,
    /// Program variants that may call it, as bits of [`crate::PROG_VARIANTS`]' indexes.
    pub avail: u128,
    /// Of `avail`, the variants that no run of Linux has shown: taken from its documentation.
    pub unprobed: u128,
    /// Variants that have it, but where a check of its own refuses every call.
    pub refused: u128,
    /// Contracts that differ from the first one, with the variants they hold for.
    pub others: &'static [(u128, HelperProto)],
    /// Variants whose loader must hold CAP_PERFMON to call it.
    pub needs_perfmon: u128,
    /// Variants in which registers r1 to r5 that are no arguments survive the call.
    pub fastcall: u128,
    /// Map types it accepts; empty where it takes no map.
    pub maps: &'static [crate::MapType],
}

/// The contract of Linux's helper `id`, in the form that most program types have.
pub fn helper(id: u32) -> Option<&'static HelperProto> {
    crate::HELPERS.get((id as usize).checked_sub(1)?)
}

/// The contract of the helper called `name`, the prefix `bpf_` included.
pub fn helper_by_name(name: &str) -> Option<&'static HelperProto> {
    crate::HELPERS.iter().find(|h| h.name == name)
}

/// What is known of helper `id` besides its contract.
pub fn helper_facts(id: u32) -> Option<&'static HelperFacts> {
    crate::HELPER_FACTS.get((id as usize).checked_sub(1)?)
}

/// The contract of helper `id` in programs of `variant`; `None` if they may not call it.
pub fn helper_for(id: u32, variant: &crate::ProgVariant) -> Option<&'static HelperProto> {
    let facts = helper_facts(id)?;
    if facts.avail & variant.bit() == 0 {
        return None;
    }
    let other = facts.others.iter().find(|(bits, _)| bits & variant.bit() != 0);
    other.map(|(_, proto)| proto).or_else(|| helper(id))
}
