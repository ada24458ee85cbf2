//! The little of rtnetlink that networks need: interfaces, addresses, questions about routes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use runtime::RouteAsk;
use rustix::net::{RecvFlags, SendFlags, recv, send};

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const EXCL: u16 = 0x200;
const CREATE: u16 = 0x400;

const NEWLINK: u16 = 16;
const GETLINK: u16 = 18;
const NEWADDR: u16 = 20;
const GETROUTE: u16 = 26;
const GETNEIGH: u16 = 30;
const GETNETCONF: u16 = 82;
const ERROR: u16 = 2;

const HEADER: usize = 16;
/// Longest answer that is read.
const ANSWER: usize = 32 * 1024;

/// Attributes of interfaces.
mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const AF_SPEC: u16 = 26;
    pub(super) const NET_NS_FD: u16 = 28;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const VETH_PEER: u16 = 1;
    pub(super) const INET6_ADDR_GEN_MODE: u16 = 8;
}

/// Attributes of addresses.
mod ifa {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const BROADCAST: u16 = 4;
}

/// Attributes of routes, of their metrics, of neighbours and of settings.
mod rta {
    pub(super) const DST: u16 = 1;
    pub(super) const OIF: u16 = 4;
    pub(super) const GATEWAY: u16 = 5;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const PREFSRC: u16 = 7;
    pub(super) const METRICS: u16 = 8;
    pub(super) const MULTIPATH: u16 = 9;
    pub(super) const TABLE: u16 = 15;
    pub(super) const MARK: u16 = 16;
    pub(super) const VIA: u16 = 18;
    pub(super) const ENCAP_TYPE: u16 = 21;
    pub(super) const METRIC_MTU: u16 = 2;
    pub(super) const NEIGHBOUR_DST: u16 = 1;
    pub(super) const NEIGHBOUR_MAC: u16 = 2;
    pub(super) const CONF_IFINDEX: u16 = 1;
    pub(super) const CONF_FORWARDING: u16 = 2;
}

const AF_INET: u8 = 2;
const AF_INET6: u16 = 10;
const UP: u32 = 1;
const NESTED: u16 = 1 << 15;

