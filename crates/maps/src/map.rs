//! A map: its attributes, its elements, and the user's commands on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;
use uapi::{Errno, MapDef, MapType, map_flags};

use crate::arena::Arena;
use crate::array::Array;
use crate::batch::zeroes;
use crate::bloom::Bloom;
use crate::cgroup_storage::CgroupStorage;
use crate::check::check;
use crate::devices::Devices;
use crate::hash::Hash;
use crate::local::{self, Local};
use crate::lpm::Lpm;
use crate::memlock::memlock;
use crate::ops::{LOCK, Ops};
use crate::queue::Queue;
use crate::raw::{Hold, Mapping, Part, Region, Slab, View};
use crate::refs::{Held, Refs};
use crate::ringbuf::Ringbuf;
use crate::special::Special;
use crate::stack_trace::StackTrace;
use crate::struct_ops::StructOps;
use crate::user_ringbuf::UserRingbuf;
use crate::user_value_size;

/// What a map takes from its surroundings.
#[derive(Clone, Debug)]
pub struct Env {
    /// Logical CPUs, at least 1.
    pub cpus: u32,
    /// Bytes that one map may take; more is ENOMEM.
    pub mem_limit: u64,
    /// Seed of hashes.
    pub seed: u32,
    /// Where elements are put, if other processes are to have them too.
    pub region: Option<Arc<Region>>,
}

impl Env {
    /// The machine's memory as limit.
    pub fn new(cpus: u32, seed: u32) -> Env {
        let info = rustix::system::sysinfo();
        let mem_limit = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
        Env { cpus: cpus.max(1), mem_limit, seed, region: None }
    }

    /// ENOMEM if Linux had no room for a pointer an element.
    pub(crate) fn pointers(&self, elements: u32) -> Result<(), Errno> {
        let bytes = u64::from(elements) * 8;
        if bytes > self.mem_limit { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Zeroed memory for `count` elements of `size` bytes.
    pub fn slab(&self, size: usize, count: usize) -> Result<Slab, Errno> {
        let len = size.checked_mul(count).ok_or(Errno::ENOMEM)?;
        if len as u64 > self.mem_limit {
            return Err(Errno::ENOMEM);
        }
        match &self.region {
            Some(region) => Slab::in_region(region, len),
            None => Slab::new(len),
        }
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
    /// Values have a spin lock, or any special field.
    locks: bool,
    has_fields: bool,
    frozen: AtomicBool,
    /// Freezing and mapping, one at a time.
    mapped: Mutex<()>,
    /// Held by each mapping for writing, and here.
    writers: Arc<()>,
    /// Its memory has been given away for writing.
    lent: AtomicBool,
    ops: Box<dyn Ops>,
}

impl Map {
    /// BPF_MAP_CREATE, descriptors and BTF aside.
    pub fn create(def: &MapDef, env: &Env) -> Result<Map, Errno> {
        Map::with_fields(def, env, Special::default())
    }

    /// The same, with values that have special fields.
    pub fn with_fields(def: &MapDef, env: &Env, special: Special) -> Result<Map, Errno> {
        let def = check(def, env)?;
        let (locks, has_fields) = (special.lock.is_some(), !special.is_empty());
        let ops: Box<dyn Ops> = match def.map_type {
            MapType::Array | MapType::PercpuArray => Box::new(Array::new(&def, env, special)?),
            MapType::Hash | MapType::PercpuHash | MapType::LruHash | MapType::LruPercpuHash => {
                Box::new(Hash::new(&def, env, special)?)
            }
            MapType::Queue | MapType::Stack => Box::new(Queue::new(&def, env)?),
            MapType::ProgArray
            | MapType::ArrayOfMaps
            | MapType::HashOfMaps
            | MapType::PerfEventArray
            | MapType::CgroupArray
            | MapType::Sockmap
            | MapType::Sockhash
            | MapType::Xskmap
            | MapType::ReuseportSockarray => Box::new(Refs::new(&def, env)?),
            MapType::Devmap | MapType::DevmapHash | MapType::Cpumap => {
                Box::new(Devices::new(&def, env)?)
            }
            MapType::BloomFilter => Box::new(Bloom::new(&def, env)?),
            MapType::Ringbuf => Box::new(Ringbuf::new(&def, env)?),
            MapType::UserRingbuf => Box::new(UserRingbuf::new(&def, env)?),
            MapType::Arena => Box::new(Arena::new(&def, env)?),
            MapType::LpmTrie => Box::new(Lpm::new(&def)?),
            MapType::StackTrace => Box::new(StackTrace::new(&def, env)?),
            MapType::SkStorage
            | MapType::InodeStorage
            | MapType::TaskStorage
            | MapType::CgrpStorage => Box::new(Local::new(&def, special)),
            MapType::CgroupStorage | MapType::PercpuCgroupStorage => {
                Box::new(CgroupStorage::new(&def, env))
            }
            MapType::StructOps => Box::new(StructOps::new(&def)?),
        };
        Ok(Map {
            def,
            cpus: env.cpus,
            locks,
            has_fields,
            frozen: AtomicBool::new(false),
            mapped: Mutex::default(),
            writers: Arc::default(),
            lent: AtomicBool::new(false),
            ops,
        })
    }

    /// The map with other operations around its own.
    #[must_use]
    pub fn wrapped(self, around: impl FnOnce(Box<dyn Ops>) -> Box<dyn Ops>) -> Map {
        Map { ops: around(self.ops), ..self }
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

    /// EINVAL for BPF_F_LOCK on values without a spin lock.
    pub(crate) fn may_lock(&self, flags: u64) -> Result<(), Errno> {
        if flags & LOCK != 0 && !self.locks { Err(Errno::EINVAL) } else { Ok(()) }
    }

    pub(crate) fn key<'k>(&self, key: &'k [u8]) -> Result<&'k [u8], Errno> {
        let size = match self.ops.local() {
            // The object's number, in the place of a descriptor.
            Some(_) => local::KEY,
            None => self.def.key_size as usize,
        };
        if size == 0 && !key.is_empty() {
            return Err(Errno::EINVAL);
        }
        key.get(..size).ok_or(Errno::EFAULT)
    }

    fn value<'v>(&self, value: &'v [u8]) -> Result<&'v [u8], Errno> {
        value.get(..self.user_value_size()).ok_or(Errno::EFAULT)
    }

