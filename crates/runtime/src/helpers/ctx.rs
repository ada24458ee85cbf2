//! Contexts: memory that a program and its helpers both reach by address.

use std::cell::UnsafeCell;

use interp::Region;
use translate::ctx::{SkBuff, XdpBuff};

/// A context structure with an address of its own.
pub(crate) struct CtxCell<T: Copy>(Box<UnsafeCell<T>>);

impl<T: Copy> CtxCell<T> {
    pub(crate) fn new(value: T) -> CtxCell<T> {
        CtxCell(Box::new(UnsafeCell::new(value)))
    }

    /// What programs get in r1.
    pub(crate) fn addr(&self) -> u64 {
        self.0.get().expose_provenance() as u64
    }

    pub(crate) fn get(&self) -> T {
        // SAFETY: the cell is not Sync: only this thread's program writes, and not now.
        unsafe { self.0.get().read() }
    }

    pub(crate) fn set(&self, value: T) {
        // SAFETY: as in `get`.
        unsafe { self.0.get().write(value) }
    }

    fn region(&self) -> Region {
        let start = self.addr();
        Region { start, end: start + size_of::<T>() as u64, writable: true }
    }
}

/// The context of one run.
pub(crate) enum Ctx<'r> {
    /// An XDP buffer and the bytes behind its linear part.
    Xdp(&'r CtxCell<XdpBuff>, &'r mut Vec<u8>),
    /// A socket buffer.
    Skb(&'r CtxCell<SkBuff>),
    /// Memory passed as it is.
    Flat(Region),
}

impl Ctx<'_> {
    /// The context itself, and the packet.
    pub(crate) fn regions(&self) -> [Option<Region>; 2] {
        let packet = |start, end| Some(Region { start, end, writable: true });
        match self {
            Ctx::Xdp(cell, _) => {
                let xdp = cell.get();
                [packet(xdp.data_meta, xdp.data_end), Some(cell.region())]
            }
            Ctx::Skb(cell) => {
                let skb = cell.get();
                [packet(skb.data_meta.min(skb.data), skb.data_end), Some(cell.region())]
            }
            Ctx::Flat(region) => [Some(*region), None],
        }
    }
}
