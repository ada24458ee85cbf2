//! Registers in plain words.

use crate::domain::Bounds;
use crate::env::Env;
use crate::state::{RegFlags, RegKind, RegState};

/// What a register holds: `a number from 0 to 255`, `a pointer into the packet, at offset 14`.
pub(super) fn register(env: &Env<'_>, reg: &RegState) -> String {
    match reg.kind {
        RegKind::NotInit => "not set on this path".into(),
        RegKind::Scalar => number(&reg.v),
        _ => {
            let what = pointee(env, reg);
            let at = position(reg);
            let null = if reg.may_be_null() { ", or NULL (not checked)" } else { "" };
            format!("{what}{at}{null}{}", checked(reg))
        }
    }
}

/// A number by its range.
pub(super) fn number(v: &Bounds) -> String {
    if let Some(value) = v.as_const() {
        return format!("the number {}", signed(value as i64));
    }
    let step = match v.var_off.mask.trailing_zeros() {
        shift @ 1..=16 if v.var_off.value & ((1 << shift) - 1) == 0 => {
            format!(", a multiple of {}", 1u64 << shift)
        }
        _ => String::new(),
    };
    format!("{}{step}", range("number", v))
}

fn range(noun: &str, v: &Bounds) -> String {
    match (v.smin, v.smax) {
        (i64::MIN, i64::MAX) if v.umin == 0 => format!("any {noun}"),
        (i64::MIN, i64::MAX) => format!("any {noun} but those from 0 to {}", unsigned(v.umin - 1)),
        (i64::MIN, max) => format!("a {noun} of at most {}, possibly negative", signed(max)),
        (min, i64::MAX) if min < 0 => format!("a {noun} from {} up", signed(min)),
        (min, max) if min < 0 => format!("a {noun} from {} to {}", signed(min), signed(max)),
        _ => format!("a {noun} from {} to {}", unsigned(v.umin), unsigned(v.umax)),
    }
}

/// A number as people write it; powers of two where type limits are meant.
pub(super) fn signed(n: i64) -> String {
    match n {
        i64::MIN => "-2^63".into(),
        n if n == i64::from(i32::MIN) => "-2^31".into(),
        n if n < 0 => n.to_string(),
        _ => unsigned(n as u64),
    }
}

/// The same without sign.
pub(super) fn unsigned(n: u64) -> String {
    match n {
        u64::MAX => "2^64-1".into(),
        n if n == i64::MAX as u64 => "2^63-1".into(),
        n if n == u64::from(u32::MAX) => "2^32-1".into(),
        n if n == i32::MAX as u64 => "2^31-1".into(),
        n => n.to_string(),
    }
}

/// `1 byte`, `2 bytes`.
pub(super) fn bytes(n: impl Into<i64>) -> String {
    match n.into() {
        1 => "1 byte".into(),
        n => format!("{n} bytes"),
    }
}

/// What a pointer points to.
pub(super) fn pointee(env: &Env<'_>, reg: &RegState) -> String {
    match reg.kind {
        RegKind::NotInit | RegKind::Scalar => "no pointer".into(),
        RegKind::Ctx => "the context".into(),
        RegKind::MapPtr => map_name(env, reg),
        RegKind::MapValue => format!(
            "a pointer to a value of {} ({})",
            map_name(env, reg),
            bytes(env.map_def(reg).value_size)
        ),
        RegKind::MapKey => {
            format!("a pointer to a key ({})", bytes(env.map_def(reg).key_size))
        }
        RegKind::Stack => "a pointer to the stack".into(),
        RegKind::PktMeta => "a pointer to the packet's metadata".into(),
        RegKind::Pkt => "a pointer into the packet".into(),
        RegKind::PktEnd => "the packet's end (data_end)".into(),
        RegKind::FlowKeys => "the flow keys".into(),
        RegKind::Sock => "a socket".into(),
        RegKind::SockCommon => "a socket of any kind (struct bpf_sock_common)".into(),
        RegKind::TcpSock => "a TCP socket (struct bpf_tcp_sock)".into(),
        RegKind::XdpSock => "an XDP socket".into(),
        RegKind::TpBuffer => "the tracepoint's buffer".into(),
        RegKind::BtfId => kernel_object(env, reg),
        RegKind::Mem if reg.flags.contains(RegFlags::RINGBUF) => {
            format!("a pointer to a ring buffer record ({})", bytes(reg.mem_size()))
        }
        RegKind::Mem => format!("a pointer to memory of {}", bytes(reg.mem_size())),
        RegKind::Buf => "a pointer to a buffer".into(),
        RegKind::Func => "the address of a function".into(),
        RegKind::Dynptr => "a dynptr".into(),
        RegKind::Arena => "a pointer into the arena".into(),
    }
}

