//! Packet buffers: a packet with room before and behind it.

use maps::View;
use maps::raw::Slab;
use translate::ctx::SkBuff;
use uapi::Errno;

/// Room before a packet that XDP programs may take.
pub const XDP_HEADROOM: usize = 256;
/// What Linux keeps at a frame's end (`struct skb_shared_info`).
pub(crate) const FRAME_TAIL: usize = 320;
/// A frame.
pub(crate) const FRAME: usize = 4096;

/// A packet buffer, reused from packet to packet.
pub struct PacketBuf {
    slab: Slab,
    /// Offset of the head room.
    pub(crate) base: usize,
    /// Offset of the metadata, of the packet, and after it.
    pub(crate) meta: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Offset after the tail room.
    pub(crate) limit: usize,
    /// Bytes behind the linear part.
    pub(crate) frags: Vec<u8>,
    /// Interface it came in by.
    pub ingress_ifindex: u32,
    /// Receive queue.
    pub rx_queue_index: u32,
    /// Interface it leaves by.
    pub(crate) egress_ifindex: u32,
    /// What programs of tc have set beside the packet.
    pub(crate) beside: Option<Box<SkBuff>>,
}

impl PacketBuf {
    /// An empty buffer of one page.
    pub fn new() -> Result<PacketBuf, Errno> {
        Ok(PacketBuf {
            slab: Slab::new(FRAME)?,
            base: 0,
            meta: XDP_HEADROOM,
            start: XDP_HEADROOM,
            end: XDP_HEADROOM,
            limit: FRAME - FRAME_TAIL,
            frags: Vec::new(),
            ingress_ifindex: 0,
            rx_queue_index: 0,
            egress_ifindex: 0,
            beside: None,
        })
    }

    /// Packets that lie in memory of the caller's; none yet.
    pub fn over(memory: Slab) -> PacketBuf {
        let frags = Vec::new();
        let (ingress_ifindex, rx_queue_index) = (0, 0);
        PacketBuf {
            slab: memory,
            base: 0,
            meta: 0,
            start: 0,
            end: 0,
            limit: 0,
            frags,
            ingress_ifindex,
            rx_queue_index,
            egress_ifindex: 0,
            beside: None,
        }
    }

    /// The packet is that of `len` bytes at offset `start` of its memory; it may grow to `base`
    /// and to `limit`. Offsets are cut to the memory.
    pub fn look_at(&mut self, base: usize, start: usize, len: usize, limit: usize) {
        self.limit = limit.min(self.slab.len());
        self.start = start.min(self.limit);
        self.base = base.min(self.start);
        self.meta = self.start;
        self.end = (self.start + len).min(self.limit);
        self.frags.clear();
    }

    /// Its memory.
    pub fn memory(&self) -> &Slab {
        &self.slab
    }

    /// Offset of its first byte in the memory.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Bytes in one piece.
    pub fn linear(&self) -> usize {
        self.end - self.start
    }

    /// Puts what is behind the first `linear` bytes into a second piece.
    pub fn split(&mut self, linear: usize) {
        let cut = self.start + linear.min(self.linear());
        let mut frags = vec![0; self.end - cut];
        self.slab.read(cut, &mut frags);
        frags.append(&mut self.frags);
        (self.frags, self.end) = (frags, cut);
    }

    /// Puts a packet in, 256 bytes of head room before it; ENOMEM if it is too large to hold.
    pub fn set(&mut self, packet: &[u8]) -> Result<(), Errno> {
        self.place(XDP_HEADROOM, packet)
    }

    /// Puts a packet in at offset `headroom`.
    pub(crate) fn place(&mut self, headroom: usize, packet: &[u8]) -> Result<(), Errno> {
        let need = headroom + packet.len() + FRAME_TAIL;
        if need > self.slab.len() {
            self.slab = Slab::new(need.next_multiple_of(FRAME))?;
        }
        self.base = 0;
        (self.meta, self.start) = (headroom, headroom);
        self.end = headroom + packet.len();
        self.limit = self.slab.len() - FRAME_TAIL;
        self.frags.clear();
        self.beside = None;
        self.slab.write(headroom, View::from(packet));
        Ok(())
    }

    /// Becomes a copy of another buffer's packet, whose metadata and bytes are `bytes`.
    pub(crate) fn copy_of(&mut self, model: &PacketBuf, bytes: &[u8]) -> Result<(), Errno> {
        self.place(model.meta, bytes)?;
        self.start = self.meta + (model.start - model.meta);
        self.ingress_ifindex = model.ingress_ifindex;
        self.rx_queue_index = model.rx_queue_index;
        Ok(())
    }

    /// Bytes of the packet.
    pub fn len(&self) -> usize {
        self.end - self.start + self.frags.len()
    }

    /// No bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The packet as it is now, appended to `out`.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.resize(at + (self.end - self.start), 0);
        self.slab.read(self.start, &mut out[at..]);
        out.extend_from_slice(&self.frags);
    }

    /// The packet as it is now.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.append_to(&mut out);
        out
    }

    /// Host address of offset `off`.
    pub(crate) fn addr(&self, off: usize) -> u64 {
        self.slab.addr(off)
    }

    /// Offset of a host address that programs moved; cut to the buffer.
    pub(crate) fn offset(&self, addr: u64) -> usize {
        (addr.saturating_sub(self.slab.addr(0)) as usize).min(self.slab.len())
    }

    /// The first bytes of the packet.
    pub(crate) fn head<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (self.end - self.start >= N).then(|| {
            self.slab.read(self.start, &mut bytes);
            bytes
        })
    }

    /// Metadata and packet as they are now.
    pub(crate) fn with_meta(&self) -> Vec<u8> {
        let mut out = vec![0; self.end - self.meta];
        self.slab.read(self.meta, &mut out);
        out.extend_from_slice(&self.frags);
        out
    }

    /// Host address of the head room.
    pub(crate) fn hard_start(&self) -> u64 {
        self.addr(self.base)
    }

    pub(crate) fn slab(&self) -> &Slab {
        &self.slab
    }
}
