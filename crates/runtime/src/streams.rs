//! The streams that a program prints into and user space reads: output and errors.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use uapi::Errno;

/// Bytes that wait to be read at most, as in Linux.
const CAPACITY: usize = 100_000;

/// One stream.
#[derive(Default)]
pub(crate) struct Stream(Mutex<VecDeque<u8>>);

impl Stream {
    /// ENOSPC if there is no room for all of it.
    pub(crate) fn push(&self, text: &[u8]) -> Result<(), Errno> {
        let mut waiting = self.0.lock();
        if waiting.len() + text.len() > CAPACITY {
            return Err(Errno::ENOSPC);
        }
        waiting.extend(text);
        Ok(())
    }

    fn take(&self, len: usize) -> Vec<u8> {
        let mut waiting = self.0.lock();
        let len = len.min(waiting.len());
        waiting.drain(..len).collect()
    }
}

/// Those of a program.
#[derive(Clone, Default)]
pub(crate) struct Streams([Arc<Stream>; 2]);

impl Streams {
    /// Linux numbers them from 1.
    pub(crate) fn numbered(&self, number: u32) -> Option<&Arc<Stream>> {
        self.0.get((number as usize).checked_sub(1)?)
    }

    /// Takes up to `len` bytes of a stream; ENOENT for one that is none.
    pub(crate) fn read(&self, number: u32, len: usize) -> Result<Vec<u8>, Errno> {
        self.numbered(number).map(|stream| stream.take(len)).ok_or(Errno::ENOENT)
    }
}
