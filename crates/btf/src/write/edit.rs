//! Changing types in place: what a loader fixes up before it hands BTF to the kernel.

use crate::blob::{HEAD_LEN, word};
use crate::kind::{Kind, Linkage};
use crate::ty::{SecInfo, TypeId};

use super::BtfBuilder;
use super::add::invalid;

impl BtfBuilder {
    /// Sets the size in bytes of a type that carries one.
    pub fn set_size(&mut self, id: TypeId, size: u32) {
        self.edit(id, Kind::has_size, 8, size);
    }

    /// Sets the type a type refers to (pointee, aliased type, prototype, return type).
    pub fn set_target(&mut self, id: TypeId, target: TypeId) {
        self.edit(id, Kind::has_type_ref, 8, target.0);
    }

    /// Renames a type.
    pub fn set_name(&mut self, id: TypeId, name: &str) {
        let name_off = self.string(name);
        self.edit(id, |_| true, 0, name_off);
    }

    /// Sets a function's linkage.
    pub fn set_func_linkage(&mut self, id: TypeId, linkage: Linkage) {
        let info = (Kind::Func as u32) << 24 | linkage as u32;
        self.edit(id, |kind| kind == Kind::Func, 4, info);
    }

    /// Sets a variable's linkage.
    pub fn set_var_linkage(&mut self, id: TypeId, linkage: Linkage) {
        self.edit(id, |kind| kind == Kind::Var, HEAD_LEN, linkage as u32);
    }

    /// Renames parameter `index` of a prototype.
    pub fn set_param_name(&mut self, id: TypeId, index: u32, name: &str) {
        let name_off = self.string(name);
        let at = entry(index, 8);
        self.edit_entry(id, Kind::FuncProto, index, at, name_off);
    }

    /// Sets the variable, offset and size of entry `index` of a data section.
    pub fn set_sec_info(&mut self, id: TypeId, index: u32, info: SecInfo) {
        let at = entry(index, 12);
        for (place, value) in [(0, info.type_id.0), (4, info.offset), (8, info.size)] {
            self.edit_entry(id, Kind::Datasec, index, at.saturating_add(place), value);
        }
    }

    /// Sorts a data section's entries by offset, as the kernel requires.
    pub fn sort_datasec(&mut self, id: TypeId) {
        let Some((start, Kind::Datasec, vlen)) = self.find(id) else {
            self.fail(invalid(id, "is not a data section"));
            return;
        };
        let from = start + HEAD_LEN as usize;
        let Some(records) = self.types.get_mut(from..from + vlen as usize * 12) else { return };
        let mut sorted: Vec<&[u8]> = records.chunks_exact(12).collect();
        sorted.sort_by_key(|record| word(record, 4));
        let sorted = sorted.concat();
        records.copy_from_slice(&sorted);
    }

    fn edit_entry(&mut self, id: TypeId, kind: Kind, index: u32, at: u32, value: u32) {
        match self.find(id) {
            Some((_, found, vlen)) if found == kind && index < vlen => {
                self.edit(id, |_| true, at, value);
            }
            _ => self.fail(invalid(id, "no such entry to change")),
        }
    }

    /// Overwrites the word `at` bytes into a type's record.
    fn edit(&mut self, id: TypeId, allowed: impl Fn(Kind) -> bool, at: u32, value: u32) {
        let place = match self.find(id) {
            Some((start, kind, _)) if allowed(kind) => start + at as usize,
            Some(_) => return self.fail(invalid(id, "kind has no such field to change")),
            None => return self.fail(invalid(id, "is not an own type of this object")),
        };
        match self.types.get_mut(place..place + 4) {
            Some(bytes) => bytes.copy_from_slice(&value.to_le_bytes()),
            None => self.fail(invalid(id, "record is too short for this change")),
        }
    }

    /// Start, kind and vlen of an own type.
    fn find(&self, id: TypeId) -> Option<(usize, Kind, u32)> {
        let index = id.0.checked_sub(self.first_id)?;
        let start = *self.offsets.get(index as usize)? as usize;
        let info = word(&self.types, start + 4)?;
        Some((start, Kind::from_number((info >> 24) & 0x1f)?, info & 0xffff))
    }
}

/// Offset in a record of entry `index` of `step` bytes.
fn entry(index: u32, step: u32) -> u32 {
    HEAD_LEN.saturating_add(index.saturating_mul(step))
}
