//! Helpers on a packet's tunnel: what a program sets, a tunnel interface would send it with.
//!
//! Packets come without; reading gives what was set in the same run, as on Linux, with the two
//! ends exchanged.

use interp::Trap;
use uapi::Errno;

use super::{Call, count, mem, status};

/// `struct bpf_tunnel_key`: id, remote address, service, lifetime, flags, label, local address.
const KEY: usize = 44;
const REMOTE: usize = 4;
const FLAGS: usize = 22;
const LABEL: usize = 24;
const LOCAL: usize = 28;
const ADDRESS: usize = 16;
/// Older forms of the structure, which end earlier; the first knows no second word of an address.
const SHORT: [usize; 4] = [8, 22, 24, 28];

const IPV6: u64 = 1;
const ZERO_CSUM: u64 = 1 << 1;
const DONT_FRAGMENT: u64 = 1 << 2;
const SEQUENCE: u64 = 1 << 3;
/// In a get: fill the flags in.
const WITH_FLAGS: u64 = 1 << 4;
/// In a set.
const NO_KEY: u64 = 1 << 4;
const LABEL_MASK: u32 = 0xf_ffff;

const TUNNEL_CSUM: u16 = 1;
const TUNNEL_KEY: u16 = 1 << 2;
const TUNNEL_SEQ: u16 = 1 << 3;
const TUNNEL_DONT_FRAGMENT: u16 = 1 << 8;
const TUNNEL_NOCACHE: u16 = 1 << 13;
/// Options that a program gave are of any kind of tunnel.
const TUNNEL_OPTIONS: u16 = 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15;
/// Most bytes of options.
const OPTIONS_MAX: usize = 255;

/// What a packet is to be sent through.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    key: [u8; KEY],
    v6: bool,
    flags: u16,
    options: Vec<u8>,
}

fn word(key: &[u8; KEY], at: usize) -> u32 {
    u32::from_ne_bytes([key[at], key[at + 1], key[at + 2], key[at + 3]])
}

fn made(given: &[u8], flags: u64) -> Result<Tunnel, Errno> {
    if flags & !(IPV6 | ZERO_CSUM | DONT_FRAGMENT | SEQUENCE | NO_KEY) != 0 {
        return Err(Errno::EINVAL);
    }
    if given.len() != KEY && !SHORT.contains(&given.len()) {
        return Err(Errno::EINVAL);
    }
    let mut key = [0; KEY];
    key[..given.len()].copy_from_slice(given);
    let v6 = flags & IPV6 != 0;
    let label = word(&key, LABEL);
    if (!v6 && label != 0) || key[FLAGS..FLAGS + 2] != [0; 2] {
        return Err(Errno::EINVAL);
    }
    key[LABEL..LABEL + 4].copy_from_slice(&(label & LABEL_MASK).to_ne_bytes());
    let when = |set: bool, flag: u16| if set { flag } else { 0 };
    let flags = TUNNEL_NOCACHE
        | when(flags & ZERO_CSUM == 0, TUNNEL_CSUM)
        | when(flags & DONT_FRAGMENT != 0, TUNNEL_DONT_FRAGMENT)
        | when(flags & SEQUENCE != 0, TUNNEL_SEQ)
        | when(flags & NO_KEY == 0, TUNNEL_KEY);
    Ok(Tunnel { key, v6, flags, options: Vec::new() })
}

pub(super) fn set_key(
    c: &mut Call<'_, '_>,
    [_, from, size, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let tunnel = made(&mem::copy(from, size as u32 as usize), flags);
    Ok(status(tunnel.map(|tunnel| c.run.tunnel = Some(tunnel))))
}

impl Tunnel {
    fn shown(&self, size: usize, flags: u64) -> Result<[u8; KEY], Errno> {
        if flags & !(IPV6 | WITH_FLAGS) != 0 {
            return Err(Errno::EINVAL);
        }
        if self.v6 != (flags & IPV6 != 0) {
            return Err(Errno::EPROTO);
        }
        let known = size == KEY || SHORT.contains(&size);
        if !known || (size == SHORT[0] && self.v6) {
            return Err(Errno::EINVAL);
        }
        let mut out = self.key;
        let len = if self.v6 { ADDRESS } else { 4 };
        for (to, from) in [(REMOTE, LOCAL), (LOCAL, REMOTE)] {
            out[to..to + ADDRESS].fill(0);
            out[to..to + len].copy_from_slice(&self.key[from..from + len]);
        }
        if flags & WITH_FLAGS != 0 {
            out[FLAGS..FLAGS + 2].copy_from_slice(&self.flags.to_be_bytes());
        }
        Ok(out)
    }
}

pub(super) fn key(c: &mut Call<'_, '_>, [_, to, size, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let tunnel = c.run.tunnel.as_ref().ok_or(Errno::EINVAL);
    let shown = tunnel.and_then(|tunnel| tunnel.shown(size, flags));
    match &shown {
        Ok(key) => mem::write(to, &key[..size]),
        Err(_) => mem::zero(to, size),
    }
    Ok(status(shown.map(drop)))
}

pub(super) fn set_options(
    c: &mut Call<'_, '_>,
    [_, from, size, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let set = match &mut c.run.tunnel {
        Some(_) if !size.is_multiple_of(4) => Err(Errno::EINVAL),
        Some(_) if size > OPTIONS_MAX => Err(Errno::ENOMEM),
        Some(tunnel) => {
            tunnel.options = mem::copy(from, size);
            tunnel.flags |= TUNNEL_OPTIONS;
            Ok(())
        }
        None => Err(Errno::EINVAL),
    };
    Ok(status(set))
}

pub(super) fn options(c: &mut Call<'_, '_>, [_, to, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let tunnel = c.run.tunnel.as_ref().filter(|tunnel| tunnel.flags & TUNNEL_OPTIONS != 0);
    mem::zero(to, size);
    let read = match tunnel {
        None => Err(Errno::ENOENT),
        Some(tunnel) if size < tunnel.options.len() => Err(Errno::ENOMEM),
        Some(tunnel) => {
            mem::write(to, &tunnel.options);
            Ok(tunnel.options.len() as u64)
        }
    };
    Ok(count(read))
}
