//! Maps of objects: program arrays, arrays and hashes of maps.
//!
//! User space gives descriptors and gets ids; whoever owns the descriptors translates and calls
//! [`Refs`] with the objects themselves.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use uapi::{Errno, MapDef, MapType};

use crate::Env;
use crate::index::{index, next_index};
use crate::ops::{ANY, EXIST, NOEXIST, Ops};
use crate::raw::View;

/// What an element holds.
#[derive(Clone)]
pub struct Held {
    /// What user space reads.
    pub id: u32,
    /// The object.
    pub object: Arc<dyn Any + Send + Sync>,
}

/// The elements that are set, by key.
pub struct Refs {
    def: MapDef,
    live: RwLock<BTreeMap<Vec<u8>, Held>>,
}

impl Refs {
    pub(crate) fn new(def: &MapDef, env: &Env) -> Result<Refs, Errno> {
        env.pointers(def.max_entries)?;
        Ok(Refs { def: def.clone(), live: RwLock::default() })
    }

    fn by_index(&self) -> bool {
        self.def.map_type != MapType::HashOfMaps
    }

    /// Keys of arrays in the order of their numbers, which is not that of their bytes.
    fn stored(&self, key: &[u8]) -> Vec<u8> {
        if self.by_index() { index(key).to_be_bytes().to_vec() } else { key.to_vec() }
    }

    /// The object of an element.
    pub fn get(&self, key: &[u8]) -> Option<Held> {
        // Without the copy that `stored` makes: programs ask here at each tail call.
        if self.by_index() {
            return self.live.read().get(&index(key).to_be_bytes()[..]).cloned();
        }
        self.live.read().get(key).cloned()
    }

    /// What an update of this element is refused with before its object is looked at.
    pub fn check(&self, key: &[u8], flags: u64) -> Result<(), Errno> {
        if !self.by_index() {
            return Ok(());
        }
        if flags != ANY {
            return Err(Errno::EINVAL);
        }
        if index(key) >= self.def.max_entries { Err(Errno::E2BIG) } else { Ok(()) }
    }

    /// Sets an element.
    pub fn set(&self, key: &[u8], held: Held, flags: u64) -> Result<(), Errno> {
        self.check(key, flags)?;
        let mut live = self.live.write();
        let stored = self.stored(key);
        if !self.by_index() {
            match live.contains_key(&stored) {
                _ if flags > EXIST => return Err(Errno::EINVAL),
                true if flags == NOEXIST => return Err(Errno::EEXIST),
                false if flags == EXIST => return Err(Errno::ENOENT),
                false if live.len() >= self.def.max_entries as usize => return Err(Errno::E2BIG),
                _ => {}
            }
        }
        let old = live.insert(stored, held);
        // An object may take others with it when it goes, this lock not among them.
        drop(live);
        drop(old);
        Ok(())
    }

    /// Forgets all elements: nobody in user space can reach the map any more.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.live.write());
        drop(all);
    }
}

impl Ops for Refs {
    fn refs(&self) -> Option<&Refs> {
        Some(self)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        let mut bytes = vec![0; key.len()];
        key.copy_to(&mut bytes);
        if self.by_index() && index(&bytes) >= self.def.max_entries {
            return Err(Errno::E2BIG);
        }
        let old = self.live.write().remove(&self.stored(&bytes));
        old.map(drop).ok_or(Errno::ENOENT)
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        if matches!(self.def.map_type, MapType::PerfEventArray | MapType::CgroupArray) {
            return Err(Errno::ENOTSUPP);
        }
        let held = self.get(key).ok_or(Errno::ENOENT)?;
        View::from(&held.id.to_ne_bytes()[..]).copy_to(out);
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        if self.by_index() {
            return next_index(key, self.def.max_entries, next);
        }
        let live = self.live.read();
        let after = key.filter(|k| live.contains_key(*k));
        let mut keys = live.keys().skip_while(|k| after.is_some_and(|a| k.as_slice() <= a));
        next.copy_from_slice(keys.next().ok_or(Errno::ENOENT)?);
        Ok(())
    }
}
