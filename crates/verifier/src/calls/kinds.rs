//! Which kinds of register an argument takes, and their names in messages.

use uapi::ArgKind;

use crate::state::{RegFlags, RegKind};

/// A register type: kind and flags.
pub(super) type Type = (RegKind, RegFlags);

const NONE: RegFlags = RegFlags::empty();

const MEM: &[Type] = &[
    (RegKind::Stack, NONE),
    (RegKind::Pkt, NONE),
    (RegKind::PktMeta, NONE),
    (RegKind::MapKey, NONE),
    (RegKind::MapValue, NONE),
    (RegKind::Mem, NONE),
    (RegKind::Mem, RegFlags::RINGBUF),
    (RegKind::Buf, NONE),
    (RegKind::BtfId, RegFlags::TRUSTED),
];
const SOCK: &[Type] = &[
    (RegKind::SockCommon, NONE),
    (RegKind::Sock, NONE),
    (RegKind::TcpSock, NONE),
    (RegKind::XdpSock, NONE),
];
const BTF_SOCK: &[Type] = &[
    (RegKind::SockCommon, NONE),
    (RegKind::Sock, NONE),
    (RegKind::TcpSock, NONE),
    (RegKind::XdpSock, NONE),
    (RegKind::BtfId, NONE),
    (RegKind::BtfId, RegFlags::TRUSTED),
];
const BTF: &[Type] =
    &[(RegKind::BtfId, NONE), (RegKind::BtfId, RegFlags::TRUSTED), (RegKind::BtfId, RegFlags::RCU)];
const PERCPU: &[Type] = &[
    (RegKind::BtfId, RegFlags::PERCPU),
    (RegKind::BtfId, RegFlags::PERCPU.union(RegFlags::RCU)),
    (RegKind::BtfId, RegFlags::PERCPU.union(RegFlags::TRUSTED)),
];
const VALUE_OR_OWN: &[Type] = &[(RegKind::MapValue, NONE), (RegKind::BtfId, RegFlags::ALLOC)];

/// What an argument of this kind takes, in the order messages list it.
pub(super) fn accepted(kind: ArgKind) -> &'static [Type] {
    match kind {
        ArgKind::Anything => &[],
        ArgKind::MapKey | ArgKind::MapValue | ArgKind::Mem => MEM,
        ArgKind::ConstSize | ArgKind::ConstSizeOrZero | ArgKind::ConstAllocSizeOrZero => {
            &[(RegKind::Scalar, NONE)]
        }
        ArgKind::ConstMapPtr => &[(RegKind::MapPtr, NONE)],
        ArgKind::Ctx => &[(RegKind::Ctx, NONE)],
        ArgKind::SockCommon => SOCK,
        ArgKind::BtfIdSockCommon => BTF_SOCK,
        ArgKind::Socket => &[(RegKind::Sock, NONE)],
        ArgKind::BtfId(_) => BTF,
        ArgKind::SpinLock | ArgKind::KptrXchgDest => VALUE_OR_OWN,
        ArgKind::RingbufMem => &[(RegKind::Mem, RegFlags::RINGBUF)],
        ArgKind::PercpuBtfId => PERCPU,
        ArgKind::Func => &[(RegKind::Func, NONE)],
        ArgKind::Stack => &[(RegKind::Stack, NONE)],
        ArgKind::ConstStr | ArgKind::Timer => &[(RegKind::MapValue, NONE)],
        ArgKind::Dynptr(_) => &[(RegKind::Stack, NONE), (RegKind::Dynptr, NONE)],
    }
}

/// Prefixes of type names, in Linux's order.
const PREFIXES: &[(RegFlags, &str)] = &[
    (RegFlags::RDONLY, "rdonly_"),
    (RegFlags::RINGBUF, "ringbuf_"),
    (RegFlags::USER, "user_"),
    (RegFlags::PERCPU, "percpu_"),
    (RegFlags::UNTRUSTED, "untrusted_"),
    (RegFlags::TRUSTED, "trusted_"),
    (RegFlags::RCU, "rcu_"),
];

/// A register type as Linux names it: `map_value_or_null`, `trusted_ptr_`.
pub(crate) fn type_name(kind: RegKind, flags: RegFlags) -> String {
    let mut out = String::new();
    for (flag, prefix) in PREFIXES {
        if flags.contains(*flag) {
            out.push_str(prefix);
        }
    }
    out.push_str(base_name(kind));
    if flags.contains(RegFlags::MAYBE_NULL) {
        out.push_str(if kind == RegKind::BtfId { "or_null_" } else { "_or_null" });
    }
    out
}

fn base_name(kind: RegKind) -> &'static str {
    match kind {
        RegKind::NotInit => "?",
        RegKind::Scalar => "scalar",
        RegKind::Ctx => "ctx",
        RegKind::MapPtr => "map_ptr",
        RegKind::MapValue => "map_value",
        RegKind::MapKey => "map_key",
        RegKind::Stack => "fp",
        RegKind::PktMeta => "pkt_meta",
        RegKind::Pkt => "pkt",
        RegKind::PktEnd => "pkt_end",
        RegKind::FlowKeys => "flow_keys",
        RegKind::Sock => "sock",
        RegKind::SockCommon => "sock_common",
        RegKind::TcpSock => "tcp_sock",
        RegKind::TpBuffer => "tp_buffer",
        RegKind::XdpSock => "xdp_sock",
        RegKind::BtfId => "ptr_",
        RegKind::Mem => "mem",
        RegKind::Buf => "buf",
        RegKind::Func => "func",
        RegKind::Dynptr => "dynptr_ptr",
        RegKind::Arena => "arena",
    }
}
