//! What the numbers that programs return are called, and which let a packet go on.

use uapi::{MapType, ProgType, XdpAction};

/// `TC_ACT_*` of linux/pkt_cls.h, from -1.
const TC_ACTIONS: [&str; 10] = [
    "TC_ACT_UNSPEC",
    "TC_ACT_OK",
    "TC_ACT_RECLASSIFY",
    "TC_ACT_SHOT",
    "TC_ACT_PIPE",
    "TC_ACT_STOLEN",
    "TC_ACT_QUEUED",
    "TC_ACT_REPEAT",
    "TC_ACT_REDIRECT",
    "TC_ACT_TRAP",
];

/// Numbers in [`TC_ACTIONS`] after which the packet is gone: shot, stolen, queued.
const TC_GONE: [u32; 3] = [2, 4, 5];

/// The name of a verdict, or the plain number where the type has no names.
pub(crate) fn verdict_name(prog_type: Option<ProgType>, value: u32) -> String {
    match prog_type {
        Some(ProgType::Xdp) => match XdpAction::from_raw(value) {
            Some(action) => action.name().to_owned(),
            None => format!("unknown {value}"),
        },
        Some(ProgType::SchedCls | ProgType::SchedAct) => {
            let name = TC_ACTIONS.get(value.wrapping_add(1) as usize);
            name.map_or_else(|| format!("unknown {value}"), |name| (*name).to_owned())
        }
        Some(ProgType::CgroupSkb) if value & 1 == 0 => "drop".into(),
        Some(ProgType::CgroupSkb) => "allow".into(),
        _ => value.to_string(),
    }
}

/// Return values with a name, by number.
type Names = &'static [(u32, &'static str)];

const SK: Names = &[(0, "SK_DROP"), (1, "SK_PASS")];
const NETFILTER: Names = &[(0, "NF_DROP"), (1, "NF_ACCEPT")];
const LWT: Names = &[(0, "BPF_OK"), (2, "BPF_DROP"), (7, "BPF_REDIRECT"), (128, "BPF_LWT_REROUTE")];
const FLOW: Names = &[(0, "BPF_OK"), (2, "BPF_DROP"), (129, "BPF_FLOW_DISSECTOR_CONTINUE")];
const ALLOW: Names = &[(0, "deny"), (1, "allow")];
const EGRESS: Names =
    &[(0, "drop"), (1, "keep"), (2, "drop, notify congestion"), (3, "keep, notify congestion")];
const SESSION: Names = &[(0, "run the return probe"), (1, "do not run the return probe")];
const ITER: Names = &[(0, "go on"), (1, "this object again")];

/// What a value that a program returned means to Linux; `None` where it is just a number.
pub(crate) fn meaning(prog_type: Option<ProgType>, attach_type: u32, value: u32) -> Option<String> {
    use ProgType as P;
    use uapi::AttachType as A;
    let is = |attach: A| attach.raw() == attach_type;
    let names = match prog_type? {
        P::Xdp | P::SchedCls | P::SchedAct => return Some(verdict_name(prog_type, value)),
        P::SkSkb | P::SkMsg | P::SkLookup | P::SkReuseport => SK,
        P::Netfilter => NETFILTER,
        P::LwtIn | P::LwtOut | P::LwtXmit | P::LwtSeg6local => LWT,
        P::FlowDissector => FLOW,
        P::CgroupSkb if is(A::CgroupInetEgress) => EGRESS,
        P::CgroupSkb
        | P::CgroupSock
        | P::CgroupSockAddr
        | P::CgroupSockopt
        | P::CgroupSysctl
        | P::CgroupDevice => ALLOW,
        P::Lsm if is(A::LsmCgroup) => ALLOW,
        P::Lsm => return Some(result(value, "allow")),
        P::Tracing if is(A::ModifyReturn) => return Some(result(value, "call the function")),
        P::Tracing if is(A::TraceIter) => ITER,
        P::Kprobe if is(A::TraceKprobeSession) || is(A::TraceUprobeSession) => SESSION,
        P::SocketFilter if value == 0 => return Some("drop".into()),
        P::SocketFilter => return Some(format!("keep {value} bytes")),
        _ => return None,
    };
    names.iter().find(|(number, _)| *number == value).map(|(_, name)| (*name).to_owned())
}

/// A result of 0 or a negative error number.
fn result(value: u32, zero: &str) -> String {
    match value as i32 {
        0 => zero.to_owned(),
        n @ -4095..0 => uapi::Errno(-n).to_string(),
        n => format!("{n}"),
    }
}

/// Whether a packet goes on after this verdict: up the stack, or out of an interface.
pub(crate) fn passes(prog_type: Option<ProgType>, value: u32) -> bool {
    match prog_type {
        Some(ProgType::Xdp) => {
            use XdpAction::{Pass, Redirect, Tx};
            matches!(XdpAction::from_raw(value), Some(Pass | Tx | Redirect))
        }
        Some(ProgType::SchedCls | ProgType::SchedAct) => !TC_GONE.contains(&value),
        Some(ProgType::CgroupSkb) => value & 1 == 1,
        _ => value != 0,
    }
}

/// A type of program as bpftool prints it: `xdp`, `sched_cls`.
pub fn prog_type_name(prog_type: ProgType) -> String {
    prog_type.name().trim_start_matches("BPF_PROG_TYPE_").to_ascii_lowercase()
}

/// A type of map as bpftool prints it: `hash`, `percpu_array`.
pub fn map_type_name(map_type: MapType) -> String {
    map_type.name().trim_start_matches("BPF_MAP_TYPE_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_linux_s() {
        assert_eq!(verdict_name(Some(ProgType::Xdp), 2), "XDP_PASS");
        assert_eq!(verdict_name(Some(ProgType::SchedCls), u32::MAX), "TC_ACT_UNSPEC");
        assert_eq!(verdict_name(Some(ProgType::SchedCls), 2), "TC_ACT_SHOT");
        assert_eq!(verdict_name(Some(ProgType::SocketFilter), 96), "96");
        assert_eq!(prog_type_name(ProgType::SchedCls), "sched_cls");
        assert_eq!(map_type_name(MapType::PercpuArray), "percpu_array");
    }

    #[test]
    fn dropped_packets_do_not_pass() {
        let xdp: Vec<u32> = (0..9).filter(|v| passes(Some(ProgType::Xdp), *v)).collect();
        assert_eq!(xdp, [2, 3, 4]);
        assert!(!passes(Some(ProgType::SchedCls), 2) && passes(Some(ProgType::SchedCls), u32::MAX));
    }
}
