//! What a run wants done with its packet, for hooks that carry packets themselves.

use std::net::IpAddr;
use std::sync::Arc;

use interp::Trap;

use crate::devmap;
use crate::hook::Hooks;
use crate::packet::PacketBuf;
use crate::prog::Prog;
use crate::redirect::{Redirect, Way};
use crate::runner::Runner;

/// The program of a map's entry.
#[derive(Clone)]
pub struct EntryProg(Arc<Prog>);

impl EntryProg {
    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

/// How a packet comes to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentBy {
    /// It leaves by it.
    Out,
    /// It is as if it had come in by it.
    In,
    /// It comes in at the interface's other end.
    Peer,
    /// It leaves by it for a neighbour: this one, or the next on the way to its destination.
    Neighbour(Option<IpAddr>),
}

/// Where a verdict sends a packet.
pub enum Sent {
    /// To an interface, after the program of its entry in a map.
    Device(u32, SentBy, Option<EntryProg>),
    /// To these interfaces.
    Devices(Vec<(u32, Option<EntryProg>)>),
    /// To another CPU, after the program of its entry.
    Cpu(Option<EntryProg>),
}

/// A copy that `bpf_clone_redirect` made.
pub struct Clone {
    /// The interface that it is for.
    pub ifindex: u32,
    /// How.
    pub by: SentBy,
    /// Its bytes.
    pub data: Vec<u8>,
}

fn by(way: Way) -> SentBy {
    match way {
        Way::Out => SentBy::Out,
        Way::In => SentBy::In,
        Way::Peer => SentBy::Peer,
        Way::Neighbour(hop) => SentBy::Neighbour(hop),
    }
}

impl Runner {
    /// Where the last run, on a packet that had come in by `ingress`, sent it.
    pub fn sent(&mut self, ingress: u32) -> Option<Sent> {
        Some(match self.take_redirect()? {
            Redirect::Device { ifindex, way, prog } => {
                Sent::Device(ifindex, by(way), prog.map(EntryProg))
            }
            Redirect::All { map, but_ingress } => {
                let devices = devmap::entries(&map).into_iter();
                let wanted = devices.filter(|(to, _)| !but_ingress || *to != ingress);
                Sent::Devices(wanted.map(|(to, prog)| (to, prog.map(EntryProg))).collect())
            }
            Redirect::Cpu { prog } => Sent::Cpu(prog.map(EntryProg)),
        })
    }

    /// The copies that the last run made.
    pub fn clones(&mut self) -> Vec<Clone> {
        let copies = self.take_copies().into_iter();
        copies.map(|c| Clone { ifindex: c.ifindex, by: by(c.way), data: c.data }).collect()
    }

    /// Runs the program of an entry on a packet that leaves by an interface, 0 for a CPU; the value
    /// is its verdict.
    pub fn run_entry(&mut self, packet: &mut PacketBuf, egress: u32) -> Result<u32, Trap> {
        self.run_xdp_egress(packet, egress)
    }
}

impl Hooks {
    /// The program of an entry, ready to run on this thread; `None` once the runtime is gone.
    pub fn entry(&self, prog: &EntryProg) -> Option<Runner> {
        Some(Runner::new(self.core.upgrade()?, prog.0.clone()))
    }
}
