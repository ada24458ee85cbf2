//! Hooks at sockets' calls: what addresses become, and whether a call is done at all.

use std::sync::atomic::{AtomicBool, Ordering};

use super::address::{self, Address, Facts, INET, INET6, POINTERS, SOCK, SOURCE4, SOURCE6};
use super::decide::{Context, Decider, Decision, errno};
use super::{Begun, Control, Kept, nr, tcp, work};
use crate::process::context::ARGS;
use crate::process::sys::memory;
use crate::process::sys::ptrace::Regs;
use crate::process::sys::socket::{self, Borrowed, Message};
use crate::process::thread::Thread;

use Control as C;

/// Bytes of an address that are read at most.
const ADDRESS: u64 = 128;
const ADDRESS_LEN: usize = ADDRESS as usize;
/// Bytes of a datagram at most.
const DATAGRAM: usize = 65_535;
const UDP: [i32; 2] = [libc::IPPROTO_UDP, libc::IPPROTO_UDPLITE];
/// Bytes of `struct msghdr`, and of `struct mmsghdr` around it.
const MSGHDR: usize = 56;
const MMSGHDR: u64 = 64;
/// Messages of one call at most.
const MESSAGES: u64 = 1024;
/// The right to bind to low ports.
const NET_BIND_SERVICE: u64 = 1 << 10;

fn pair(family: u16, [v4, v6]: [Control; 2]) -> Control {
    if family == INET { v4 } else { v6 }
}

fn done(result: std::io::Result<()>) -> Begun {
    Begun::Done(result.map_or_else(|error| errno(&error), |()| 0))
}

impl Decider<'_> {
    /// The socket of the internet that the call's first argument names.
    pub(super) fn socket(&self, fd: u64) -> Option<(Borrowed, Facts)> {
        let socket = Borrowed::of(self.thread.tgid, fd as i32).ok()?;
        let facts = Facts::of(&socket)?;
        Some((socket, facts))
    }

    /// Whether no other descriptor of the traced processes is of the same file.
    fn is_last(&self, fd: u64) -> bool {
        let link = |tgid: i32, fd: &std::ffi::OsStr| {
            std::fs::read_link(format!("/proc/{tgid}/fd/{}", fd.display())).ok()
        };
        let own = self.thread.tgid;
        let Some(file) = link(own, fd.to_string().as_ref()) else { return false };
        let mut processes: Vec<i32> = self.world.threads.values().map(|t| t.tgid).collect();
        processes.sort_unstable();
        processes.dedup();
        let same = processes.into_iter().flat_map(|tgid| {
            let files = std::fs::read_dir(format!("/proc/{tgid}/fd")).into_iter().flatten();
            files.flatten().filter_map(move |entry| link(tgid, &entry.file_name()))
        });
        same.filter(|other| *other == file).count() == 1
    }

    /// The address that a call passes; only whole ones are looked at.
    fn passed(&self, at: u64, len: u64) -> Option<Address> {
        if len > ADDRESS {
            return None;
        }
        Address::new(self.read(at, len as usize)?)
    }

    /// Shows an address to the programs of a hook; what they decide, and make of it.
    fn show(
        &mut self,
        hook: Control,
        address: &Address,
        facts: Facts,
        socket: &Borrowed,
    ) -> (Decision, Address) {
        let mut memory = address::context(address, facts, socket);
        let context = Context { memory: &mut memory, pointers: POINTERS, retval: None };
        let decision = self.run(hook, context, 0);
        (decision, address::changed(address, &memory))
    }
}

