//! Hooks of control groups, on a command: its sockets, its devices and kernel settings.
//!
//! A call that a program decides on is stopped at its beginning; what it passes is copied, shown
//! to the program, and done on a descriptor of our own for the same socket, so that no other
//! thread can change it in between. What a call gives back is changed at its end.

mod address;
mod decide;
mod file;
mod option;
mod real;
mod socket;
mod tcp;
mod work;

use std::cell::RefCell;
use std::time::Duration;

use super::here::World;
use super::point::Point;
use super::sys::ptrace::Regs;
use super::syscalls;
use super::thread::Thread;
use super::tracer::Attach;
pub(crate) use decide::Decider;
pub(crate) use work::{Finished, Workers};

/// A hook of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the sections")]
pub enum Control {
    Connect4,
    Connect6,
    Bind4,
    Bind6,
    PostBind4,
    PostBind6,
    Sendmsg4,
    Sendmsg6,
    Recvmsg4,
    Recvmsg6,
    Getpeername4,
    Getpeername6,
    Getsockname4,
    Getsockname6,
    SockCreate,
    Getsockopt,
    Setsockopt,
    SockRelease,
    SockOps,
    Sysctl,
    Dev,
}

use Control as C;

/// Numbers of system calls.
pub(crate) mod nr {
    pub(crate) const READ: u32 = 0;
    pub(crate) const WRITE: u32 = 1;
    pub(crate) const OPEN: u32 = 2;
    pub(crate) const CLOSE: u32 = 3;
    pub(crate) const PREAD: u32 = 17;
    pub(crate) const PWRITE: u32 = 18;
    pub(crate) const SOCKET: u32 = 41;
    pub(crate) const CONNECT: u32 = 42;
    pub(crate) const ACCEPT: u32 = 43;
    pub(crate) const SENDTO: u32 = 44;
    pub(crate) const RECVFROM: u32 = 45;
    pub(crate) const SENDMSG: u32 = 46;
    pub(crate) const RECVMSG: u32 = 47;
    pub(crate) const SHUTDOWN: u32 = 48;
    pub(crate) const BIND: u32 = 49;
    pub(crate) const LISTEN: u32 = 50;
    pub(crate) const GETSOCKNAME: u32 = 51;
    pub(crate) const GETPEERNAME: u32 = 52;
    pub(crate) const SETSOCKOPT: u32 = 54;
    pub(crate) const GETSOCKOPT: u32 = 55;
    pub(crate) const CREAT: u32 = 85;
    pub(crate) const MKNOD: u32 = 133;
    pub(crate) const OPENAT: u32 = 257;
    pub(crate) const MKNODAT: u32 = 259;
    pub(crate) const ACCEPT4: u32 = 288;
    pub(crate) const RECVMMSG: u32 = 299;
    pub(crate) const SENDMMSG: u32 = 307;
    pub(crate) const OPENAT2: u32 = 437;
}

const RECEIVE: &[u32] = &[nr::RECVFROM, nr::RECVMSG, nr::RECVMMSG];
const SEND: &[u32] = &[nr::SENDTO, nr::SENDMSG, nr::SENDMMSG];
const OPENS: &[u32] = &[nr::OPEN, nr::OPENAT, nr::OPENAT2, nr::CREAT, nr::MKNOD, nr::MKNODAT];
const MOVES: &[u32] = &[nr::READ, nr::WRITE, nr::PREAD, nr::PWRITE];
const TCP: &[u32] = &[nr::CONNECT, nr::LISTEN, nr::ACCEPT, nr::ACCEPT4, nr::SHUTDOWN, nr::CLOSE];
const NAMES: &[u32] = &[nr::GETPEERNAME, nr::ACCEPT, nr::ACCEPT4];

