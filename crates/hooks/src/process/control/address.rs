//! Addresses of the internet, as sockets and as programs have them.

use std::io;

use crate::process::sys::socket::Borrowed;

pub(super) const INET: u16 = libc::AF_INET as u16;
pub(super) const INET6: u16 = libc::AF_INET6 as u16;
/// Bytes of `sockaddr_in`, and of `sockaddr_in6` without its scope.
const LEN4: usize = 16;
const LEN6: usize = 24;

/// Bytes of an address that a call passes, and what of them programs may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) bytes: Vec<u8>,
    /// Its address is one of IPv4 within IPv6, shown as IPv4.
    mapped: bool,
}

/// The first bytes of `::ffff:a.b.c.d`.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Address {
    /// An address that is long enough to be one of its family.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Address> {
        let family = u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]);
        let enough = match family {
            INET => bytes.len() >= LEN4,
            INET6 => bytes.len() >= LEN6,
            _ => false,
        };
        enough.then_some(Address { bytes, mapped: false })
    }

    pub(super) fn family(&self) -> u16 {
        if self.mapped { INET } else { u16::from_ne_bytes([self.bytes[0], self.bytes[1]]) }
    }

    /// Shows an IPv4 address within IPv6 as such from now on.
    pub(super) fn unmap(&mut self) {
        self.mapped = self.family() == INET6 && self.bytes[8..20] == MAPPED;
    }

    /// Its bytes without family and port.
    pub(super) fn ip_bytes(&self) -> &[u8] {
        &self.bytes[self.ip()]
    }

    fn ip(&self) -> std::ops::Range<usize> {
        match (self.mapped, self.family()) {
            (true, _) => 20..24,
            (false, INET) => 4..8,
            _ => 8..24,
        }
    }
}

/// Bytes of `struct bpf_sock_addr`, and of the `struct bpf_sock` behind it.
pub(super) const SOCK_ADDR: usize = 72;
pub(super) const SOCK: usize = 80;
/// Where the first one names the second.
pub(super) const POINTERS: &[(usize, usize)] = &[(64, SOCK_ADDR)];
/// Places in the first.
const USER_IP4: usize = 4;
const USER_IP6: usize = 8;
const USER_PORT: usize = 24;
pub(super) const SOURCE4: usize = 40;
pub(super) const SOURCE6: usize = 44;

