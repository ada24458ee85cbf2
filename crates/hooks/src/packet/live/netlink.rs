//! The little of rtnetlink that networks need: interfaces, addresses, questions about routes.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, recv, send};

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const EXCL: u16 = 0x200;
const CREATE: u16 = 0x400;

const NEWLINK: u16 = 16;
const NEWADDR: u16 = 20;
const ERROR: u16 = 2;

const HEADER: usize = 16;
/// Longest answer that is read.
const ANSWER: usize = 32 * 1024;

/// Attributes of interfaces.
mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const AF_SPEC: u16 = 26;
    pub(super) const NET_NS_FD: u16 = 28;
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const VETH_PEER: u16 = 1;
    pub(super) const INET6_ADDR_GEN_MODE: u16 = 8;
}

/// Attributes of addresses.
mod ifa {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const BROADCAST: u16 = 4;
}

const AF_INET: u8 = 2;
const AF_INET6: u16 = 10;
const UP: u32 = 1;
const NESTED: u16 = 1 << 15;

/// A request in the making.
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new(kind: u16, flags: u16) -> Message {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Message(bytes)
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Message {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn attr(self, kind: u16, value: &[u8]) -> Message {
        let mut head = [0; 4];
        head[..2].copy_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        head[2..].copy_from_slice(&kind.to_ne_bytes());
        self.bytes(&head).bytes(value)
    }

    fn nested(mut self, kind: u16, inside: impl FnOnce(Message) -> Message) -> Message {
        let at = self.0.len();
        self = inside(self.attr(kind | NESTED, &[]));
        let len = (self.0.len() - at) as u16;
        self.0[at..at + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// `struct ifinfomsg`.
    fn link(self, index: u32, flags: u32, change: u32) -> Message {
        self.bytes(&[0; 4])
            .bytes(&index.to_ne_bytes())
            .bytes(&flags.to_ne_bytes())
            .bytes(&change.to_ne_bytes())
    }
}

/// A socket in the namespace that it is about.
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// One end of a pair of interfaces.
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) ifindex: u32,
    pub(super) mac: Option<[u8; 6]>,
}

impl Netlink {
    pub(super) fn new(socket: OwnedFd) -> Netlink {
        Netlink { socket, sequence: 0 }
    }

    /// A pair of interfaces, the other one in another namespace.
    pub(super) fn add_pair(
        &mut self,
        here: &End<'_>,
        there: &End<'_>,
        netns: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let netns = netns.as_raw_fd().to_ne_bytes();
        let end = |message: Message, end: &End<'_>| {
            let name = [end.name.as_bytes(), &[0]].concat();
            let message = message.link(end.ifindex, 0, 0).attr(ifla::IFNAME, &name);
            match end.mac {
                Some(mac) => message.attr(ifla::ADDRESS, &mac),
                None => message,
            }
        };
        let message = end(Message::new(NEWLINK, REQUEST | ACK | CREATE | EXCL), here);
        let message = message.nested(ifla::LINKINFO, |message| {
            message.attr(ifla::INFO_KIND, b"veth").nested(ifla::INFO_DATA, |message| {
                message.nested(ifla::VETH_PEER, |message| {
                    end(message, there).attr(ifla::NET_NS_FD, &netns)
                })
            })
        });
        self.ask(message).map(drop)
    }

    /// Without addresses of its own making: those would send packets that nobody asked for.
    pub(super) fn no_own_addresses(&mut self, ifindex: u32) -> io::Result<()> {
        const NONE: u8 = 1;
        let message = Message::new(NEWLINK, REQUEST | ACK).link(ifindex, 0, 0);
        let message = message.nested(ifla::AF_SPEC, |message| {
            message.nested(AF_INET6, |message| message.attr(ifla::INET6_ADDR_GEN_MODE, &[NONE]))
        });
        self.ask(message).map(drop)
    }

    pub(super) fn up(&mut self, ifindex: u32) -> io::Result<()> {
        self.ask(Message::new(NEWLINK, REQUEST | ACK).link(ifindex, UP, UP)).map(drop)
    }

    pub(super) fn add_address(&mut self, ifindex: u32, ip: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        let broadcast = Ipv4Addr::from(u32::from(ip) | host);
        let message = Message::new(NEWADDR, REQUEST | ACK | CREATE | EXCL)
            .bytes(&[AF_INET, prefix, 0, 0])
            .bytes(&ifindex.to_ne_bytes())
            .attr(ifa::LOCAL, &ip.octets())
            .attr(ifa::ADDRESS, &ip.octets())
            .attr(ifa::BROADCAST, &broadcast.octets());
        self.ask(message).map(drop)
    }

    /// Sends a request and reads its answer: what comes behind the header of a message that is no
    /// bare acknowledgement.
    pub(super) fn ask(&mut self, message: Message) -> io::Result<Vec<u8>> {
        self.sequence += 1;
        let Message(mut bytes) = message;
        let len = bytes.len() as u32;
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        send(&self.socket, &bytes, SendFlags::empty())?;
        let mut answer = vec![0; ANSWER];
        loop {
            let (_, got) = recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
            let got = got.min(ANSWER);
            if let Some(answer) = self.answer(&answer[..got]) {
                return answer;
            }
        }
    }

    /// The answer, unless it is another request's.
    fn answer(&self, bytes: &[u8]) -> Option<io::Result<Vec<u8>>> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4)?;
            Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        if word(8)? != self.sequence {
            return None;
        }
        let len = (word(0)? as usize).min(bytes.len());
        let kind = (word(4)? & 0xffff) as u16;
        Some(match kind {
            ERROR => match word(HEADER)? as i32 {
                0 => Ok(Vec::new()),
                error => Err(io::Error::from_raw_os_error(-error)),
            },
            _ => Ok(bytes.get(HEADER..len)?.to_vec()),
        })
    }
}
