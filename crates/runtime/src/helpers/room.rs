//! Helpers that give a socket buffer more or less room: head, tail, VLAN tags, network headers.

use interp::Trap;
use translate::ctx::SkBuff;
use uapi::Errno;

use super::skb::{skb, update};
use super::{Call, mem};

const ETH_HLEN: u64 = 14;
const VLAN_HLEN: u64 = 4;
/// Bytes of the two addresses of an Ethernet header.
const ADDRESSES: u64 = 12;
const IPV4_HLEN: u64 = 20;
const IPV6_HLEN: u64 = 40;
/// Longest packet of the loopback interface, its Ethernet header included.
const MAX_LEN: u64 = 65536 + ETH_HLEN;

const P_IP: u32 = 0x0800u16.to_be() as u32;
const P_IPV6: u32 = 0x86ddu16.to_be() as u32;
const P_8021Q: u32 = 0x8100u16.to_be() as u32;
const P_8021AD: u32 = 0x88a8u16.to_be() as u32;

fn len(skb: &SkBuff) -> u64 {
    skb.data_end - skb.data
}

/// Moves the first byte to `data`; the length follows.
fn set_data(skb: &mut SkBuff, data: u64) {
    skb.data = data;
    skb.data_meta = data;
    skb.len = len(skb) as u32;
}

/// Opens `by` zeroed bytes after the first `off`; both headers stay where the packet starts.
fn push(skb: &mut SkBuff, off: u64, by: u64) -> Result<(), Errno> {
    // Room for the Ethernet header that a test run puts back must stay.
    if skb.data - skb.hard_start < by + ETH_HLEN || len(skb) < off {
        return Err(Errno::ENOMEM);
    }
    let old = skb.data;
    set_data(skb, old - by);
    mem::shift(old, skb.data, off as usize);
    mem::zero(skb.data + off, by as usize);
    skb.mac_header -= by;
    skb.network_header -= by;
    Ok(())
}

/// Takes out `by` bytes after the first `off`.
fn pop(skb: &mut SkBuff, off: u64, by: u64) -> Result<(), Errno> {
    if len(skb) < off + by {
        return Err(Errno::ENOMEM);
    }
    let old = skb.data;
    mem::shift(old, old + by, off as usize);
    set_data(skb, old + by);
    skb.mac_header += by;
    skb.network_header += by;
    Ok(())
}

/// The bytes of the link layer's header.
fn mac_len(skb: &SkBuff) -> u64 {
    skb.network_header.saturating_sub(skb.mac_header)
}

