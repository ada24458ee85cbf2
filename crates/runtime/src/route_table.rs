//! Routes, interfaces and neighbours that the user tells of, for programs that ask.

use std::net::IpAddr;

use crate::route::{RouteAnswer, RouteAsk, RouteWay, Routes};

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its number.
    pub ifindex: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Bytes of its largest packet.
    pub mtu: u32,
    /// Packets that come in by it are forwarded.
    pub forwarding: bool,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
}

/// What a route does with packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteKind {
    /// Sends them on.
    #[default]
    Unicast,
    /// They are for this host, or for all.
    Local,
    /// Drops them.
    Blackhole,
    /// Refuses them: there is no way.
    Unreachable,
    /// Refuses them: it is not allowed.
    Prohibit,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it does.
    pub kind: RouteKind,
    /// The first address of those that it is for.
    pub to: IpAddr,
    /// How many bits of them are the same.
    pub bits: u8,
    /// The next host, if packets do not go right to where they are for.
    pub via: Option<IpAddr>,
    /// The interface that they leave by.
    pub ifindex: u32,
    /// The source address that this host's own packets take.
    pub source: Option<IpAddr>,
    /// Smaller is better.
    pub metric: u32,
    /// Bytes of the largest packet; 0 for the interface's.
    pub mtu: u32,
    /// Its table; 254 is the main one.
    pub table: u32,
}

/// A neighbour's hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub to: IpAddr,
    /// The interface that it is reached by.
    pub ifindex: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// By number.
    pub interfaces: Vec<Interface>,
    /// In any order: the longest prefix, then the smallest metric, is taken.
    pub routes: Vec<Route>,
    /// Those that are known to be there.
    pub neighbours: Vec<Neighbour>,
}

/// The main table, and the one of this host's own addresses, which is asked before.
const MAIN: u32 = 254;
const LOCAL: u32 = 255;

/// `BPF_FIB_LKUP_RET_*`.
const BLACKHOLE: u32 = 1;
const UNREACHABLE: u32 = 2;
const PROHIBIT: u32 = 3;
const NOT_FORWARDED: u32 = 4;
const FORWARDING_OFF: u32 = 5;

impl Routes for RouteTable {
    fn look_up(&self, ask: &RouteAsk) -> RouteAnswer {
        let Some(came_by) = self.interface(ask.ifindex) else { return RouteAnswer::NoDevice };
        if !came_by.forwarding {
            return RouteAnswer::Not(FORWARDING_OFF);
        }
        let own = ask.table == 0 && self.is_own(ask.to);
        let route = self.find(ask).filter(|_| !own && !is_link_local(ask.to));
        let Some(route) = route else { return RouteAnswer::Not(NOT_FORWARDED) };
        if let Some(why) = nowhere(route.kind) {
            return RouteAnswer::Not(why);
        }
        match self.interface(route.ifindex) {
            Some(out) => RouteAnswer::Way(self.way(ask, route, out)),
            None => RouteAnswer::NoDevice,
        }
    }

    fn mtu(&self, ifindex: u32) -> Option<u32> {
        self.interface(ifindex).map(|interface| interface.mtu)
    }
}

impl RouteTable {
    fn interface(&self, ifindex: u32) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.ifindex == ifindex)
    }

    /// The route of one table or by Linux's order, by one interface or any.
    fn find(&self, ask: &RouteAsk) -> Option<&Route> {
        let best = |table: u32| {
            let fits = |route: &&Route| {
                let by = !ask.output || route.ifindex == ask.ifindex;
                route.table == table && by && holds(route, ask.to)
            };
            let worth = |route: &&Route| (route.bits, std::cmp::Reverse(route.metric));
            self.routes.iter().filter(fits).max_by_key(worth)
        };
        match ask.table {
            0 => best(LOCAL).or_else(|| best(MAIN)),
            table => best(table),
        }
    }

    /// Whether an address is one of this host's.
    fn is_own(&self, address: IpAddr) -> bool {
        self.interfaces.iter().any(|interface| interface.addresses.contains(&address))
    }

    fn way(&self, ask: &RouteAsk, route: &Route, out: &Interface) -> RouteWay {
        let to = route.via.unwrap_or(ask.to);
        let mut neighbours = self.neighbours.iter();
        let next = neighbours.find(|known| (known.to, known.ifindex) == (to, out.ifindex));
        let own = out.addresses.iter().find(|own| own.is_ipv4() == ask.to.is_ipv4());
        RouteWay {
            ifindex: out.ifindex,
            hop: route.via,
            source: route.source.or(own.copied()),
            metric: route.metric,
            mtu: if route.mtu == 0 { out.mtu } else { route.mtu },
            macs: next.map(|next| (out.mac, next.mac)),
        }
    }
}

