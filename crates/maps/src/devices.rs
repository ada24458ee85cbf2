//! Device and CPU maps: where redirected packets go.

use uapi::{Errno, MapDef, MapType};

use crate::hash::Hash;
use crate::index::{index, next_index};
use crate::ops::{EXIST, NOEXIST, Ops};
use crate::raw::View;
use crate::special::Special;
use crate::{Env, MapDefExt};

/// Packets that a CPU's queue may hold.
const QUEUE_MAX: u32 = 16384;

/// The elements that are set; values are what user space wrote.
pub(crate) struct Devices {
    set: Hash,
    def: MapDef,
    cpus: u32,
}

impl Devices {
    pub(crate) fn new(def: &MapDef, env: &Env) -> Result<Devices, Errno> {
        if def.is_indexed() {
            env.pointers(def.max_entries)?;
        }
        // Room as elements come: the table grows with what is set.
        let entries = def.max_entries.min(1 << 20);
        let set = MapDef::new(MapType::DevmapHash, def.key_size, def.value_size, entries);
        Ok(Devices {
            set: Hash::new(&set, env, Special::default())?,
            def: def.clone(),
            cpus: env.cpus,
        })
    }

    fn check(&self, key: &[u8], value: &[u8], flags: u64) -> Result<u64, Errno> {
        let first = View::from(value).u32(0);
        if flags > EXIST {
            return Err(Errno::EINVAL);
        }
        if !self.def.is_indexed() {
            // BPF_EXIST is not asked for more than it is: it creates as well.
            let no_device = first == 0;
            return if no_device { Err(Errno::EINVAL) } else { Ok(flags & NOEXIST) };
        }
        if index(key) >= self.def.max_entries {
            return Err(Errno::E2BIG);
        }
        if flags == NOEXIST {
            return Err(Errno::EEXIST);
        }
        if self.def.map_type == MapType::Cpumap {
            if first > QUEUE_MAX {
                return Err(Errno::EOVERFLOW);
            }
            if index(key) >= self.cpus {
                return Err(Errno::ENODEV);
            }
        }
        // All elements exist, so that replacing always works.
        Ok(0)
    }
}

impl Ops for Devices {
    fn lookup(&self, key: View<'_>, cpu: u32) -> Option<u64> {
        self.set.lookup(key, cpu)
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        self.set.value_at(addr)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        if self.def.is_indexed() && key.u32(0) >= self.def.max_entries {
            return Err(Errno::EINVAL);
        }
        match self.set.delete(key) {
            Err(Errno::ENOENT) if self.def.is_indexed() => Ok(()),
            done => done,
        }
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        self.set.user_lookup(key, out)
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let flags = self.check(key, value, flags)?;
        if self.def.is_indexed() && View::from(value).u32(0) == 0 {
            // No interface, no queue: the element is cleared.
            return self.delete(View::from(key));
        }
        self.set.user_update(key, value, flags)
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        if self.def.is_indexed() {
            return next_index(key, self.def.max_entries, next);
        }
        self.set.next_key(key, next)
    }
}
