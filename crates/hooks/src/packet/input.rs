//! A window on the bytes of a capture.

use std::io::{ErrorKind, Read};

use super::CaptureError;

/// Bytes asked of the system at a time.
const CHUNK: usize = 256 * 1024;

/// The largest record or block that is read; Linux's largest packet is far below.
pub(super) const MAX_BLOCK: usize = 16 * 1024 * 1024;

/// A buffered source of which any prefix can be looked at.
pub(super) struct Input {
    file: String,
    source: Box<dyn Read + Send>,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the file of `buf[start]`.
    offset: u64,
    /// Packets delivered so far, for messages.
    pub(super) packets: u64,
}

impl Input {
    pub(super) fn new(file: &str, source: Box<dyn Read + Send>) -> Input {
        Input {
            file: file.to_owned(),
            source,
            buf: vec![0; CHUNK],
            start: 0,
            end: 0,
            offset: 0,
            packets: 0,
        }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Bytes consumed so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Makes `len` bytes available if the file has them; the count that there is.
    pub(super) fn want(&mut self, len: usize) -> Result<usize, CaptureError> {
        if self.end - self.start >= len {
            return Ok(len);
        }
        self.fill(len)
    }

    /// As [`Input::want`], and fewer bytes are an error that names `what`.
    pub(super) fn need(&mut self, len: usize, what: &'static str) -> Result<&[u8], CaptureError> {
        let left = self.want(len)?;
        if left < len {
            return Err(CaptureError::Truncated {
                file: self.file.clone(),
                offset: self.offset,
                packets: self.packets,
                what,
                needed: len as u64,
                left: left as u64,
            });
        }
        Ok(self.peek(len))
    }

    /// The next `len` bytes, which a call of [`Input::want`] made available.
    pub(super) fn peek(&self, len: usize) -> &[u8] {
        &self.buf[self.start..self.start + len]
    }

    /// Moves past `len` bytes and gives them.
    pub(super) fn take(&mut self, len: usize) -> &[u8] {
        let from = self.start;
        self.start += len;
        self.offset += len as u64;
        &self.buf[from..from + len]
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> CaptureError {
        CaptureError::Damaged {
            file: self.file.clone(),
            offset: self.offset,
            packets: self.packets,
            what: what.into(),
        }
    }

    #[cold]
    fn fill(&mut self, len: usize) -> Result<usize, CaptureError> {
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        // Grown a chunk at a time, so that a length field alone costs no memory.
        while self.end < len {
            if self.buf.len() - self.end < CHUNK / 2 {
                self.buf.resize(self.buf.len() + CHUNK, 0);
            }
            match self.source.read(&mut self.buf[self.end..]) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.offset + self.end as u64;
                    return Err(CaptureError::Read { file: self.file.clone(), offset, source });
                }
            }
        }
        Ok(self.end.min(len))
    }
}