    /// Reads a value into `out`; EFAULT only after whatever else is wrong.
    fn read(
        &self,
        out: &mut [u8],
        read: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let size = self.user_value_size();
        match out.get_mut(..size) {
            Some(out) => read(out),
            None => read(&mut zeroes(size)?).and(Err(Errno::EFAULT)),
        }
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
        self.may_lock(flags)?;
        let key = self.key(key)?;
        if self.is_queue() {
            return self.read(out, |out| self.ops.pop(out, false));
        }
        if flags & LOCK != 0 {
            return self.read(out, |out| self.ops.locked_lookup(key, out));
        }
        self.read(out, |out| self.ops.user_lookup(key, out))
    }

    /// BPF_MAP_UPDATE_ELEM.
    pub fn update(&self, perms: Perms, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.allow(perms, false, true)?;
        self.may_lock(flags)?;
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
        self.may_lock(flags)?;
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
        self.may_lock(flags)?;
        let key = self.key(key)?;
        if self.is_queue() {
            return self.read(out, |out| self.ops.pop(out, true));
        }
        self.read(out, |out| self.ops.take(key, out, flags & LOCK != 0))
    }

    /// BPF_MAP_FREEZE; EBUSY while it is mapped for writing.
    pub fn freeze(&self, perms: Perms) -> Result<(), Errno> {
        if self.has_fields || self.ops.struct_ops().is_some() {
            return Err(Errno::ENOTSUPP);
        }
        let _lock = self.mapped.lock();
        self.allow(perms, false, true)?;
        if Arc::strong_count(&self.writers) > 1 || self.lent.load(Relaxed) {
            return Err(Errno::EBUSY);
        }
        self.frozen.store(true, Relaxed);
        Ok(())
    }

    /// mmap(2) of its memory, shared: ENOTSUPP for types without, EPERM for writing what is
    /// frozen, EACCES for what programs may only read; bytes count in whole pages.
    pub fn mmap(
        &self,
        perms: Perms,
        offset: u64,
        len: usize,
        write: bool,
    ) -> Result<Mapping, Errno> {
        let (len, hold) = self.hold(perms, offset, len, write)?;
        Mapping::parts(self.ops.parts(), offset, len, write, hold)
    }

    /// The same for another process: what it maps by [`Mapping::parts`], and what counts as mapped
    /// while this process holds it.
    pub fn lend(
        &self,
        perms: Perms,
        offset: u64,
        len: usize,
        write: bool,
    ) -> Result<(Vec<Part>, Hold), Errno> {
        let (len, hold) = self.hold(perms, offset, len, write)?;
        let end = offset.saturating_add(len as u64);
        let parts = self.ops.parts().iter();
        let parts = parts.filter(|part| part.at < end && offset < part.at + part.len);
        let lent = parts.map(|part| part.lend(write).map_err(|_| Errno::ENOMEM));
        Ok((lent.collect::<Result<_, _>>()?, hold))
    }

    /// Bytes in whole pages, and what counts as mapped.
    fn hold(
        &self,
        perms: Perms,
        offset: u64,
        len: usize,
        write: bool,
    ) -> Result<(usize, Hold), Errno> {
        let len =
            len.checked_next_multiple_of(4096).filter(|len| *len != 0).ok_or(Errno::EINVAL)?;
        let _lock = self.mapped.lock();
        self.may_map(perms, offset, len as u64, write)?;
        // As on Linux, an arena once mapped never counts as let go.
        self.lent.fetch_or(write && self.ops.arena().is_some(), Relaxed);
        let hold: Hold = if write { Some(self.writers.clone()) } else { None };
        Ok((len, hold))
    }

    fn may_map(&self, perms: Perms, offset: u64, len: u64, write: bool) -> Result<(), Errno> {
        if !perms.read || (write && !perms.write) {
            return Err(Errno::EACCES);
        }
        let none = self.ops.parts().is_empty() && self.def.map_type != MapType::Array;
        if none || self.has_fields {
            return Err(Errno::ENOTSUPP);
        }
        if write && self.is_frozen() {
            return Err(Errno::EPERM);
        }
        if write && self.def.flags & map_flags::RDONLY_PROG != 0 {
            return Err(Errno::EACCES);
        }
        self.ops.may_map(offset, len, write)
    }

    /// Its memory as files, for another process to map; empty for types without. Once it has been
    /// lent for writing it cannot be frozen.
    pub fn memory(&self, perms: Perms) -> Result<Vec<Part>, Errno> {
        if !perms.read {
            return Err(Errno::EACCES);
        }
        let _lock = self.mapped.lock();
        let write =
            perms.write && !self.is_frozen() && self.def.flags & map_flags::RDONLY_PROG == 0;
        let lend = |part: &Part| {
            let may = write && self.ops.may_write(part.at);
            part.lend(may).map_err(|_| Errno::ENOMEM)
        };
        self.lent.fetch_or(write && !self.ops.parts().is_empty(), Relaxed);
        self.ops.parts().iter().map(lend).collect()
    }
}
