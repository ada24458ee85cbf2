//! A network of namespaces: hosts, each with one interface whose other end is the switch's.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::NetError;
use super::netlink::{End, Netlink};
use super::plan::{self, HostPlan, PREFIX};
use super::sys::holder::{self, Holder, Stage, Wanted};
use super::sys::pass;

/// Packet sockets of one host's wire: short frames, long frames.
pub(super) const SOCKETS: usize = 2;
/// The loopback interface of every namespace.
const LO: u32 = 1;

/// The namespaces, while this lives.
pub(super) struct Network {
    pub(super) hosts: Vec<Host>,
    pub(super) holder: Arc<Holder>,
}

/// One host.
pub(super) struct Host {
    pub(super) plan: HostPlan,
    pub(super) netlink: Netlink,
    /// At the switch's end of its wire.
    pub(super) sockets: [OwnedFd; SOCKETS],
}

impl Network {
    /// Makes it. It ends with the thread that calls, at the latest.
    pub(super) fn new(hosts: &[HostPlan]) -> Result<Network, NetError> {
        plan::check(hosts)?;
        let names = plan::names(hosts);
        let wanted =
            Wanted { hosts: hosts.len() as u32, sockets: SOCKETS as u32, names: names.as_bytes() };
        let holder = Holder::start(&wanted).map_err(|source| NetError::NoNamespaces { source })?;
        let take = NetError::system("a network's namespaces");
        let mut sockets = Vec::new();
        for _ in hosts {
            sockets.push(next(&holder, holder::SWITCH).and_then(|fds| exactly(fds, &take))?);
        }
        let [switch, netlink] = exactly(next(&holder, holder::SWITCH)?, &take)?;
        let mut switch_netlink = Netlink::new(netlink);
        let mut made = Vec::new();
        for (plan, sockets) in hosts.iter().zip(sockets) {
            let [_netns, netlink] = exactly(next(&holder, holder::HOST)?, &take)?;
            let plan = plan.clone();
            let mut host = Host { plan, netlink: Netlink::new(netlink), sockets };
            host.connect(&switch, &mut switch_netlink)?;
            made.push(host);
        }
        next(&holder, holder::READY)?;
        Ok(Network { hosts: made, holder: Arc::new(holder) })
    }
}

impl Host {
    /// Its interface, the wire to the switch, its address.
    fn connect(&mut self, switch: &OwnedFd, at_switch: &mut Netlink) -> Result<(), NetError> {
        let name = &self.plan.name;
        let fail = |what| move |source| NetError::Host { host: name.clone(), what, source };
        let ifindex = self.plan.ifindex;
        let here = End { name: "eth0", ifindex, mac: Some(self.plan.mac) };
        let port = format!("port{ifindex}");
        let there = End { name: &port, ifindex, mac: None };
        let netlink = &mut self.netlink;
        netlink.add_pair(&here, &there, switch.as_fd()).map_err(fail("its interface eth0"))?;
        // Without IPv6 there is nothing to turn off.
        let _ = netlink.no_own_addresses(ifindex);
        let _ = at_switch.no_own_addresses(ifindex);
        let up = "bringing its interface up";
        netlink.up(LO).map_err(fail(up))?;
        netlink.add_address(ifindex, self.plan.ip, PREFIX).map_err(fail("its address"))?;
        at_switch.up(ifindex).map_err(fail(up))?;
        netlink.up(ifindex).map_err(fail(up))
    }
}

/// What the holder hands over next.
fn next(holder: &Holder, wanted: u8) -> Result<Vec<OwnedFd>, NetError> {
    let fail = NetError::system("a network's namespaces");
    match pass::receive(holder.control()).map_err(&fail)? {
        Some((byte, fds)) if byte == wanted => Ok(fds),
        Some((byte, _)) => Err(match Holder::stage(byte) {
            Some(stage) => NetError::System { what: what(stage), source: errno(holder) },
            None => fail(io::ErrorKind::InvalidData.into()),
        }),
        None => Err(fail(io::ErrorKind::UnexpectedEof.into())),
    }
}

fn errno(holder: &Holder) -> io::Error {
    let mut errno = [0; 4];
    match (&mut holder.stream()).read_exact(&mut errno) {
        Ok(()) => io::Error::from_raw_os_error(i32::from_ne_bytes(errno)),
        Err(error) => error,
    }
}

fn what(stage: Stage) -> &'static str {
    match stage {
        Stage::Mount => "a network's own mounts",
        Stage::Namespace => "a network's namespaces",
        Stage::Socket => "a network's sockets",
    }
}

fn exactly<const N: usize>(
    fds: Vec<OwnedFd>,
    fail: &impl Fn(io::Error) -> NetError,
) -> Result<[OwnedFd; N], NetError> {
    fds.try_into().map_err(|_| fail(io::ErrorKind::InvalidData.into()))
}
