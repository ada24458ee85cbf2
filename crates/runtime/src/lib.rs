//! The objects: ids, programs, maps, BTF, test runs, trace pipe, the bodies of helpers.
//!
//! [`Bpf`] is the door that everything else is written against; [`Runtime`] is the in-process
//! kernel behind it. Unsafe code is in `helpers` and `native` only.
#![deny(unsafe_code)]

mod arena;
mod attach;
mod bodies;
mod bpffs;
mod btf_obj;
mod btf_text;
mod clock;
mod core;
mod counting;
mod cpus;
mod device;
mod devmap;
pub mod door;
mod engine;
mod event;
mod extend;
mod fds;
mod foreign;
mod format;
mod frame;
mod heap;
mod helpers;
mod hook;
mod iter;
mod kernel_objects;
mod later;
mod limits;
mod load;
mod log;
mod machine_code;
mod map_obj;
mod map_text;
mod map_types;
mod message;
mod native;
mod nets;
mod objects;
mod outside;
mod packet;
mod path;
mod processes;
mod prog;
mod redirect;
mod route;
mod route_table;
mod run;
mod runner;
mod runtime;
mod segment;
mod sent;
mod session;
mod sha256;
mod socket;
mod streams;
mod struct_ops;
mod task;
mod test_run;
mod trace;
mod world;

pub use crate::bodies::{Body, helper_body, kfunc_body};
pub use crate::core::{Config, Deterministic, HostFn};
pub use crate::runtime::{HOST_HELPER_BASE, Runtime};
pub use clock::{ClockKind, monotonic};
pub use device::{Device, Fate, Feed, Feeder, Sink};
pub use door::{
    Bpf, BtfInfo, BtfLoad, Fd, FsEntry, GivenCtx, LoadError, Loaded, LogRequest, MapCreate,
    MapInfo, ObjKind, ProgInfo, ProgLoad, TestRun, TestRunOut,
};
pub use engine::Engine;
pub use event::{Event, Process};
pub use foreign::{Agent, ForeignCode};
pub use frame::{Frame, Seen};
pub use hook::{Attached, Hooks, Place, Target};
pub use interp::{Trap, TrapKind};
pub use limits::Limits;
pub use machine_code::MachineInsn;
pub use map_obj::PerfRecord;
pub use maps::{Batch, Mapping, Region, Shared};
pub use message::Message;
pub use nets::{NetMaker, RunningNet};
pub use outside::OutsideObj;
pub use packet::{PacketBuf, XDP_HEADROOM};
pub use path::Path;
pub use prog::tag;
pub use route::{RouteAnswer, RouteAsk, RouteWay, Routes};
pub use route_table::{Interface, Neighbour, Route, RouteKind, RouteTable};
pub use runner::Runner;
pub use segment::Segment;
pub use sent::{Clone, EntryProg, Sent, SentBy};
pub use session::Session;
pub use socket::{Socket, SocketInfo, SocketWorld};
pub use task::Task;
pub use trace::TraceSink;
pub use world::{Infrared, Sysctl, World};