pub(super) fn change_head(
    c: &mut Call<'_, '_>,
    [_, room, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let room = u64::from(room as u32);
    update(c, |skb| {
        if flags != 0 || room > i32::MAX as u64 || len(skb) + room > MAX_LEN {
            return Err(Errno::EINVAL);
        }
        let network = skb.network_header;
        push(skb, 0, room)?;
        skb.mac_header = skb.data;
        skb.network_header = network;
        Ok(0)
    })
}

pub(super) fn change_tail(
    c: &mut Call<'_, '_>,
    [_, new_len, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let new_len = u64::from(new_len as u32);
    update(c, |skb| {
        let shortest = skb.network_header.saturating_sub(skb.data);
        if flags != 0 || new_len > MAX_LEN || new_len < shortest {
            return Err(Errno::EINVAL);
        }
        let end = skb.data + new_len;
        if end > skb.frame_end {
            return Err(Errno::ENOMEM);
        }
        if end > skb.data_end {
            mem::zero(skb.data_end, (end - skb.data_end) as usize);
        }
        skb.data_end = end;
        skb.len = new_len as u32;
        (skb.gso_size, skb.gso_segs) = (0, 0);
        Ok(0)
    })
}

/// Makes room for the other IP version's header, or takes it away; the header is left to write.
pub(super) fn change_proto(
    c: &mut Call<'_, '_>,
    [_, proto, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    const DIFFERENCE: u64 = IPV6_HLEN - IPV4_HLEN;
    let proto = u32::from(proto as u16);
    update(c, |skb| {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let off = mac_len(skb);
        match (skb.protocol, proto) {
            (P_IP, P_IPV6) | (P_IPV6, P_IP) if skb.gso_size != 0 => return Err(Errno::ENOTSUPP),
            (P_IP, P_IPV6) => push(skb, off, DIFFERENCE)?,
            (P_IPV6, P_IP) => pop(skb, off, DIFFERENCE)?,
            _ => return Err(Errno::ENOTSUPP),
        }
        skb.protocol = proto;
        skb.hash = 0;
        Ok(0)
    })
}

const FIXED_GSO: u64 = 1;
const ENCAP_IPV4: u64 = 1 << 1;
const ENCAP_IPV6: u64 = 1 << 2;
const ENCAP_GRE: u64 = 1 << 3;
const ENCAP_UDP: u64 = 1 << 4;
const NO_CSUM_RESET: u64 = 1 << 5;
const ENCAP_ETH: u64 = 1 << 6;
const DECAP_IPV4: u64 = 1 << 7;
const DECAP_IPV6: u64 = 1 << 8;
const INNER_MAC_SHIFT: u32 = 56;
const ROOM_FLAGS: u64 = ((DECAP_IPV6 << 1) - 1) | (0xff << INNER_MAC_SHIFT);
/// Most bytes that one call changes.
const ROOM_MAX: u64 = 0xfff;

fn base_len(protocol: u32) -> Result<u64, Errno> {
    match protocol {
        P_IP => Ok(IPV4_HLEN),
        P_IPV6 => Ok(IPV6_HLEN),
        _ => Err(Errno::ENOTSUPP),
    }
}

pub(super) fn adjust_room(
    c: &mut Call<'_, '_>,
    [_, by, mode, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let by = by as i32;
    let size = u64::from(by.unsigned_abs());
    let outer = by >= 0 && flags & (ENCAP_IPV4 | ENCAP_IPV6) != 0;
    let twice = outer && c.run.encapsulated;
    let changed = update(c, |skb| {
        if flags & !ROOM_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        if size > ROOM_MAX {
            return Err(Errno::EFAULT);
        }
        let base = base_len(skb.protocol)?;
        let off = match mode as u32 {
            0 => mac_len(skb) + base,
            1 => mac_len(skb),
            _ => return Err(Errno::ENOTSUPP),
        };
        let shrinks = by < 0;
        let shortest = match flags & (DECAP_IPV4 | DECAP_IPV6) {
            0 => base,
            _ if !shrinks => return Err(Errno::EINVAL),
            DECAP_IPV4 => IPV4_HLEN,
            DECAP_IPV6 => IPV6_HLEN,
            _ => return Err(Errno::EINVAL),
        };
        let network = skb.data_end.saturating_sub(skb.network_header);
        let fits = if shrinks {
            size < network && network - size >= shortest
        } else {
            len(skb) + size <= MAX_LEN
        };
        if !fits || skb.gso_size != 0 {
            return Err(Errno::ENOTSUPP);
        }
        if shrinks {
            shrink(skb, off, size, flags)?
        } else {
            grow(skb, off, size, flags, twice)?
        }
        Ok(0)
    })?;
    c.run.encapsulated |= outer && changed == 0;
    Ok(changed)
}

fn grow(skb: &mut SkBuff, off: u64, size: u64, flags: u64, twice: bool) -> Result<(), Errno> {
    let both = |mask: u64| flags & mask == mask;
    let outer = flags & (ENCAP_IPV4 | ENCAP_IPV6);
    if outer != 0 {
        let inner_mac = flags >> INNER_MAC_SHIFT;
        if both(ENCAP_IPV4 | ENCAP_IPV6) || both(ENCAP_GRE | ENCAP_UDP) {
            return Err(Errno::EINVAL);
        }
        if twice {
            return Err(Errno::EALREADY);
        }
        let wrong = (flags & ENCAP_ETH != 0 && inner_mac < ETH_HLEN) || inner_mac > size;
        if wrong {
            return Err(Errno::EINVAL);
        }
    }
    push(skb, off, size)?;
    match outer {
        ENCAP_IPV4 => skb.protocol = P_IP,
        ENCAP_IPV6 => skb.protocol = P_IPV6,
        _ => {}
    }
    Ok(())
}

fn shrink(skb: &mut SkBuff, off: u64, size: u64, flags: u64) -> Result<(), Errno> {
    const KNOWN: u64 = FIXED_GSO | DECAP_IPV4 | DECAP_IPV6 | NO_CSUM_RESET;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    pop(skb, off, size)?;
    match flags & (DECAP_IPV4 | DECAP_IPV6) {
        DECAP_IPV4 => skb.protocol = P_IP,
        DECAP_IPV6 => skb.protocol = P_IPV6,
        _ => {}
    }
    Ok(())
}

fn tag(skb: &mut SkBuff, proto: u32, tci: u32) {
    (skb.vlan_present, skb.vlan_proto, skb.vlan_tci) = (1, proto, tci);
}

/// The first tag stays beside the packet; the one before it goes in.
pub(super) fn vlan_push(c: &mut Call<'_, '_>, [_, proto, tci, ..]: [u64; 5]) -> Result<u64, Trap> {
    let proto = match u32::from(proto as u16) {
        P_8021AD => P_8021AD,
        _ => P_8021Q,
    };
    update(c, |skb| {
        if skb.vlan_present != 0 {
            push(skb, ADDRESSES, VLAN_HLEN)?;
            let bytes =
                [(skb.vlan_proto as u16).to_ne_bytes(), (skb.vlan_tci as u16).to_be_bytes()];
            mem::write(skb.data + ADDRESSES, bytes.as_flattened());
            skb.protocol = skb.vlan_proto;
        }
        tag(skb, proto, u32::from(tci as u16));
        Ok(0)
    })
}

pub(super) fn vlan_pop(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    let is_tag = |protocol| matches!(protocol, P_8021Q | P_8021AD);
    update(c, |skb| {
        if skb.vlan_present != 0 {
            (skb.vlan_present, skb.vlan_proto, skb.vlan_tci) = (0, 0, 0);
        } else if is_tag(skb.protocol) {
            take_tag(skb)?;
        } else {
            return Ok(0);
        }
        if is_tag(skb.protocol) {
            let proto = skb.protocol;
            let tci = take_tag(skb)?;
            tag(skb, proto, tci);
        }
        Ok(0)
    })
}

/// Takes the outer tag out of the packet.
fn take_tag(skb: &mut SkBuff) -> Result<u32, Errno> {
    if len(skb) < ETH_HLEN + VLAN_HLEN {
        return Err(Errno::ENOMEM);
    }
    let header = mem::copy(skb.data + ADDRESSES, 8);
    let inner = u16::from_be_bytes([header[4], header[5]]);
    let network = skb.network_header;
    pop(skb, ADDRESSES, VLAN_HLEN)?;
    skb.network_header = network.max(skb.data + ETH_HLEN);
    let protocol = match inner {
        0x600.. => inner,
        _ if header[6..] == [0xff, 0xff] => 1,
        _ => 4,
    };
    skb.protocol = protocol.to_be().into();
    Ok(u32::from(u16::from_be_bytes([header[2], header[3]])))
}

/// The protocol behind the tags within the packet.
fn inner_protocol(skb: &SkBuff) -> u32 {
    let (mut protocol, mut at) = (skb.protocol, skb.mac_header + ETH_HLEN);
    while matches!(protocol, P_8021Q | P_8021AD) && at + VLAN_HLEN <= skb.data_end {
        protocol = mem::view(at, 4).u32(0) >> 16;
        at += VLAN_HLEN;
    }
    protocol
}

/// INET_ECN_set_ce: 1 where the packet says now that it met congestion.
pub(super) fn ecn_set_ce(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    let skb = skb(c)?;
    let at = skb.network_header;
    let protocol = inner_protocol(&skb);
    let Ok(header) = base_len(protocol) else { return Ok(0) };
    if len(&skb) < header || at + header > skb.data_end {
        return Ok(0);
    }
    let bytes = mem::copy(at, header as usize);
    if protocol == P_IPV6 {
        let ecn = bytes[1] >> 4 & 3;
        if ecn != 0 {
            mem::write(at + 1, &[bytes[1] | 0x30]);
        }
        return Ok(u64::from(ecn != 0));
    }
    let ecn = bytes[1] & 3;
    if matches!(ecn, 0 | 3) {
        return Ok(u64::from(ecn == 3));
    }
    // The header's checksum falls by what the field grows.
    let sum = u32::from(u16::from_be_bytes([bytes[10], bytes[11]])) + 0xffff - u32::from(3 - ecn);
    let sum = (sum + (sum >> 16)) as u16;
    mem::write(at + 10, &sum.to_be_bytes());
    mem::write(at + 1, &[bytes[1] | 3]);
    Ok(1)
}

/// The time at which the packet may leave, and the clock that it is of.
pub(super) fn set_tstamp(
    c: &mut Call<'_, '_>,
    [_, time, clock, ..]: [u64; 5],
) -> Result<u64, Trap> {
    update(c, |skb| {
        if !matches!(skb.protocol, P_IP | P_IPV6) {
            return Err(Errno::EOPNOTSUPP);
        }
        match clock as u32 {
            0 => {}
            1 | 2 if time != 0 => {}
            _ => return Err(Errno::EINVAL),
        }
        skb.tstamp = time;
        skb.tstamp_type = clock as u8;
        Ok(0)
    })
}

/// The interface's largest packet, without its Ethernet header. Where no routes are lent, only the
/// loopback interface is known.
pub(super) fn check_mtu(
    c: &mut Call<'_, '_>,
    [_, ifindex, mtu_len, diff, flags]: [u64; 5],
) -> Result<u64, Trap> {
    const SEGMENTS: u64 = 1;
    const LOOPBACK: u32 = 65536;
    const TOO_LONG: u64 = 1;
    let wanted = mem::view(mtu_len, 4).u32(0);
    let (len, own, gso, known) = match &c.run.ctx {
        super::Ctx::Xdp(cell, frags) => {
            let buff = cell.get();
            let len = buff.data_end - buff.data + frags.len() as u64;
            (len, buff.ingress_ifindex, false, 0)
        }
        _ => {
            let skb = skb(c)?;
            (len(&skb), skb.ifindex, skb.gso_size != 0, SEGMENTS)
        }
    };
    let ifindex = if ifindex as u32 == 0 { own } else { ifindex as u32 };
    if flags & !known != 0 || (flags != 0 && (diff as u32 != 0 || wanted != 0)) {
        return Ok(Errno::EINVAL.as_ret());
    }
    let mtu = match c.run.world.routes {
        Some(routes) => routes.mtu(ifindex),
        None => (ifindex == 1).then_some(LOOPBACK),
    };
    let Some(mtu) = mtu else { return Ok(Errno::ENODEV.as_ret()) };
    let len = if wanted == 0 { len as i32 } else { (wanted as i32).wrapping_add(ETH_HLEN as i32) };
    let fits = len.wrapping_add(diff as i32) <= mtu.wrapping_add(ETH_HLEN as u32) as i32 || gso;
    mem::write(mtu_len, &mtu.to_ne_bytes());
    Ok(if fits { 0 } else { TOO_LONG })
}

/// Puts an outer IP header before the packet, within the head room.
pub(super) fn push_encap(
    c: &mut Call<'_, '_>,
    [_, kind, header, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    const IP: u32 = 2;
    const LONGEST: usize = 256;
    let header = mem::copy(header, len as u32 as usize);
    update(c, |skb| {
        // Segment routing is not configured.
        if kind as u32 != IP || !(IPV4_HLEN as usize..=LONGEST).contains(&header.len()) {
            return Err(Errno::EINVAL);
        }
        let (shortest, protocol) = match header[0] >> 4 {
            4 => (usize::from(header[0] & 0xf) * 4, P_IP),
            6 => (IPV6_HLEN as usize, P_IPV6),
            _ => return Err(Errno::EINVAL),
        };
        if header.len() < shortest {
            return Err(Errno::EINVAL);
        }
        push(skb, 0, header.len() as u64)?;
        mem::write(skb.data, &header);
        if protocol == P_IP && header[10..12] == [0, 0] && shortest >= IPV4_HLEN as usize {
            mem::write(skb.data + 10, &checksum(&header[..shortest]));
        }
        skb.network_header = skb.data;
        skb.protocol = protocol;
        skb.hash = 0;
        Ok(0)
    })
}

/// The checksum of an IPv4 header.
fn checksum(header: &[u8]) -> [u8; 2] {
    let words = header.as_chunks::<2>().0.iter();
    let sum = words.fold(0_u32, |sum, word| sum + u32::from(u16::from_be_bytes(*word)));
    let sum = (sum & 0xffff) + (sum >> 16);
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}