/// A request in the making.
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new(kind: u16, flags: u16) -> Message {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Message(bytes)
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Message {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn attr(self, kind: u16, value: &[u8]) -> Message {
        let mut head = [0; 4];
        head[..2].copy_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        head[2..].copy_from_slice(&kind.to_ne_bytes());
        self.bytes(&head).bytes(value)
    }

    fn nested(mut self, kind: u16, inside: impl FnOnce(Message) -> Message) -> Message {
        let at = self.0.len();
        self = inside(self.attr(kind | NESTED, &[]));
        let len = (self.0.len() - at) as u16;
        self.0[at..at + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// `struct ifinfomsg`.
    fn link(self, index: u32, flags: u32, change: u32) -> Message {
        self.bytes(&[0; 4])
            .bytes(&index.to_ne_bytes())
            .bytes(&flags.to_ne_bytes())
            .bytes(&change.to_ne_bytes())
    }
}

/// A socket in the namespace that it is about.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// One end of a pair of interfaces.
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) ifindex: u32,
    pub(super) mac: Option<[u8; 6]>,
}

impl Netlink {
    pub(super) fn new(socket: OwnedFd) -> Netlink {
        Netlink { socket, sequence: 0 }
    }

    /// A pair of interfaces, the other one in another namespace.
    pub(super) fn add_pair(
        &mut self,
        here: &End<'_>,
        there: &End<'_>,
        netns: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let netns = netns.as_raw_fd().to_ne_bytes();
        let end = |message: Message, end: &End<'_>| {
            let name = [end.name.as_bytes(), &[0]].concat();
            let message = message.link(end.ifindex, 0, 0).attr(ifla::IFNAME, &name);
            match end.mac {
                Some(mac) => message.attr(ifla::ADDRESS, &mac),
                None => message,
            }
        };
        let message = end(Message::new(NEWLINK, REQUEST | ACK | CREATE | EXCL), here);
        let message = message.nested(ifla::LINKINFO, |message| {
            message.attr(ifla::INFO_KIND, b"veth").nested(ifla::INFO_DATA, |message| {
                message.nested(ifla::VETH_PEER, |message| {
                    end(message, there).attr(ifla::NET_NS_FD, &netns)
                })
            })
        });
        self.ask(message).map(drop)
    }

    /// Without addresses of its own making: those would send packets that nobody asked for.
    pub(super) fn no_own_addresses(&mut self, ifindex: u32) -> io::Result<()> {
        const NONE: u8 = 1;
        let message = Message::new(NEWLINK, REQUEST | ACK).link(ifindex, 0, 0);
        let message = message.nested(ifla::AF_SPEC, |message| {
            message.nested(AF_INET6, |message| message.attr(ifla::INET6_ADDR_GEN_MODE, &[NONE]))
        });
        self.ask(message).map(drop)
    }

    pub(super) fn up(&mut self, ifindex: u32) -> io::Result<()> {
        self.ask(Message::new(NEWLINK, REQUEST | ACK).link(ifindex, UP, UP)).map(drop)
    }

    pub(super) fn add_address(&mut self, ifindex: u32, ip: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        let broadcast = Ipv4Addr::from(u32::from(ip) | host);
        let message = Message::new(NEWADDR, REQUEST | ACK | CREATE | EXCL)
            .bytes(&[AF_INET, prefix, 0, 0])
            .bytes(&ifindex.to_ne_bytes())
            .attr(ifa::LOCAL, &ip.octets())
            .attr(ifa::ADDRESS, &ip.octets())
            .attr(ifa::BROADCAST, &broadcast.octets());
        self.ask(message).map(drop)
    }

    /// An interface, if it is there.
    pub(super) fn link(&mut self, ifindex: u32) -> Option<Link> {
        let answer = self.ask(Message::new(GETLINK, REQUEST).link(ifindex, 0, 0)).ok()?;
        let attrs = answer.get(IFINFO..)?;
        Some(Link {
            mac: attr(attrs, ifla::ADDRESS).and_then(|bytes| bytes.try_into().ok()),
            mtu: attr(attrs, ifla::MTU).and_then(word)?,
        })
    }

    /// Whether packets that come in by an interface may be sent on.
    pub(super) fn forwards(&mut self, ifindex: u32, ipv6: bool) -> bool {
        let family = if ipv6 { AF_INET6 as u8 } else { AF_INET };
        let message = Message::new(GETNETCONF, REQUEST).bytes(&[family]);
        let message = message.attr(rta::CONF_IFINDEX, &ifindex.to_ne_bytes());
        let answer = self.ask(message).unwrap_or_default();
        let attrs = answer.get(4..).unwrap_or_default();
        attr(attrs, rta::CONF_FORWARDING).and_then(word).is_some_and(|on| on != 0)
    }

    /// A neighbour's hardware address, where it is known and taken to be right.
    pub(super) fn neighbour(&mut self, ifindex: u32, ip: IpAddr) -> Option<[u8; 6]> {
        /// All states but incomplete and failed.
        const VALID: u16 = 0xde;
        let message = Message::new(GETNEIGH, REQUEST)
            .bytes(&[family(ip), 0, 0, 0])
            .bytes(&ifindex.to_ne_bytes())
            .bytes(&[0; 4])
            .attr(rta::NEIGHBOUR_DST, &octets(ip));
        let answer = self.ask(message).ok()?;
        let state = u16::from_ne_bytes(answer.get(8..10)?.try_into().ok()?);
        let mac = attr(answer.get(NDMSG..)?, rta::NEIGHBOUR_MAC)?;
        if state & VALID == 0 { None } else { mac.try_into().ok() }
    }

    /// The route of a packet, as the tables have it.
    pub(super) fn route(&mut self, ask: &RouteAsk) -> io::Result<Route> {
        const FIB_MATCH: u32 = 0x2000;
        let bits = if ask.to.is_ipv4() { 32 } else { 128 };
        let mut message = Message::new(GETROUTE, REQUEST)
            .bytes(&[family(ask.to), bits, 0, ask.tos, 0, 0, 0, 0])
            .bytes(&FIB_MATCH.to_ne_bytes())
            .attr(rta::DST, &octets(ask.to));
        if ask.output {
            message = message.attr(rta::OIF, &ask.ifindex.to_ne_bytes());
        }
        let words = [(rta::MARK, ask.mark), (rta::TABLE, ask.table)];
        for (kind, value) in words.into_iter().filter(|row| row.1 != 0) {
            message = message.attr(kind, &value.to_ne_bytes());
        }
        let answer = self.ask(message)?;
        Route::parse(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Sends a request and reads its answer: what comes behind the header of a message that is no
    /// bare acknowledgement.
    pub(super) fn ask(&mut self, message: Message) -> io::Result<Vec<u8>> {
        self.sequence += 1;
        let Message(mut bytes) = message;
        let len = bytes.len() as u32;
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        send(&self.socket, &bytes, SendFlags::empty())?;
        let mut answer = vec![0; ANSWER];
        loop {
            let (_, got) = recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
            let got = got.min(ANSWER);
            if let Some(answer) = self.answer(&answer[..got]) {
                return answer;
            }
        }
    }

    /// The answer, unless it is another request's.
    fn answer(&self, bytes: &[u8]) -> Option<io::Result<Vec<u8>>> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4)?;
            Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        if word(8)? != self.sequence {
            return None;
        }
        let len = (word(0)? as usize).min(bytes.len());
        let kind = (word(4)? & 0xffff) as u16;
        Some(match kind {
            ERROR => match word(HEADER)? as i32 {
                0 => Ok(Vec::new()),
                error => Err(io::Error::from_raw_os_error(-error)),
            },
            _ => Ok(bytes.get(HEADER..len)?.to_vec()),
        })
    }
}

