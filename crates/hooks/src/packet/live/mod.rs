//! Packets of little networks in namespaces of the user's own, carried by ring3.
//!
//! [`LiveNet`] makes hosts, each a network namespace with an interface `eth0` whose other end is
//! ours. Every frame that a host sends comes by here: its programs of egress, a switch, the
//! programs of ingress of the host that it is for, whose stack gets it. Nothing outside these
//! namespaces is touched. Entry point: [`LiveNet::start`].

mod engine;
mod error;
mod handle;
mod maker;
mod netlink;
mod network;
mod path;
mod plan;
mod points;
mod programs;
mod real;
mod ring;
mod routes;
mod sys;
mod verdict;
mod vnet;

pub(in crate::packet) use real::feed as real_feed;

pub use engine::{Report, Tallies};
pub use error::NetError;
pub use handle::{Child, LiveNet, Place};
pub use maker::{capture, net_maker};
pub use plan::{HostPlan, MAX_HOSTS, check_name};
pub use points::{Capture, Point, Points};
pub use programs::{Hook, Tally};
pub use sys::spawn::leave_signals;
