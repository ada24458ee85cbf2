//! A map: its attributes, its elements, and the user's commands on it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use uapi::{Errno, MapDef, MapType};

use crate::array::Array;
use crate::bloom::Bloom;
use crate::check::check;
use crate::devices::Devices;
use crate::empty::Empty;
use crate::hash::Hash;
use crate::lpm::Lpm;
use crate::memlock::memlock;
use crate::ops::{LOCK, Ops};
use crate::queue::Queue;
use crate::raw::{Slab, View};
use crate::refs::{Held, Refs};
use crate::ringbuf::Ringbuf;
use crate::user_value_size;

/// What a map takes from its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    /// Logical CPUs, at least 1.
    pub cpus: u32,
    /// Bytes that one map may take; more is ENOMEM.
    pub mem_limit: u64,
    /// Seed of hashes.
    pub seed: u32,
}

impl Env {
    /// The machine's memory as limit.
    pub fn new(cpus: u32, seed: u32) -> Env {
        let info = rustix::system::sysinfo();
        let mem_limit = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
        Env { cpus: cpus.max(1), mem_limit, seed }
    }

    /// ENOMEM if Linux had no room for a pointer an element.
    pub(crate) fn pointers(&self, elements: u32) -> Result<(), Errno> {
        let bytes = u64::from(elements) * 8;
        if bytes > self.mem_limit { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Zeroed memory for `count` elements of `size` bytes.
    pub fn slab(&self, size: usize, count: usize) -> Result<Slab, Errno> {
        let len = size.checked_mul(count).ok_or(Errno::ENOMEM)?;
        if len as u64 > self.mem_limit { Err(Errno::ENOMEM) } else { Slab::new(len) }
    }
}

/// Questions that attributes answer.
pub(crate) trait MapDefExt {
    /// Keys are indexes below `max_entries`.
    fn is_indexed(&self) -> bool;
}

impl MapDefExt for MapDef {
    fn is_indexed(&self) -> bool {
        matches!(self.map_type, MapType::Devmap | MapType::Cpumap)
    }
}

/// How a descriptor was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perms {
    /// Lookups are allowed.
    pub read: bool,
    /// Changes are allowed.
    pub write: bool,
}

/// A map.
pub struct Map {
    def: MapDef,
    cpus: u32,
    frozen: AtomicBool,
    ops: Box<dyn Ops>,
}

impl Map {
    /// BPF_MAP_CREATE, descriptors and BTF aside.
    pub fn create(def: &MapDef, env: &Env) -> Result<Map, Errno> {
        let def = check(def, env)?;
        let ops: Box<dyn Ops> = match def.map_type {
            MapType::Array | MapType::PercpuArray => Box::new(Array::new(&def, env)?),
            MapType::Hash | MapType::PercpuHash | MapType::LruHash | MapType::LruPercpuHash => {
                Box::new(Hash::new(&def, env)?)
            }
            MapType::Queue | MapType::Stack => Box::new(Queue::new(&def, env)?),
            MapType::ProgArray
            | MapType::ArrayOfMaps
            | MapType::HashOfMaps
            | MapType::PerfEventArray
            | MapType::CgroupArray => Box::new(Refs::new(&def, env)?),
            MapType::Devmap | MapType::DevmapHash | MapType::Cpumap => {
                Box::new(Devices::new(&def, env)?)
            }
            MapType::BloomFilter => Box::new(Bloom::new(&def, env)?),
            MapType::Ringbuf => Box::new(Ringbuf::new(&def, env)?),
            MapType::LpmTrie => Box::new(Lpm::new(&def)),
            MapType::StructOps => return Err(Errno::ENOTSUPP),
            _ => Box::new(Empty::new(&def)),
        };
        Ok(Map { def, cpus: env.cpus, frozen: AtomicBool::new(false), ops })
    }

    /// The attributes, as the map has them.
    pub fn def(&self) -> &MapDef {
        &self.def
    }

    /// The elements, for programs.
    pub fn ops(&self) -> &dyn Ops {
        &*self.ops
    }

    /// Bytes of a value in user layout.
    pub fn user_value_size(&self) -> usize {
        user_value_size(&self.def, self.cpus)
    }

    /// Bytes that Linux charges for it.
    pub fn memlock(&self) -> u64 {
        memlock(&self.def, self.cpus, self.ops.live())
    }

