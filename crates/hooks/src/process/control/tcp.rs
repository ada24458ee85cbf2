//! Hooks of `sockops`: the life of TCP connections, as far as calls and `TCP_INFO` tell it.

use std::collections::HashMap;
use std::time::Duration;

use runtime::{Event, Socket, World as Lent};

use super::address::{self, Address, Facts, put};
use super::decide::Decider;
use super::real::{self, Real};
use super::{Begun, Control, Controls, Kept, Programs};
use crate::process::here::{Here, World};
use crate::process::sys::ptrace::Regs;
use crate::process::sys::socket::Borrowed;

/// How often connections are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(5);

/// Callbacks, `BPF_SOCK_OPS_*`.
mod op {
    pub(super) const TIMEOUT_INIT: u32 = 1;
    pub(super) const RWND_INIT: u32 = 2;
    pub(super) const CONNECT: u32 = 3;
    pub(super) const ACTIVE: u32 = 4;
    pub(super) const PASSIVE: u32 = 5;
    pub(super) const NEEDS_ECN: u32 = 6;
    pub(super) const RETRANS: u32 = 9;
    pub(super) const STATE: u32 = 10;
    pub(super) const LISTEN: u32 = 11;
    pub(super) const RTT: u32 = 12;
}

/// Callbacks that a program asked for, `BPF_SOCK_OPS_*_CB_FLAG`.
mod flag {
    pub(super) const RETRANS: u32 = 2;
    pub(super) const STATE: u32 = 4;
    pub(super) const RTT: u32 = 8;
}

/// States of TCP.
mod state {
    pub(super) const ESTABLISHED: u8 = 1;
    pub(super) const SYN_SENT: u8 = 2;
    pub(super) const SYN_RECV: u8 = 3;
    pub(super) const FIN_WAIT1: u8 = 4;
    pub(super) const CLOSE: u8 = 7;
    pub(super) const CLOSE_WAIT: u8 = 8;
    pub(super) const LAST_ACK: u8 = 9;
    pub(super) const LISTEN: u8 = 10;

    /// How far a connection is: a state that was told already may be ahead of the socket's.
    pub(super) fn rank(state: u8) -> u8 {
        const FIN_WAIT2: u8 = 5;
        const TIME_WAIT: u8 = 6;
        const CLOSING: u8 = 11;
        match state {
            FIN_WAIT1 | CLOSE_WAIT => 1,
            FIN_WAIT2 | LAST_ACK | CLOSING => 2,
            TIME_WAIT => 3,
            _ => 0,
        }
    }
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    tid: i32,
    tgid: i32,
    fd: i32,
    flags: u32,
    state: u8,
    /// Its first answer is waited for.
    pending: bool,
    retransmitted: u32,
    /// Smoothed round trip and its variation.
    round_trip: (u32, u32),
}

/// Connections by cookie.
pub(crate) type Connections = HashMap<u64, Connection>;

/// Bytes of `TCP_INFO` that are asked for, and places in it.
const INFO: usize = 168;
const RTT: usize = 68;
const RTT_VARIATION: usize = 72;
const TOTAL_RETRANS: usize = 100;

/// Bytes of `struct bpf_sock_ops`, and places in it.
const SOCK_OPS: usize = 224;
const ARGS: usize = 4;
const FLAGS: usize = 84;
const STATE: usize = 88;
const SOCK: usize = 184;

/// Words of `TCP_INFO` and where they are in `struct bpf_sock_ops`.
const WORDS: &[(usize, usize)] = &[
    (80, 76),   // snd_cwnd
    (148, 92),  // rtt_min
    (76, 96),   // snd_ssthresh
    (16, 112),  // mss_cache
    (24, 128),  // packets_out
    (36, 132),  // retrans_out
    (100, 136), // total_retrans
    (140, 140), // segs_in
    (152, 144), // data_segs_in
    (136, 148), // segs_out
    (156, 152), // data_segs_out
    (32, 156),  // lost_out
    (28, 160),  // sacked_out
    (128, 168), // bytes_received
    (132, 172),
    (120, 176), // bytes_acked
    (124, 180),
];

/// A connection at one moment.
struct Seen {
    cookie: u64,
    info: [u8; INFO],
}

