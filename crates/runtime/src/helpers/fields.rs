//! Maps whose values have special fields: locks, timers, pointers, lists and trees.
//!
//! Such fields are never copied in or out. What replaces, deletes or evicts a value frees what its
//! fields own; a new value's fields are empty. The elements themselves are the map's own.

use std::collections::HashSet;
use std::sync::Arc;

use btf::fields::{FieldKind, Record};
use maps::{
    Arena, BatchKind, CgroupStorage, EXIST, HashLayout, LOCK, Layout, Local, NOEXIST, Ops, Part,
    Refs, Ringbuf, StackTrace, StructOps, UserRingbuf, View, is_per_cpu,
};
use parking_lot::Mutex;
use uapi::{Errno, MapDef, MapType};

use super::mem;
use crate::heap::Heap;
use crate::later::Later;

/// What the fields of a map's values own things in.
#[derive(Clone)]
pub(crate) struct Owners {
    pub(crate) heap: Arc<Heap>,
    pub(crate) later: Arc<Later>,
}

/// A map's elements with the rules of their special fields around.
pub(crate) struct Fields {
    inner: Box<dyn Ops>,
    record: Record,
    owners: Owners,
    map_type: MapType,
    key_size: usize,
    value_size: usize,
    cpus: u32,
    /// Changes of elements, one at a time; values of an LRU map, by address.
    change: Mutex<HashSet<u64>>,
}

/// Keys and values, one after the other.
type Rows<'a> = (&'a mut Vec<u8>, &'a mut Vec<u8>);

impl Fields {
    pub(crate) fn new(
        inner: Box<dyn Ops>,
        def: &MapDef,
        record: Record,
        cpus: u32,
        owners: Owners,
    ) -> Fields {
        let cpus = if is_per_cpu(def.map_type) { cpus } else { 1 };
        Fields {
            inner,
            record,
            owners,
            map_type: def.map_type,
            key_size: def.key_size as usize,
            value_size: def.value_size as usize,
            cpus,
            change: Mutex::default(),
        }
    }

    fn is_array(&self) -> bool {
        matches!(self.map_type, MapType::Array | MapType::PercpuArray)
    }

    fn is_lru(&self) -> bool {
        matches!(self.map_type, MapType::LruHash | MapType::LruPercpuHash)
    }

    /// Values are written where they are, and not replaced by others.
    fn in_place(&self) -> bool {
        self.is_array() || is_per_cpu(self.map_type) || self.inner.local().is_some()
    }

    /// Addresses of the copies of a key's value.
    fn values(&self, key: View<'_>) -> Vec<u64> {
        if let Some(local) = self.inner.local() {
            return local.get(key.u64(0)).into_iter().collect();
        }
        (0..self.cpus).filter_map(|cpu| self.inner.lookup(key, cpu)).collect()
    }

    /// Frees what the fields of these values own.
    fn free(&self, values: &[u64]) {
        for &value in values {
            for field in &self.record {
                let at = value + u64::from(field.off);
                match field.kind {
                    FieldKind::Timer | FieldKind::Wq | FieldKind::TaskWork => {
                        self.owners.later.forget(at);
                    }
                    FieldKind::KptrUnref => drop(mem::swap(at, 0)),
                    _ => {}
                }
            }
            self.owners.heap.empty(value, &self.record, |at| mem::swap(at, 0));
        }
    }

    /// `value` without its special fields.
    fn plain(&self, value: &mut [u8]) {
        for copy in value.chunks_mut(self.stride()) {
            for field in &self.record {
                let (start, end) = (field.off as usize, (field.off + field.size) as usize);
                if let Some(bytes) = copy.get_mut(start..end) {
                    bytes.fill(0);
                }
            }
        }
    }

    /// Bytes from one CPU's copy to the next, where user space sees them.
    fn stride(&self) -> usize {
        if is_per_cpu(self.map_type) {
            self.value_size.next_multiple_of(8)
        } else {
            self.value_size.max(1)
        }
    }

    /// Copies what lies between special fields.
    fn overwrite(&self, at: u64, value: &[u8]) {
        let mut from = 0;
        let ends = self.record.iter().map(|f| (f.off as usize, (f.off + f.size) as usize));
        for (start, next) in ends.chain([(self.value_size, self.value_size)]) {
            if let Some(bytes) = value.get(from..start.min(value.len())) {
                mem::write(at + from as u64, bytes);
            }
            from = next;
        }
    }

    /// Updates copies of a value; `user` has all of them, a program its CPU's.
    fn put(&self, key: View<'_>, value: &[u8], flags: u64, cpu: Option<u32>) -> Result<(), Errno> {
        let mut known = self.change.lock();
        let old = self.values(key);
        if flags & LOCK != 0 {
            self.write(key, value, flags, cpu)?;
            // As in Linux, only an array's update lets go what the fields own.
            if self.is_array() {
                self.free(&old);
            }
            return Ok(());
        }
        if self.in_place() && !old.is_empty() {
            match flags {
                NOEXIST => return Err(Errno::EEXIST),
                EXIST.. if flags != EXIST => return Err(Errno::EINVAL),
                _ => {}
            }
            for (n, &at) in old.iter().enumerate() {
                let of = cpu.map_or(n * self.stride(), |_| 0);
                if cpu.is_none_or(|cpu| cpu as usize == n || self.cpus == 1) {
                    self.overwrite(at, value.get(of..).unwrap_or_default());
                    self.free(&[at]);
                }
            }
            return Ok(());
        }
        let mut value = value.to_vec();
        self.plain(&mut value);
        self.write(key, &value, flags, cpu)?;
        let new = self.values(key);
        let gone: Vec<u64> = old.into_iter().filter(|at| !new.contains(at)).collect();
        self.free(&gone);
        gone.iter().for_each(|at| {
            known.remove(at);
        });
        if self.is_lru() {
            known.extend(new);
            self.free_evicted(&mut known);
        }
        Ok(())
    }

