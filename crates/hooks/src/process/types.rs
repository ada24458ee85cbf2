//! Places of fields in the target kernel's structures, by its BTF.

use btf::{Btf, Kind, TypeId};

/// Where a field is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) at: usize,
    pub(crate) size: usize,
}

/// The structure called `name`.
pub(crate) fn structure(btf: &Btf, name: &str) -> Option<TypeId> {
    btf.find_by_name(name, Kind::Struct)
}

/// Bytes of the structure called `name`; 0 if there is none.
pub(crate) fn size(btf: &Btf, name: &str) -> usize {
    structure(btf, name).and_then(|id| btf.size_of(id).ok()).map_or(0, |size| size as usize)
}

/// A field of `structure` by its path (`ns.inum`), through members without a name.
pub(crate) fn field(btf: &Btf, structure_name: &str, path: &str) -> Option<Field> {
    let mut ty = structure(btf, structure_name)?;
    let mut at = 0;
    for name in path.split('.') {
        let (offset, member) = member(btf, ty, name, 0)?;
        at += offset;
        ty = member;
    }
    Some(Field { at, size: btf.size_of(ty).ok()? as usize })
}

/// Offset in bytes and type of a member.
fn member(btf: &Btf, structure: TypeId, name: &str, depth: u32) -> Option<(usize, TypeId)> {
    /// Deeper than members without a name are nested.
    const DEEPEST: u32 = 8;
    if depth > DEEPEST {
        return None;
    }
    let ty = btf.resolved(structure)?;
    if !matches!(ty.kind, Kind::Struct | Kind::Union) {
        return None;
    }
    ty.members().find_map(|m| {
        if m.bitfield_size != 0 || m.bit_offset % 8 != 0 {
            return None;
        }
        let at = (m.bit_offset / 8) as usize;
        match m.name {
            known if known == name => Some((at, m.type_id)),
            "" => member(btf, m.type_id, name, depth + 1).map(|(inner, ty)| (at + inner, ty)),
            _ => None,
        }
    })
}
