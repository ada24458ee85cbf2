//! Storage in objects: a value for a socket, an inode, a task or a control group, while it lives.
//!
//! Objects are numbers here; whoever owns the objects says which number is whose, and when one is
//! gone ([`Local::delete`]).

use std::collections::HashMap;

use parking_lot::RwLock;
use uapi::{Errno, MapDef};

use crate::grown::Grown;
use crate::ops::{LOCK, Ops, check_exists};
use crate::raw::View;
use crate::special::Special;

/// Bytes of an object's number, as a key.
pub(crate) const KEY: usize = 8;

/// The values, by object.
pub struct Local {
    values: Grown,
    value_size: usize,
    special: Special,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    slots: HashMap<u64, u32>,
    free: Vec<u32>,
    /// Slots never handed out start here.
    fresh: u32,
}

impl Local {
    pub(crate) fn new(def: &MapDef, special: Special) -> Local {
        let value_size = def.value_size as usize;
        let values = Grown::new(value_size.next_multiple_of(8));
        Local { values, value_size, special, state: RwLock::default() }
    }

    /// The address of an object's value.
    pub fn get(&self, object: u64) -> Option<u64> {
        self.values.addr(*self.state.read().slots.get(&object)?)
    }

    /// The address of an object's value, made of `initial` or zeroes if there is none; ENOMEM.
    pub fn get_or_create(&self, object: u64, initial: Option<View<'_>>) -> Result<u64, Errno> {
        if let Some(known) = self.get(object) {
            return Ok(known);
        }
        match self.put(object, initial, crate::NOEXIST) {
            Ok(()) | Err(Errno::EEXIST) => self.get(object).ok_or(Errno::ENOENT),
            Err(errno) => Err(errno),
        }
    }

    /// Forgets an object's value; ENOENT if there is none.
    pub fn delete(&self, object: u64) -> Result<(), Errno> {
        let mut state = self.state.write();
        let slot = state.slots.remove(&object).ok_or(Errno::ENOENT)?;
        if let Some((slab, off)) = self.values.at(slot) {
            self.special.let_go(slab, off);
        }
        state.free.push(slot);
        Ok(())
    }

    /// Objects with a value.
    pub fn objects(&self) -> Vec<u64> {
        self.state.read().slots.keys().copied().collect()
    }

    fn put(&self, object: u64, value: Option<View<'_>>, flags: u64) -> Result<(), Errno> {
        let mut state = self.state.write();
        let known = state.slots.get(&object).copied();
        check_exists(known.is_some(), flags)?;
        let slot = match (known, state.free.pop()) {
            (Some(known), free) => {
                state.free.extend(free);
                known
            }
            (None, Some(free)) => free,
            (None, None) => {
                let fresh = state.fresh;
                self.values.make(fresh)?;
                state.fresh = fresh.checked_add(1).ok_or(Errno::ENOMEM)?;
                fresh
            }
        };
        let (slab, off) = self.values.at(slot).ok_or(Errno::ENOMEM)?;
        let held = match (known, flags & LOCK) {
            (Some(_), LOCK) => Some(self.special.hold(slab, off).ok_or(Errno::EINVAL)?),
            _ => None,
        };
        if known.is_none() {
            self.special.fresh(slab, off);
        }
        match value {
            Some(value) => self.special.write(slab, off, value.part(0, self.value_size)),
            None => slab.zero(off, self.value_size),
        }
        drop(held);
        state.slots.insert(object, slot);
        Ok(())
    }
}

fn object(key: View<'_>) -> u64 {
    key.u64(0)
}

impl Ops for Local {
    fn local(&self) -> Option<&Local> {
        Some(self)
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let start = self.values.start_of(addr)?;
        Some((start, start + self.value_size as u64))
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        Local::delete(self, object(key))
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let state = self.state.read();
        let slot = *state.slots.get(&object(View::from(key))).ok_or(Errno::ENOENT)?;
        let (slab, off) = self.values.at(slot).ok_or(Errno::ENOENT)?;
        self.special.read(slab, off, out);
        Ok(())
    }

    fn locked_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let state = self.state.read();
        let slot = *state.slots.get(&object(View::from(key))).ok_or(Errno::ENOENT)?;
        let (slab, off) = self.values.at(slot).ok_or(Errno::ENOENT)?;
        let _held = self.special.hold(slab, off).ok_or(Errno::EINVAL)?;
        self.special.read(slab, off, out);
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        debug_assert!(key.len() >= KEY);
        self.put(object(View::from(key)), Some(View::from(value)), flags)
    }

    fn live(&self) -> u32 {
        self.state.read().slots.len() as u32
    }
}