fn kernel_object(env: &Env<'_>, reg: &RegState) -> String {
    let name = env.btf_of(reg).map_or("", |btf| btf.name_of(btf::TypeId(reg.btf_id())));
    let name = if name.is_empty() { "a kernel object".into() } else { format!("struct {name}") };
    let trust = match reg.flags {
        f if f.contains(RegFlags::UNTRUSTED) => "an untrusted pointer",
        f if f.contains(RegFlags::TRUSTED) => "a trusted pointer",
        f if f.contains(RegFlags::RCU) => "a pointer valid under RCU",
        f if f.contains(RegFlags::PERCPU) => "a per-CPU pointer",
        _ => "a pointer",
    };
    format!("{trust} to {name}")
}

/// The map's name in backquotes.
pub(super) fn map_name(env: &Env<'_>, reg: &RegState) -> String {
    match env.map_def(reg).name.as_str() {
        "" => "a map".into(),
        name => format!("map `{name}`"),
    }
}

/// `, at offset 14`; `, 2 bytes and a number from 0 to 255 behind its start`.
pub(super) fn position(reg: &RegState) -> String {
    let fixed = i64::from(reg.off);
    match (reg.kind, reg.v.as_const()) {
        (RegKind::MapPtr | RegKind::Func | RegKind::PktEnd | RegKind::Dynptr, _) => String::new(),
        (RegKind::Stack, Some(value)) => {
            format!(" at {}", frame_offset(fixed.wrapping_add(value as i64)))
        }
        (RegKind::Stack, None) => format!(" at {} plus {}", frame_offset(fixed), number(&reg.v)),
        (_, Some(value)) => match fixed.wrapping_add(value as i64) {
            0 if reg.is_packet() => ", at its start".into(),
            0 => String::new(),
            at => format!(", at offset {at}"),
        },
        (_, None) if fixed == 0 => format!(", at an offset that is {}", number(&reg.v)),
        (_, None) => format!(", at offset {fixed} plus {}", number(&reg.v)),
    }
}

/// `fp-8`.
pub(super) fn frame_offset(off: i64) -> String {
    if off == 0 { "fp".into() } else { format!("fp{off:+}") }
}

/// How far a packet pointer was compared with the end.
fn checked(reg: &RegState) -> String {
    if !reg.is_packet() {
        return String::new();
    }
    let variable = reg.v.as_const().is_none();
    let end = if reg.kind == RegKind::PktMeta { "data" } else { "data_end" };
    match reg.range() {
        0 => format!("; never compared with {end}"),
        r if r < 0 => format!("; known to be at or beyond {end}"),
        r if variable => format!("; checked up to {} behind that variable part", bytes(r)),
        r => format!("; the packet is checked up to offset {r}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(smin: i64, smax: i64) -> Bounds {
        let mut v = Bounds::UNKNOWN;
        (v.smin, v.smax) = (smin, smax);
        v.sync();
        v
    }

    #[test]
    fn numbers_are_said_by_their_range() {
        assert_eq!(number(&Bounds::constant(5)), "the number 5");
        assert_eq!(number(&Bounds::constant(-1i64 as u64)), "the number -1");
        assert_eq!(number(&Bounds::UNKNOWN), "any number");
        assert_eq!(number(&between(0, 255)), "a number from 0 to 255");
        assert_eq!(number(&between(-4, 7)), "a number from -4 to 7");
        assert_eq!(number(&between(0, i64::MAX)), "a number from 0 to 2^63-1");
        assert_eq!(number(&between(i64::MIN, 7)), "a number of at most 7, possibly negative");
    }
}
