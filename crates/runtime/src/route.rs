//! Routes and neighbours of a namespace, as `bpf_fib_lookup` asks for them.

use std::net::IpAddr;

/// What tells of a namespace's routes.
pub trait Routes: Send + Sync {
    /// The way of a packet.
    fn look_up(&self, ask: &RouteAsk) -> RouteAnswer;
    /// The largest packet of an interface, without its Ethernet header; `None` if there is none.
    fn mtu(&self, ifindex: u32) -> Option<u32>;
}

/// A packet to be routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteAsk {
    /// The interface that it comes in by, or leaves by.
    pub ifindex: u32,
    /// It leaves by `ifindex`.
    pub output: bool,
    /// Where it goes.
    pub to: IpAddr,
    /// Type of service or traffic class.
    pub tos: u8,
    /// `skb->mark`.
    pub mark: u32,
    /// This table only; 0 for the rules.
    pub table: u32,
    /// The neighbour's hardware address is wanted.
    pub neighbour: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAnswer {
    /// It is not forwarded: `BPF_FIB_LKUP_RET_*`.
    Not(u32),
    /// There is no such interface.
    NoDevice,
    /// Its way.
    Way(RouteWay),
}

/// A route that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteWay {
    /// The interface that it leaves by.
    pub ifindex: u32,
    /// The next hop; `None` for its destination itself.
    pub hop: Option<IpAddr>,
    /// The address that packets of this host would have there.
    pub source: Option<IpAddr>,
    /// The route's metric.
    pub metric: u32,
    /// The largest packet.
    pub mtu: u32,
    /// Hardware addresses of the interface and of the neighbour, where it is known.
    pub macs: Option<([u8; 6], [u8; 6])>,
}
