//! The programs of one interface, by hook, ready to run on this thread.

use std::sync::Arc;

use runtime::{Attached, Hooks, Place, Routes, Runner, Target, Task};

/// Where programs meet packets, in the order in which an outgoing and then an incoming packet
/// comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// `cgroup_skb/egress`.
    CgroupEgress,
    /// `tcx/egress`.
    TcxEgress,
    /// A classifier of clsact, egress.
    TcEgress,
    /// `xdp`.
    Xdp,
    /// `tcx/ingress`.
    TcxIngress,
    /// A classifier of clsact, ingress.
    TcIngress,
    /// `cgroup_skb/ingress`.
    CgroupIngress,
    /// `socket`: a packet socket on the interface, in both directions.
    Tap,
}

/// Number of hooks.
pub(super) const HOOKS: usize = 8;

/// `enum bpf_attach_type`; numbers from 0x10000 on are our own, for what Linux attaches otherwise.
const TABLE: [(Hook, u32, &str); HOOKS] = [
    (Hook::CgroupEgress, 1, "cgroup_skb/egress"),
    (Hook::TcxEgress, 47, "tcx/egress"),
    (Hook::TcEgress, 0x1_0002, "tc/egress"),
    (Hook::Xdp, 37, "xdp"),
    (Hook::TcxIngress, 46, "tcx/ingress"),
    (Hook::TcIngress, 0x1_0001, "tc/ingress"),
    (Hook::CgroupIngress, 0, "cgroup_skb/ingress"),
    (Hook::Tap, 0x1_0003, "socket"),
];

impl Hook {
    /// All of them.
    pub const ALL: [Hook; HOOKS] = [
        Hook::CgroupEgress,
        Hook::TcxEgress,
        Hook::TcEgress,
        Hook::Xdp,
        Hook::TcxIngress,
        Hook::TcIngress,
        Hook::CgroupIngress,
        Hook::Tap,
    ];

    /// Whether frames come in there; at packet sockets both do.
    pub(super) fn is_inbound(self, frame: &runtime::Frame) -> bool {
        use Hook::{CgroupIngress, Tap, TcIngress, TcxIngress, Xdp};
        match self {
            Tap => frame.pkt_type != super::path::pkt::OUTGOING,
            _ => matches!(self, Xdp | TcxIngress | TcIngress | CgroupIngress),
        }
    }

    /// What a program's number means there; `None` is a run that was stopped.
    pub(super) fn verdict(self, value: Option<u32>) -> String {
        const XDP: [&str; 5] = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];
        const TC: [&str; 9] = [
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
        const GROUP: [&str; 2] = ["deny", "allow"];
        let Some(value) = value else { return "stopped".into() };
        let names: &[&str] = match self {
            Hook::Xdp => &XDP,
            Hook::CgroupEgress | Hook::CgroupIngress => &GROUP,
            Hook::Tap if value == 0 => return "ignore".into(),
            Hook::Tap => return format!("keep {value} bytes"),
            _ if value == u32::MAX => return "TC_ACT_UNSPEC".into(),
            _ => &TC,
        };
        names.get(value as usize).map_or_else(|| value.to_string(), |name| (*name).into())
    }

    /// Its place at an interface.
    pub fn place(self, ifindex: u32) -> Place {
        Place { attach_type: TABLE[self as usize].1, target: Target::Device(ifindex) }
    }

    /// Its name, as sections have it.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].2
    }
}

/// How often a program returned what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By number.
    pub usual: [u64; 16],
    /// Other numbers.
    pub other: std::collections::BTreeMap<u32, u64>,
    /// Runs that were stopped.
    pub stopped: u64,
}

impl Tally {
    fn count(&mut self, value: u32) {
        match self.usual.get_mut(value as usize) {
            Some(count) => *count += 1,
            None => *self.other.entry(value).or_default() += 1,
        }
    }

    /// A run and its value; `None` if it was stopped.
    pub(super) fn count_run(&mut self, value: Option<u32>) {
        match value {
            Some(value) => self.count(value),
            None => self.stopped += 1,
        }
    }

    pub(super) fn add(&mut self, other: &Tally) {
        for (here, there) in self.usual.iter_mut().zip(other.usual) {
            *here += there;
        }
        for (value, count) in &other.other {
            *self.other.entry(*value).or_default() += count;
        }
        self.stopped += other.stopped;
    }

    /// All numbers that came and how often.
    pub fn values(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let usual = self.usual.iter().enumerate().map(|(value, count)| (value as u32, *count));
        let other = self.other.iter().map(|(value, count)| (*value, *count));
        usual.chain(other).filter(|(_, count)| *count > 0)
    }
}

/// A program at a hook.
pub(super) struct Program {
    pub(super) attached: Attached,
    pub(super) tally: Tally,
}

/// Packets come while no process runs.
pub(super) fn prepare(runner: &mut Runner, routes: &Arc<dyn Routes>) {
    runner.set_task(Task { comm: "<idle>".into(), ..Task::default() });
    runner.set_routes(routes.clone());
}

/// The programs of one interface.
#[derive(Default)]
pub(super) struct Programs {
    hooks: [Vec<Program>; HOOKS],
    pub(super) any: bool,
}

impl Programs {
    /// Those that are attached now.
    pub(super) fn of(hooks: &Hooks, ifindex: u32, routes: &Arc<dyn Routes>) -> Programs {
        let ready = |mut attached: Attached| {
            prepare(&mut attached.runner, routes);
            Program { attached, tally: Tally::default() }
        };
        let at = |(hook, ..): (Hook, u32, &str)| {
            hooks.attached(&hook.place(ifindex)).into_iter().map(ready).collect::<Vec<_>>()
        };
        let hooks = TABLE.map(at);
        let any = hooks.iter().any(|list| !list.is_empty());
        Programs { hooks, any }
    }

    pub(super) fn at(&mut self, hook: Hook) -> &mut [Program] {
        &mut self.hooks[hook as usize]
    }

    /// Takes the programs away; what they counted.
    pub(super) fn take(&mut self) -> Vec<((Hook, u32), Tally)> {
        let mut tallies = Vec::new();
        for ((hook, ..), list) in TABLE.iter().zip(std::mem::take(&mut self.hooks)) {
            for program in list {
                tallies.push(((*hook, program.attached.prog), program.tally));
            }
        }
        self.any = false;
        tallies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_hook() {
        for (at, (hook, ..)) in TABLE.iter().enumerate() {
            assert_eq!(*hook as usize, at);
        }
    }
}
