//! Test runs of flow dissectors: packet in, `struct bpf_flow_keys` out.

use interp::Region;
use maps::View;
use maps::raw::Slab;
use uapi::Errno;

use super::{buffer, no_options, repeat, skb};
use crate::door::{TestRun, TestRunOut};
use crate::helpers::{Ctx, CtxCell};
use crate::packet::{FRAME, PacketBuf};
use crate::runner::Ready;

/// Bytes of `struct bpf_flow_keys`.
const SIZE: usize = 56;
const ETH_HLEN: usize = 14;
/// Where its members are.
const NHOFF: usize = 0;
const THOFF: usize = 2;
const N_PROTO: usize = 10;
const FLAGS: usize = 48;

pub(super) fn run(req: &TestRun, mut ready: Ready) -> Result<TestRunOut, Errno> {
    no_options(req)?;
    let data = req.data_in.as_deref().unwrap_or_default();
    if data.len() < ETH_HLEN || data.len() > FRAME {
        return Err(Errno::EINVAL);
    }
    let ctx = buffer::context(req, SIZE)?;
    let flags = ctx.as_deref().map_or(Ok([0; 4]), flags)?;
    let mut packet = PacketBuf::new()?;
    packet.place(0, data)?;
    let memory = Slab::new(SIZE)?;
    let start = memory.addr(0);
    ready.granted = vec![Region { start, end: start + SIZE as u64, writable: true }];
    let cell = CtxCell::new(skb::dissected(&packet, data, start));
    let addr = cell.addr();
    let fresh = fresh([data[12], data[13]], flags);
    let mut keys = [0; SIZE];
    let stop = ready.stop.clone();
    let (retval, duration) = repeat(req.repeat, &stop, || {
        memory.write(0, View::from(fresh.as_slice()));
        let verdict = ready.run(Ctx::Skb(&cell), addr)?;
        memory.read(0, &mut keys);
        bound(&mut keys, data.len());
        Ok(verdict)
    })?;
    Ok(buffer::finish(req, (retval, duration), keys.to_vec(), ctx))
}

/// The flags that were given; EINVAL if anything else was.
fn flags(ctx: &[u8]) -> Result<[u8; 4], Errno> {
    let flags = *ctx[FLAGS..].first_chunk().ok_or(Errno::EINVAL)?;
    let others = ctx[..FLAGS].iter().chain(&ctx[FLAGS + 4..]);
    if others.copied().all(|b| b == 0) { Ok(flags) } else { Err(Errno::EINVAL) }
}

/// The keys before a run: the network header is behind Ethernet's.
fn fresh(protocol: [u8; 2], flags: [u8; 4]) -> [u8; SIZE] {
    let mut keys = [0; SIZE];
    let header = (ETH_HLEN as u16).to_ne_bytes();
    keys[NHOFF..NHOFF + 2].copy_from_slice(&header);
    keys[THOFF..THOFF + 2].copy_from_slice(&header);
    keys[N_PROTO..N_PROTO + 2].copy_from_slice(&protocol);
    keys[FLAGS..FLAGS + 4].copy_from_slice(&flags);
    keys
}

/// Headers neither begin before the packet's own nor behind its end.
fn bound(keys: &mut [u8; SIZE], len: usize) {
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    let nhoff = u16::from_ne_bytes([keys[NHOFF], keys[NHOFF + 1]]).clamp(ETH_HLEN as u16, len);
    let thoff = u16::from_ne_bytes([keys[THOFF], keys[THOFF + 1]]).clamp(nhoff, len);
    keys[NHOFF..NHOFF + 2].copy_from_slice(&nhoff.to_ne_bytes());
    keys[THOFF..THOFF + 2].copy_from_slice(&thoff.to_ne_bytes());
}
