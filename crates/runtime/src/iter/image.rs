//! The kernel's structures as programs read them: laid out by the kernel's own types.

use std::collections::HashMap;
use std::sync::Arc;

use btf::{Btf, Kind, TypeId};
use maps::View;
use maps::raw::Slab;
use uapi::Errno;

/// Room for the structures of one object in bytes: a `task_struct` is about ten thousand.
const SIZE: usize = 256 << 10;
const ALIGN: usize = 64;

/// A structure in the image.
pub(super) struct Object {
    pub(super) addr: u64,
    ty: TypeId,
}

/// Memory for structures, used again for each object.
pub(super) struct Image {
    btf: Arc<Btf>,
    slab: Slab,
    used: usize,
    /// Where an element's value is, which programs may change.
    value: (u64, u64),
    /// Type and size of a structure, by name.
    types: HashMap<&'static str, (TypeId, usize)>,
    /// Offset of a member, by structure and name.
    members: HashMap<(TypeId, &'static str), Option<usize>>,
}

impl Image {
    pub(super) fn new(btf: Arc<Btf>) -> Result<Image, Errno> {
        let slab = Slab::new(SIZE)?;
        Ok(Image {
            btf,
            slab,
            used: 0,
            value: (0, 0),
            types: HashMap::new(),
            members: HashMap::new(),
        })
    }

    /// Forgets all objects.
    pub(super) fn reset(&mut self) {
        self.slab.zero(0, self.used);
        self.used = 0;
        self.value = (0, 0);
    }

    /// An object of this structure, zero so far.
    pub(super) fn object(&mut self, name: &'static str) -> Result<Object, Errno> {
        let (ty, size) = match self.types.get(name) {
            Some(known) => *known,
            None => {
                let ty = self.btf.find_by_name(name, Kind::Struct).ok_or(Errno::ENOENT)?;
                let size = self.btf.size_of(ty).map_err(|_| Errno::ENOENT)? as usize;
                self.types.insert(name, (ty, size));
                (ty, size)
            }
        };
        let at = self.take(size)?;
        Ok(Object { addr: self.slab.addr(at), ty })
    }

    /// The address of a copy of these bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<u64, Errno> {
        let at = self.take(bytes.len())?;
        self.slab.write(at, View::from(bytes));
        Ok(self.slab.addr(at))
    }

    /// The same for an element's value.
    pub(super) fn value(&mut self, bytes: &[u8]) -> Result<u64, Errno> {
        let at = self.bytes(bytes)?;
        self.value = (at, at + bytes.len() as u64);
        Ok(at)
    }

    /// Whether the address is in the value.
    pub(super) fn is_value(&self, addr: u64) -> bool {
        (self.value.0..self.value.1).contains(&addr)
    }

    fn take(&mut self, size: usize) -> Result<usize, Errno> {
        let at = self.used;
        let end = at + size.max(1).next_multiple_of(ALIGN);
        if end > self.slab.len() {
            return Err(Errno::E2BIG);
        }
        self.used = end;
        Ok(at)
    }

    /// Fills a member, if this kernel's structure has one of that name.
    pub(super) fn put(&mut self, object: &Object, member: &'static str, bytes: &[u8]) {
        let btf = &self.btf;
        let found = *self
            .members
            .entry((object.ty, member))
            .or_insert_with(|| offset(btf, object.ty, member, 0));
        let start = self.slab.offset(object.addr);
        if let (Some(off), Some(start)) = (found, start)
            && start + off + bytes.len() <= self.used
        {
            self.slab.write(start + off, View::from(bytes));
        }
    }

    /// The stretch of memory around an address.
    pub(super) fn around(&self, addr: u64) -> Option<(u64, u64)> {
        if self.is_value(addr) {
            return Some(self.value);
        }
        let start = self.slab.addr(0);
        let end = start + self.used as u64;
        (start..end).contains(&addr).then_some((start, end))
    }

    /// Copies bytes at an address, as many as there are.
    pub(super) fn read(&self, addr: u64, out: &mut [u8]) -> usize {
        let (Some((_, end)), Some(at)) = (self.around(addr), self.slab.offset(addr)) else {
            return 0;
        };
        let len = out.len().min((end - addr) as usize);
        self.slab.read(at, &mut out[..len]);
        len
    }
}

/// Structures in structures that a member is looked for in.
const MAX_DEPTH: u32 = 4;

pub(super) fn offset(btf: &Btf, ty: TypeId, name: &str, depth: u32) -> Option<usize> {
    let ty = btf.resolved(ty)?;
    if depth == MAX_DEPTH || !matches!(ty.kind, Kind::Struct | Kind::Union) {
        return None;
    }
    ty.members().find_map(|member| {
        let at = member.bit_offset as usize / 8;
        if member.name == name {
            return Some(at);
        }
        let inside = member.name.is_empty().then(|| offset(btf, member.type_id, name, depth + 1));
        inside.flatten().map(|off| at + off)
    })
}
