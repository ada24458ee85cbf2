//! `bpf_fib_lookup`: routes and neighbours of the namespace that the packet is in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use interp::Trap;
use uapi::Errno;

use super::{Call, mem};
use crate::route::{RouteAnswer, RouteAsk, RouteWay};

/// Bytes and offsets of `struct bpf_fib_lookup`.
const PARAMS: usize = 64;
const LEN: usize = 6;
const IFINDEX: usize = 8;
const TOS: usize = 12;
const SOURCE: usize = 16;
const DESTINATION: usize = 32;
const TAG: usize = 48;
const SOURCE_MAC: usize = 52;
const DESTINATION_MAC: usize = 58;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `BPF_FIB_LOOKUP_*`.
const DIRECT: u64 = 1;
const OUTPUT: u64 = 2;
const SKIP_NEIGH: u64 = 4;
const TABLE: u64 = 8;
const WITH_SOURCE: u64 = 16;
const MARK: u64 = 32;
const KNOWN: u64 = 0x3f;

/// `BPF_FIB_LKUP_RET_*`.
const SUCCESS: u64 = 0;
const NO_NEIGHBOUR: u64 = 7;
const FRAG_NEEDED: u64 = 8;
const NO_SOURCE: u64 = 9;

/// Without routes: what Linux says of an interface that is not there.
pub(super) fn fib_lookup(
    c: &mut Call<'_, '_>,
    [_, params, size, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let flags = u64::from(flags as u32);
    if (size as u32 as usize) < PARAMS || flags & !KNOWN != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let mut asked = [0; PARAMS];
    asked.copy_from_slice(&mem::copy(params, PARAMS));
    let Some(ask) = ask(&asked, flags) else { return Ok(Errno::EAFNOSUPPORT.as_ret()) };
    let Some(routes) = c.run.world.routes else { return Ok(Errno::ENODEV.as_ret()) };
    let way = match routes.look_up(&ask) {
        RouteAnswer::NoDevice => return Ok(Errno::ENODEV.as_ret()),
        RouteAnswer::Not(why) => return Ok(why.into()),
        RouteAnswer::Way(way) => way,
    };
    let ret = answer(&mut asked, &way, flags);
    mem::write(params, &asked);
    Ok(ret)
}

fn word(params: &[u8; PARAMS], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|byte| params[at + byte]))
}

fn half(params: &[u8; PARAMS], at: usize) -> u16 {
    u16::from_ne_bytes([params[at], params[at + 1]])
}

fn ask(params: &[u8; PARAMS], flags: u64) -> Option<RouteAsk> {
    let bytes: [u8; 16] = std::array::from_fn(|byte| params[DESTINATION + byte]);
    let (to, tos) = match params[0] {
        AF_INET => {
            let [a, b, c, d, ..] = bytes;
            (IpAddr::V4(Ipv4Addr::new(a, b, c, d)), params[TOS])
        }
        AF_INET6 => {
            let flow = u32::from_be(word(params, TOS));
            (IpAddr::V6(Ipv6Addr::from(bytes)), (flow >> 20) as u8)
        }
        _ => return None,
    };
    Some(RouteAsk {
        ifindex: word(params, IFINDEX),
        output: flags & OUTPUT != 0,
        to,
        tos,
        mark: if flags & MARK != 0 { word(params, SOURCE_MAC) } else { 0 },
        table: match flags & (DIRECT | TABLE) {
            DIRECT => MAIN,
            both if both == DIRECT | TABLE => word(params, TAG),
            _ => 0,
        },
        neighbour: flags & SKIP_NEIGH == 0,
    })
}

/// RT_TABLE_MAIN.
const MAIN: u32 = 254;

/// Fills the parameters in Linux's order, as far as it gets.
fn answer(params: &mut [u8; PARAMS], way: &RouteWay, flags: u64) -> u64 {
    let mtu = (way.mtu as u16).to_ne_bytes();
    if u32::from(half(params, LEN)) > way.mtu {
        put(params, LEN, &mtu);
        return FRAG_NEEDED;
    }
    put(params, TOS, &way.metric.to_ne_bytes());
    put(params, IFINDEX, &way.ifindex.to_ne_bytes());
    if flags & WITH_SOURCE != 0 {
        match way.source {
            Some(source) => put(params, SOURCE, &octets(source)),
            None => return NO_SOURCE,
        }
    }
    if let Some(hop) = way.hop {
        put(params, 0, &[if hop.is_ipv4() { AF_INET } else { AF_INET6 }]);
        put(params, DESTINATION, &octets(hop));
    }
    if flags & SKIP_NEIGH == 0 {
        let Some((source, destination)) = way.macs else { return NO_NEIGHBOUR };
        put(params, SOURCE_MAC, &source);
        put(params, DESTINATION_MAC, &destination);
    }
    put(params, TAG, &[0; 4]);
    put(params, LEN, &mtu);
    SUCCESS
}

fn put(params: &mut [u8; PARAMS], at: usize, bytes: &[u8]) {
    params[at..at + bytes.len()].copy_from_slice(bytes);
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
