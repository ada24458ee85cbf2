//! Maps of objects: programs, maps, sockets, control groups, perf events.
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
use crate::ops::{ANY, BatchKind, EXIST, LOCK, Ops, check_exists, check_flags};
use crate::raw::View;

/// What an element holds.
#[derive(Clone)]
pub struct Held {
    /// What user space reads: an id, or a socket's cookie.
    pub id: u64,
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
        !matches!(self.def.map_type, MapType::HashOfMaps | MapType::Sockhash)
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
        let past = || if index(key) >= self.def.max_entries { Err(Errno::E2BIG) } else { Ok(()) };
        match self.def.map_type {
            MapType::HashOfMaps | MapType::Sockmap | MapType::Sockhash => Ok(()),
            MapType::Xskmap | MapType::ReuseportSockarray if flags > EXIST => Err(Errno::EINVAL),
            MapType::Xskmap => past(),
            MapType::ReuseportSockarray => {
                past()?;
                check_exists(self.get(key).is_some(), flags)
            }
            _ if flags != ANY => Err(Errno::EINVAL),
            _ => past(),
        }
    }

    /// Sets an element.
    pub fn set(&self, key: &[u8], held: Held, flags: u64) -> Result<(), Errno> {
        self.check(key, flags)?;
        check_flags(flags & !LOCK)?;
        let mut live = self.live.write();
        let stored = self.stored(key);
        let known = live.contains_key(&stored);
        if self.by_index() {
            if index(key) >= self.def.max_entries {
                return Err(Errno::E2BIG);
            }
            check_exists(known, flags)?;
        } else {
            check_exists(known, flags)?;
            if !known && live.len() >= self.def.max_entries as usize {
                return Err(Errno::E2BIG);
            }
        }
        let old = live.insert(stored, held);
        // An object may take others with it when it goes, this lock not among them.
        drop(live);
        drop(old);
        Ok(())
    }

    /// The elements, by key in order.
    pub fn all(&self) -> Vec<(Vec<u8>, Held)> {
        self.live.read().iter().map(|(key, held)| (key.clone(), held.clone())).collect()
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
            let by_socket = matches!(self.def.map_type, MapType::Sockmap | MapType::Xskmap);
            return Err(if by_socket { Errno::EINVAL } else { Errno::E2BIG });
        }
        let old = self.live.write().remove(&self.stored(&bytes));
        match (old, self.def.map_type) {
            (Some(_), _) | (None, MapType::Xskmap) => Ok(()),
            (None, MapType::Sockmap) => Err(Errno::EINVAL),
            (None, _) => Err(Errno::ENOENT),
        }
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        match self.def.map_type {
            MapType::PerfEventArray | MapType::CgroupArray => return Err(Errno::ENOTSUPP),
            MapType::Xskmap => return Err(Errno::EOPNOTSUPP),
            // Only a cookie can be told.
            MapType::Sockmap | MapType::Sockhash | MapType::ReuseportSockarray
                if self.def.value_size != 8 =>
            {
                return Err(Errno::ENOSPC);
            }
            _ => {}
        }
        let held = self.get(key).ok_or(Errno::ENOENT)?;
        let len = out.len().min(8);
        out[..len].copy_from_slice(&held.id.to_ne_bytes()[..len]);
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

    fn batch(&self) -> BatchKind {
        match self.def.map_type {
            MapType::ArrayOfMaps => BatchKind::Keys { delete: false, take: false },
            MapType::HashOfMaps => BatchKind::Keys { delete: true, take: true },
            _ => BatchKind::None,
        }
    }
}
