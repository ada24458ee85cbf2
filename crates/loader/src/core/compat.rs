//! Which types of two BTFs stand for each other, by libbpf's three notions.

use btf::{Btf, Kind, Type, TypeId, essential_name};

use super::Steps;

/// Longest chain that is followed within one level.
const MAX_DEPTH: u32 = 32;
/// Levels of nesting that are compared.
const MAX_LEVEL: u32 = 32;

/// Equal kinds, enums of both widths being one.
pub(super) fn same_kind(a: Option<Kind>, b: Option<Kind>) -> bool {
    let is_enum = |kind: Option<Kind>| kind.is_some_and(Kind::is_enum);
    a == b || (is_enum(a) && is_enum(b))
}

/// Whether a field of the target's type can be accessed as one of the local type.
pub(super) fn fields_compatible(
    local: &Btf,
    mut local_id: TypeId,
    target: &Btf,
    mut target_id: TypeId,
) -> Result<bool, String> {
    for _ in 0..MAX_DEPTH {
        let (a, b) = (resolved(local, local_id)?, resolved(target, target_id)?);
        let (Some(a), Some(b)) = (a, b) else { return Ok(false) };
        if a.kind.is_composite() && b.kind.is_composite() {
            return Ok(true);
        }
        if !same_kind(Some(a.kind), Some(b.kind)) {
            return Ok(false);
        }
        match (a.kind, a.array(), b.array()) {
            (Kind::Ptr | Kind::Float, ..) => return Ok(true),
            (Kind::Fwd | Kind::Enum | Kind::Enum64, ..) => {
                let (a, b) = (essential_name(a.name), essential_name(b.name));
                return Ok(a.is_empty() || b.is_empty() || a == b);
            }
            (Kind::Int, ..) => return Ok(plain_int(&a) && plain_int(&b)),
            (Kind::Array, Some(a), Some(b)) => (local_id, target_id) = (a.elem, b.elem),
            _ => return Ok(false),
        }
    }
    Err("arrays are nested too deeply".into())
}

/// Whether two types of one name have the same kind in depth (`bpf_core_type_exists`).
pub(super) fn types_compatible(
    local: &Btf,
    local_id: TypeId,
    target: &Btf,
    target_id: TypeId,
    steps: &mut Steps,
) -> Result<bool, String> {
    let pair = Pair { local, target };
    if !same_kind(local.kind(local_id), target.kind(target_id)) {
        return Ok(false);
    }
    pair.compatible(local_id, target_id, MAX_LEVEL, steps)
}

/// Whether the target has all that the local type has, by name and layout
/// (`bpf_core_type_matches`).
pub(super) fn types_match(
    local: &Btf,
    local_id: TypeId,
    target: &Btf,
    target_id: TypeId,
    steps: &mut Steps,
) -> Result<bool, String> {
    Pair { local, target }.matches(local_id, target_id, false, MAX_LEVEL, steps)
}

fn resolved(btf: &Btf, id: TypeId) -> Result<Option<Type<'_>>, String> {
    let id = btf.resolve(id).map_err(|error| error.to_string())?;
    match btf.ty(id) {
        None if !id.is_void() => Err(format!("type [{}] does not exist", id.0)),
        ty => Ok(ty),
    }
}

/// Not one of the bit-field integers of old BTF.
fn plain_int(ty: &Type<'_>) -> bool {
    ty.int().is_some_and(|int| int.offset == 0)
}

fn names_match(local: &str, target: &str) -> bool {
    match target {
        "" => local.is_empty(),
        _ => essential_name(local) == essential_name(target),
    }
}

/// The two BTFs compared.
#[derive(Clone, Copy)]
struct Pair<'l, 't> {
    local: &'l Btf,
    target: &'t Btf,
}