/// Sections (behind `cgroup/`), their hooks, and the calls that these are at.
const HOOKS: &[(&str, Control, &[u32])] = &[
    ("connect4", C::Connect4, &[nr::CONNECT]),
    ("connect6", C::Connect6, &[nr::CONNECT]),
    ("bind4", C::Bind4, &[nr::BIND]),
    ("bind6", C::Bind6, &[nr::BIND]),
    ("post_bind4", C::PostBind4, &[nr::BIND]),
    ("post_bind6", C::PostBind6, &[nr::BIND]),
    ("sendmsg4", C::Sendmsg4, SEND),
    ("sendmsg6", C::Sendmsg6, SEND),
    ("recvmsg4", C::Recvmsg4, RECEIVE),
    ("recvmsg6", C::Recvmsg6, RECEIVE),
    ("getpeername4", C::Getpeername4, NAMES),
    ("getpeername6", C::Getpeername6, NAMES),
    ("getsockname4", C::Getsockname4, &[nr::GETSOCKNAME]),
    ("getsockname6", C::Getsockname6, &[nr::GETSOCKNAME]),
    ("sock", C::SockCreate, &[nr::SOCKET]),
    ("sock_create", C::SockCreate, &[nr::SOCKET]),
    ("sock_release", C::SockRelease, &[nr::CLOSE]),
    ("sock_ops", C::SockOps, TCP),
    ("getsockopt", C::Getsockopt, &[nr::GETSOCKOPT]),
    ("setsockopt", C::Setsockopt, &[nr::SETSOCKOPT]),
    ("sysctl", C::Sysctl, MOVES),
    ("dev", C::Dev, OPENS),
];

impl Control {
    /// The hook of a section `cgroup/NAME`.
    pub(crate) fn parse(name: &str) -> Option<Control> {
        HOOKS.iter().find(|(known, ..)| *known == name).map(|(_, control, _)| *control)
    }

    fn calls(self) -> &'static [u32] {
        HOOKS.iter().find(|(_, known, _)| *known == self).map_or(&[], |(.., calls)| calls)
    }
}

/// What comes of a call that begins.
pub(crate) enum Begun {
    /// It goes on as it is.
    GoesOn,
    /// It is not done; this is its result.
    Done(i64),
    /// Its result comes later.
    Later(work::Job),
}

/// What is kept of a call until its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// Room that the caller gave for addresses or options, in bytes; several for several messages.
    pub(crate) rooms: Vec<u32>,
    /// Options that a new socket gets, of `SOL_SOCKET`.
    pub(crate) options: Vec<(i32, i32)>,
}

