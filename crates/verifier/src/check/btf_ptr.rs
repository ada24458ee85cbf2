//! Loads through pointers to typed kernel memory.

use super::AccessKind;
use crate::env::Env;
use crate::error::{Checked, Reject};

impl Env<'_> {
    /// A load or store through a pointer to a BTF type.
    pub(super) fn access_btf_pointer(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        kind: AccessKind,
        value: Option<usize>,
    ) -> Checked {
        let _ = (regno, off, size, kind, value);
        Err(Reject::needs("pointers to kernel structures"))
    }

    /// A load from the map's own structure.
    pub(super) fn access_map_pointer(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        kind: AccessKind,
        value: Option<usize>,
    ) -> Checked {
        let _ = (regno, off, size, kind, value);
        Err(Reject::needs("reading a map's own structure"))
    }
}
