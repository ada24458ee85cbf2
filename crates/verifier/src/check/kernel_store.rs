//! Stores into the fields of kernel structures that a program's type allows.

use btf::{Btf, Kind, Type, TypeId};

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::BadBtf;
use crate::state::RegState;

/// Fields of a TCP socket that congestion control may change: structure, path. The structures lie
/// at the socket's start, one in the other.
const TCP_FIELDS: &[(&str, &[&str])] = &[
    ("sock", &["sk_pacing_rate"]),
    ("sock", &["sk_pacing_status"]),
    ("inet_connection_sock", &["icsk_ca_priv"]),
    ("inet_connection_sock", &["icsk_ack", "pending"]),
    ("tcp_sock", &["snd_cwnd"]),
    ("tcp_sock", &["snd_cwnd_cnt"]),
    ("tcp_sock", &["snd_cwnd_stamp"]),
    ("tcp_sock", &["snd_ssthresh"]),
    ("tcp_sock", &["ecn_flags"]),
    ("tcp_sock", &["app_limited"]),
];
/// Fields that may be stored to anywhere inside, not only at their start.
const ANYWHERE: &str = "icsk_ca_priv";

/// A store of `size` bytes at `off` of the structure behind the register.
pub(super) fn check_store(
    env: &Env<'_>,
    btf: &Btf,
    reg: &RegState,
    off: u32,
    size: u32,
) -> Checked {
    let name = btf.resolved(TypeId(reg.btf_id())).map_or("", |t| t.name);
    match env.attach.structure.as_str() {
        "bpf_dummy_ops" => check_dummy(btf, name, off, size),
        "tcp_congestion_ops" if name == "tcp_sock" => check_tcp(btf, off, size),
        _ => reject!(EACCES, BadBtf::ReadOnly),
    }
}

/// Packet programs may change the mark of a tracked connection.
pub(super) fn check_connection(btf: &Btf, reg: &RegState, off: u32, size: u32) -> Checked {
    const CONNECTION: &str = "nf_conn";
    let name = btf.resolved(TypeId(reg.btf_id())).map_or("", |t| t.name);
    if name != CONNECTION && name != "nf_conn___init" {
        return reject!(EACCES, BadBtf::ReadOnly);
    }
    match place(btf, CONNECTION, &["mark"]) {
        Some((start, end)) if start == off => match off.saturating_add(size) > end {
            true => reject!(EACCES, BadBtf::ConnectionRange { off, size, end }),
            false => Ok(()),
        },
        _ => reject!(EACCES, BadBtf::ConnectionField { off }),
    }
}

fn check_dummy(btf: &Btf, name: &str, off: u32, size: u32) -> Checked {
    const STATE: &str = "bpf_dummy_ops_state";
    if name != STATE {
        return reject!(EACCES, BadBtf::DummyState);
    }
    let state = btf.find_by_name(STATE, Kind::Struct).and_then(|id| btf.size_of(id).ok());
    if off.saturating_add(size) > state.unwrap_or(0) {
        return reject!(EACCES, BadBtf::DummyRange { off, size });
    }
    Ok(())
}

fn check_tcp(btf: &Btf, off: u32, size: u32) -> Checked {
    let covers = |(structure, path): &(&str, &[&str])| {
        let (start, end) = place(btf, structure, path)?;
        let inside = path == &[ANYWHERE] && (start..end).contains(&off);
        (start == off || inside).then_some(end)
    };
    let Some(end) = TCP_FIELDS.iter().find_map(covers) else {
        return reject!(EACCES, BadBtf::TcpField { off });
    };
    if off.saturating_add(size) > end {
        return reject!(EACCES, BadBtf::TcpRange { off, size, end });
    }
    Ok(())
}

/// First byte of a field, and the byte after its last.
fn place(btf: &Btf, structure: &str, path: &[&str]) -> Option<(u32, u32)> {
    let mut within = btf.find_by_name(structure, Kind::Struct)?;
    let mut start = 0;
    for name in path {
        let (id, off) = member(btf, &btf.resolved(within)?, name)?;
        (within, start) = (id, start + off);
    }
    Some((start, start + btf.size_of(within).ok()?))
}

/// Type and byte offset of a member, looked for in nameless ones too.
fn member(btf: &Btf, t: &Type<'_>, name: &str) -> Option<(TypeId, u32)> {
    if let Some(m) = t.members().find(|m| m.name == name) {
        return Some((m.type_id, m.bit_offset / 8));
    }
    let nameless = t.members().filter(|m| m.name.is_empty());
    nameless.flat_map(|m| Some((m.bit_offset / 8, btf.resolved(m.type_id)?))).find_map(
        |(off, inner)| {
            let nested = inner.members().find(|m| m.name == name)?;
            Some((nested.type_id, off + nested.bit_offset / 8))
        },
    )
}
