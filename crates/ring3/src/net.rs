//! Programs on the packets of a little network: a command's host and its peers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hooks::packet::live::{self, Capture, Hook, HostPlan, LiveNet, Place};
pub use hooks::packet::live::{Child, NetError, Report, Tally, leave_signals};
pub use hooks::process::Command;
use loader::ProgramSpec;
use runtime::door::{AttachTo, NetInfo, ProgAttach};
pub use runtime::door::{Bpf, Fd, ObjKind, TcFilter};
use runtime::{Device, Runtime};
pub use uapi::Errno;
use uapi::ProgType;

use crate::{Error, Loaded, Object, action};

/// The host that commands run in unless another one is named, and the first of the others.
pub const HOST: &str = "host";
const PEER: &str = "peer";
/// The only interface of a host besides the loopback one.
const ETH0: &str = "eth0";

/// A network to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetPlan {
    /// Its hosts.
    pub hosts: Vec<String>,
    /// The host whose interface programs are attached to.
    pub at: String,
    /// Programs and the sections they are attached by instead of their own.
    pub attach: Vec<(String, String)>,
    /// A capture of its frames.
    pub write: Option<PathBuf>,
    /// Points that are captured, between commas; all of them if it is empty.
    pub points: String,
}

impl NetPlan {
    /// So many hosts: `host`, `peer`, `peer2` and so on; programs are attached to `dev`, which is
    /// `eth0` or `HOST/eth0`.
    pub fn new(hosts: usize, dev: &str) -> Result<NetPlan, NetError> {
        let name = |at| match at {
            0 => HOST.to_owned(),
            1 => PEER.to_owned(),
            at => format!("{PEER}{at}"),
        };
        let hosts: Vec<String> = (0..hosts).map(name).collect();
        let (at, interface) = dev.split_once('/').unwrap_or((HOST, dev));
        if interface != ETH0 || !hosts.iter().any(|host| host == at) {
            let known: Vec<_> = hosts.iter().map(|host| format!("{host}/{ETH0}")).collect();
            let message = format!(
                "no interface '{dev}' in the network; there are {ETH0} (of {HOST}), {}",
                known.join(", ")
            );
            return Err(NetError::Unusable(message));
        }
        Ok(NetPlan {
            at: at.to_owned(),
            hosts,
            attach: Vec::new(),
            write: None,
            points: String::new(),
        })
    }
}

impl NetPlan {
    fn capture(&self) -> Result<Option<Capture>, NetError> {
        let Some(file) = &self.write else { return Ok(None) };
        live::capture(file, &self.points).map(Some)
    }
}

/// Starts a command in the host of this name, of whichever network it is.
pub fn spawn_in(nets: &[NetInfo], host: &str, command: &Command) -> Result<Child, NetError> {
    let named = |net: &NetInfo| net.hosts.iter().position(|known| known.name == host);
    let Some((net, at)) = nets.iter().find_map(|net| Some((net, named(net)?))) else {
        let known = nets.iter().flat_map(|net| &net.hosts).map(|host| &*host.name);
        let known: Vec<_> = known.collect();
        let message = match known.is_empty() {
            true => format!("there is no host '{host}': no network is up (ring3 net up NAME)"),
            false => format!("there is no host '{host}'; there are {}", known.join(", ")),
        };
        return Err(NetError::Unusable(message));
    };
    Place { pid: net.pid as i32, own_users: net.own_users }.spawn(at, command)
}

/// Sections of programs on packets; the longest that fits counts.
const SECTIONS: [(&str, Option<Hook>); 15] = [
    ("xdp", Some(Hook::Xdp)),
    ("xdp.frags", Some(Hook::Xdp)),
    // Run by their map's entry.
    ("xdp/devmap", None),
    ("xdp/cpumap", None),
    ("xdp.frags/devmap", None),
    ("xdp.frags/cpumap", None),
    ("tcx/ingress", Some(Hook::TcxIngress)),
    ("tcx/egress", Some(Hook::TcxEgress)),
    ("tc/ingress", Some(Hook::TcxIngress)),
    ("tc/egress", Some(Hook::TcxEgress)),
    ("tc", Some(Hook::TcIngress)),
    ("classifier", Some(Hook::TcIngress)),
    ("cgroup_skb/ingress", Some(Hook::CgroupIngress)),
    ("cgroup_skb/egress", Some(Hook::CgroupEgress)),
    ("socket", Some(Hook::Tap)),
];
/// Words for `--attach` only.
const ELSEWHERE: [(&str, Option<Hook>); 2] =
    [("clsact/ingress", Some(Hook::TcIngress)), ("clsact/egress", Some(Hook::TcEgress))];

