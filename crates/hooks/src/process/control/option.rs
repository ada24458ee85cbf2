//! Hooks at sockets' options.

use std::io;

use super::address::{self, Facts, SOCK};
use super::decide::{Context, Decider, errno};
use super::{Begun, Control, Kept, work};
use crate::process::sys::socket::Borrowed;

/// Bytes of `struct bpf_sockopt`, behind which the socket and then the value lie.
const SOCKOPT: usize = 40;
const VALUE: usize = SOCKOPT + SOCK;
/// Places in it.
const LEVEL: usize = 24;
const NAME: usize = 28;
const LEN: usize = 32;
const RETVAL: usize = 36;
/// Bytes of a value that programs see: a page.
const SEEN: usize = 4096;
/// Room for a value in any case.
const LEAST: usize = 64;

/// Options whose values are addresses or descriptors of the caller: level, name.
const OF_THE_CALLER: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER),
    (libc::SOL_SOCKET, libc::SO_ATTACH_BPF),
    (libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF),
    (libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF),
    (libc::IPPROTO_IP, 64),
    (libc::IPPROTO_IP, 65),
    (libc::IPPROTO_IPV6, 64),
    (libc::IPPROTO_IPV6, 65),
];

/// A `struct bpf_sockopt` and what it points to.
struct Shown {
    memory: Vec<u8>,
    pointers: [(usize, usize); 3],
}

impl Shown {
    fn new(facts: Facts, socket: &Borrowed, [level, name, len]: [i32; 3], value: &[u8]) -> Shown {
        let mut memory = vec![0; SOCKOPT];
        for (at, number) in [(LEVEL, level), (NAME, name), (LEN, len)] {
            address::put(&mut memory, at, number as u32);
        }
        memory.extend(address::sock(facts, socket));
        memory.extend(value);
        let pointers = [(0, SOCKOPT), (8, VALUE), (16, memory.len())];
        Shown { memory, pointers }
    }

    fn number(&self, at: usize) -> i32 {
        self.memory[at..at + 4].try_into().map_or(0, i32::from_ne_bytes)
    }

    fn run(&mut self, d: &mut Decider<'_>, hook: Control, retval: i32) -> i32 {
        let place = (hook == Control::Getsockopt).then_some(RETVAL);
        let context = Context { memory: &mut self.memory, pointers: &self.pointers, retval: place };
        d.run(hook, context, retval).retval
    }
}

impl Decider<'_> {
    fn any_socket(&self) -> Option<(Borrowed, Facts)> {
        let socket = Borrowed::of(self.thread.tgid, self.arg(0) as i32).ok()?;
        let number = |name| socket.number(libc::SOL_SOCKET, name).ok();
        let (kind, protocol) = (number(libc::SO_TYPE)?, number(libc::SO_PROTOCOL)?);
        let family = number(libc::SO_DOMAIN)? as u16;
        Some((socket, Facts { family, kind, protocol }))
    }
}

/// setsockopt(2).
pub(super) fn set(d: &mut Decider<'_>) -> Begun {
    let Some((socket, facts)) = d.any_socket() else { return Begun::GoesOn };
    let [level, name, len] = [1, 2, 4].map(|index| d.arg(index) as i32);
    let Ok(given) = usize::try_from(len) else { return Begun::GoesOn };
    let room = given.max(LEAST).min(SEEN.max(LEAST));
    let Some(mut value) = d.read(d.arg(3), given.min(SEEN)) else { return Begun::GoesOn };
    value.resize(room, 0);
    let mut shown = Shown::new(facts, &socket, [level, name, len], &value);
    let retval = shown.run(d, Control::Setsockopt, 0);
    if retval != 0 {
        return Begun::Done(retval.into());
    }
    let [new_level, new_name, new_len] = [LEVEL, NAME, LEN].map(|at| shown.number(at));
    match usize::try_from(new_len) {
        // All done, says the program.
        Err(_) if new_len == -1 => return Begun::Done(0),
        // It saw only the beginning: what it did is of no account.
        Ok(_) if given > SEEN && new_len == len => return Begun::GoesOn,
        Ok(new) if new <= room => {}
        _ => return Begun::Done(-i64::from(libc::EFAULT)),
    }
    let new = if new_len == 0 { given } else { new_len as usize };
    let after = &shown.memory[VALUE..VALUE + new.min(room)];
    let same = (new_level, new_name) == (level, name) && value.get(..given) == Some(after);
    if same || OF_THE_CALLER.contains(&(new_level, new_name)) {
        return Begun::GoesOn;
    }
    let set = || socket.set_option(new_level, new_name, after);
    let set: io::Result<()> = work::with_rights_of(d.thread.tid, 0, set);
    Begun::Done(set.map_or_else(|error| errno(&error), |()| 0))
}

/// getsockopt(2) has its answer: programs change it.
pub(super) fn get(d: &mut Decider<'_>, kept: &Kept) -> Option<i64> {
    let (socket, facts) = d.any_socket()?;
    let [level, name] = [1, 2].map(|index| d.arg(index) as i32);
    let room = i32::try_from(*kept.rooms.first()?).ok()?;
    let result = d.result() as i32;
    // Where the kernel had nothing to say the room is what there is.
    let len = if result == 0 { d.half(d.arg(4))? as i32 } else { room };
    let given = usize::try_from(len).ok()?;
    let told = if result == 0 { given.min(room as usize).min(SEEN) } else { 0 };
    let mut value = d.read(d.arg(3), told)?;
    value.resize((room as usize).clamp(LEAST, SEEN), 0);
    let mut shown = Shown::new(facts, &socket, [level, name, len], &value);
    let retval = shown.run(d, Control::Getsockopt, result);
    if retval < 0 {
        return Some(retval.into());
    }
    let new = shown.number(LEN);
    if new < 0 || new > room {
        let big = room as usize > SEEN && new >= 0;
        return Some(if big { result.into() } else { -i64::from(libc::EFAULT) });
    }
    if new != 0 {
        let seen = (new as usize).min(shown.memory.len() - VALUE);
        d.write(d.arg(3), &shown.memory[VALUE..VALUE + seen]);
        d.write(d.arg(4), &new.to_ne_bytes());
    }
    Some(retval.into())
}
