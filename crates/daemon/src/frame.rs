//! Frames: a length of four bytes, little-endian, and as many bytes.

use std::io::{self, Read, Write};

/// Version of the protocol; both sides must have the same.
pub const VERSION: u32 = 6;
/// Longest frame in bytes: a verifier's log of 16 MiB and a large batch go in.
pub const MAX_FRAME: usize = 64 << 20;

/// Bytes of the length.
const HEAD: usize = 4;
/// Bytes that a buffer grows by before more have arrived.
const STEP: usize = 1 << 20;
/// Bytes that a buffer has from the start.
const FIRST: usize = 4096;
/// A buffer that became larger is given back after the frame.
const KEEP: usize = 1 << 20;

/// A frame being written.
#[derive(Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
}

impl Outgoing {
    /// An empty frame; what follows goes behind its length.
    pub(crate) fn begin(&mut self) -> &mut Vec<u8> {
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        self.bytes.extend_from_slice(&[0; HEAD]);
        &mut self.bytes
    }

    /// Whether the other side will take it.
    pub(crate) fn fits(&self) -> bool {
        self.bytes.len() - HEAD <= MAX_FRAME
    }

    /// What follows the length.
    pub(crate) fn frame(&self) -> &[u8] {
        self.bytes.get(HEAD..).unwrap_or_default()
    }

    /// Sends the frame in one write.
    pub(crate) fn send(&mut self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(self.whole())
    }

    /// The frame as it is sent.
    pub(crate) fn whole(&mut self) -> &[u8] {
        let len = (self.bytes.len() - HEAD) as u32;
        self.bytes[..HEAD].copy_from_slice(&len.to_le_bytes());
        &self.bytes
    }
}

/// What arrives.
#[derive(Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    /// Bytes of the frame given out last, its length included.
    done: usize,
    /// Bytes that have arrived.
    have: usize,
}

/// What a read brought.
pub(crate) enum Received<'a> {
    /// A frame.
    Frame(&'a [u8]),
    /// A frame that is too long to be read.
    TooLong,
    /// The other side is done.
    End,
}

impl Incoming {
    /// The next frame.
    pub(crate) fn receive(&mut self, from: &mut impl Read) -> io::Result<Received<'_>> {
        self.bytes.copy_within(self.done..self.have, 0);
        self.have -= self.done;
        self.done = 0;
        if self.bytes.len() > KEEP && self.have <= KEEP {
            self.bytes.truncate(KEEP);
            self.bytes.shrink_to_fit();
        }
        if !self.fill(from, HEAD)? {
            return Ok(Received::End);
        }
        let head = self.bytes.first_chunk().copied().unwrap_or_default();
        let len = u32::from_le_bytes(head) as usize;
        if len > MAX_FRAME {
            return Ok(Received::TooLong);
        }
        if !self.fill(from, HEAD + len)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.done = HEAD + len;
        Ok(Received::Frame(&self.bytes[HEAD..self.done]))
    }

    /// Reads until there are `len` bytes; `false` if the other side ended before the first.
    fn fill(&mut self, from: &mut impl Read, len: usize) -> io::Result<bool> {
        while self.have < len {
            let room = len.min(self.have + STEP).max(FIRST);
            if self.bytes.len() < room {
                self.bytes.resize(room, 0);
            }
            match read(from, &mut self.bytes[self.have..])? {
                0 if self.have == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.have += n,
            }
        }
        Ok(true)
    }
}

fn read(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
