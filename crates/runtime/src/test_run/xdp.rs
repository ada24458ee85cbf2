//! Test runs of XDP programs.

use std::sync::Arc;

use maps::View;
use maps::raw::Slab;
use translate::ctx::XdpBuff;
use uapi::{AttachType, Errno};

use super::given::Lent;
use super::{buffer, live, repeat};
use crate::core::Core;
use crate::door::{TestRun, TestRunOut};
use crate::helpers::{Ctx, CtxCell};
use crate::packet::{FRAME, FRAME_TAIL, PacketBuf, XDP_HEADROOM};
use crate::prog::Prog;
use crate::runner::Ready;

/// Bytes of `struct xdp_md`.
const XDP_MD: usize = 24;
const LIVE_FRAMES: u32 = 2;
const ETH_HLEN: usize = 14;
/// Longest metadata: the head room less Linux's own frame header.
const META_MAX: usize = 216;
/// Pages that the part behind the linear one may take.
const MAX_FRAGS: usize = 17;
/// The loopback interface, the only one that a test run may name.
const LOOPBACK: u32 = 1;

pub(super) fn run(
    core: &Arc<Core>,
    prog: &Arc<Prog>,
    req: &TestRun,
    mut ready: Ready,
) -> Result<TestRunOut, Errno> {
    let target = [AttachType::XdpDevmap.raw(), AttachType::XdpCpumap.raw()];
    if target.contains(&prog.attach_type) || req.flags & !LIVE_FRAMES != 0 {
        return Err(Errno::EINVAL);
    }
    let live = req.flags & LIVE_FRAMES != 0;
    if live {
        live::batch(req)?;
    } else if req.batch_size != 0 {
        return Err(Errno::EINVAL);
    }
    if req.cpu != 0 {
        return Err(Errno::EINVAL);
    }
    let data = req.data_in.as_deref().unwrap_or_default();
    let ctx = buffer::context(req, XDP_MD)?;
    if live && ctx.is_some() && (req.data_out.is_some() || req.ctx_out.is_some()) {
        return Err(Errno::EINVAL);
    }
    let md = ctx.as_deref().map(Md::words).transpose()?.unwrap_or_default();
    let reserved = if live { live::PAGE_HEAD } else { 0 };
    let mut packet = packet(data, ctx.is_some().then_some(&md), reserved)?;
    md.check(core)?;
    packet.ingress_ifindex = if md.ingress_ifindex == 0 { LOOPBACK } else { md.ingress_ifindex };
    packet.rx_queue_index = md.rx_queue_index;
    if live {
        if !packet.frags.is_empty() {
            return Err(Errno::EINVAL);
        }
        return live::run(core, prog, req, &packet, &ready.stop);
    }
    let (cell, addr) = cell(&packet);
    let stop = ready.stop.clone();
    let result = repeat(req.repeat, &stop, || ready.run(Ctx::Xdp(&cell, &mut packet.frags), addr))?;
    let after = cell.get();
    let shown = ctx.map(|_| md.write(&after));
    packet.meta = packet.offset(after.data_meta);
    packet.start = packet.offset(after.data);
    packet.end = packet.offset(after.data_end);
    Ok(buffer::finish(req, result, packet.with_meta(), shown))
}

/// A run whose context is the `struct xdp_md` at `place` of `memory`: it names any interface and
/// queue.
pub(super) fn given(
    req: &TestRun,
    mut ready: Ready,
    lent: Lent<'_>,
    memory: &Slab,
    place: usize,
) -> Result<TestRunOut, Errno> {
    let data = req.data_in.as_deref().unwrap_or_default();
    let mut bytes = [0; XDP_MD];
    if place + XDP_MD > memory.len() {
        return Err(Errno::EINVAL);
    }
    memory.read(place, &mut bytes);
    let mut md = Md::words(&bytes)?;
    let whole = md.data_end == 0;
    if whole {
        md.data_end = data.len() as u32;
    }
    let mut packet = packet(data, Some(&md), 0)?;
    packet.ingress_ifindex = md.ingress_ifindex;
    packet.rx_queue_index = md.rx_queue_index;
    let (cell, addr) = cell(&packet);
    cell.set(XdpBuff { egress_ifindex: md.egress_ifindex, ..cell.get() });
    let stop = ready.stop.clone();
    let run =
        || ready.run_on(Ctx::Xdp(&cell, &mut packet.frags), addr, Some(lent.event), lent.world);
    let (retval, duration_ns) = repeat(req.repeat, &stop, run)?;
    let after = cell.get();
    let mut written = md.write(&after);
    if whole && after.data_end - after.data_meta == data.len() as u64 {
        // What was not said and has not changed stays unsaid.
        written[4..8].fill(0);
    }
    memory.write(place, View::from(written.as_slice()));
    packet.meta = packet.offset(after.data_meta);
    packet.start = packet.offset(after.data);
    packet.end = packet.offset(after.data_end);
    let data_out = packet.with_meta();
    let data_size_out = data_out.len() as u32;
    Ok(TestRunOut { retval, duration_ns, data_out, data_size_out, ..TestRunOut::default() })
}

