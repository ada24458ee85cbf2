//! The one value of a struct_ops map: what is in it, the runtime knows.

use uapi::{Errno, MapDef};

use crate::ops::Ops;
use crate::raw::View;

/// Bytes before the interface: count, state, the rest of the line.
pub(crate) const DATA: usize = 64;

/// The place of the value: zeroes until the runtime says otherwise.
pub struct StructOps;

impl StructOps {
    pub(crate) fn new(_: &MapDef) -> Result<StructOps, Errno> {
        Ok(StructOps)
    }
}

impl Ops for StructOps {
    fn struct_ops(&self) -> Option<&StructOps> {
        Some(self)
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        if View::from(key).u32(0) != 0 {
            return Err(Errno::ENOENT);
        }
        out.fill(0);
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        if key.is_some_and(|key| View::from(key).u32(0) == 0) {
            return Err(Errno::ENOENT);
        }
        next.fill(0);
        Ok(())
    }
}
