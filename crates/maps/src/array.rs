//! Arrays and per-CPU arrays: one slab, element after element.

use uapi::{Errno, MapDef, map_flags};

use crate::index::next_index;
use crate::ops::{BatchKind, LOCK, Layout, NOEXIST, Ops, Shared, check_flags};
use crate::raw::{Part, Slab, View};
use crate::special::Special;
use crate::{Env, is_per_cpu};

/// An array; with `copies` values an element, one a CPU.
pub(crate) struct Array {
    slab: Slab,
    max: u32,
    value_size: usize,
    /// Bytes from one CPU's copy to the next.
    stride: usize,
    copies: usize,
    /// Other processes have it too.
    shared: bool,
    /// With BPF_F_MMAPABLE, the file that the elements are in.
    parts: Option<[Part; 1]>,
    special: Special,
}

impl Array {
    /// All elements exist from the start, zeroed.
    pub(crate) fn new(def: &MapDef, env: &Env, special: Special) -> Result<Array, Errno> {
        let copies = if is_per_cpu(def.map_type) { env.cpus as usize } else { 1 };
        let value_size = def.value_size as usize;
        let stride = value_size.next_multiple_of(8);
        let elem = stride.checked_mul(copies).ok_or(Errno::ENOMEM)?;
        let (slab, parts) = match def.flags & map_flags::MMAPABLE {
            0 => (env.slab(elem, def.max_entries as usize)?, None),
            _ => Array::in_a_file(elem, def.max_entries as usize, env)?,
        };
        let shared = env.region.is_some();
        Ok(Array { shared, slab, max: def.max_entries, value_size, stride, copies, parts, special })
    }

    /// Elements in whole pages of a file.
    fn in_a_file(elem: usize, max: usize, env: &Env) -> Result<(Slab, Option<[Part; 1]>), Errno> {
        let len = elem.checked_mul(max).and_then(|len| len.checked_next_multiple_of(4096));
        let len = len.filter(|len| *len as u64 <= env.mem_limit).ok_or(Errno::ENOMEM)?;
        if let Some(region) = &env.region {
            let slab = Slab::in_region(region, len)?;
            let (file, file_off) = slab.file().ok_or(Errno::ENOMEM)?;
            let file = file.map_err(|_| Errno::ENOMEM)?;
            return Ok((slab, Some([Part { at: 0, len: len as u64, file, file_off }])));
        }
        let parts = [Part { at: 0, len: len as u64, file: Slab::memfd(len)?, file_off: 0 }];
        Ok((Slab::of(&parts, len)?, Some(parts)))
    }

    /// Bytes of a copy in user layout.
    fn user_stride(&self) -> usize {
        if self.copies == 1 { self.value_size } else { self.stride }
    }

    fn elem(&self, index: u32) -> usize {
        index as usize * self.stride * self.copies
    }

    fn copy(&self, index: u32, cpu: u32) -> usize {
        let cpu = if self.copies == 1 { 0 } else { cpu as usize };
        debug_assert!(cpu < self.copies);
        self.elem(index) + cpu.min(self.copies - 1) * self.stride
    }

    fn writable(&self, key: View<'_>, flags: u64) -> Result<u32, Errno> {
        check_flags(flags)?;
        if flags & LOCK != 0 && self.special.lock.is_none() {
            return Err(Errno::EINVAL);
        }
        match key.u32(0) {
            index if index >= self.max => Err(Errno::E2BIG),
            _ if flags & NOEXIST != 0 => Err(Errno::EEXIST),
            index => Ok(index),
        }
    }

    /// Copies a value in, under its lock if asked; what its fields held goes.
    fn set(&self, off: usize, value: View<'_>, flags: u64) {
        if self.special.is_empty() {
            return self.slab.write(off, value);
        }
        let held = if flags & LOCK != 0 { self.special.hold(&self.slab, off) } else { None };
        self.special.write(&self.slab, off, value);
        drop(held);
        self.special.let_go(&self.slab, off);
    }
}

impl Ops for Array {
    fn lookup(&self, key: View<'_>, cpu: u32) -> Option<u64> {
        let index = key.u32(0);
        (index < self.max).then(|| self.slab.addr(self.copy(index, cpu)))
    }

    fn update(&self, key: View<'_>, value: View<'_>, flags: u64, cpu: u32) -> Result<(), Errno> {
        let index = self.writable(key, flags)?;
        self.set(self.copy(index, cpu), value.part(0, self.value_size), flags);
        Ok(())
    }

    fn delete(&self, _: View<'_>) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn for_each(&self, cpu: u32, visit: &mut dyn FnMut(u64, u64) -> bool) -> Result<u64, Errno> {
        let key = Slab::new(8)?;
        for index in 0..self.max {
            key.write(0, View::from(&index.to_ne_bytes()[..]));
            if !visit(key.addr(0), self.slab.addr(self.copy(index, cpu))) {
                return Ok(u64::from(index) + 1);
            }
        }
        Ok(u64::from(self.max))
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let off = self.slab.offset(addr)?;
        let start = self.slab.addr(off - off % self.stride);
        Some((start, start + self.value_size as u64))
    }

    fn direct_value(&self, off: u32) -> Result<u64, Errno> {
        if self.max != 1 || self.copies != 1 {
            return Err(Errno::ENOTSUPP);
        }
        if off as usize >= self.value_size {
            return Err(Errno::EINVAL);
        }
        Ok(self.slab.addr(off as usize))
    }

    fn layout(&self) -> Option<Layout> {
        Some(Layout {
            values: self.slab.addr(0),
            stride: self.stride * self.copies,
            len: self.max,
            cpu_stride: if self.copies == 1 { 0 } else { self.stride },
        })
    }

    fn shared(&self) -> Option<Shared> {
        let layout = self.layout().filter(|_| self.shared)?;
        Some(Shared::Array { layout, value_size: self.value_size as u32 })
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let index = View::from(key).u32(0);
        if index >= self.max {
            return Err(Errno::ENOENT);
        }
        for (n, copy) in out.chunks_mut(self.user_stride()).enumerate() {
            self.special.read(&self.slab, self.elem(index) + n * self.stride, copy);
        }
        Ok(())
    }

    fn locked_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let index = View::from(key).u32(0);
        if index >= self.max {
            return Err(Errno::ENOENT);
        }
        let _held = self.special.hold(&self.slab, self.elem(index)).ok_or(Errno::EINVAL)?;
        self.special.read(&self.slab, self.elem(index), out);
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let index = self.writable(View::from(key), flags)?;
        for (n, copy) in value.chunks(self.user_stride()).enumerate() {
            self.set(self.elem(index) + n * self.stride, View::from(copy), flags);
        }
        Ok(())
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        next_index(key, self.max, next)
    }

    fn parts(&self) -> &[Part] {
        self.parts.as_ref().map_or(&[], |parts| parts)
    }

    fn may_map(&self, offset: u64, len: u64, _: bool) -> Result<(), Errno> {
        if self.copies != 1 {
            return Err(Errno::ENOTSUPP);
        }
        let end = offset.checked_add(len).ok_or(Errno::EINVAL)?;
        let fits = self.parts().first().is_some_and(|part| end <= part.len);
        if fits { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn batch(&self) -> BatchKind {
        BatchKind::Keys { delete: false, take: false }
    }
}