impl Seen {
    fn of(socket: &Borrowed) -> Seen {
        let mut info = [0; INFO];
        // What is not told is zero.
        let _ = socket.option(libc::IPPROTO_TCP, libc::TCP_INFO, &mut info);
        Seen { cookie: real::cookie(socket), info }
    }

    fn word(&self, at: usize) -> u32 {
        self.info[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
    }
}

/// One callback.
struct Callback<'c> {
    op: u32,
    args: [u32; 4],
    /// The state that programs see.
    state: u8,
    /// Where the connection goes to, while the socket does not know it yet.
    to: Option<&'c Address>,
    fd: u64,
}

fn is_tcp(facts: Facts) -> bool {
    facts.kind == libc::SOCK_STREAM && [0, libc::IPPROTO_TCP].contains(&facts.protocol)
}

/// The ends of a connection, in both structures.
fn ends(context: &mut [u8], sock: &mut [u8], to: Option<&Address>) {
    if let Some(to) = to {
        let mut remote = [0; 16];
        let ip = to.ip_bytes();
        remote[..ip.len()].copy_from_slice(ip);
        let (len, at) = if ip.len() == 4 { (4, 52) } else { (16, 56) };
        sock[at..at + len].copy_from_slice(&remote[..len]);
        sock[48..50].copy_from_slice(&to.bytes[2..4]);
    }
    let copies = [(52, 24, 4), (24, 28, 4), (56, 32, 16), (28, 48, 16), (44, 68, 4)];
    for (from, at, len) in copies {
        context[at..at + len].copy_from_slice(&sock[from..from + len]);
    }
    // The other one's port is in the upper half.
    context[66..68].copy_from_slice(&sock[48..50]);
}

impl Decider<'_> {
    /// Runs the programs of one callback; the last one's reply.
    fn tell(&mut self, socket: &Borrowed, facts: Facts, callback: &Callback<'_>) -> i32 {
        const NO_REPLY: i32 = -1;
        let Ok(own) = Borrowed::of(self.thread.tgid, callback.fd as i32) else { return NO_REPLY };
        let seen = Seen::of(socket);
        let mut sock = address::sock(facts, socket);
        let mut context = vec![0; SOCK_OPS];
        put(&mut context, 0, callback.op);
        for (at, arg) in callback.args.iter().enumerate() {
            put(&mut context, ARGS + 4 * at, *arg);
        }
        put(&mut context, 20, facts.family.into());
        ends(&mut context, &mut sock, callback.to);
        put(&mut context, 72, 1);
        for (from, at) in WORDS {
            put(&mut context, *at, seen.word(*from));
        }
        put(&mut context, 80, seen.word(RTT) << 3);
        put(&mut context, STATE, callback.state.into());
        put(&mut sock, 72, callback.state.into());
        let mut flags = self.controls.flags(seen.cookie);
        let real = Real { socket: own, cookie: seen.cookie };
        let Ok(lent) = Socket::new(address::info(&sock), Some(Box::new(real))) else {
            return NO_REPLY;
        };
        context[SOCK..SOCK + 8].copy_from_slice(&lent.addr().to_ne_bytes());
        lent.set_callbacks(flags);
        let here = Here::new(self.world, self.thread, self.regs);
        let mut reply = NO_REPLY;
        for &index in self.controls.programs(Control::SockOps) {
            let program = &mut self.programs[index];
            put(&mut context, FLAGS, flags);
            let event = Event {
                process: &here,
                pid: self.thread.tid as u32,
                tgid: self.thread.tgid as u32,
                cookie: program.cookie,
                func_ip: 0,
                args: 0,
            };
            let world = Lent { socket: Some(&lent), ..Lent::default() };
            let mut memory = context.clone();
            // A run that was stopped has no reply.
            let ran = program.runner.run_context(&mut memory, Some(&event), world);
            if ran.is_ok() && callback.args == [0; 4] {
                reply = memory[ARGS..ARGS + 4].try_into().map_or(NO_REPLY, i32::from_ne_bytes);
            }
            flags = lent.callbacks();
            self.ran = true;
        }
        self.keep(&seen, callback, flags);
        reply
    }

    /// What is known of the connection from now on.
    fn keep(&self, seen: &Seen, callback: &Callback<'_>, flags: u32) {
        let mut connections = self.controls.connections.borrow_mut();
        let known = connections.get(&seen.cookie).copied();
        connections.insert(
            seen.cookie,
            Connection {
                tid: self.thread.tid,
                tgid: self.thread.tgid,
                fd: callback.fd as i32,
                flags,
                state: callback.state,
                pending: known.is_some_and(|known| known.pending),
                retransmitted: known.map_or(0, |known| known.retransmitted),
                round_trip: known.map_or((0, 0), |known| known.round_trip),
            },
        );
    }

    /// A connection goes from one state to another.
    fn tell_state(
        &mut self,
        socket: &Borrowed,
        facts: Facts,
        fd: u64,
        [old, new]: [u8; 2],
        to: Option<&Address>,
    ) {
        let cookie = real::cookie(socket);
        if self.controls.flags(cookie) & flag::STATE != 0 && old != new {
            let args = [old.into(), new.into(), 0, 0];
            // The socket itself is in its old state yet.
            self.tell(socket, facts, &Callback { op: op::STATE, args, state: old, to, fd });
        }
        if let Some(known) = self.controls.connections.borrow_mut().get_mut(&cookie) {
            known.state = new;
        }
    }
}

