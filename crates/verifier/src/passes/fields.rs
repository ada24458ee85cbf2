//! Special structures inside map values: locks, timers, kernel pointers, lists, trees.

use btf::{Btf, Kind, Type, TypeId};

use crate::input::MapInfo;

/// What the field is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FieldKind {
    SpinLock,
    ResSpinLock,
    Timer,
    Wq,
    TaskWork,
    ListHead,
    RbRoot,
    Refcount,
    KptrUnref,
    KptrRef,
    KptrPercpu,
    Uptr,
}

impl FieldKind {
    /// Linux's name in messages about direct access.
    pub(crate) fn name(self) -> &'static str {
        match self {
            FieldKind::SpinLock => "bpf_spin_lock",
            FieldKind::ResSpinLock => "bpf_res_spin_lock",
            FieldKind::Timer => "bpf_timer",
            FieldKind::Wq => "bpf_wq",
            FieldKind::TaskWork => "bpf_task_work",
            FieldKind::ListHead => "bpf_list_head",
            FieldKind::RbRoot => "bpf_rb_root",
            FieldKind::Refcount => "bpf_refcount",
            FieldKind::KptrUnref | FieldKind::KptrRef => "kptr",
            FieldKind::KptrPercpu => "percpu_kptr",
            FieldKind::Uptr => "uptr",
        }
    }

    /// A pointer to the kernel's or a task's memory.
    pub(crate) fn is_kptr(self) -> bool {
        use FieldKind::{KptrPercpu, KptrRef, KptrUnref, Uptr};
        matches!(self, KptrUnref | KptrRef | KptrPercpu | Uptr)
    }
}

/// One special field of a map's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MapField {
    pub(crate) kind: FieldKind,
    /// Byte offset in the value.
    pub(crate) off: u32,
    /// Bytes.
    pub(crate) size: u32,
    /// What a kernel pointer points to: a type id in the map's BTF.
    pub(crate) target: u32,
}

/// Structure name, kind, bytes in Linux 6.18.
const STRUCTS: &[(&str, FieldKind, u32)] = &[
    ("bpf_spin_lock", FieldKind::SpinLock, 4),
    ("bpf_res_spin_lock", FieldKind::ResSpinLock, 8),
    ("bpf_timer", FieldKind::Timer, 16),
    ("bpf_wq", FieldKind::Wq, 16),
    ("bpf_task_work", FieldKind::TaskWork, 8),
    ("bpf_list_head", FieldKind::ListHead, 16),
    ("bpf_rb_root", FieldKind::RbRoot, 16),
    ("bpf_refcount", FieldKind::Refcount, 4),
];

/// Tag of a pointer, and kind.
const TAGS: &[(&str, FieldKind)] = &[
    ("kptr_untrusted", FieldKind::KptrUnref),
    ("kptr", FieldKind::KptrRef),
    ("percpu_kptr", FieldKind::KptrPercpu),
    ("uptr", FieldKind::Uptr),
];

/// Most special fields of one value (`BTF_FIELDS_MAX`).
const MAX_FIELDS: usize = 11;
/// How deep structures and arrays nest.
const MAX_DEPTH: usize = 15;

/// The special fields of a map's value, by offset.
pub(crate) fn map_fields(map: &MapInfo) -> Vec<MapField> {
    let mut found = Vec::new();
    if let (Some(btf), id @ 1..) = (&map.btf, map.def.btf_value_type_id)
        && let Some(value) = btf.resolved(TypeId(id))
    {
        match value.kind {
            Kind::Struct | Kind::Union => walk_struct(btf, &value, 0, 0, &mut found),
            Kind::Datasec => {
                for var in value.datasec() {
                    if let Some(t) = btf.ty(var.type_id) {
                        walk(btf, TypeId(t.size_or_type), var.offset, 0, &mut found);
                    }
                }
            }
            _ => {}
        }
    }
    found.sort_by_key(|f: &MapField| f.off);
    found
}

fn walk_struct(btf: &Btf, t: &Type<'_>, base: u32, depth: usize, found: &mut Vec<MapField>) {
    for member in t.members() {
        if member.bit_offset % 8 == 0 {
            walk(btf, member.type_id, base.saturating_add(member.bit_offset / 8), depth, found);
        }
    }
}

fn walk(btf: &Btf, mut id: TypeId, off: u32, depth: usize, found: &mut Vec<MapField>) {
    if depth >= MAX_DEPTH || found.len() >= MAX_FIELDS {
        return;
    }
    let mut count: u32 = 1;
    for _ in 0..MAX_DEPTH {
        match btf.ty(id).and_then(|t| t.array()) {
            Some(array) => {
                count = count.saturating_mul(array.count);
                id = array.elem;
            }
            None => break,
        }
    }
    let before = found.len();
    let Some(t) = btf.ty(id) else { return };
    let size = match leaf(btf, &t) {
        Some((kind, size, target)) => {
            found.push(MapField { kind, off, size, target });
            size
        }
        None if matches!(t.kind, Kind::Struct | Kind::Union) => {
            walk_struct(btf, &t, off, depth + 1, found);
            t.size_or_type
        }
        None => return,
    };
    let own: Vec<MapField> = found[before..].to_vec();
    for n in 1..count {
        for field in &own {
            if found.len() >= MAX_FIELDS {
                return;
            }
            let off = field.off.saturating_add(n.saturating_mul(size));
            found.push(MapField { off, ..*field });
        }
    }
}

/// A special structure by its name, or a tagged pointer.
fn leaf(btf: &Btf, t: &Type<'_>) -> Option<(FieldKind, u32, u32)> {
    if t.kind == Kind::Struct {
        let row = STRUCTS.iter().find(|(name, ..)| *name == t.name)?;
        return Some((row.1, row.2, 0));
    }
    let pointer = match t.kind {
        Kind::Volatile => btf.ty(TypeId(t.size_or_type))?,
        _ => *t,
    };
    if pointer.kind != Kind::Ptr {
        return None;
    }
    let tag = btf.ty(TypeId(pointer.size_or_type)).filter(|t| t.kind == Kind::TypeTag)?;
    let (_, kind) = TAGS.iter().find(|(name, _)| *name == tag.name)?;
    let target = btf.resolve(TypeId(tag.size_or_type)).map_or(0, |id| id.0);
    Some((*kind, 8, target))
}