impl Pair<'_, '_> {
    fn compatible(
        self,
        mut local_id: TypeId,
        mut target_id: TypeId,
        level: u32,
        steps: &mut Steps,
    ) -> Result<bool, String> {
        for _ in 0..MAX_DEPTH {
            steps.take()?;
            let a = resolved(self.local, local_id)?;
            let b = resolved(self.target, target_id)?;
            if !same_kind(a.map(|ty| ty.kind), b.map(|ty| ty.kind)) {
                return Ok(false);
            }
            let (Some(a), Some(b)) = (a, b) else { return Ok(true) };
            match a.kind {
                Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Fwd => {
                    return Ok(true);
                }
                Kind::Int => return Ok(plain_int(&a) && plain_int(&b)),
                Kind::Ptr | Kind::Array => {}
                Kind::FuncProto => {
                    if a.vlen != b.vlen {
                        return Ok(false);
                    }
                    let deeper = level.checked_sub(1);
                    for (a, b) in a.params().zip(b.params()) {
                        let deeper = deeper.ok_or("function types are nested too deeply")?;
                        if !self.compatible(a.type_id, b.type_id, deeper, steps)? {
                            return Ok(false);
                        }
                    }
                }
                _ => return Ok(false),
            }
            (local_id, target_id) = (next(&a), next(&b));
        }
        Err("types are nested too deeply".into())
    }

    fn matches(
        self,
        mut local_id: TypeId,
        mut target_id: TypeId,
        mut behind_pointer: bool,
        level: u32,
        steps: &mut Steps,
    ) -> Result<bool, String> {
        let deeper = level.checked_sub(1).ok_or("types are nested too deeply")?;
        for _ in 0..MAX_DEPTH {
            steps.take()?;
            let a = resolved(self.local, local_id)?;
            let b = resolved(self.target, target_id)?;
            let (Some(a), Some(b)) = (a, b) else { return Ok(a.is_none() && b.is_none()) };
            if !names_match(a.name, b.name) {
                return Ok(false);
            }
            match a.kind {
                Kind::Fwd => return Ok(forward_matches(&a, &b, behind_pointer)),
                Kind::Enum | Kind::Enum64 => return enums_match(&a, &b, steps),
                Kind::Struct | Kind::Union if behind_pointer => {
                    let is_union = a.kind == Kind::Union;
                    let forward = b.kind == Kind::Fwd && b.kind_flag == is_union;
                    return Ok(a.kind == b.kind || forward);
                }
                kind if kind != b.kind => return Ok(false),
                Kind::Struct | Kind::Union => return self.members_match(&a, &b, deeper, steps),
                Kind::Int => {
                    let signed = |ty: &Type<'_>| ty.int().is_some_and(|int| int.encoding.signed);
                    return Ok(a.size_or_type == b.size_or_type && signed(&a) == signed(&b));
                }
                Kind::Ptr => behind_pointer = true,
                Kind::Array if a.array().map(|a| a.count) != b.array().map(|b| b.count) => {
                    return Ok(false);
                }
                Kind::Array => {}
                Kind::FuncProto => {
                    if a.vlen != b.vlen {
                        return Ok(false);
                    }
                    for (a, b) in a.params().zip(b.params()) {
                        let ids = (a.type_id, b.type_id);
                        if !self.matches(ids.0, ids.1, behind_pointer, deeper, steps)? {
                            return Ok(false);
                        }
                    }
                }
                _ => return Ok(false),
            }
            (local_id, target_id) = (next(&a), next(&b));
        }
        Err("types are nested too deeply".into())
    }

    fn members_match(
        self,
        a: &Type<'_>,
        b: &Type<'_>,
        level: u32,
        steps: &mut Steps,
    ) -> Result<bool, String> {
        if a.vlen > b.vlen {
            return Ok(false);
        }
        for member in a.members() {
            let mut found = false;
            for other in b.members() {
                steps.take()?;
                let named = names_match(member.name, other.name);
                if named && self.matches(member.type_id, other.type_id, false, level, steps)? {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a pointer points to, an array holds, or a function returns.
fn next(ty: &Type<'_>) -> TypeId {
    ty.array().map_or(TypeId(ty.size_or_type), |array| array.elem)
}

fn forward_matches(a: &Type<'_>, b: &Type<'_>, behind_pointer: bool) -> bool {
    let is_union = a.kind_flag;
    match b.kind {
        Kind::Fwd => is_union == b.kind_flag,
        Kind::Struct => behind_pointer && !is_union,
        Kind::Union => behind_pointer && is_union,
        _ => false,
    }
}

fn enums_match(a: &Type<'_>, b: &Type<'_>, steps: &mut Steps) -> Result<bool, String> {
    if !b.kind.is_enum() || a.size_or_type != b.size_or_type || a.vlen > b.vlen {
        return Ok(false);
    }
    for (name, _) in a.enum_values() {
        let mut found = false;
        for (other, _) in b.enum_values() {
            steps.take()?;
            if names_match(name, other) {
                found = true;
                break;
            }
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}
