//! A program at both ends of a function: which end it runs at, and the word that it keeps from one
//! to the other.

use std::cell::Cell;

use interp::Region;
use maps::View;
use maps::raw::Slab;
use uapi::Errno;

/// What `bpf_session_is_return` and `bpf_session_cookie` tell.
pub struct Session {
    pub(crate) returns: Cell<bool>,
    word: Slab,
}

const WORD: usize = 8;

impl Session {
    /// A session at its beginning; ENOMEM without memory.
    pub fn new() -> Result<Session, Errno> {
        Ok(Session { returns: Cell::new(false), word: Slab::new(WORD)? })
    }

    /// Sets the end, and the word that programs may change.
    pub fn set(&self, returns: bool, word: u64) {
        self.returns.set(returns);
        self.word.write(0, View::from(word.to_ne_bytes().as_slice()));
    }

    /// The word now.
    pub fn word(&self) -> u64 {
        let mut bytes = [0; WORD];
        self.word.read(0, &mut bytes);
        u64::from_ne_bytes(bytes)
    }

    pub(crate) fn addr(&self) -> u64 {
        self.word.addr(0)
    }

    pub(crate) fn region(&self) -> Region {
        let start = self.addr();
        Region { start, end: start + WORD as u64, writable: true }
    }
}
