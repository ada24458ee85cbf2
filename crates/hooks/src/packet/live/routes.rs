//! A host's routes and neighbours, asked of its namespace.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runtime::{RouteAnswer, RouteAsk, RouteWay, Routes};

use super::netlink::{Netlink, Route};

/// How long an answer holds: programs ask the same for each packet of a flow.
const HOLDS: Duration = Duration::from_millis(10);
/// Answers that are kept.
const MAX_KEPT: usize = 1024;

/// `BPF_FIB_LKUP_RET_*`.
mod ret {
    pub(super) const BLACKHOLE: u32 = 1;
    pub(super) const UNREACHABLE: u32 = 2;
    pub(super) const PROHIBIT: u32 = 3;
    pub(super) const NOT_FORWARDED: u32 = 4;
    pub(super) const FORWARDING_OFF: u32 = 5;
    pub(super) const UNSUPPORTED_TUNNEL: u32 = 6;
}

/// One host's.
pub(super) struct HostRoutes {
    state: Mutex<State>,
}

struct State {
    netlink: Netlink,
    kept: HashMap<RouteAsk, (Instant, RouteAnswer)>,
    mtus: HashMap<u32, (Instant, Option<u32>)>,
}

impl HostRoutes {
    pub(super) fn new(netlink: Netlink) -> HostRoutes {
        let state = State { netlink, kept: HashMap::new(), mtus: HashMap::new() };
        HostRoutes { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A neighbour's hardware address, if the namespace knows it.
    pub(super) fn neighbour(&self, ifindex: u32, ip: IpAddr) -> Option<[u8; 6]> {
        self.state().netlink.neighbour(ifindex, ip)
    }

    /// The next hop of packets that leave by an interface.
    pub(super) fn next_hop(&self, ifindex: u32, to: IpAddr) -> Option<IpAddr> {
        let ask =
            RouteAsk { ifindex, output: true, to, tos: 0, mark: 0, table: 0, neighbour: false };
        let route = self.state().netlink.route(&ask).ok()?;
        Some(route.hop.unwrap_or(to))
    }
}

impl Routes for HostRoutes {
    fn look_up(&self, ask: &RouteAsk) -> RouteAnswer {
        let now = Instant::now();
        let mut state = self.state();
        if let Some((asked, answer)) = state.kept.get(ask)
            && now - *asked < HOLDS
        {
            return *answer;
        }
        let answer = state.look_up(ask);
        if state.kept.len() >= MAX_KEPT {
            state.kept.clear();
        }
        state.kept.insert(*ask, (now, answer));
        answer
    }

    fn mtu(&self, ifindex: u32) -> Option<u32> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some((asked, mtu)) = state.mtus.get(&ifindex)
            && now - *asked < HOLDS
        {
            return *mtu;
        }
        let mtu = state.netlink.link(ifindex).map(|link| link.mtu);
        if state.mtus.len() >= MAX_KEPT {
            state.mtus.clear();
        }
        state.mtus.insert(ifindex, (now, mtu));
        mtu
    }
}

impl State {
    /// As Linux does it: the interface, whether it forwards, the route, the neighbour.
    fn look_up(&mut self, ask: &RouteAsk) -> RouteAnswer {
        if self.netlink.link(ask.ifindex).is_none() {
            return RouteAnswer::NoDevice;
        }
        if !self.netlink.forwards(ask.ifindex, ask.to.is_ipv6()) {
            return RouteAnswer::Not(ret::FORWARDING_OFF);
        }
        let route = match self.netlink.route(ask) {
            Ok(route) => route,
            Err(error) => return RouteAnswer::Not(why(&error)),
        };
        const UNICAST: u8 = 1;
        if route.kind != UNICAST {
            return RouteAnswer::Not(why_not(route.kind));
        }
        if route.tunnel {
            return RouteAnswer::Not(ret::UNSUPPORTED_TUNNEL);
        }
        let Some(link) = self.netlink.link(route.ifindex) else { return RouteAnswer::NoDevice };
        let Route { ifindex, hop, source, metric, .. } = route;
        let macs = ask.neighbour.then(|| {
            let to = self.netlink.neighbour(ifindex, hop.unwrap_or(ask.to))?;
            Some((link.mac?, to))
        });
        let mtu = route.mtu.unwrap_or(link.mtu);
        RouteAnswer::Way(RouteWay { ifindex, hop, source, metric, mtu, macs: macs.flatten() })
    }
}

fn why(error: &std::io::Error) -> u32 {
    match error.raw_os_error() {
        Some(libc::EINVAL) => ret::BLACKHOLE,
        Some(libc::EHOSTUNREACH) => ret::UNREACHABLE,
        Some(libc::EACCES) => ret::PROHIBIT,
        _ => ret::NOT_FORWARDED,
    }
}

/// Of a route's type (`RTN_*`).
fn why_not(kind: u8) -> u32 {
    match kind {
        6 => ret::BLACKHOLE,
        7 => ret::UNREACHABLE,
        8 => ret::PROHIBIT,
        _ => ret::NOT_FORWARDED,
    }
}
