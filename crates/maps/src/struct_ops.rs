//! The one value of a struct_ops map: an interface that programs implement.
//!
//! As Linux shows it: a count and a state, the rest of their cache line, then the interface with
//! a program wherever it has a function. Nothing in user space calls the functions; the value
//! and its states are what there is.

use parking_lot::Mutex;
use uapi::{Errno, MapDef, map_flags};

use crate::batch::zeroes;
use crate::ops::Ops;
use crate::raw::View;

/// Bytes before the interface: count, state, the rest of the line.
pub(crate) const DATA: usize = 64;
const STATE: usize = 4;
const STATE_END: usize = 8;

/// `enum bpf_struct_ops_state`.
const INIT: u32 = 0;
const IN_USE: u32 = 1;
const READY: u32 = 3;

/// The value.
pub struct StructOps {
    value: Mutex<Vec<u8>>,
    /// It is put in use by links.
    linked: bool,
}

impl StructOps {
    pub(crate) fn new(def: &MapDef) -> Result<StructOps, Errno> {
        let value = zeroes(def.value_size as usize)?;
        Ok(StructOps { value: Mutex::new(value), linked: def.flags & map_flags::LINK != 0 })
    }

    fn state(value: &[u8]) -> u32 {
        View::from(value).u32(STATE)
    }

    /// Whether links may put it in use.
    pub fn is_ready(&self) -> bool {
        Self::state(&self.value.lock()) == READY
    }

    /// What an update is refused with before its programs are looked at.
    pub fn check(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        if View::from(key).u32(0) != 0 {
            return Err(Errno::E2BIG);
        }
        // A value starts without users and unused, and says nothing between its fields.
        if value.iter().take(DATA).any(|byte| *byte != 0) {
            return Err(Errno::EINVAL);
        }
        let unused = Self::state(&self.value.lock()) == INIT;
        if unused { Ok(()) } else { Err(Errno::EBUSY) }
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
        out.copy_from_slice(&self.value.lock());
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.check(key, value, flags)?;
        let state = if self.linked { READY } else { IN_USE };
        let mut own = self.value.lock();
        own.copy_from_slice(value);
        own[STATE..STATE_END].copy_from_slice(&state.to_ne_bytes());
        Ok(())
    }

    fn delete(&self, _: View<'_>) -> Result<(), Errno> {
        if self.linked {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut own = self.value.lock();
        if Self::state(&own) != IN_USE {
            return Err(Errno::ENOENT);
        }
        own.fill(0);
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
