//! The order current bpftool gives all types: by rank of what they are, then by name.

use std::cmp::Ordering;

use crate::blob::Btf;
use crate::kind::Kind;
use crate::resolve::MAX_DEPTH;
use crate::ty::{Type, TypeId};

/// All ids, sorted.
pub(super) fn sorted(btf: &Btf) -> impl Iterator<Item = TypeId> {
    let mut keys: Vec<Key<'_>> = btf.types().map(|ty| Key::new(btf, ty)).collect();
    keys.sort_by(Key::compare);
    keys.into_iter().map(|key| key.id).collect::<Vec<_>>().into_iter()
}

struct Key<'a> {
    id: TypeId,
    rank: u8,
    /// The name of what the type stands for.
    name: &'a str,
    own_name: &'a str,
}

const LAST: u8 = 10;

impl<'a> Key<'a> {
    fn new(btf: &'a Btf, ty: Type<'a>) -> Key<'a> {
        let end = end(btf, ty);
        // Something named comes by what it leads to, something nameless last.
        let named = ty.name_off != 0 || end.named_on_the_way;
        let rank = match end.ty.map(|ty| ty.kind) {
            Some(Kind::Enum | Kind::Enum64) => u8::from(named),
            Some(Kind::Int | Kind::Float) if ty.name_off != 0 || end.steps == 0 => 2,
            Some(Kind::Int | Kind::Float) if named => 2,
            Some(Kind::Struct | Kind::Union) if named => 3,
            Some(Kind::FuncProto) if named => 4,
            _ => LAST,
        };
        let rank = if end.steps > 0 && ty.name_off == 0 { LAST } else { rank };
        let name = match end.ty {
            // A nameless enum goes by its first constant.
            Some(ty) if ty.kind.is_enum() && ty.name_off == 0 && end.steps == 0 => {
                ty.enum_values().next().map_or("", |(name, _)| name)
            }
            Some(ty) => ty.name,
            None => "",
        };
        Key { id: ty.id, rank, name, own_name: ty.name }
    }

    fn compare(&self, other: &Key<'_>) -> Ordering {
        let key = |key: &Key<'_>| (key.rank, key.name.to_owned(), key.own_name.to_owned(), key.id);
        key(self).cmp(&key(other))
    }
}

/// The end of a chain of typedefs, qualifiers, pointers, tags and arrays.
struct End<'a> {
    ty: Option<Type<'a>>,
    steps: u32,
    named_on_the_way: bool,
}

fn end<'a>(btf: &'a Btf, from: Type<'a>) -> End<'a> {
    let mut end = End { ty: Some(from), steps: 0, named_on_the_way: from.name_off != 0 };
    while let Some(ty) = end.ty {
        let next = match ty.kind {
            Kind::Array => ty.array().map(|array| array.elem),
            Kind::Ptr | Kind::DeclTag => ty.target(),
            kind if kind.is_modifier() => ty.target(),
            _ => return end,
        };
        end.named_on_the_way |= ty.name_off != 0;
        end.steps += 1;
        end.ty = next.and_then(|id| btf.ty(id)).filter(|_| end.steps <= MAX_DEPTH);
    }
    end
}
