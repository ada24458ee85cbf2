//! The TCP segment that a program of `sock_ops` may add options to.

use std::cell::{Cell, RefCell};

/// Options of a segment.
#[derive(Debug, Default)]
pub struct Segment {
    /// Those that it has, without the header before them.
    pub options: RefCell<Vec<u8>>,
    /// Bytes that may still be reserved or written.
    pub room: Cell<u32>,
    /// Those of the SYN that opened the connection, if it was kept.
    pub syn: Option<Vec<u8>>,
}