fn hook(section: &str) -> Option<Option<Hook>> {
    let section = section.trim_start_matches('?');
    let fits = |row: &&(&str, Option<Hook>)| {
        let rest = section.strip_prefix(row.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let rows = SECTIONS.iter().chain(&ELSEWHERE);
    rows.filter(fits).max_by_key(|row| row.0.len()).map(|row| row.1)
}

/// Whether a program is one for packets of an interface.
pub fn takes_packets(section: &str) -> bool {
    hook(section).is_some()
}

fn place(program: &ProgramSpec, plan: &NetPlan) -> Result<Option<Hook>, NetError> {
    let other = plan.attach.iter().find(|(name, _)| *name == program.name);
    let section = other.map_or(&*program.section, |(_, section)| section);
    let refuse =
        |why: String| NetError::Unusable(format!("program '{}' ({section}): {why}", program.name));
    let Some(hook) = hook(section) else {
        let known: Vec<_> = SECTIONS.iter().chain(&ELSEWHERE).map(|row| row.0).collect();
        let known = known.join(", ");
        return Err(refuse(format!("this is no hook of an interface; there are {known}")));
    };
    let Some(hook) = hook else { return Ok(None) };
    let wanted = match hook {
        Hook::Xdp => ProgType::Xdp,
        Hook::CgroupEgress | Hook::CgroupIngress => ProgType::CgroupSkb,
        Hook::Tap => ProgType::SocketFilter,
        Hook::TcxEgress | Hook::TcEgress | Hook::TcxIngress | Hook::TcIngress => ProgType::SchedCls,
    };
    let action = program.prog_type == Some(ProgType::SchedAct) && wanted == ProgType::SchedCls;
    if program.prog_type != Some(wanted) && !action {
        let kind = program.prog_type.map_or_else(|| "unspec".into(), action::prog_type_name);
        return Err(refuse(format!("a program of type {kind} does not go there")));
    }
    Ok(Some(hook))
}

/// Checks that all programs of `object` have a hook; the first that has none is the error.
pub fn check(object: &Object, plan: &NetPlan) -> Result<(), NetError> {
    let programs = &object.spec().programs;
    if let Some((name, _)) = plan.attach.iter().find(|(n, _)| object.spec().program(n).is_none()) {
        return Err(NetError::Unusable(format!("--attach: there is no program '{name}'")));
    }
    let mut attached = 0;
    for program in programs.iter().filter(|program| program.autoload) {
        attached += usize::from(place(program, plan)?.is_some());
    }
    if attached == 0 {
        return Err(NetError::Unusable("no program of it goes to an interface".into()));
    }
    Ok(())
}

/// A program at a hook and what it returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// `HOST/eth0`.
    pub dev: String,
    /// The hook as sections have it.
    pub hook: &'static str,
    /// The program.
    pub program: String,
    /// Names of verdicts and how often each was given.
    pub verdicts: Vec<(String, u64)>,
    /// Runs that were stopped.
    pub stopped: u64,
}

/// Loaded programs on a running network.
pub struct Net<'a> {
    loaded: &'a Loaded,
    net: LiveNet,
    /// Indexes of interfaces and their names.
    devices: BTreeMap<u32, String>,
    /// Ids of programs.
    programs: BTreeMap<u32, &'a ProgramSpec>,
}

