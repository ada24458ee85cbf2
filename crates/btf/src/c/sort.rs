//! The order current bpftool gives all types: by rank of what they are, then by name.

use std::cmp::Ordering;

use crate::blob::Btf;
use crate::kind::Kind;
use crate::resolve::MAX_DEPTH;
use crate::ty::{Type, TypeId};

/// All ids, sorted, but for the one that sorts first.
///
/// bpftool sorts void along with the types and then starts at the second place, where void would
/// leave the first type. What it leaves out is mostly an enum that something else needs anyway.
pub(super) fn sorted(btf: &Btf) -> impl Iterator<Item = TypeId> {
    let mut keys: Vec<Key<'_>> = btf.types().map(|ty| Key::new(btf, ty)).collect();
    keys.push(Key { rank: LAST, name: "", own_name: "", hash: 0, id: TypeId::VOID });
    keys.sort_by(Key::compare);
    let ids: Vec<TypeId> = keys.into_iter().skip(1).map(|key| key.id).collect();
    ids.into_iter()
}

struct Key<'a> {
    rank: u8,
    /// The name of what the type stands for.
    name: &'a str,
    own_name: &'a str,
    /// Tells types of one name apart by their members.
    hash: u64,
    id: TypeId,
}

const LAST: u8 = 10;

impl<'a> Key<'a> {
    fn new(btf: &'a Btf, ty: Type<'a>) -> Key<'a> {
        let hash = hash(btf, ty, true, MAX_DEPTH);
        Key { rank: rank(btf, ty), name: name(btf, ty), own_name: ty.name, hash, id: ty.id }
    }

    fn compare(&self, other: &Key<'_>) -> Ordering {
        let ranks = self.rank.cmp(&other.rank);
        ranks
            .then_with(|| self.name.cmp(other.name))
            .then_with(|| self.own_name.cmp(other.own_name))
            .then_with(|| self.hash.cmp(&other.hash))
            .then_with(|| self.id.cmp(&other.id))
    }
}

/// The type that a typedef, qualifier, pointer, tag or array is made of; `None` for other kinds.
fn inner<'a>(btf: &'a Btf, ty: Type<'a>) -> Option<Option<Type<'a>>> {
    match ty.kind {
        Kind::Array => ty.array().map(|array| btf.ty(array.elem)),
        Kind::Ptr | Kind::DeclTag => Some(btf.ty(TypeId(ty.size_or_type))),
        kind if kind.is_modifier() => Some(btf.ty(TypeId(ty.size_or_type))),
        _ => None,
    }
}

/// The end of a chain of inner types; `None` for void.
fn end<'a>(btf: &'a Btf, ty: Type<'a>) -> Option<Type<'a>> {
    let mut at = ty;
    for _ in 0..MAX_DEPTH {
        match inner(btf, at) {
            Some(next) => at = next?,
            None => return Some(at),
        }
    }
    None
}

/// Enums, then numbers, structs and prototypes; a typedef ranks as what it names.
fn rank(btf: &Btf, ty: Type<'_>) -> u8 {
    let named = ty.name_off != 0;
    let end = if named { end(btf, ty) } else { Some(ty) };
    match end.map(|end| end.kind) {
        Some(Kind::Enum | Kind::Enum64) => u8::from(named),
        Some(Kind::Int | Kind::Float) => 2,
        Some(Kind::Struct | Kind::Union) if named => 3,
        Some(Kind::FuncProto) if named => 4,
        _ => LAST,
    }
}

/// The name at the end of the chain; a nameless enum goes by its first constant.
fn name<'a>(btf: &'a Btf, ty: Type<'a>) -> &'a str {
    if ty.kind.is_enum() && ty.name_off == 0 {
        return ty.enum_values().next().map_or("", |(name, _)| name);
    }
    end(btf, ty).map_or("", |end| end.name)
}

fn hash(btf: &Btf, ty: Type<'_>, with_members: bool, depth: u32) -> u64 {
    let mut sum = mix_name(0, ty.name);
    let inner_hash = |id, with_members| match (btf.ty(id), depth) {
        (Some(inner), 1..) => hash(btf, inner, with_members, depth - 1),
        _ => 0,
    };
    match ty.kind {
        Kind::Enum | Kind::Enum64 => {
            ty.enum_values().fold(sum, |sum, (name, _)| mix_name(sum, name))
        }
        Kind::Struct | Kind::Union if with_members => {
            for member in ty.members() {
                sum = mix_name(sum, member.name);
                sum = mix(sum, inner_hash(member.type_id, false));
            }
            sum
        }
        Kind::Array => {
            let Some(array) = ty.array() else { return sum };
            mix(mix(sum, u64::from(array.count)), inner_hash(array.elem, with_members))
        }
        Kind::Ptr | Kind::DeclTag => mix(sum, inner_hash(TypeId(ty.size_or_type), with_members)),
        kind if kind.is_modifier() => mix(sum, inner_hash(TypeId(ty.size_or_type), with_members)),
        _ => sum,
    }
}

fn mix(sum: u64, value: u64) -> u64 {
    sum.wrapping_mul(31).wrapping_add(value)
}

fn mix_name(sum: u64, name: &str) -> u64 {
    if name.is_empty() {
        return sum;
    }
    // Bytes count as signed, as `char` does where bpftool was built.
    mix(sum, name.bytes().fold(0, |sum, byte| mix(sum, byte as i8 as u64)))
}