/// Why packets of a route go nowhere.
fn nowhere(kind: RouteKind) -> Option<u32> {
    match kind {
        RouteKind::Unicast => None,
        RouteKind::Local => Some(NOT_FORWARDED),
        RouteKind::Blackhole => Some(BLACKHOLE),
        RouteKind::Unreachable => Some(UNREACHABLE),
        RouteKind::Prohibit => Some(PROHIBIT),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_multicast(),
    }
}

fn holds(route: &Route, address: IpAddr) -> bool {
    let differ = match (route.to, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    differ >= u32::from(route.bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }

    fn route(to: &str, bits: u8, ifindex: u32, metric: u32) -> Route {
        Route {
            kind: RouteKind::Unicast,
            to: address(to),
            bits,
            via: None,
            ifindex,
            source: None,
            metric,
            mtu: 0,
            table: MAIN,
        }
    }

    fn table() -> RouteTable {
        let interface = |ifindex, own: &str| Interface {
            ifindex,
            mac: [2, 0, 0, 0, 0, ifindex as u8],
            mtu: 1500,
            forwarding: ifindex != 9,
            addresses: vec![address(own)],
        };
        let via = Route { via: Some(address("10.0.2.9")), ..route("0.0.0.0", 0, 2, 5) };
        let hole = Route { kind: RouteKind::Blackhole, ..route("10.9.0.0", 16, 0, 0) };
        RouteTable {
            interfaces: vec![
                interface(1, "10.0.1.1"),
                interface(2, "10.0.2.1"),
                interface(9, "::1"),
            ],
            routes: vec![
                via,
                hole,
                route("10.0.1.0", 24, 1, 100),
                route("10.0.1.0", 24, 2, 50),
                route("10.0.1.128", 25, 1, 200),
            ],
            neighbours: vec![Neighbour { to: address("10.0.2.9"), ifindex: 2, mac: [6; 6] }],
        }
    }

    fn ask(to: &str, ifindex: u32, output: bool) -> RouteAnswer {
        let to = address(to);
        let (tos, mark, table_number) = (0, 0, 0);
        table().look_up(&RouteAsk {
            ifindex,
            output,
            to,
            tos,
            mark,
            table: table_number,
            neighbour: true,
        })
    }

    fn out_by(answer: RouteAnswer) -> Option<u32> {
        match answer {
            RouteAnswer::Way(way) => Some(way.ifindex),
            _ => None,
        }
    }

    #[test]
    fn the_longest_prefix_then_the_smallest_metric_wins() {
        assert_eq!(out_by(ask("10.0.1.5", 2, false)), Some(2));
        assert_eq!(out_by(ask("10.0.1.130", 2, false)), Some(1));
        assert_eq!(out_by(ask("10.0.1.5", 1, true)), Some(1), "by the interface asked for");
        let RouteAnswer::Way(way) = ask("8.8.8.8", 1, false) else { panic!("there is a default") };
        assert_eq!((way.hop, way.metric), (Some(address("10.0.2.9")), 5));
        assert_eq!(way.macs, Some(([2, 0, 0, 0, 0, 2], [6; 6])));
        assert_eq!(way.source, Some(address("10.0.2.1")));
    }

    #[test]
    fn what_is_not_forwarded_says_why() {
        assert_eq!(ask("10.9.1.1", 1, false), RouteAnswer::Not(BLACKHOLE));
        assert_eq!(ask("10.0.2.1", 1, false), RouteAnswer::Not(NOT_FORWARDED));
        assert_eq!(ask("2001:db8::1", 1, false), RouteAnswer::Not(NOT_FORWARDED));
        assert_eq!(ask("10.0.1.5", 9, false), RouteAnswer::Not(FORWARDING_OFF));
        assert_eq!(ask("10.0.1.5", 7, false), RouteAnswer::NoDevice);
    }
}
