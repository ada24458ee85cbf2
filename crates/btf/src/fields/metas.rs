//! The special fields of all structures that programs may allocate.

use std::collections::BTreeMap;

use super::find::{E2BIG, EINVAL, Search, Tags, fault, pointer};
use super::record::{Field, FieldKind, Record};
use super::{ALLOCATED, Kinds};
use crate::blob::Btf;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Type, TypeId};

const EFAULT: i32 = 14;
const ELOOP: i32 = 40;

/// How long a chain of objects that own the next may be (`BTF_MAX_OWNERSHIP_DEPTH`).
const MAX_OWNERSHIP: u32 = 8;
/// Bytes of a page: a `uptr`'s structure lies in one.
const PAGE: u32 = 4096;

/// Members of these types make a structure one with special fields.
const MARKS: &[&str] = &[
    "bpf_spin_lock",
    "bpf_list_head",
    "bpf_list_node",
    "bpf_rb_root",
    "bpf_rb_node",
    "bpf_refcount",
];

/// The records of a program's structures, by type id.
#[derive(Debug, Clone, Default)]
pub struct StructMetas {
    records: BTreeMap<TypeId, Record>,
}

impl StructMetas {
    /// Those of a program's BTF; the error is the one that BTF_LOAD gives.
    pub fn parse(btf: &Btf, kernel: Option<&Btf>) -> Result<StructMetas, BtfError> {
        let marks = marks(btf);
        let mut metas = StructMetas::default();
        if marks.is_empty() {
            return Ok(metas);
        }
        let tags = Tags::new(btf);
        let marked = |t: &Type<'_>| {
            t.kind == Kind::Struct && t.members().any(|m| marks.binary_search(&m.type_id).is_ok())
        };
        for ty in btf.own_types().filter(marked) {
            let record = Search::new(btf, kernel, &tags, ALLOCATED).run(&ty, ty.size_or_type)?;
            if record.is_empty() {
                return Err(fault(&ty, EFAULT, "its special fields are not as they should be"));
            }
            metas.records.insert(ty.id, record);
        }
        for record in metas.records.values() {
            metas.check(btf, record)?;
        }
        let mut depths = BTreeMap::new();
        for id in metas.records.keys() {
            metas.depth(btf, *id, MAX_OWNERSHIP, &mut depths)?;
        }
        Ok(metas)
    }

    /// The record of a structure that has special fields.
    #[must_use]
    pub fn get(&self, id: TypeId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// What a record refers to must be there and fit (`btf_check_and_fixup_fields`).
    pub fn check(&self, btf: &Btf, record: &Record) -> Result<(), BtfError> {
        for field in record {
            if field.kind == FieldKind::Uptr {
                check_uptr(btf, field)?;
            }
            if let Some((value, _)) = field.contains() {
                self.get(value).ok_or_else(|| about(btf, value, EFAULT, "it has no nodes"))?;
            }
        }
        Ok(())
    }

    /// How many objects one of this type may own in a chain, itself included.
    fn depth(
        &self,
        btf: &Btf,
        id: TypeId,
        left: u32,
        known: &mut BTreeMap<TypeId, u32>,
    ) -> Result<u32, BtfError> {
        let too_deep = || about(btf, id, ELOOP, "objects own objects too deeply");
        if left == 0 {
            return Err(too_deep());
        }
        let depth = match known.get(&id) {
            Some(depth) => *depth,
            None => {
                let mut deepest = 0;
                for field in self.records.get(&id).into_iter().flatten() {
                    if let Some(owned) = owned(field).filter(|id| self.records.contains_key(id)) {
                        deepest = deepest.max(self.depth(btf, owned, left - 1, known)?);
                    }
                }
                known.insert(id, deepest + 1);
                deepest + 1
            }
        };
        if depth > left { Err(too_deep()) } else { Ok(depth) }
    }
}

/// The program's structure that the field owns.
fn owned(field: &Field) -> Option<TypeId> {
    let keeps = matches!(field.kind, FieldKind::KptrRef | FieldKind::KptrPercpu);
    let pointee = field.pointee().filter(|(_, kernel)| keeps && !kernel).map(|(id, _)| id);
    field.contains().map(|(id, _)| id).or(pointee)
}

fn check_uptr(btf: &Btf, field: &Field) -> Result<(), BtfError> {
    let Some((id, kernel)) = field.pointee() else { return Ok(()) };
    let size = btf.ty(id).map_or(0, |t| t.size_or_type);
    if kernel || size == 0 {
        return Err(about(btf, id, EINVAL, "a uptr points to a structure of the program's own"));
    }
    if size > PAGE {
        return Err(about(btf, id, E2BIG, "a uptr's structure fits in a page"));
    }
    Ok(())
}

fn about(btf: &Btf, id: TypeId, errno: i32, message: &str) -> BtfError {
    btf.ty(id).map_or(BtfError::NoType(id), |t| fault(&t, errno, message))
}

/// Types that mark a structure, in order.
fn marks(btf: &Btf) -> Vec<TypeId> {
    let named = MARKS.iter().filter_map(|name| btf.find_by_name(name, Kind::Struct));
    let kptr = |t: &Type<'_>| matches!(pointer(btf, t, Kinds::KPTRS), Ok(Some(_)));
    let tagged = btf
        .own_types()
        .filter(|t| matches!(t.kind, Kind::Ptr | Kind::Volatile) && kptr(t))
        .map(|t| t.id);
    let mut marks: Vec<TypeId> = named.chain(tagged).collect();
    marks.sort_unstable();
    marks
}