/// connect(2).
pub(super) fn connect(d: &mut Decider<'_>) -> Begun {
    let Some((socket, facts)) = d.socket(d.arg(0)) else { return Begun::GoesOn };
    let Some(address) = d.passed(d.arg(1), d.arg(2)) else { return Begun::GoesOn };
    let stream = facts.kind == libc::SOCK_STREAM;
    let known = stream || (facts.kind == libc::SOCK_DGRAM);
    // IPv6's TCP takes its own addresses only.
    let own = !stream || address.family() == facts.family;
    if !known || !own || (stream && !address::is_unconnected(&socket)) {
        return Begun::GoesOn;
    }
    let hook = pair(address.family(), [C::Connect4, C::Connect6]);
    let told = stream && d.has(C::SockOps);
    if !d.has(hook) && !told {
        return Begun::GoesOn;
    }
    let (decision, address) = match d.has(hook) {
        true => d.show(hook, &address, facts, &socket),
        false => (Decision::YES, address),
    };
    if decision.retval != 0 {
        return Begun::Done(decision.retval.into());
    }
    if told {
        tcp::connects(d, &socket, facts, &address);
    }
    if !stream || socket.is_nonblocking() {
        let connected = socket.connect(&address.bytes);
        if told && connected.is_ok() {
            tcp::connected(d);
        }
        return done(connected);
    }
    let job = move |stop: &AtomicBool| loop {
        match socket.connect(&address.bytes) {
            Ok(()) => return 0,
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return errno(&error),
            Err(error) if stop.load(Ordering::Relaxed) => return errno(&error),
            Err(_) => {}
        }
    };
    Begun::Later(Box::new(job))
}

/// bind(2).
pub(super) fn bind(d: &mut Decider<'_>) -> Begun {
    let Some((socket, facts)) = d.socket(d.arg(0)) else { return Begun::GoesOn };
    let Some(mut address) = d.passed(d.arg(1), d.arg(2)) else { return Begun::GoesOn };
    let before = pair(facts.family, [C::Bind4, C::Bind6]);
    let after = pair(facts.family, [C::PostBind4, C::PostBind6]);
    if address.family() != facts.family || !(d.has(before) || d.has(after)) {
        return Begun::GoesOn;
    }
    let mut more = 0;
    if d.has(before) {
        let (decision, new) = d.show(before, &address, facts, &socket);
        if decision.retval != 0 {
            return Begun::Done(decision.retval.into());
        }
        if decision.flags & 1 != 0 {
            more = NET_BIND_SERVICE;
        }
        address = new;
    }
    let bound = work::with_rights_of(d.thread.tid, more, || socket.bind(&address.bytes));
    if bound.is_err() || !d.has(after) {
        return done(bound);
    }
    let mut memory = address::sock(facts, &socket);
    let context = Context { memory: &mut memory, pointers: &[], retval: None };
    Begun::Done(d.run(after, context, 0).retval.into())
}

/// socket(2): programs decide, and set the socket's mark, priority and device.
pub(super) fn create(d: &mut Decider<'_>) -> Begun {
    let [family, kind, protocol] = [0, 1, 2].map(|index| d.arg(index) as i32);
    if ![INET, INET6].map(i32::from).contains(&family) {
        return Begun::GoesOn;
    }
    // Where there cannot be one the call says why.
    let trial = socket::socket(family, kind, protocol);
    let Some((trial, facts)) =
        trial.ok().and_then(|s| Some((Facts::of(&s)?, s))).map(|(f, s)| (s, f))
    else {
        return Begun::GoesOn;
    };
    let mut memory = address::sock(facts, &trial);
    let before = memory.clone();
    let context = Context { memory: &mut memory, pointers: &[], retval: None };
    let decision = d.run(C::SockCreate, context, 0);
    if decision.retval != 0 {
        return Begun::Done(decision.retval.into());
    }
    for (at, option) in SETTINGS {
        let value = |bytes: &[u8]| bytes[at..at + 4].try_into().map_or(0, i32::from_ne_bytes);
        if value(&memory) != value(&before) {
            d.options.push((option, value(&memory)));
        }
    }
    Begun::GoesOn
}

/// Fields of `struct bpf_sock` that programs may set, and the options that they are.
const SETTINGS: [(usize, i32); 3] =
    [(0, libc::SO_BINDTOIFINDEX), (16, libc::SO_MARK), (20, libc::SO_PRIORITY)];

