//! A ring that the kernel writes frames into, each at its own place of one memory.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::{Acquire, Release};

use maps::raw::Slab;
use runtime::PacketBuf;

use super::sys::packet::{self, Shape, VNET_LEN};
use super::vnet::Vnet;

const PAGE: usize = 4096;
/// Bytes of a block: whole pages, whole frames.
const BLOCKS: [(u32, u32); 2] = [(1 << 20, PAGE as u32), (255 << 12, 17 << 12)];
/// Room before each frame that programs may take.
const RESERVE: u32 = 256;
/// What Linux keeps at a frame's end.
const TAIL: usize = 320;
/// The longest frame that Linux keeps in one piece of a page; longer ones go to the second ring.
pub(super) const SHORT: u32 = (PAGE - RESERVE as usize - TAIL) as u32;
/// Offsets in `struct tpacket2_hdr`.
const STATUS: usize = 0;
const SNAP_LEN: usize = 8;
const MAC: usize = 12;
const SEC: usize = 16;
const NSEC: usize = 20;
const VLAN: usize = 24;

const KERNEL: u32 = 0;
const USER: u32 = 1;
const VLAN_VALID: u32 = 1 << 4;
const TPID_VALID: u32 = 1 << 6;

/// Which frames a ring takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Short,
    Long,
}

/// A ring and the next place in it.
pub(super) struct Ring {
    pub(super) buf: PacketBuf,
    shape: Shape,
    next: u32,
    /// Places that are taken and not given back yet.
    taken: u32,
}

/// A frame in a ring.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    start: usize,
    len: usize,
    base: usize,
    pub(super) vnet: Vnet,
    /// A tag that the kernel took out: protocol and tag, as they stand in a frame.
    pub(super) vlan: Option<[u8; 4]>,
}

impl Ring {
    /// A ring for a socket that gets no frames yet; `hosts` share what memory there is.
    pub(super) fn new(socket: BorrowedFd<'_>, kind: Kind, hosts: usize) -> io::Result<Ring> {
        let (block, frame) = BLOCKS[kind as usize];
        /// Blocks of one ring, about a megabyte each.
        const MOST: u32 = 16;
        let blocks = (2 * MOST / hosts.max(1) as u32).clamp(1, MOST);
        let shape = Shape { block, blocks, frame, reserve: RESERVE };
        packet::prepare(socket)?;
        packet::ring(socket, shape)?;
        match kind {
            Kind::Short => packet::only(socket, 0, SHORT)?,
            Kind::Long => packet::only(socket, SHORT, u32::MAX)?,
        }
        let memory = Slab::shared(socket, (shape.block * shape.blocks) as usize);
        let memory = memory.map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        Ok(Ring { buf: PacketBuf::over(memory), shape, next: 0, taken: 0 })
    }

    fn place(&self, at: u32) -> usize {
        (at % self.shape.frames()) as usize * self.shape.frame as usize
    }

    fn word(&self, at: usize) -> u32 {
        self.buf.memory().cell32(at).load(Acquire)
    }

    /// When the next frame came, if there is one.
    pub(super) fn peek(&self) -> Option<(u32, u32)> {
        if self.taken >= self.shape.frames() {
            return None;
        }
        let at = self.place(self.next);
        let there = self.word(at + STATUS) & USER != 0;
        there.then(|| (self.word(at + SEC), self.word(at + NSEC)))
    }

    /// The frame that was peeked at.
    pub(super) fn take(&mut self) -> Slot {
        let at = self.place(self.next);
        let status = self.word(at + STATUS);
        let mac = (self.word(at + MAC) & 0xffff) as usize;
        let len = self.word(at + SNAP_LEN) as usize;
        let start = at + mac;
        let mut header = [0; VNET_LEN];
        self.buf.memory().read(start.saturating_sub(VNET_LEN), &mut header);
        let tag = self.word(at + VLAN);
        let kind = if status & TPID_VALID != 0 { (tag >> 16) as u16 } else { 0x8100 };
        let [a, b] = kind.to_be_bytes();
        let [c, d] = (tag as u16).to_be_bytes();
        self.next = self.next.wrapping_add(1) % self.shape.frames();
        self.taken += 1;
        Slot {
            start,
            len,
            base: start.saturating_sub(RESERVE as usize).max(at),
            vnet: Vnet::parse(header),
            vlan: (status & VLAN_VALID != 0).then_some([a, b, c, d]),
        }
    }

    /// Makes a frame the buffer's packet.
    pub(super) fn look_at(&mut self, slot: &Slot) {
        let end = (slot.start / self.shape.frame as usize + 1) * self.shape.frame as usize;
        let limit = match self.shape.frame as usize {
            PAGE => slot.base + PAGE - TAIL,
            _ => end - TAIL,
        };
        self.buf.look_at(slot.base, slot.start, slot.len, limit.min(end));
    }

    /// Gives all places back to the kernel.
    pub(super) fn give_back(&mut self) {
        let frames = self.shape.frames();
        for back in 1..=self.taken {
            let at = self.place(self.next + frames - back);
            self.buf.memory().cell32(at + STATUS).store(KERNEL, Release);
        }
        self.taken = 0;
    }
}
