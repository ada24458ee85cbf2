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

/// Which dynptr an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Linux's, less DYNPTR_TYPE_")]
pub enum DynptrArg {
    Any,
    Local,
    Ringbuf,
}