pub(super) fn put(memory: &mut [u8], at: usize, value: u32) {
    memory[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// What is known of a socket without changing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) family: u16,
    pub(super) kind: i32,
    pub(super) protocol: i32,
}

impl Facts {
    /// Those of a socket of the internet.
    pub(super) fn of(socket: &Borrowed) -> Option<Facts> {
        let number = |name| socket.number(libc::SOL_SOCKET, name);
        let family = number(libc::SO_DOMAIN).ok()? as u16;
        if family != INET && family != INET6 {
            return None;
        }
        let (kind, protocol) = (number(libc::SO_TYPE).ok()?, number(libc::SO_PROTOCOL).ok()?);
        Some(Facts { family, kind, protocol })
    }
}

/// The `struct bpf_sock_addr` of a call, with the socket's `struct bpf_sock` behind it.
pub(super) fn context(address: &Address, facts: Facts, socket: &Borrowed) -> Vec<u8> {
    let mut out = vec![0; SOCK_ADDR];
    let ip = &address.bytes[address.ip()];
    put(&mut out, 0, address.family().into());
    let at = if ip.len() == 4 { USER_IP4 } else { USER_IP6 };
    out[at..at + ip.len()].copy_from_slice(ip);
    out[USER_PORT..USER_PORT + 2].copy_from_slice(&address.bytes[2..4]);
    put(&mut out, 28, facts.family.into());
    put(&mut out, 32, facts.kind as u32);
    put(&mut out, 36, facts.protocol as u32);
    out.extend(sock(facts, socket));
    out
}

/// What programs made of the address.
pub(super) fn changed(address: &Address, context: &[u8]) -> Address {
    let mut out = address.clone();
    let ip = address.ip();
    let at = if ip.len() == 4 { USER_IP4 } else { USER_IP6 };
    let new = &context[at..at + ip.len()];
    out.bytes[ip].copy_from_slice(new);
    out.bytes[2..4].copy_from_slice(&context[USER_PORT..USER_PORT + 2]);
    out
}

/// A socket's `struct bpf_sock`.
pub(super) fn sock(facts: Facts, socket: &Borrowed) -> Vec<u8> {
    let mut out = vec![0; SOCK];
    let option = |name| socket.number(libc::SOL_SOCKET, name).unwrap_or(0) as u32;
    put(&mut out, 0, option(libc::SO_BINDTOIFINDEX));
    put(&mut out, 4, facts.family.into());
    put(&mut out, 8, facts.kind as u32);
    put(&mut out, 12, facts.protocol as u32);
    put(&mut out, 16, option(libc::SO_MARK));
    put(&mut out, 20, option(libc::SO_PRIORITY));
    let peer = ends(&mut out, socket);
    put(&mut out, 72, state(facts, socket, peer).into());
    put(&mut out, 76, u32::MAX);
    out
}

/// The same as the runtime has it.
pub(super) fn info(sock: &[u8]) -> runtime::SocketInfo {
    let word = |at: usize| sock[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
    let words = |at: usize| [0, 4, 8, 12].map(|more| word(at + more));
    runtime::SocketInfo {
        bound_dev_if: word(0),
        family: word(4),
        kind: word(8),
        protocol: word(12),
        mark: word(16),
        priority: word(20),
        src_ip4: word(24),
        src_ip6: words(28),
        src_port: word(44),
        dst_port: word(48) as u16,
        dst_ip4: word(52),
        dst_ip6: words(56),
        state: word(72),
        rx_queue_mapping: word(76) as i32,
        ..runtime::SocketInfo::default()
    }
}

/// Fills in both ends; whether there is another one.
fn ends(out: &mut [u8], socket: &Borrowed) -> bool {
    let address = |bytes: io::Result<Vec<u8>>| bytes.ok().and_then(Address::new);
    let places = [(address(socket.local()), 24, 28), (address(socket.peer()), 52, 56)];
    for (address, at4, at6) in &places {
        let Some(address) = address else { continue };
        let ip = &address.bytes[address.ip()];
        let at = if ip.len() == 4 { *at4 } else { *at6 };
        out[at..at + ip.len()].copy_from_slice(ip);
    }
    let [(local, ..), (peer, ..)] = &places;
    if let Some(local) = local {
        // The own port is in the machine's order, the other one in the network's.
        put(out, 44, u16::from_be_bytes([local.bytes[2], local.bytes[3]]).into());
    }
    if let Some(peer) = peer {
        out[48..50].copy_from_slice(&peer.bytes[2..4]);
    }
    peer.is_some()
}

/// `TCP_ESTABLISHED` and `TCP_CLOSE`, which other sockets have too.
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;

fn state(facts: Facts, socket: &Borrowed, connected: bool) -> u8 {
    let otherwise = if connected { ESTABLISHED } else { CLOSE };
    if facts.kind == libc::SOCK_STREAM { tcp_state(socket).unwrap_or(otherwise) } else { otherwise }
}

/// The state of a TCP connection.
pub(super) fn tcp_state(socket: &Borrowed) -> Option<u8> {
    let mut info = [0; 8];
    socket.option(libc::IPPROTO_TCP, libc::TCP_INFO, &mut info).ok().map(|_| info[0])
}

/// Whether a TCP socket is not connected and not about to be.
pub(super) fn is_unconnected(socket: &Borrowed) -> bool {
    tcp_state(socket).is_none_or(|state| state == CLOSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_what_programs_may_not_change() {
        let bytes = vec![2, 0, 0x1b, 0x59, 127, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8];
        let address = Address::new(bytes.clone()).expect("an address");
        let mut context = vec![0; SOCK_ADDR];
        context[4..8].copy_from_slice(&[10, 0, 0, 2]);
        context[24..26].copy_from_slice(&[0, 80]);
        let new = changed(&address, &context);
        assert_eq!(new.bytes[..8], [2, 0, 0, 80, 10, 0, 0, 2]);
        assert_eq!(new.bytes[8..], bytes[8..]);
        assert_eq!(Address::new(bytes[..15].to_vec()), None, "too short");
        assert_eq!(Address::new(vec![1, 0, b'/', b'x']), None, "of the file system");
    }

    #[test]
    fn ipv4_within_ipv6_is_ipv4() {
        let mut bytes = vec![0; 28];
        bytes[..4].copy_from_slice(&[10, 0, 0, 53]);
        bytes[8..24].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]);
        let mut address = Address::new(bytes).expect("an address");
        assert_eq!(address.family(), INET6);
        address.unmap();
        assert_eq!((address.family(), address.ip()), (INET, 20..24));
    }
}