/// Bytes of `struct ifinfomsg`, `struct ndmsg` and `struct rtmsg`.
const IFINFO: usize = 16;
const NDMSG: usize = 12;
const RTMSG: usize = 12;

/// An interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: u32,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// `RTN_*`.
    pub(super) kind: u8,
    pub(super) ifindex: u32,
    pub(super) hop: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
    pub(super) metric: u32,
    pub(super) mtu: Option<u32>,
    /// It goes through a light-weight tunnel.
    pub(super) tunnel: bool,
}

impl Route {
    fn parse(answer: &[u8]) -> Option<Route> {
        let attrs = answer.get(RTMSG..)?;
        let number = |kind| attr(attrs, kind).and_then(word);
        let mut route = Route {
            kind: answer[7],
            ifindex: number(rta::OIF).unwrap_or(0),
            hop: hop(attrs),
            source: attr(attrs, rta::PREFSRC).and_then(address),
            metric: number(rta::PRIORITY).unwrap_or(0),
            mtu: attr(attrs, rta::METRICS).and_then(|m| attr(m, rta::METRIC_MTU)).and_then(word),
            tunnel: attr(attrs, rta::ENCAP_TYPE).is_some(),
        };
        // Of several ways the first: `struct rtnexthop` and its attributes.
        if let Some(ways) = attr(attrs, rta::MULTIPATH) {
            let len = usize::from(u16::from_ne_bytes(ways.get(..2)?.try_into().ok()?));
            route.ifindex = word(ways.get(4..8)?)?;
            route.hop = hop(ways.get(8..len.min(ways.len()))?);
        }
        Some(route)
    }
}

/// A gateway, which may be of the other family.
fn hop(attrs: &[u8]) -> Option<IpAddr> {
    let via = || attr(attrs, rta::VIA).and_then(|via| address(via.get(2..)?));
    attr(attrs, rta::GATEWAY).and_then(address).or_else(via)
}

fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 as u8 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(*bytes.first_chunk::<16>()?))),
        _ => None,
    }
}

/// The value of the first attribute of a kind.
fn attr(mut attrs: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let head: [u8; 4] = *attrs.first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let value = attrs.get(4..len)?;
        if u16::from_ne_bytes([head[2], head[3]]) & !NESTED == kind {
            return Some(value);
        }
        attrs = attrs.get(len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ip route get fibmatch 10.1.2.3` gets on a host with `10.1.0.0/16 via 10.0.0.9 dev eth0`
    /// (index 2), metric 7, its MTU 1400.
    #[test]
    fn routes_are_read() {
        let mut bytes = vec![2, 16, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        let mut put = |kind: u16, value: &[u8]| {
            bytes.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(value);
        };
        put(5, &[10, 0, 0, 9]);
        put(4, &2_u32.to_ne_bytes());
        put(6, &7_u32.to_ne_bytes());
        put(8, &[&[8, 0, 2, 0][..], &1400_u32.to_ne_bytes()].concat());
        let route = Route::parse(&bytes).expect("a route");
        let hop = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)));
        let want =
            Route { kind: 1, ifindex: 2, hop, metric: 7, mtu: Some(1400), ..Route::default() };
        assert_eq!(route, want);
    }

    #[test]
    fn damaged_attributes_end_the_search() {
        assert_eq!(attr(&[8, 0, 1, 0, 1], 1), None);
        assert_eq!(attr(&[2, 0, 1, 0], 1), None);
        assert_eq!(attr(&[4, 0, 2, 0, 4, 0, 1, 0], 1), Some(&[][..]));
    }
}