    fn write(
        &self,
        key: View<'_>,
        value: &[u8],
        flags: u64,
        cpu: Option<u32>,
    ) -> Result<(), Errno> {
        if let Some(cpu) = cpu {
            return self.inner.update(key, View::from(value), flags, cpu);
        }
        let mut bytes = vec![0; key.len()];
        key.copy_to(&mut bytes);
        self.inner.user_update(&bytes, value, flags)
    }

    /// Frees values that made room for others.
    fn free_evicted(&self, known: &mut HashSet<u64>) {
        if known.len() <= self.inner.live() as usize * self.cpus as usize {
            return;
        }
        let mut there = HashSet::new();
        for cpu in 0..self.cpus {
            let _ = self.inner.for_each(cpu, &mut |_, value| {
                there.insert(value);
                true
            });
        }
        let gone: Vec<u64> = known.difference(&there).copied().collect();
        self.free(&gone);
        *known = there;
    }

    fn remove(
        &self,
        key: View<'_>,
        take: impl FnOnce(&dyn Ops) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut known = self.change.lock();
        let old = self.values(key);
        take(&*self.inner)?;
        self.free(&old);
        old.iter().for_each(|at| {
            known.remove(at);
        });
        Ok(())
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        let mut values = Vec::new();
        for cpu in 0..self.cpus {
            let _ = self.inner.for_each(cpu, &mut |_, value| {
                values.push(value);
                true
            });
        }
        if let Some(local) = self.inner.local() {
            values.extend(local.objects().into_iter().filter_map(|object| local.get(object)));
        }
        self.free(&values);
    }
}

impl Ops for Fields {
    fn lookup(&self, key: View<'_>, cpu: u32) -> Option<u64> {
        self.inner.lookup(key, cpu)
    }

    fn update(&self, key: View<'_>, value: View<'_>, flags: u64, cpu: u32) -> Result<(), Errno> {
        let mut bytes = vec![0; self.value_size];
        value.part(0, self.value_size).copy_to(&mut bytes);
        self.put(key, &bytes, flags, Some(cpu))
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        self.remove(key, |inner| inner.delete(key))
    }

    fn push(&self, value: View<'_>, flags: u64) -> Result<(), Errno> {
        self.inner.push(value, flags)
    }

    fn pop(&self, out: &mut [u8], take: bool) -> Result<(), Errno> {
        self.inner.pop(out, take)
    }

    fn for_each(&self, cpu: u32, visit: &mut dyn FnMut(u64, u64) -> bool) -> Result<u64, Errno> {
        self.inner.for_each(cpu, visit)
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        self.inner.value_at(addr)
    }

    fn direct_value(&self, off: u32) -> Result<u64, Errno> {
        self.inner.direct_value(off)
    }

    fn layout(&self) -> Option<Layout> {
        self.inner.layout()
    }

    /// Memory that others have is not for code that follows links unseen; nor do others keep the
    /// rules of fields, so they get none of it ([`Ops::shared`]).
    fn hash_layout(&self) -> Option<HashLayout> {
        self.inner.hash_layout().filter(|_| self.inner.shared().is_none())
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        self.inner.user_lookup(key, out)?;
        self.plain(out);
        Ok(())
    }

    fn locked_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        self.inner.locked_lookup(key, out)
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.put(View::from(key), value, flags, None)
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        self.inner.next_key(key, next)
    }

    fn take(&self, key: &[u8], out: &mut [u8], locked: bool) -> Result<(), Errno> {
        self.remove(View::from(key), |inner| inner.take(key, out, locked))?;
        self.plain(out);
        Ok(())
    }

    fn batch(&self) -> BatchKind {
        self.inner.batch()
    }

    fn bucket(
        &self,
        bucket: u32,
        room: u32,
        (take, locked): (bool, bool),
        (keys, values): Rows<'_>,
    ) -> Result<u32, Errno> {
        let (first_key, first_value) = (keys.len(), values.len());
        let count = self.inner.bucket(bucket, room, (false, locked), (keys, values))?;
        self.plain(&mut values[first_value..]);
        if take {
            for key in keys[first_key..].chunks_exact(self.key_size.max(1)) {
                // Somebody else may have deleted it meanwhile.
                let _ = self.delete(View::from(key));
            }
        }
        Ok(count)
    }

    fn buckets(&self) -> u32 {
        self.inner.buckets()
    }

    fn refs(&self) -> Option<&Refs> {
        self.inner.refs()
    }

    fn ringbuf(&self) -> Option<&Ringbuf> {
        self.inner.ringbuf()
    }

    fn user_ringbuf(&self) -> Option<&UserRingbuf> {
        self.inner.user_ringbuf()
    }

    fn arena(&self) -> Option<&Arena> {
        self.inner.arena()
    }

    fn local(&self) -> Option<&Local> {
        self.inner.local()
    }

    fn cgroup_storage(&self) -> Option<&CgroupStorage> {
        self.inner.cgroup_storage()
    }

    fn stack_trace(&self) -> Option<&StackTrace> {
        self.inner.stack_trace()
    }

    fn struct_ops(&self) -> Option<&StructOps> {
        self.inner.struct_ops()
    }

    fn parts(&self) -> &[Part] {
        self.inner.parts()
    }

    fn may_map(&self, offset: u64, len: u64, write: bool) -> Result<(), Errno> {
        self.inner.may_map(offset, len, write)
    }

    fn may_write(&self, at: u64) -> bool {
        self.inner.may_write(at)
    }

    fn live(&self) -> u32 {
        self.inner.live()
    }
}