fn cell(packet: &PacketBuf) -> (CtxCell<XdpBuff>, u64) {
    let cell = CtxCell::new(XdpBuff {
        data: packet.addr(packet.start),
        data_end: packet.addr(packet.end),
        data_meta: packet.addr(packet.meta),
        hard_start: packet.addr(0),
        frame_end: packet.addr(packet.limit),
        ingress_ifindex: packet.ingress_ifindex,
        rx_queue_index: packet.rx_queue_index,
        ..XdpBuff::default()
    });
    let addr = cell.addr();
    (cell, addr)
}

/// Metadata and linear part in one frame, of which `reserved` bytes are not for packets; the rest
/// behind it.
fn packet(data: &[u8], md: Option<&Md>, reserved: usize) -> Result<PacketBuf, Errno> {
    let meta = match md {
        None => 0,
        Some(md) => md.metadata(data.len())?,
    };
    let headroom = XDP_HEADROOM - meta;
    let room = FRAME - reserved - headroom - FRAME_TAIL;
    let wanted = md.map_or(data.len(), |md| md.data_end as usize);
    let linear = wanted.min(room);
    if data.len() < meta + ETH_HLEN {
        return Err(Errno::EINVAL);
    }
    let rest = &data[linear..];
    if rest.len().div_ceil(FRAME) > MAX_FRAGS {
        return Err(Errno::ENOMEM);
    }
    let mut packet = PacketBuf::new()?;
    packet.place(headroom, &data[..linear])?;
    packet.start = headroom + meta;
    packet.limit = FRAME - FRAME_TAIL;
    packet.frags = rest.to_vec();
    Ok(packet)
}

/// `struct xdp_md` as user space gives it: offsets into the data.
#[derive(Default)]
struct Md {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

impl Md {
    fn words(bytes: &[u8]) -> Result<Md, Errno> {
        let (words, _) = bytes.as_chunks::<4>();
        let &[data, data_end, data_meta, ingress, queue, egress] = words else {
            return Err(Errno::EINVAL);
        };
        Ok(Md {
            data: u32::from_ne_bytes(data),
            data_end: u32::from_ne_bytes(data_end),
            data_meta: u32::from_ne_bytes(data_meta),
            ingress_ifindex: u32::from_ne_bytes(ingress),
            rx_queue_index: u32::from_ne_bytes(queue),
            egress_ifindex: u32::from_ne_bytes(egress),
        })
    }

    /// EINVAL for what a test run does not take, ENODEV for an interface that is not there.
    fn check(&self, core: &Core) -> Result<(), Errno> {
        // No interface is none: its queue too.
        if self.egress_ifindex != 0 || (self.ingress_ifindex == 0 && self.rx_queue_index != 0) {
            return Err(Errno::EINVAL);
        }
        let known = matches!(self.ingress_ifindex, 0 | LOOPBACK)
            || core.network.get(self.ingress_ifindex).is_some();
        if !known {
            return Err(Errno::ENODEV);
        }
        // Each has one queue.
        if self.rx_queue_index == 0 { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Bytes of metadata at the start of `len` bytes of data.
    fn metadata(&self, len: usize) -> Result<usize, Errno> {
        let meta = self.data as usize;
        let bad = self.data_meta != 0
            || self.data_end as usize > len
            || self.data > self.data_end
            || meta & 3 != 0
            || meta > META_MAX;
        if bad { Err(Errno::EINVAL) } else { Ok(meta) }
    }

    fn write(&self, after: &XdpBuff) -> Vec<u8> {
        let words = [
            (after.data - after.data_meta) as u32,
            (after.data_end - after.data_meta) as u32,
            self.data_meta,
            self.ingress_ifindex,
            self.rx_queue_index,
            self.egress_ifindex,
        ];
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }
}
