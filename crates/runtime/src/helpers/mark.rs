//! Helpers on what goes with a socket buffer: its type, hash, checksum state and tunnel.

use std::net::IpAddr;

use interp::Trap;
use uapi::Errno;

use super::skb::{skb, update};
use super::{Call, mem};
use crate::redirect::{Copied, MAX_COPIES, Redirect, Way};

pub(super) fn change_type(c: &mut Call<'_, '_>, [_, to, ..]: [u64; 5]) -> Result<u64, Trap> {
    const OTHERHOST: u32 = 3;
    update(c, |skb| {
        if skb.pkt_type > OTHERHOST || to as u32 > OTHERHOST {
            return Err(Errno::EINVAL);
        }
        skb.pkt_type = to as u32;
        Ok(0)
    })
}

pub(super) fn set_hash(c: &mut Call<'_, '_>, [_, hash, ..]: [u64; 5]) -> Result<u64, Trap> {
    update(c, |skb| {
        skb.hash = hash as u32;
        Ok(0)
    })
}

pub(super) fn set_hash_invalid(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    update(c, |skb| {
        skb.hash = 0;
        Ok(0)
    })
}

/// A packet without hash gets one from its flow; Linux's differs from boot to boot.
pub(super) fn hash_recalc(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    update(c, |skb| {
        if skb.hash == 0 {
            let room = skb.data_end.saturating_sub(skb.network_header) as usize;
            skb.hash = flow_hash(skb.protocol, &mem::copy(skb.network_header, room.min(64)));
        }
        Ok(skb.hash.into())
    })
}

/// FNV-1a over protocol, addresses, and ports where there are some; never 0.
fn flow_hash(protocol: u32, packet: &[u8]) -> u32 {
    const IPV4: u32 = 0x0800u16.to_be() as u32;
    const IPV6: u32 = 0x86ddu16.to_be() as u32;
    let (addresses, l4, payload) = match (protocol, packet.len()) {
        (IPV4, 20..) => (12..20, packet[9], usize::from(packet[0] & 15) * 4),
        (IPV6, 40..) => (8..40, packet[6], 40),
        _ => (0..0, 0, 0),
    };
    let ports = match l4 {
        6 | 17 | 33 | 132 | 136 => packet.get(payload..payload + 4).unwrap_or_default(),
        _ => &[],
    };
    let parts = [&protocol.to_ne_bytes()[..], &[l4], &packet[addresses], ports];
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    parts.iter().flat_map(|part| part.iter()).fold(0x811c_9dc5, mix).max(1)
}

/// No checksum of the network card goes with packets here.
pub(super) fn csum_update(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    skb(c)?;
    Ok(Errno::ENOTSUPP.as_ret())
}

/// The same for its level: queries fail, changes have nothing to change.
pub(super) fn csum_level(c: &mut Call<'_, '_>, [_, level, ..]: [u64; 5]) -> Result<u64, Trap> {
    skb(c)?;
    Ok(match level {
        0 => Errno::EACCES.as_ret(),
        1..=3 => 0,
        _ => Errno::EINVAL.as_ret(),
    })
}

/// Packets here were not deciphered. The index comes before the buffer.
pub(super) fn xfrm_state(c: &mut Call<'_, '_>, [_, _, to, size, _]: [u64; 5]) -> Result<u64, Trap> {
    nothing(c, to, size, Errno::EINVAL)
}

fn nothing(c: &Call<'_, '_>, to: u64, size: u64, why: Errno) -> Result<u64, Trap> {
    skb(c)?;
    mem::zero(to, size as u32 as usize);
    Ok(why.as_ret())
}

/// What takes a segment routing header, which no packet here has.
pub(super) fn invalid(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    skb(c)?;
    Ok(Errno::EINVAL.as_ret())
}

/// Identity of a packet without socket, route or class: 0.
pub(super) fn none(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    skb(c)?;
    Ok(0)
}

/// Copies leave when the program has ended; at once in Linux.
pub(super) fn clone_redirect(
    c: &mut Call<'_, '_>,
    [_, ifindex, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    const INGRESS: u64 = 1;
    let skb = skb(c)?;
    let ifindex = ifindex as u32;
    if flags & !INGRESS != 0 || c.run.core.network.get(ifindex).is_none() {
        return Ok(Errno::EINVAL.as_ret());
    }
    if c.run.copies.len() == MAX_COPIES {
        return Ok(Errno::ENOMEM.as_ret());
    }
    let way = if flags & INGRESS != 0 { Way::In } else { Way::Out };
    let data = mem::copy(skb.data, skb.data_end.saturating_sub(skb.data) as usize);
    c.run.copies.push(Copied { ifindex, way, data });
    Ok(0)
}

const TC_ACT_SHOT: u64 = 2;
const TC_ACT_REDIRECT: u64 = 7;

/// The verdict alone, as `bpf_redirect`.
pub(super) fn redirect_peer(
    c: &mut Call<'_, '_>,
    [ifindex, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    if flags != 0 {
        return Ok(TC_ACT_SHOT);
    }
    c.run.redirect = Some(Redirect::device(ifindex as u32, Way::Peer));
    Ok(TC_ACT_REDIRECT)
}

/// The verdict alone; the neighbour is the deliverer's to find.
pub(super) fn redirect_neigh(
    c: &mut Call<'_, '_>,
    [ifindex, params, size, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    /// Bytes of `struct bpf_redir_neigh`.
    const NEIGH: u32 = 20;
    if flags != 0 || (1..NEIGH).contains(&(size as u32)) {
        return Ok(TC_ACT_SHOT);
    }
    let hop =
        (size as u32 >= NEIGH).then(|| next_hop(&mem::copy(params, NEIGH as usize))).flatten();
    c.run.redirect = Some(Redirect::device(ifindex as u32, Way::Neighbour(hop)));
    Ok(TC_ACT_REDIRECT)
}

/// `struct bpf_redir_neigh`: family and address.
fn next_hop(params: &[u8]) -> Option<IpAddr> {
    const AF_INET: u32 = 2;
    const AF_INET6: u32 = 10;
    let (family, address) = params.split_first_chunk::<4>()?;
    match u32::from_ne_bytes(*family) {
        AF_INET => address.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        AF_INET6 => address.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    }
}
