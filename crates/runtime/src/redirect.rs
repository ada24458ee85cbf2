//! Where helpers send packets.

use std::net::IpAddr;
use std::sync::Arc;

use crate::map_obj::MapObj;
use crate::prog::Prog;

/// How a packet comes to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It leaves by it.
    Out,
    /// It is as if it had come in by it.
    In,
    /// To the interface's end in another namespace, of which there are none.
    Peer,
    /// To a neighbour: this one, or the one that its destination is behind.
    Neighbour(Option<IpAddr>),
}

/// Where the verdict sends a packet.
#[derive(Clone)]
pub(crate) enum Redirect {
    /// To an interface, after the program of its entry in a map.
    Device { ifindex: u32, way: Way, prog: Option<Arc<Prog>> },
    /// To every interface of a map, or all but the one it came in by.
    All { map: Arc<MapObj>, but_ingress: bool },
    /// To another CPU, after the program of its entry in a map.
    Cpu { prog: Option<Arc<Prog>> },
}

impl Redirect {
    pub(crate) fn device(ifindex: u32, way: Way) -> Redirect {
        Redirect::Device { ifindex, way, prog: None }
    }
}

/// A copy of a packet for an interface.
pub(crate) struct Copied {
    pub(crate) ifindex: u32,
    pub(crate) way: Way,
    pub(crate) data: Vec<u8>,
}

/// Copies that one run may make.
pub(crate) const MAX_COPIES: usize = 64;
