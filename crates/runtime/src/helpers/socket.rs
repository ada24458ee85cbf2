//! Helpers on sockets: the one that the hook is of, those that contexts point to, those in maps.
//!
//! Looking for another one finds those that the user told of.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use interp::Trap;
use maps::Held;
use uapi::Errno;

use super::{Call, Ctx, count, mem, status};
use crate::socket::{SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP, Socket};

/// All is one network namespace, the first.
pub(super) fn netns_cookie(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(1)
}

/// The socket that an argument names: by the address of its memory, or by the hook's context.
pub(super) fn named(c: &Call<'_, '_>, arg: u64) -> Option<Arc<Socket>> {
    let is_it = |socket: &&Arc<Socket>| socket.addr() == arg || socket.tcp_addr() == arg;
    if let Some(found) = c.run.found.iter().find(is_it) {
        return Some(found.clone());
    }
    let own = c.run.world.socket?;
    let context = match &c.run.ctx {
        Ctx::Skb(cell) => cell.addr() == arg,
        Ctx::Xdp(..) => false,
        Ctx::Flat(region) => (region.start..region.end).contains(&arg),
    };
    (is_it(&own) || context).then(|| own.clone())
}

/// Key of the storage of the socket that an argument names.
pub(super) fn key(c: &Call<'_, '_>, arg: u64) -> Option<u64> {
    named(c, arg).map(|socket| socket.cookie())
}