type Begin = fn(&mut Decider<'_>) -> Begun;
type End = fn(&mut Decider<'_>, &Kept) -> Option<i64>;

/// Calls, what is done at their beginning, whether something is kept, and what at their end.
const CALLS: &[(u32, Option<Begin>, Option<End>)] = &[
    (nr::CONNECT, Some(socket::connect), None),
    (nr::LISTEN, None, Some(tcp::listens)),
    (nr::SHUTDOWN, Some(tcp::shutdown), None),
    (nr::CLOSE, Some(socket::close), None),
    (nr::BIND, Some(socket::bind), None),
    (nr::SENDTO, Some(socket::sendto), None),
    (nr::SENDMSG, Some(socket::sendmsg), None),
    (nr::SENDMMSG, Some(socket::sendmmsg), None),
    (nr::RECVFROM, None, Some(socket::recvfrom)),
    (nr::RECVMSG, None, Some(socket::recvmsg)),
    (nr::RECVMMSG, None, Some(socket::recvmmsg)),
    (nr::GETSOCKNAME, None, Some(socket::getsockname)),
    (nr::GETPEERNAME, None, Some(socket::getpeername)),
    (nr::ACCEPT, None, Some(socket::accept)),
    (nr::ACCEPT4, None, Some(socket::accept)),
    (nr::SOCKET, Some(socket::create), Some(socket::created)),
    (nr::SETSOCKOPT, Some(option::set), None),
    (nr::GETSOCKOPT, None, Some(option::get)),
    (nr::READ, Some(file::read), None),
    (nr::WRITE, Some(file::write), None),
    (nr::PREAD, Some(file::read), None),
    (nr::PWRITE, Some(file::write), None),
    (nr::OPEN, Some(file::open), None),
    (nr::OPENAT, Some(file::openat), None),
    (nr::OPENAT2, Some(file::openat2), None),
    (nr::CREAT, Some(file::creat), None),
    (nr::MKNOD, Some(file::mknod), None),
    (nr::MKNODAT, Some(file::mknodat), None),
];

/// Programs by hook, and the calls that stop for them.
pub(crate) struct Controls {
    programs: Vec<(Control, Vec<usize>)>,
    calls: Vec<u32>,
    pub(crate) workers: Workers,
    /// Connections that programs of `sockops` know of.
    connections: RefCell<tcp::Connections>,
}

impl Controls {
    pub(crate) fn new<'p>(points: impl Iterator<Item = &'p Point>) -> Controls {
        let mut programs: Vec<(Control, Vec<usize>)> = Vec::new();
        for (index, point) in points.enumerate() {
            let Point::Control(control) = point else { continue };
            match programs.iter_mut().find(|(known, _)| known == control) {
                Some((_, list)) => list.push(index),
                None => programs.push((*control, vec![index])),
            }
        }
        let mut calls: Vec<u32> =
            programs.iter().flat_map(|(control, _)| control.calls()).copied().collect();
        calls.sort_unstable();
        calls.dedup();
        debug_assert!(calls.iter().all(|call| (*call as usize) < syscalls::COUNT));
        Controls { programs, calls, workers: Workers::default(), connections: RefCell::default() }
    }

    pub(crate) fn programs(&self, control: Control) -> &[usize] {
        let found = self.programs.iter().find(|(known, _)| *known == control);
        found.map_or(&[], |(_, list)| list)
    }

    /// How often to look at connections; `None` if nobody asks.
    pub(crate) fn period(&self) -> Option<Duration> {
        (!self.programs(Control::SockOps).is_empty()).then_some(tcp::LOOK)
    }

    /// Looks at connections, whose changes no call tells; whether programs have run.
    pub(crate) fn look(&self, programs: &mut Programs, world: &World) -> bool {
        if self.programs(Control::SockOps).is_empty() {
            return false;
        }
        tcp::look(self, programs, world)
    }

    /// A call that waited has its result.
    pub(crate) fn finished(&self, decider: &mut Decider<'_>, result: i64) {
        if decider.number() == nr::CONNECT && result == 0 {
            tcp::connected(decider);
        }
    }

    /// The calls that stop.
    pub(crate) fn calls(&self) -> &[u32] {
        &self.calls
    }

    fn call(&self, number: u32) -> Option<&'static (u32, Option<Begin>, Option<End>)> {
        self.calls.binary_search(&number).ok()?;
        CALLS.iter().find(|(known, ..)| *known == number)
    }

    /// A call begins.
    pub(crate) fn begin(&self, number: u32, decider: &mut Decider<'_>) -> Begun {
        match self.call(number) {
            Some((_, Some(begin), _)) => begin(decider),
            _ => Begun::GoesOn,
        }
    }

    /// What is to be kept of a call that begins and whose end is waited for.
    pub(crate) fn keep(&self, number: u32, thread: &Thread, regs: &Regs) -> Option<Kept> {
        let (.., end) = self.call(number)?;
        end.is_some()
            .then(|| Kept { rooms: socket::rooms(number, thread, regs), options: Vec::new() })
    }

    /// A call ends; its result, if it is to be another one.
    pub(crate) fn end(&self, number: u32, decider: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
        let (.., end) = self.call(number)?;
        (*end)?(decider, kept)
    }
}

impl Decider<'_> {
    /// Whether any program is at a hook.
    fn has(&self, control: Control) -> bool {
        !self.controls.programs(control).is_empty()
    }
}

/// Attached programs, as a decider runs them.
pub(crate) type Programs = [Attach];