impl Controls {
    fn flags(&self, cookie: u64) -> u32 {
        self.connections.borrow().get(&cookie).map_or(0, |known| known.flags)
    }
}

/// What is asked when a connection begins; there is no way to do as the replies say.
const QUESTIONS: [u32; 3] = [op::RWND_INIT, op::TIMEOUT_INIT, op::NEEDS_ECN];

/// connect(2) begins.
pub(super) fn connects(d: &mut Decider<'_>, socket: &Borrowed, facts: Facts, to: &Address) {
    if !is_tcp(facts) {
        return;
    }
    let fd = d.arg(0);
    let to = Some(to);
    let callback = |op| Callback { op, args: [0; 4], state: state::SYN_SENT, to, fd };
    d.tell(socket, facts, &callback(op::CONNECT));
    for question in QUESTIONS {
        d.tell(socket, facts, &callback(question));
    }
    let cookie = real::cookie(socket);
    if let Some(known) = d.controls.connections.borrow_mut().get_mut(&cookie) {
        known.pending = true;
    }
}

/// The call's socket is connected.
pub(super) fn connected(d: &mut Decider<'_>) {
    let fd = d.arg(0);
    established(d, fd);
}

fn established(d: &mut Decider<'_>, fd: u64) {
    let Some((socket, facts)) = d.socket(fd).filter(|(_, facts)| is_tcp(*facts)) else { return };
    let cookie = real::cookie(&socket);
    let pending = match d.controls.connections.borrow_mut().get_mut(&cookie) {
        Some(known) => std::mem::take(&mut known.pending),
        None => false,
    };
    if !pending {
        return;
    }
    d.tell_state(&socket, facts, fd, [state::SYN_SENT, state::ESTABLISHED], None);
    let (args, state) = ([0; 4], state::ESTABLISHED);
    d.tell(&socket, facts, &Callback { op: op::ACTIVE, args, state, to: None, fd });
}

/// listen(2) is done.
pub(super) fn listens(d: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
    let before = *kept.rooms.first()?;
    let (socket, facts) = d.socket(d.arg(0))?;
    if d.result() == 0 && before != u32::from(state::LISTEN) && is_tcp(facts) {
        let (args, state, fd) = ([0; 4], state::LISTEN, d.arg(0));
        d.tell(&socket, facts, &Callback { op: op::LISTEN, args, state, to: None, fd });
    }
    None
}

/// accept(2) gave a connection, as whose listener's programs' wishes go on.
pub(super) fn accepted(d: &mut Decider<'_>, fd: u64) {
    if !d.has(Control::SockOps) {
        return;
    }
    let Some((socket, facts)) = d.socket(fd).filter(|(_, facts)| is_tcp(*facts)) else { return };
    let flags = d.socket(d.arg(0)).map_or(0, |(listener, _)| {
        let cookie = real::cookie(&listener);
        d.controls.flags(cookie)
    });
    let (args, state) = ([0; 4], state::SYN_RECV);
    let callback = Callback { op: op::PASSIVE, args, state, to: None, fd };
    d.keep(&Seen::of(&socket), &callback, flags);
    d.tell(&socket, facts, &callback);
    d.tell_state(&socket, facts, fd, [state::SYN_RECV, state::ESTABLISHED], None);
}

