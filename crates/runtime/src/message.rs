//! A message on its way through a socket, as programs of `sk_msg` see it.

use std::cell::Cell;

use interp::Region;
use maps::View;
use maps::raw::Slab;
use uapi::Errno;

/// A message in one piece, with room behind it.
pub struct Message {
    slab: Slab,
    len: Cell<usize>,
    /// The part between `data` and `data_end`.
    seen: Cell<(usize, usize)>,
    pub(crate) apply: Cell<u32>,
    pub(crate) cork: Cell<u32>,
}

/// Room that a program may take besides.
const ROOM: usize = 64 << 10;

impl Message {
    /// A message of these bytes; ENOMEM without memory.
    pub fn new(bytes: &[u8]) -> Result<Message, Errno> {
        let slab = Slab::new(bytes.len() + ROOM)?;
        slab.write(0, View::from(bytes));
        Ok(Message {
            slab,
            len: Cell::new(bytes.len()),
            seen: Cell::new((0, bytes.len())),
            apply: Cell::new(0),
            cork: Cell::new(0),
        })
    }

    /// Its bytes now.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; self.len.get()];
        self.slab.read(0, &mut out);
        out
    }

    /// How many bytes the verdict is for; 0: all of them.
    pub fn apply_bytes(&self) -> u32 {
        self.apply.get()
    }

    /// How many bytes to wait for before the next run.
    pub fn cork_bytes(&self) -> u32 {
        self.cork.get()
    }

    /// Addresses that `data` and `data_end` of the context are to have.
    pub fn data(&self) -> (u64, u64) {
        let (start, end) = self.seen.get();
        (self.slab.addr(start), self.slab.addr(end))
    }

    /// Bytes of the message.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// No bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn region(&self) -> Region {
        let start = self.slab.addr(0);
        Region { start, end: start + self.len.get() as u64, writable: true }
    }

    /// Shows `start..end` to the program.
    pub(crate) fn pull(&self, start: usize, end: usize) -> Result<(), Errno> {
        if end <= start || end > self.len() {
            return Err(Errno::EINVAL);
        }
        self.seen.set((start, end));
        Ok(())
    }

    /// Puts `by` zeroes in at `start`.
    pub(crate) fn push(&self, start: usize, by: usize) -> Result<(), Errno> {
        if start > self.len() {
            return Err(Errno::EINVAL);
        }
        let mut bytes = self.to_vec();
        if by > self.slab.len() - bytes.len() {
            return Err(Errno::ENOMEM);
        }
        bytes.splice(start..start, std::iter::repeat_n(0, by));
        self.put(&bytes);
        Ok(())
    }

    /// Takes `by` bytes out at `start`.
    pub(crate) fn pop(&self, start: usize, by: usize) -> Result<(), Errno> {
        let mut bytes = self.to_vec();
        let end = start.saturating_add(by);
        if start >= bytes.len() || end > bytes.len() {
            return Err(Errno::EINVAL);
        }
        bytes.drain(start..end);
        self.put(&bytes);
        Ok(())
    }

    fn put(&self, bytes: &[u8]) {
        self.slab.write(0, View::from(bytes));
        self.len.set(bytes.len());
        self.seen.set((0, bytes.len()));
    }
}