/// The socket is there: it gets what programs have set.
pub(super) fn created(d: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
    let fd = u64::try_from(d.result()).ok()?;
    if kept.options.is_empty() {
        return None;
    }
    let (socket, _) = d.socket(fd)?;
    for (option, value) in &kept.options {
        // What the system refuses stays as it was.
        let _ = socket.set_option(libc::SOL_SOCKET, *option, &value.to_ne_bytes());
    }
    None
}

/// close(2): of the last descriptor, programs are told of the socket's end.
pub(super) fn close(d: &mut Decider<'_>) -> Begun {
    let Some((socket, facts)) = d.socket(d.arg(0)) else { return Begun::GoesOn };
    if d.is_last(d.arg(0)) {
        tcp::closes(d, &socket, facts);
        if d.has(C::SockRelease) {
            let mut memory = address::sock(facts, &socket);
            let context = Context { memory: &mut memory, pointers: &[], retval: None };
            d.run(C::SockRelease, context, 0);
        }
    }
    Begun::GoesOn
}

/// One message that is to be sent.
struct Sent {
    name: u64,
    name_len: u64,
    /// Its pieces: start and length.
    data: Vec<(u64, u64)>,
    control: (u64, u64),
}

/// sendto(2).
pub(super) fn sendto(d: &mut Decider<'_>) -> Begun {
    let data = vec![(d.arg(1), d.arg(2))];
    let sent = Sent { name: d.arg(4), name_len: d.arg(5), data, control: (0, 0) };
    match d.send(&sent, d.arg(3) as i32) {
        Some((socket, message)) => go(socket, message),
        None => Begun::GoesOn,
    }
    .or_refused(d)
}

/// sendmsg(2).
pub(super) fn sendmsg(d: &mut Decider<'_>) -> Begun {
    let Some(sent) = d.message(d.arg(1)) else { return Begun::GoesOn };
    match d.send(&sent, d.arg(2) as i32) {
        Some((socket, message)) => go(socket, message),
        None => Begun::GoesOn,
    }
    .or_refused(d)
}

/// sendmmsg(2): message by message.
pub(super) fn sendmmsg(d: &mut Decider<'_>) -> Begun {
    let (vector, flags) = (d.arg(1), d.arg(3) as i32);
    let mut count = 0;
    for index in 0..d.arg(2).min(MESSAGES) {
        let at = vector + index * MMSGHDR;
        let Some(sent) = d.message(at) else { break };
        let result = match d.send(&sent, flags) {
            Some((socket, message)) => socket.send(&message, 0).map_err(|error| errno(&error)),
            None => match d.refused.take() {
                Some(refused) => Err(refused),
                // Nothing for programs: all messages of a call go the same way.
                None if index == 0 => return Begun::GoesOn,
                None => break,
            },
        };
        match result {
            Ok(len) => {
                d.write(at + MSGHDR as u64, &(len as u32).to_ne_bytes());
                count += 1;
            }
            Err(error) if count == 0 => return Begun::Done(error),
            Err(_) => break,
        }
    }
    Begun::Done(count)
}

impl Begun {
    /// What a program refused is done so.
    fn or_refused(self, d: &mut Decider<'_>) -> Begun {
        d.refused.take().map_or(self, Begun::Done)
    }
}

fn go(socket: Borrowed, message: Message) -> Begun {
    let length = |sent: usize| sent as i64;
    match socket.send(&message, libc::MSG_DONTWAIT) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            if socket.is_nonblocking() || message.flags & libc::MSG_DONTWAIT != 0 {
                return Begun::Done(errno(&error));
            }
            let job = move |stop: &AtomicBool| loop {
                match socket.send(&message, 0) {
                    Ok(sent) => return length(sent),
                    Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                        return errno(&error);
                    }
                    Err(error) if stop.load(Ordering::Relaxed) => return errno(&error),
                    Err(_) => {}
                }
            };
            Begun::Later(Box::new(job))
        }
        Ok(sent) => Begun::Done(length(sent)),
        Err(error) => Begun::Done(errno(&error)),
    }
}