impl<'a> Net<'a> {
    /// Makes the network and attaches what was loaded.
    pub fn start(loaded: &'a Loaded, plan: &NetPlan) -> Result<Net<'a>, NetError> {
        let runtime = loaded.shared_runtime();
        let capture = plan.capture()?;
        let mut hosts = Vec::new();
        for (at, name) in plan.hosts.iter().enumerate() {
            let device = device(&runtime, name)?;
            hosts.push((HostPlan::new(at as u8 + 1, name, device.ifindex), device));
        }
        let at = hosts.iter().find(|(host, _)| host.name == plan.at);
        let ifindex = at.map_or(0, |(host, _)| host.ifindex);
        let mut programs = BTreeMap::new();
        for (program, fd) in loaded.programs() {
            let info = (&*runtime as &dyn Bpf).prog_info(fd);
            programs.insert(info.map_or(0, |info| info.id), program);
            if let Some(hook) = place(program, plan)? {
                attach(&runtime, hook, ifindex, fd).map_err(|errno| NetError::Device {
                    name: format!("{}/{ETH0}: program '{}'", plan.at, program.name),
                    errno,
                })?;
            }
        }
        let devices = hosts.iter().map(|(host, _)| (host.ifindex, format!("{}/{ETH0}", host.name)));
        let devices = devices.collect();
        Ok(Net {
            loaded,
            net: LiveNet::start(&hosts, runtime.hooks(), capture)?,
            devices,
            programs,
        })
    }

    /// Starts a command in a host.
    pub fn spawn(&self, host: &str, command: &Command) -> Result<Child, NetError> {
        self.net.spawn(host, command)
    }

    /// The records that programs send, to be taken while commands run.
    pub fn records(&self) -> Result<crate::live::Records<'a>, Error> {
        crate::live::Records::new(self.loaded)
    }

    /// Ends the network and all commands in it; what the programs returned.
    pub fn end(self) -> Result<(Vec<Verdicts>, Report), NetError> {
        let Net { net, devices, programs, .. } = self;
        let report = net.end()?;
        let rows = report.tallies.iter().map(|((ifindex, hook, id), tally)| {
            let spec = programs.get(id);
            let prog_type = spec.and_then(|spec| spec.prog_type);
            Verdicts {
                dev: devices.get(ifindex).cloned().unwrap_or_default(),
                hook: hook.name(),
                program: spec.map_or_else(String::new, |spec| spec.name.clone()),
                verdicts: named(prog_type, tally),
                stopped: tally.stopped,
            }
        });
        Ok((rows.collect(), report.clone()))
    }
}

/// Verdicts by their names; what filters of sockets return is a length.
fn named(prog_type: Option<ProgType>, tally: &Tally) -> Vec<(String, u64)> {
    if prog_type != Some(ProgType::SocketFilter) {
        let named = |(value, count)| (action::verdict_name(prog_type, value), count);
        return tally.values().map(named).collect();
    }
    let kept = tally.values().filter(|(value, _)| *value != 0).map(|(_, count)| count).sum();
    let rows = [("keep".to_owned(), kept), ("ignore".to_owned(), tally.usual[0])];
    rows.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn device(runtime: &Runtime, host: &str) -> Result<Arc<Device>, NetError> {
    live::check_name(host).map_err(NetError::Unusable)?;
    let name = format!("{host}/{ETH0}");
    runtime.add_live_device(&name).map_err(|errno| NetError::Device { name, errno })
}

fn attach(runtime: &Runtime, hook: Hook, ifindex: u32, prog: Fd) -> Result<(), Errno> {
    const UPDATE_IF_NOEXIST: u32 = 1;
    let place = hook.place(ifindex);
    match hook {
        Hook::Xdp => (runtime as &dyn Bpf).xdp_set(ifindex, Some(prog), UPDATE_IF_NOEXIST),
        Hook::TcxIngress | Hook::TcxEgress => runtime.prog_attach(&ProgAttach {
            prog: Some(prog),
            attach_type: place.attach_type,
            to: AttachTo::Device { ifindex },
            ..ProgAttach::default()
        }),
        _ => runtime.put_program(place, prog),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_name_hooks() {
        assert_eq!(hook("xdp"), Some(Some(Hook::Xdp)));
        assert_eq!(hook("?xdp.frags/any"), Some(Some(Hook::Xdp)));
        assert_eq!(hook("xdp/devmap/x"), Some(None));
        assert_eq!(hook("tc"), Some(Some(Hook::TcIngress)));
        assert_eq!(hook("tc/egress"), Some(Some(Hook::TcxEgress)));
        assert_eq!(hook("xdpfoo"), None);
        assert_eq!(hook("kprobe/x"), None);
    }

    #[test]
    fn interfaces_are_those_of_the_hosts() {
        let plan = NetPlan::new(3, "peer2/eth0").expect("a host");
        assert_eq!((plan.at.as_str(), plan.hosts.len()), ("peer2", 3));
        assert!(NetPlan::new(2, "peer2/eth0").is_err() && NetPlan::new(2, "eth1").is_err());
    }
}
