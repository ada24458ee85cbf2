//! SYN cookies of ring3's own secret: a sequence number that tells, without any state, that its
//! segment was answered within the last two minutes, and which of four segment sizes was agreed on.

use interp::Trap;
use uapi::Errno;

use super::{Call, mem};
use crate::clock::ClockKind;
use crate::sha256::sha256;

const TCP_HLEN: usize = 20;
/// Segment sizes that a cookie can tell, and what goes for none.
const SIZES4: [u16; 4] = [536, 1300, 1440, 1460];
const SIZES6: [u16; 4] = [1220, 1420, 1440, 8940];
/// Bits of a cookie that are not the minute.
const BITS: u32 = 24;
const MASK: u32 = (1 << BITS) - 1;
/// Minutes that a cookie is good for.
const MAX_AGE: u32 = 2;
const MINUTE: u64 = 60_000_000_000;

/// The flow's addresses, from an IP header.
struct Flow {
    addresses: Vec<u8>,
    ports: u32,
    seq: u32,
    ack: u32,
    sizes: [u16; 4],
}

impl Flow {
    fn new(ip: u64, tcp: u64, v6: bool) -> Flow {
        let (at, len, sizes) = if v6 { (8, 32, SIZES6) } else { (12, 8, SIZES4) };
        let tcp = mem::view(tcp, TCP_HLEN);
        Flow {
            addresses: mem::copy(ip + at, len),
            ports: tcp.u32(0),
            seq: tcp.u32(4).swap_bytes(),
            ack: tcp.u32(8).swap_bytes(),
            sizes,
        }
    }

    /// 32 bits that nobody makes without the secret.
    fn hash(&self, secret: u64, minute: u32, which: u8) -> u32 {
        let mut bytes = secret.to_ne_bytes().to_vec();
        bytes.push(which);
        bytes.extend(minute.to_ne_bytes());
        bytes.extend(self.ports.to_ne_bytes());
        bytes.extend(&self.addresses);
        let digest = sha256(&bytes);
        u32::from_ne_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    fn cookie(&self, secret: u64, minute: u32, size: u32) -> u32 {
        let body = self.hash(secret, minute, 1).wrapping_add(size) & MASK;
        self.hash(secret, 0, 0)
            .wrapping_add(self.seq)
            .wrapping_add(minute << BITS)
            .wrapping_add(body)
    }

    /// The segment size that `cookie`, which answered `seq`, was made with.
    fn check(&self, secret: u64, minute: u32, cookie: u32, seq: u32) -> Option<u16> {
        let rest = cookie.wrapping_sub(self.hash(secret, 0, 0)).wrapping_sub(seq);
        let age = (minute.wrapping_sub(rest >> BITS)) & (u32::MAX >> BITS);
        if age >= MAX_AGE {
            return None;
        }
        let made = minute.wrapping_sub(age);
        let size = (rest.wrapping_sub(self.hash(secret, made, 1))) & MASK;
        self.sizes.get(size as usize).copied()
    }
}

fn minute(c: &Call<'_, '_>) -> u32 {
    (c.run.core.clock.ns(ClockKind::Monotonic) / MINUTE) as u32
}

/// The segment size that the options of a SYN announce; 0 for none.
fn announced(options: &[u8]) -> u16 {
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        let len = usize::from(options.get(at + 1).copied().unwrap_or(0));
        match kind {
            0 => break,
            1 => at += 1,
            2 if len == 4 && at + 4 <= options.len() => {
                return u16::from_be_bytes([options[at + 2], options[at + 3]]);
            }
            _ if len < 2 => break,
            _ => at += len,
        }
    }
    0
}

fn make(c: &mut Call<'_, '_>, [ip, tcp, len, ..]: [u64; 5], v6: bool) -> u64 {
    let len = len as u32 as usize;
    let offset = usize::from(mem::view(tcp, TCP_HLEN).byte(12) >> 4) * 4;
    if len < TCP_HLEN || len != offset {
        return Errno::EINVAL.as_ret();
    }
    let flow = Flow::new(ip, tcp, v6);
    let wanted = match announced(&mem::copy(tcp, len)[TCP_HLEN..]) {
        0 => flow.sizes[0],
        size => size,
    };
    let index = flow.sizes.iter().rposition(|size| *size <= wanted).unwrap_or(0);
    let cookie = flow.cookie(c.run.core.secret, minute(c), index as u32);
    u64::from(cookie) | u64::from(flow.sizes[index]) << 32
}

fn tell(c: &mut Call<'_, '_>, [ip, tcp, ..]: [u64; 5], v6: bool) -> u64 {
    let flow = Flow::new(ip, tcp, v6);
    let (cookie, seq) = (flow.ack.wrapping_sub(1), flow.seq.wrapping_sub(1));
    match flow.check(c.run.core.secret, minute(c), cookie, seq) {
        Some(_) => 0,
        None => Errno::EACCES.as_ret(),
    }
}

pub(super) fn generate4(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(make(c, args, false))
}

pub(super) fn generate6(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(make(c, args, true))
}

pub(super) fn check4(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(tell(c, args, false))
}

pub(super) fn check6(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(tell(c, args, true))
}

/// Flags of a TCP header: which of FIN, SYN, RST and ACK are set.
fn flags(tcp: u64) -> u8 {
    const KNOWN: u8 = 0x17;
    mem::view(tcp, TCP_HLEN).byte(13) & KNOWN
}
const SYN: u8 = 2;
const ACK: u8 = 0x10;

/// Whether the packet is of version 6, once its headers are whole and the socket listens.
fn listens(c: &Call<'_, '_>, [sk, ip, ip_len, _, len]: [u64; 5]) -> Result<bool, Errno> {
    const LISTEN: u32 = 10;
    const TCP: u32 = 6;
    let (ip_len, len) = (ip_len as u32 as usize, len as u32 as usize);
    let socket = super::socket::named(c, sk).ok_or(Errno::EINVAL)?;
    let info = socket.info();
    if len < TCP_HLEN || ip_len < 20 || (info.protocol, info.state) != (TCP, LISTEN) {
        return Err(Errno::EINVAL);
    }
    match mem::view(ip, 1).byte(0) >> 4 {
        4 => Ok(false),
        6 if ip_len >= 40 => Ok(true),
        6 => Err(Errno::EINVAL),
        _ => Err(Errno::EPROTONOSUPPORT),
    }
}

/// A cookie for a SYN to a listening socket.
pub(super) fn generate(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(match listens(c, args) {
        Err(why) => why.as_ret(),
        Ok(_) if flags(args[3]) != SYN => Errno::ENOENT.as_ret(),
        Ok(v6) => make(c, [args[1], args[3], args[4], 0, 0], v6),
    })
}

/// Whether an ACK to a listening socket brings a cookie.
pub(super) fn check(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    Ok(match listens(c, args) {
        Err(why) => why.as_ret(),
        Ok(_) if flags(args[3]) != ACK => Errno::ENOENT.as_ret(),
        Ok(v6) if tell(c, [args[1], args[3], 0, 0, 0], v6) == 0 => 0,
        Ok(_) => Errno::ENOENT.as_ret(),
    })
}