pub(super) fn cookie(c: &mut Call<'_, '_>, [arg, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(named(c, arg).map_or(0, |socket| socket.cookie()))
}

/// Owner of a packet without socket (`overflowuid`).
const NOBODY: u32 = 65534;

pub(super) fn uid(c: &mut Call<'_, '_>, [arg, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(named(c, arg).map_or(NOBODY, |socket| socket.info().uid).into())
}

/// The same pointer for a whole socket.
pub(super) fn full(c: &mut Call<'_, '_>, [arg, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(named(c, arg).map_or(0, |socket| socket.addr()))
}

const TCP: u32 = 6;
/// TCP_LISTEN.
const LISTEN: u32 = 10;

pub(super) fn tcp(c: &mut Call<'_, '_>, [arg, ..]: [u64; 5]) -> Result<u64, Trap> {
    let socket = named(c, arg).filter(|socket| socket.info().protocol == TCP);
    Ok(socket.map_or(0, |socket| socket.tcp_addr()))
}

pub(super) fn listener(c: &mut Call<'_, '_>, [arg, ..]: [u64; 5]) -> Result<u64, Trap> {
    let socket = named(c, arg).filter(|socket| socket.info().state == LISTEN);
    Ok(socket.map_or(0, |socket| socket.addr()))
}

pub(super) fn cgroup_id(c: &mut Call<'_, '_>, [arg, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(named(c, arg).map_or(0, |socket| socket.info().cgroup))
}

/// Options of SOL_SOCKET that take a number, and of TCP.
const SOCKET_OPTIONS: &[i32] = &[2, 7, 8, 9, 12, 15, 18, 36, 47, 62, 74];
const TCP_OPTIONS: &[i32] = &[1, 2, 4, 5, 6, 7, 10, 16, 18, 25, 27, 44];
const SO_BINDTODEVICE: i32 = 25;
const TCP_CONGESTION: i32 = 13;
const TCP_SAVED_SYN: i32 = 28;
const IP_TOS: i32 = 1;
const IPV6_OPTIONS: &[i32] = &[67, 70];
/// Numbers that only programs may set.
const TCP_BPF_IW: i32 = 1001;
const TCP_BPF_SNDCWND_CLAMP: i32 = 1002;
const TCP_BPF_DELACK_MAX: i32 = 1003;
const TCP_BPF_RTO_MIN: i32 = 1004;
const TCP_BPF_CALLBACKS: i32 = 1008;
const ALL_CALLBACKS: u32 = 0x7f;
const INET: u32 = 2;
const INET6: u32 = 10;
/// The most microseconds that a delayed acknowledgement and a first timeout may be set to.
const TIMEOUT_MAX: u32 = 200_000;

/// Whether programs may get or set an option of this size on the socket.
fn allowed(socket: &Socket, level: i32, name: i32, len: usize, get: bool) -> Result<(), Errno> {
    let (number, info) = (len == 4, socket.info());
    let good = match level {
        SOL_SOCKET if name == SO_BINDTODEVICE => !get,
        SOL_SOCKET => SOCKET_OPTIONS.contains(&name) && number,
        SOL_IP => matches!(info.family, INET | INET6) && name == IP_TOS && number,
        SOL_IPV6 => info.family == INET6 && IPV6_OPTIONS.contains(&name) && number,
        SOL_TCP if info.protocol != TCP => false,
        SOL_TCP => match name {
            TCP_CONGESTION => len >= 2,
            TCP_SAVED_SYN => len >= 1,
            TCP_BPF_CALLBACKS => number,
            TCP_BPF_IW..TCP_BPF_CALLBACKS => number && !get,
            _ => TCP_OPTIONS.contains(&name) && number,
        },
        _ => false,
    };
    if good { Ok(()) } else { Err(Errno::EINVAL) }
}

fn word(value: &[u8]) -> u32 {
    value.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word))
}

fn set(socket: &Socket, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    allowed(socket, level, name, value.len(), false)?;
    if level != SOL_TCP || name < TCP_BPF_IW {
        return socket.set_option(level, name, value);
    }
    let value = word(value);
    let good = match name {
        TCP_BPF_IW | TCP_BPF_SNDCWND_CLAMP => (value as i32) > 0,
        TCP_BPF_DELACK_MAX | TCP_BPF_RTO_MIN => (1..=TIMEOUT_MAX).contains(&value),
        TCP_BPF_CALLBACKS => value & !ALL_CALLBACKS == 0,
        _ => false,
    };
    if !good {
        return Err(Errno::EINVAL);
    }
    if name == TCP_BPF_CALLBACKS {
        socket.callbacks.store(value, Relaxed);
    }
    Ok(())
}

fn get(socket: &Socket, level: i32, name: i32, out: &mut [u8]) -> Result<usize, Errno> {
    allowed(socket, level, name, out.len(), true)?;
    if (level, name) == (SOL_TCP, TCP_BPF_CALLBACKS) {
        out.copy_from_slice(&socket.callbacks().to_ne_bytes());
        return Ok(out.len());
    }
    socket.option(level, name, out)
}

pub(super) fn set_option(
    c: &mut Call<'_, '_>,
    [arg, level, name, value, len]: [u64; 5],
) -> Result<u64, Trap> {
    let Some(socket) = named(c, arg) else { return Ok(Errno::EINVAL.as_ret()) };
    let value = mem::copy(value, len as u32 as usize);
    Ok(status(set(&socket, level as i32, name as i32, &value)))
}

pub(super) fn option(
    c: &mut Call<'_, '_>,
    [arg, level, name, buf, len]: [u64; 5],
) -> Result<u64, Trap> {
    let mut out = vec![0; len as u32 as usize];
    let socket = named(c, arg).ok_or(Errno::EINVAL);
    let found = socket.and_then(|socket| get(&socket, level as i32, name as i32, &mut out));
    let filled = *found.as_ref().unwrap_or(&0);
    out[filled..].fill(0);
    mem::write(buf, &out);
    Ok(status(found.map(drop)))
}

/// Where `struct bpf_sock_ops` has the callbacks that programs asked for.
const CALLBACKS: u64 = 84;

pub(super) fn set_callbacks(c: &mut Call<'_, '_>, [arg, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let Some(socket) = named(c, arg) else { return Ok(Errno::EINVAL.as_ret()) };
    let flags = flags as u32;
    let now = flags & ALL_CALLBACKS;
    socket.callbacks.store(now, Relaxed);
    // The context's field is the connection's own.
    mem::write(arg + CALLBACKS, &now.to_ne_bytes());
    Ok(i64::from((flags & !ALL_CALLBACKS) as i32) as u64)
}

pub(super) fn bind(c: &mut Call<'_, '_>, [ctx, addr, len, ..]: [u64; 5]) -> Result<u64, Trap> {
    /// Bytes of `struct sockaddr_in`, and the least of `struct sockaddr_in6`.
    const IPV4: usize = 16;
    const IPV6: usize = 24;
    let address = mem::copy(addr, len as u32 as usize);
    let bound = named(c, ctx).ok_or(Errno::EINVAL).and_then(|socket| {
        let family = address.first_chunk().map(|word| u32::from(u16::from_ne_bytes(*word)));
        match family.ok_or(Errno::EINVAL)? {
            INET if address.len() < IPV4 => Err(Errno::EINVAL),
            INET6 if address.len() < IPV6 => Err(Errno::EINVAL),
            INET | INET6 => socket.bind(&address),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    });
    Ok(status(bound))
}

/// The socket in a map of sockets.
fn held(c: &Call<'_, '_>, map: u64, key: &[u8]) -> Result<Option<Arc<Socket>>, Trap> {
    let map = c.run.map(map)?;
    let held = map.map.ops().refs().and_then(|refs| refs.get(key));
    Ok(held.and_then(|held| held.object.downcast().ok()))
}

fn key_at(c: &Call<'_, '_>, map: u64, key: u64) -> Result<Vec<u8>, Trap> {
    Ok(mem::copy(key, c.run.map(map)?.key_size()))
}

const DROP: u64 = 0;
const PASS: u64 = 1;
const INGRESS: u64 = 1;

/// Names the socket that the message or packet goes to.
fn redirect(c: &mut Call<'_, '_>, map: u64, key: &[u8], flags: u64) -> Result<u64, Trap> {
    let found = held(c, map, key)?.filter(|_| flags & !INGRESS == 0);
    let Some(socket) = found else { return Ok(DROP) };
    if flags & INGRESS == 0 && socket.info().protocol != TCP {
        return Ok(DROP);
    }
    c.run.selected = Some(socket);
    Ok(PASS)
}

pub(super) fn redirect_map(
    c: &mut Call<'_, '_>,
    [_, map, key, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    redirect(c, map, &(key as u32).to_ne_bytes(), flags)
}

pub(super) fn redirect_hash(
    c: &mut Call<'_, '_>,
    [_, map, key, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let key = key_at(c, map, key)?;
    redirect(c, map, &key, flags)
}

pub(super) fn select(c: &mut Call<'_, '_>, [_, map, key, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let key = key_at(c, map, key)?;
    if flags != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let Some(socket) = held(c, map, &key)? else { return Ok(Errno::ENOENT.as_ret()) };
    c.run.selected = Some(socket);
    Ok(0)
}

/// Puts the hook's socket into a map.
pub(super) fn put(c: &mut Call<'_, '_>, [ctx, map, key, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let key = key_at(c, map, key)?;
    let socket = named(c, ctx);
    let refs = c.run.map(map)?.map.ops().refs();
    let put = match (socket, refs) {
        (Some(socket), Some(refs)) => {
            let id = socket.cookie();
            refs.set(&key, Held { id, object: socket }, flags)
        }
        _ => Err(Errno::EOPNOTSUPP),
    };
    Ok(status(put))
}

/// The socket that a packet is to be given to.
pub(super) fn assign(c: &mut Call<'_, '_>, [_, arg, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let known = named(c, arg).filter(|_| flags == 0).ok_or(Errno::EINVAL);
    Ok(count(known.map(|socket| {
        c.run.selected = Some(socket);
        0
    })))
}

/// UDP's number.
const UDP: u32 = 17;
/// Bytes of `struct bpf_sock_tuple`, by family.
const TUPLE4: usize = 12;
const TUPLE6: usize = 36;

/// Addresses and ports of a packet that is looked for.
struct Tuple {
    family: u32,
    from: [u32; 4],
    to: [u32; 4],
    /// In network byte order.
    ports: [u16; 2],
}

impl Tuple {
    fn read(at: u64, size: u64) -> Option<Tuple> {
        let size = size as u32 as usize;
        let family = match size {
            TUPLE4 => INET,
            TUPLE6 => INET6,
            _ => return None,
        };
        let bytes = mem::copy(at, size);
        let words = if family == INET { 1 } else { 4 };
        let address = |first: usize| {
            let mut address = [0; 4];
            for (n, to) in address.iter_mut().enumerate().take(words) {
                *to = word(&bytes[4 * (first + n)..]);
            }
            address
        };
        let port = |n: usize| {
            let at = 8 * words + 2 * n;
            u16::from_ne_bytes([bytes[at], bytes[at + 1]])
        };
        let (from, to) = (address(0), address(words));
        Some(Tuple { family, from, to, ports: [port(0), port(1)] })
    }

    /// How well a socket fits: connected to the sender, bound to the address, or to all.
    fn fits(&self, socket: &Socket, protocol: u32) -> Option<u8> {
        let info = socket.info();
        let (own, other) = match self.family {
            INET => ([info.src_ip4, 0, 0, 0], [info.dst_ip4, 0, 0, 0]),
            _ => (info.src_ip6, info.dst_ip6),
        };
        let port = info.src_port == u32::from(u16::from_be(self.ports[1]));
        if (info.family, info.protocol) != (self.family, protocol) || !port {
            return None;
        }
        if info.dst_port != 0 {
            let same = (own, other, info.dst_port) == (self.to, self.from, self.ports[0]);
            return same.then_some(3);
        }
        match own {
            own if own == self.to => Some(2),
            [0, 0, 0, 0] => Some(1),
            _ => None,
        }
    }
}

/// The best of the sockets that the user told of, held until it is given back.
fn find(
    c: &mut Call<'_, '_>,
    [_, tuple, size, netns, flags]: [u64; 5],
    protocol: u32,
) -> Result<u64, Trap> {
    // Only the program's own network namespace is there.
    let here = (netns as i32) < 0;
    let Some(tuple) = Tuple::read(tuple, size).filter(|_| flags == 0 && here) else {
        return Ok(0);
    };
    let sockets = c.run.core.sockets.read();
    let fit = |socket: &Arc<Socket>| tuple.fits(socket, protocol).map(|fit| (fit, socket.clone()));
    let best = sockets.iter().filter_map(fit).max_by_key(|(fit, _)| *fit);
    drop(sockets);
    let Some((_, socket)) = best else { return Ok(0) };
    let addr = socket.addr();
    c.run.found.push(socket);
    Ok(addr)
}

pub(super) fn find_tcp(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    find(c, args, TCP)
}

pub(super) fn find_udp(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    find(c, args, UDP)
}

/// The memory stays until the run ends: pointers to it may be around.
pub(super) fn release(c: &mut Call<'_, '_>, [arg, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(if named(c, arg).is_some() { 0 } else { Errno::EINVAL.as_ret() })
}

/// The socket's group's ancestor at a level, the root's being 0.
pub(super) fn ancestor_group(
    c: &mut Call<'_, '_>,
    [arg, level, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let group = named(c, arg).map(|socket| socket.info().cgroup).filter(|group| *group != 0);
    let Some(path) = group.and_then(crate::kernel_objects::group_with_id) else { return Ok(0) };
    Ok(super::group::ancestor_of(&path, level as i32))
}