impl Decider<'_> {
    /// A `struct msghdr` at an address.
    fn message(&self, at: u64) -> Option<Sent> {
        let header = self.read(at, MSGHDR)?;
        let word = |at: usize| header[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        let pieces = word(24).min(MESSAGES);
        let vector = self.read(word(16), 16 * pieces as usize)?;
        let data = vector.chunks_exact(16).map(|piece| {
            let word = |at: usize| piece[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
            (word(0), word(8))
        });
        let data = data.collect();
        let name_len = word(8) & u64::from(u32::MAX);
        Some(Sent { name: word(0), name_len, data, control: (word(32), word(40)) })
    }

    /// Shows where a datagram goes to programs; what is to be sent, by which socket. `None` if it
    /// goes on as it is, or is refused.
    fn send(&mut self, sent: &Sent, flags: i32) -> Option<(Borrowed, Message)> {
        if sent.name == 0 {
            return None;
        }
        let (socket, facts) = self.socket(self.arg(0))?;
        if facts.kind != libc::SOCK_DGRAM || !UDP.contains(&facts.protocol) {
            return None;
        }
        let mut address = self.passed(sent.name, sent.name_len)?;
        address.unmap();
        let hook = pair(address.family(), [C::Sendmsg4, C::Sendmsg6]);
        let len: usize =
            sent.data.iter().map(|(_, len)| *len as usize).fold(0, usize::saturating_add);
        if !self.has(hook) || len > DATAGRAM || sent.control.1 > DATAGRAM as u64 {
            return None;
        }
        let pieces = sent.data.iter().map(|&(at, len)| self.read(at, len as usize));
        let data = pieces.collect::<Option<Vec<_>>>()?.concat();
        let mut control = self.read(sent.control.0, sent.control.1 as usize)?;
        let mut memory = address::context(&address, facts, &socket);
        // The source is the socket's own address as long as nobody says otherwise.
        memory.copy_within(SOCK_SOURCE4, SOURCE4);
        memory.copy_within(SOCK_SOURCE6, SOURCE6);
        let source = memory[SOURCE4..SOURCE6 + 16].to_vec();
        let context = Context { memory: &mut memory, pointers: POINTERS, retval: None };
        let decision = self.run(hook, context, 0);
        let address = address::changed(&address, &memory);
        let refused = match decision.retval {
            0 if address.bytes[2..4] == [0, 0] => -libc::EINVAL,
            retval => retval,
        };
        if refused != 0 {
            self.refused = Some(refused.into());
            return None;
        }
        if memory[SOURCE4..SOURCE6 + 16] != source {
            control.extend(source_of(address.family(), &memory));
        }
        Some((socket, Message { address: address.bytes, data, control, flags }))
    }
}

/// Where the own address stands in the socket behind a context.
const SOCK_SOURCE4: std::ops::Range<usize> = address::SOCK_ADDR + 24..address::SOCK_ADDR + 28;
const SOCK_SOURCE6: std::ops::Range<usize> = address::SOCK_ADDR + 28..address::SOCK_ADDR + 44;

/// The control message that names a source (`IP_PKTINFO`, `IPV6_PKTINFO`).
fn source_of(family: u16, memory: &[u8]) -> Vec<u8> {
    let (level, kind, info) = if family == INET {
        let mut info = vec![0; 12];
        info[4..8].copy_from_slice(&memory[SOURCE4..SOURCE4 + 4]);
        (libc::IPPROTO_IP, libc::IP_PKTINFO, info)
    } else {
        let mut info = memory[SOURCE6..SOURCE6 + 16].to_vec();
        info.extend([0; 4]);
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
    };
    const HEADER: usize = 16;
    let mut out = ((HEADER + info.len()) as u64).to_ne_bytes().to_vec();
    out.extend(level.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(info);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// Room that a call gives for addresses or options, asked for at its beginning: at its end other
/// numbers stand there.
pub(super) fn rooms(number: u32, thread: &Thread, regs: &Regs) -> Vec<u32> {
    let half = |at: u64| {
        let mut bytes = [0; 4];
        memory::read(thread.tid, at, &mut bytes);
        u32::from_ne_bytes(bytes)
    };
    let arg = |index: usize| regs[ARGS[index]];
    const NAME_LEN: u64 = 8;
    match number {
        nr::RECVFROM => vec![half(arg(5))],
        nr::GETSOCKNAME | nr::GETPEERNAME | nr::ACCEPT | nr::ACCEPT4 => vec![half(arg(2))],
        nr::LISTEN => {
            let socket = Borrowed::of(thread.tgid, arg(0) as i32).ok();
            let state = socket.as_ref().and_then(address::tcp_state);
            state.map(u32::from).into_iter().collect()
        }
        nr::GETSOCKOPT => vec![half(arg(4))],
        nr::RECVMSG => vec![half(arg(1).wrapping_add(NAME_LEN))],
        nr::RECVMMSG => {
            let at = |index: u64| arg(1).wrapping_add(index * MMSGHDR + NAME_LEN);
            (0..arg(2).min(MESSAGES)).map(|index| half(at(index))).collect()
        }
        _ => Vec::new(),
    }
}

/// recvfrom(2).
pub(super) fn recvfrom(d: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
    let (at, len) = (d.arg(4), d.half(d.arg(5))?);
    d.received(at, *kept.rooms.first()?, len)
}

/// recvmsg(2).
pub(super) fn recvmsg(d: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
    let (at, len) = (d.word(d.arg(1))?, d.half(d.arg(1).wrapping_add(8))?);
    d.received(at, *kept.rooms.first()?, len)
}

/// recvmmsg(2).
pub(super) fn recvmmsg(d: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
    let count = usize::try_from(d.result()).ok()?;
    for (index, room) in kept.rooms.iter().take(count).enumerate() {
        let header = d.arg(1).wrapping_add(index as u64 * MMSGHDR);
        let (at, len) = (d.word(header)?, d.half(header.wrapping_add(8))?);
        d.received(at, *room, len);
    }
    None
}

impl Decider<'_> {
    /// A datagram's sender stands at `at`, of `len` bytes, as far as there was room.
    fn received(&mut self, at: u64, room: u32, len: u32) -> Option<i64> {
        if self.result() < 0 || at == 0 || len as usize > ADDRESS_LEN {
            return None;
        }
        let (socket, facts) = self.socket(self.arg(0))?;
        if facts.kind != libc::SOCK_DGRAM || !UDP.contains(&facts.protocol) {
            return None;
        }
        let bytes = self.read(at, room.min(len) as usize)?;
        let address = Address::new(bytes)?;
        let hook = pair(address.family(), [C::Recvmsg4, C::Recvmsg6]);
        let (_, address) = self.show(hook, &address, facts, &socket);
        self.write(at, &address.bytes);
        None
    }

    /// One end of a socket was asked for, into `at`.
    fn named(&mut self, fd: u64, hooks: [Control; 2], at: u64, room: u32) -> Option<i64> {
        if self.result() < 0 || at == 0 {
            return None;
        }
        let (socket, facts) = self.socket(fd)?;
        let local = hooks[0] == C::Getsockname4;
        let bytes = if local { socket.local() } else { socket.peer() };
        let address = Address::new(bytes.ok()?)?;
        let hook = pair(address.family(), hooks);
        if !self.has(hook) {
            return None;
        }
        let (_, address) = self.show(hook, &address, facts, &socket);
        let len = address.bytes.len().min(room as usize);
        self.write(at, &address.bytes[..len]);
        None
    }
}

const PEER: [Control; 2] = [C::Getpeername4, C::Getpeername6];

/// getsockname(2).
pub(super) fn getsockname(d: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
    let hooks = [C::Getsockname4, C::Getsockname6];
    d.named(d.arg(0), hooks, d.arg(1), *kept.rooms.first()?)
}

/// getpeername(2).
pub(super) fn getpeername(d: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
    d.named(d.arg(0), PEER, d.arg(1), *kept.rooms.first()?)
}

/// accept(2) tells the other end too.
pub(super) fn accept(d: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
    let fd = u64::try_from(d.result()).ok()?;
    tcp::accepted(d, fd);
    d.named(fd, PEER, d.arg(1), *kept.rooms.first()?)
}

const _: () = assert!(SOCK == 80);
