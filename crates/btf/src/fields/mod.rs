//! Special fields of a program's values: locks, timers, work, kernel pointers, lists and trees,
//! found by the names and tags of their types, by the kernel's rules.
//!
//! [`map_value`] finds those of a map's value, [`StructMetas::parse`] those of all structures that
//! a program may allocate, with the errors of BTF_LOAD.

mod find;
mod metas;
mod record;

pub use metas::StructMetas;
pub use record::{Field, FieldKind, Record, Target};

use crate::blob::Btf;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::TypeId;

/// Most special fields of one value (`BTF_FIELDS_MAX`).
const MAX_FIELDS: usize = 11;

/// Kinds of fields to look for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kinds(u32);

impl Kinds {
    const NONE: Kinds = Kinds(0);
    const KPTRS: Kinds =
        Kinds::of(&[FieldKind::KptrUnref, FieldKind::KptrRef, FieldKind::KptrPercpu]);

    const fn of(kinds: &[FieldKind]) -> Kinds {
        let (mut bits, mut n) = (0, 0);
        while n < kinds.len() {
            bits |= 1 << kinds[n] as u32;
            n += 1;
        }
        Kinds(bits)
    }

    const fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn has(self, kind: FieldKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }
}

/// What a map's value may hold.
const MAP: Kinds = Kinds::KPTRS.and(Kinds::of(&[
    FieldKind::SpinLock,
    FieldKind::ResSpinLock,
    FieldKind::Timer,
    FieldKind::Wq,
    FieldKind::TaskWork,
    FieldKind::Uptr,
    FieldKind::ListHead,
    FieldKind::RbRoot,
    FieldKind::Refcount,
]));

/// What an allocated object may hold.
const ALLOCATED: Kinds = Kinds::KPTRS.and(Kinds::of(&[
    FieldKind::SpinLock,
    FieldKind::ResSpinLock,
    FieldKind::ListHead,
    FieldKind::ListNode,
    FieldKind::RbRoot,
    FieldKind::RbNode,
    FieldKind::Refcount,
]));

/// The special fields of a map's value of `size` bytes; `kernel` holds the kernel's types.
///
/// Where it is an error the kernel makes the map all the same, without special fields.
pub fn map_value(
    btf: &Btf,
    value: TypeId,
    size: u32,
    kernel: Option<&Btf>,
) -> Result<Record, BtfError> {
    let ty = btf.resolved(value).ok_or(BtfError::NoType(value))?;
    let tags = match ty.kind {
        Kind::Struct | Kind::Datasec => find::Tags::new(btf),
        _ => find::Tags::default(),
    };
    find::Search::new(btf, kernel, &tags, MAP).run(&ty, size)
}
