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