/// shutdown(2) of the way out begins.
pub(super) fn shutdown(d: &mut Decider<'_>) -> Begun {
    let writes = d.arg(1) as i32 != libc::SHUT_RD;
    if let Some((socket, facts)) = d.socket(d.arg(0)).filter(|_| writes) {
        closes(d, &socket, facts);
    }
    Begun::GoesOn
}

/// A connection's way out ends with the call that begins.
pub(super) fn closes(d: &mut Decider<'_>, socket: &Borrowed, facts: Facts) {
    if !d.has(Control::SockOps) || !is_tcp(facts) {
        return;
    }
    let fd = d.arg(0);
    news(d, socket, facts, fd);
    let Some(old) = address::tcp_state(socket) else { return };
    let new = match old {
        state::ESTABLISHED | state::SYN_RECV => state::FIN_WAIT1,
        state::CLOSE_WAIT => state::LAST_ACK,
        state::SYN_SENT | state::LISTEN => state::CLOSE,
        other => other,
    };
    d.tell_state(socket, facts, fd, [old, new], None);
    let cookie = real::cookie(socket);
    if d.number() == super::nr::CLOSE {
        d.controls.connections.borrow_mut().remove(&cookie);
    }
}

/// What `TCP_INFO` tells that it did not tell before.
fn news(d: &mut Decider<'_>, socket: &Borrowed, facts: Facts, fd: u64) {
    let seen = Seen::of(socket);
    let Some(known) = d.controls.connections.borrow().get(&seen.cookie).copied() else { return };
    if known.pending {
        return;
    }
    let now = seen.info[0];
    if state::rank(now) > state::rank(known.state) {
        d.tell_state(socket, facts, fd, [known.state, now], None);
    }
    let round_trip = (seen.word(RTT), seen.word(RTT_VARIATION));
    let callback = |op, args| Callback { op, args, state: now, to: None, fd };
    if known.flags & flag::RTT != 0 && round_trip != known.round_trip {
        d.tell(socket, facts, &callback(op::RTT, [round_trip.0, round_trip.0 << 3, 0, 0]));
    }
    let retransmitted = seen.word(TOTAL_RETRANS);
    if known.flags & flag::RETRANS != 0 && retransmitted > known.retransmitted {
        let count = retransmitted - known.retransmitted;
        d.tell(socket, facts, &callback(op::RETRANS, [0, count, 0, 0]));
    }
    if let Some(known) = d.controls.connections.borrow_mut().get_mut(&seen.cookie) {
        (known.retransmitted, known.round_trip) = (retransmitted, round_trip);
    }
}

/// Looks at all connections; whether programs have run.
pub(super) fn look(controls: &Controls, programs: &mut Programs, world: &World) -> bool {
    const WANTED: u32 = flag::RETRANS | flag::RTT | flag::STATE;
    let all: Vec<(u64, Connection)> =
        controls.connections.borrow().iter().map(|(cookie, known)| (*cookie, *known)).collect();
    let mut ran = false;
    for (cookie, known) in all {
        if !known.pending && known.flags & WANTED == 0 {
            continue;
        }
        let thread = world.threads.get(&known.tid).or_else(|| world.threads.get(&known.tgid));
        let socket = Borrowed::of(known.tgid, known.fd).ok().filter(|s| real::cookie(s) == cookie);
        let (Some(thread), Some(socket)) = (thread, socket) else {
            controls.connections.borrow_mut().remove(&cookie);
            continue;
        };
        // A connect(2) that is waited for tells itself.
        let Some(facts) = Facts::of(&socket).filter(|_| thread.waits_for.is_none()) else {
            continue;
        };
        let regs = Regs::default();
        let mut d = Decider::new(controls, programs, world, thread, &regs);
        let fd = known.fd as u64;
        match (known.pending, address::tcp_state(&socket)) {
            (true, Some(state::SYN_SENT)) => {}
            (true, Some(state::CLOSE) | None) => {
                controls.connections.borrow_mut().remove(&cookie);
            }
            (true, Some(_)) => established(&mut d, fd),
            (false, _) => news(&mut d, &socket, facts, fd),
        }
        ran |= d.ran;
    }
    ran
}