    /// User space can no longer write it.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Relaxed)
    }

    /// What a descriptor opened with `perms` may still do.
    pub(crate) fn allow(&self, perms: Perms, read: bool, write: bool) -> Result<(), Errno> {
        let writes = perms.write && !self.is_frozen();
        if (read && !perms.read) || (write && !writes) { Err(Errno::EPERM) } else { Ok(()) }
    }

    fn is_queue(&self) -> bool {
        matches!(self.def.map_type, MapType::Queue | MapType::Stack | MapType::BloomFilter)
    }

    /// No map has a spin lock that user space may ask for.
    fn no_lock(flags: u64) -> Result<(), Errno> {
        if flags & LOCK != 0 { Err(Errno::EINVAL) } else { Ok(()) }
    }

    pub(crate) fn key<'k>(&self, key: &'k [u8]) -> Result<&'k [u8], Errno> {
        key.get(..self.def.key_size as usize).ok_or(Errno::EFAULT)
    }

    fn value<'v>(&self, value: &'v [u8]) -> Result<&'v [u8], Errno> {
        value.get(..self.user_value_size()).ok_or(Errno::EFAULT)
    }

    fn room<'v>(&self, value: &'v mut [u8]) -> Result<&'v mut [u8], Errno> {
        value.get_mut(..self.user_value_size()).ok_or(Errno::EFAULT)
    }

    /// BPF_MAP_LOOKUP_ELEM.
    pub fn lookup(
        &self,
        perms: Perms,
        key: &[u8],
        out: &mut [u8],
        flags: u64,
    ) -> Result<(), Errno> {
        if flags & !LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.allow(perms, true, false)?;
        Self::no_lock(flags)?;
        let key = self.key(key)?;
        if self.is_queue() {
            return self.ops.pop(self.room(out)?, false);
        }
        self.ops.user_lookup(key, self.room(out)?)
    }

    /// BPF_MAP_UPDATE_ELEM.
    pub fn update(&self, perms: Perms, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.allow(perms, false, true)?;
        Self::no_lock(flags)?;
        let (key, value) = (self.key(key)?, self.value(value)?);
        if self.is_queue() {
            return self.ops.push(View::from(value), flags);
        }
        self.ops.user_update(key, value, flags)
    }

    /// BPF_MAP_UPDATE_ELEM of a map of objects; `object` turns the descriptor in the value into
    /// what it stands for, and is asked last.
    pub fn update_ref(
        &self,
        perms: Perms,
        key: &[u8],
        flags: u64,
        object: impl FnOnce() -> Result<Held, Errno>,
    ) -> Result<(), Errno> {
        self.allow(perms, false, true)?;
        Self::no_lock(flags)?;
        let key = self.key(key)?;
        let refs = self.ops.refs().ok_or(Errno::EINVAL)?;
        refs.check(key, flags)?;
        refs.set(key, object()?, flags)
    }

    /// BPF_MAP_DELETE_ELEM.
    pub fn delete(&self, perms: Perms, key: &[u8]) -> Result<(), Errno> {
        self.allow(perms, false, true)?;
        self.ops.delete(View::from(self.key(key)?))
    }

    /// BPF_MAP_GET_NEXT_KEY.
    pub fn next_key(&self, perms: Perms, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        self.allow(perms, true, false)?;
        let key = key.map(|k| self.key(k)).transpose()?;
        let next = next.get_mut(..self.def.key_size as usize).ok_or(Errno::EFAULT)?;
        self.ops.next_key(key, next)
    }

    /// BPF_MAP_LOOKUP_AND_DELETE_ELEM.
    pub fn take(&self, perms: Perms, key: &[u8], out: &mut [u8], flags: u64) -> Result<(), Errno> {
        if flags & !LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.allow(perms, true, true)?;
        Self::no_lock(flags)?;
        let key = self.key(key)?;
        if self.is_queue() {
            return self.ops.pop(self.room(out)?, true);
        }
        self.ops.take(key, self.room(out)?)
    }

    /// BPF_MAP_FREEZE.
    pub fn freeze(&self, perms: Perms) -> Result<(), Errno> {
        if self.def.map_type == MapType::Arena {
            // Its mapping counts as a writer.
            return Err(Errno::EBUSY);
        }
        self.allow(perms, false, true)?;
        self.frozen.store(true, Relaxed);
        Ok(())
    }
}
