//! What a record of special fields holds.

use crate::ty::TypeId;

/// What a special field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// `struct bpf_spin_lock`
    SpinLock,
    /// `struct bpf_res_spin_lock`
    ResSpinLock,
    /// `struct bpf_timer`
    Timer,
    /// `struct bpf_wq`
    Wq,
    /// `struct bpf_task_work`
    TaskWork,
    /// A pointer tagged `kptr_untrusted`.
    KptrUnref,
    /// A pointer tagged `kptr`.
    KptrRef,
    /// A pointer tagged `percpu_kptr`.
    KptrPercpu,
    /// A pointer tagged `uptr`.
    Uptr,
    /// `struct bpf_list_head`
    ListHead,
    /// `struct bpf_list_node`
    ListNode,
    /// `struct bpf_rb_root`
    RbRoot,
    /// `struct bpf_rb_node`
    RbNode,
    /// `struct bpf_refcount`
    Refcount,
}

/// Kind, name (of the structure, or in messages), bytes, alignment, one a value.
const KINDS: &[(FieldKind, &str, u32, u32, bool)] = &[
    (FieldKind::SpinLock, "bpf_spin_lock", 4, 4, true),
    (FieldKind::ResSpinLock, "bpf_res_spin_lock", 4, 4, true),
    (FieldKind::Timer, "bpf_timer", 16, 8, true),
    (FieldKind::Wq, "bpf_wq", 16, 8, true),
    (FieldKind::TaskWork, "bpf_task_work", 8, 8, true),
    (FieldKind::KptrUnref, "kptr", 8, 8, false),
    (FieldKind::KptrRef, "kptr", 8, 8, false),
    (FieldKind::KptrPercpu, "percpu_kptr", 8, 8, false),
    (FieldKind::Uptr, "uptr", 8, 8, false),
    (FieldKind::ListHead, "bpf_list_head", 16, 8, false),
    (FieldKind::ListNode, "bpf_list_node", 24, 8, false),
    (FieldKind::RbRoot, "bpf_rb_root", 16, 8, false),
    (FieldKind::RbNode, "bpf_rb_node", 32, 8, false),
    (FieldKind::Refcount, "bpf_refcount", 4, 4, true),
];

impl FieldKind {
    fn row(self) -> &'static (FieldKind, &'static str, u32, u32, bool) {
        &KINDS[self as usize]
    }

    /// Linux's name: of the structure, or `kptr`, `percpu_kptr`, `uptr`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Bytes in Linux 6.18.
    #[must_use]
    pub fn size(self) -> u32 {
        self.row().2
    }

    /// Alignment in bytes.
    #[must_use]
    pub fn align(self) -> u32 {
        self.row().3
    }

    /// A value has at most one.
    pub(super) fn is_unique(self) -> bool {
        self.row().4
    }

    /// A tagged pointer.
    #[must_use]
    pub fn is_kptr(self) -> bool {
        use FieldKind::{KptrPercpu, KptrRef, KptrUnref, Uptr};
        matches!(self, KptrUnref | KptrRef | KptrPercpu | Uptr)
    }

    /// The root of a list or tree.
    #[must_use]
    pub fn is_graph_root(self) -> bool {
        matches!(self, FieldKind::ListHead | FieldKind::RbRoot)
    }

    /// The place in an object that links it into a list or tree.
    #[must_use]
    pub fn is_graph_node(self) -> bool {
        matches!(self, FieldKind::ListNode | FieldKind::RbNode)
    }

    /// A structure known by its name.
    pub(super) fn of_struct(name: &str) -> Option<FieldKind> {
        let row = KINDS.iter().find(|row| !row.0.is_kptr() && row.1 == name)?;
        Some(row.0)
    }

    /// A pointer known by its tag.
    pub(super) fn of_tag(tag: &str) -> Option<FieldKind> {
        Some(match tag {
            "kptr_untrusted" => FieldKind::KptrUnref,
            "kptr" => FieldKind::KptrRef,
            "percpu_kptr" => FieldKind::KptrPercpu,
            "uptr" => FieldKind::Uptr,
            _ => return None,
        })
    }
}

/// What a special field refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Nothing.
    None,
    /// A pointer's structure.
    Pointee {
        /// Its id: in the kernel's BTF, or in the field's own.
        id: TypeId,
        /// The kernel has a structure of this name.
        kernel: bool,
    },
    /// What a list or tree consists of.
    Contains {
        /// The structure of its objects, in the field's BTF.
        value: TypeId,
        /// Byte offset of the node in the object.
        node_off: u32,
    },
}

/// One special field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field {
    /// What it is.
    pub kind: FieldKind,
    /// Byte offset in the value.
    pub off: u32,
    /// Bytes.
    pub size: u32,
    /// What it refers to.
    pub target: Target,
}

impl Field {
    /// The structure that a pointer points to, and whether it is the kernel's.
    #[must_use]
    pub fn pointee(&self) -> Option<(TypeId, bool)> {
        match self.target {
            Target::Pointee { id, kernel } => Some((id, kernel)),
            _ => None,
        }
    }

    /// The structure in a list or tree, and the byte offset of its node.
    #[must_use]
    pub fn contains(&self) -> Option<(TypeId, u32)> {
        match self.target {
            Target::Contains { value, node_off } => Some((value, node_off)),
            _ => None,
        }
    }
}

/// The special fields of a value, by offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Record {
    pub(super) fields: Vec<Field>,
}

impl Record {
    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All, by offset.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Field> {
        self.fields.iter()
    }

    /// The first of a kind.
    #[must_use]
    pub fn find(&self, kind: FieldKind) -> Option<&Field> {
        self.fields.iter().find(|f| f.kind == kind)
    }

    /// Whether one of a kind exists.
    #[must_use]
    pub fn has(&self, kind: FieldKind) -> bool {
        self.find(kind).is_some()
    }

    /// Whether one of these kinds exists.
    #[must_use]
    pub fn has_any(&self, kinds: &[FieldKind]) -> bool {
        self.fields.iter().any(|f| kinds.contains(&f.kind))
    }

    /// The field that covers a byte.
    #[must_use]
    pub fn covering(&self, off: u32) -> Option<&Field> {
        self.fields.iter().find(|f| f.off <= off && off - f.off < f.size)
    }

    /// The lock: `bpf_spin_lock` or `bpf_res_spin_lock`.
    #[must_use]
    pub fn lock(&self) -> Option<&Field> {
        self.find(FieldKind::SpinLock).or_else(|| self.find(FieldKind::ResSpinLock))
    }
}

impl<'a> IntoIterator for &'a Record {
    type Item = &'a Field;
    type IntoIter = std::slice::Iter<'a, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_stands_at_its_kind() {
        for (n, row) in KINDS.iter().enumerate() {
            assert_eq!(row.0 as usize, n);
        }
    }
}
