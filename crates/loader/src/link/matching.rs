//! Whether a global is the same thing in two objects.
//!
//! As libbpf asks it: the types must be equal but for qualifiers, typedefs, the signs of integers,
//! names of parameters, lengths of arrays, and what is inside of structs behind pointers. Maps
//! must have the same definition.

use btf::{Btf, Kind, Linkage, Type, TypeId};
use rustc_hash::FxHashSet;

use crate::maps;

/// Pairs of types that are looked at for one global.
const MAX_PAIRS: usize = 100_000;

/// A global's VAR or FUNC in an object.
#[derive(Clone, Copy)]
pub(super) struct Global<'b> {
    pub(super) btf: &'b Btf,
    pub(super) id: TypeId,
}

/// What differs between two objects' ideas of a global.
pub(super) fn difference(
    name: &str,
    is_map: bool,
    one: Global<'_>,
    other: Global<'_>,
) -> Result<(), String> {
    if is_map { same_map(name, one, other) } else { same_type(one, other) }
}

fn same_map(name: &str, one: Global<'_>, other: Global<'_>) -> Result<(), String> {
    let read = |global: Global<'_>| {
        let variable = global.btf.ty(global.id).filter(|ty| ty.kind == Kind::Var);
        let def = variable.and_then(|ty| global.btf.resolved(TypeId(ty.size_or_type)));
        let def = def.ok_or_else(|| "invalid map definition type".to_owned())?;
        maps::fields(global.btf, name, &def).map_err(|error| error.to_string())
    };
    let mut pair = (Some(&read(one)?), Some(&read(other)?));
    while let (Some(a), Some(b)) = pair {
        if let Some(reason) = a.difference(b) {
            return Err(format!("map {reason} mismatch"));
        }
        for (what, a, b) in [("key", a.key_type, b.key_type), ("value", a.value_type, b.value_type)]
        {
            let a_type = Global { id: TypeId(a), ..one };
            let b_type = Global { id: TypeId(b), ..other };
            if a != 0 {
                same_type(a_type, b_type)
                    .map_err(|error| format!("map {what} type mismatch: {error}"))?;
            }
        }
        pair = (a.inner.as_deref(), b.inner.as_deref());
    }
    Ok(())
}

fn same_type(one: Global<'_>, other: Global<'_>) -> Result<(), String> {
    let (btf, other_btf) = (one.btf, other.btf);
    let mut pairs = Pairs { stack: vec![(one.id, other.id, true)], met: <_>::default() };
    while let Some((a, b, exact)) = pairs.stack.pop() {
        let resolve = |btf: &Btf, id| btf.resolve(id).map_err(|error| error.to_string());
        let (a, b) = (resolve(btf, a)?, resolve(other_btf, b)?);
        if !pairs.met.insert((a, b, exact)) {
            continue;
        }
        if pairs.met.len() > MAX_PAIRS {
            return Err("types are too entangled to compare".into());
        }
        match (btf.ty(a), other_btf.ty(b)) {
            (None, None) => {}
            (Some(a), Some(b)) => same_node(&a, &b, exact, &mut pairs)?,
            (a, b) => return Err(kinds(a.as_ref(), b.as_ref())),
        }
    }
    Ok(())
}

/// Types still to be compared and those met; `true` for structs member by member.
struct Pairs {
    stack: Vec<(TypeId, TypeId, bool)>,
    met: FxHashSet<(TypeId, TypeId, bool)>,
}

fn kinds(a: Option<&Type<'_>>, b: Option<&Type<'_>>) -> String {
    let text = |ty: Option<&Type<'_>>| ty.map_or("void".into(), kind);
    format!("incompatible BTF kinds {} and {}", text(a), text(b))
}

/// As libbpf writes kinds.
fn kind(ty: &Type<'_>) -> String {
    ty.kind.text().to_ascii_lowercase()
}

fn same_node(a: &Type<'_>, b: &Type<'_>, exact: bool, pairs: &mut Pairs) -> Result<(), String> {
    if !exact && (a.kind == Kind::Fwd) != (b.kind == Kind::Fwd) {
        let (fwd, whole) = if a.kind == Kind::Fwd { (a, b) } else { (b, a) };
        return same_declaration(fwd, whole, (a.name, b.name));
    }
    if a.kind != b.kind {
        return Err(kinds(Some(a), Some(b)));
    }
    let named = a.kind.is_composite()
        || a.kind.is_enum()
        || matches!(a.kind, Kind::Fwd | Kind::Func | Kind::Var);
    if named && a.name != b.name {
        return Err(format!("incompatible {} names '{}' and '{}'", kind(a), a.name, b.name));
    }
    let targets = (TypeId(a.size_or_type), TypeId(b.size_or_type));
    match a.kind {
        Kind::Fwd => {}
        Kind::Int | Kind::Float | Kind::Enum | Kind::Enum64 => {
            if a.size_or_type != b.size_or_type {
                let (name, sizes) = (a.name, (a.size_or_type, b.size_or_type));
                let kind = kind(a);
                return Err(format!(
                    "incompatible {kind} '{name}' size {} and {}",
                    sizes.0, sizes.1
                ));
            }
        }
        Kind::Ptr => pairs.stack.push((targets.0, targets.1, false)),
        Kind::Array => {
            let elements = a.array().zip(b.array());
            pairs.stack.extend(elements.map(|(a, b)| (a.elem, b.elem, exact)));
        }
        Kind::Func | Kind::Var => {
            if is_static(a) != is_static(b) {
                return Err(format!("incompatible {} '{}' linkage", kind(a), a.name));
            }
            pairs.stack.push((targets.0, targets.1, exact));
        }
        Kind::Struct | Kind::Union if exact => same_members(a, b, pairs)?,
        Kind::Struct | Kind::Union => {}
        Kind::FuncProto => {
            same_count(a, b, "params")?;
            pairs.stack.push((targets.0, targets.1, exact));
            let params = a.params().zip(b.params());
            pairs.stack.extend(params.map(|(a, b)| (a.type_id, b.type_id, exact)));
        }
        _ => return Err(format!("unsupported BTF kind {}", kind(a))),
    }
    Ok(())
}

fn same_declaration(fwd: &Type<'_>, whole: &Type<'_>, names: (&str, &str)) -> Result<(), String> {
    if names.0 != names.1 {
        let (a, b) = names;
        return Err(format!("incompatible forward declaration names '{a}' and '{b}'"));
    }
    let declared = if fwd.kind_flag { Kind::Union } else { Kind::Struct };
    if whole.kind != declared {
        let (declared, found) = (declared.text().to_ascii_lowercase(), kind(whole));
        return Err(format!(
            "incompatible {declared} forward declaration and concrete kind {found}"
        ));
    }
    Ok(())
}

fn same_members(a: &Type<'_>, b: &Type<'_>, pairs: &mut Pairs) -> Result<(), String> {
    same_count(a, b, "fields")?;
    for (index, (a, b)) in a.members().zip(b.members()).enumerate() {
        if a.name != b.name {
            let (a, b) = (a.name, b.name);
            return Err(format!("incompatible field #{index} names '{a}' and '{b}'"));
        }
        if (a.bit_offset, a.bitfield_size) != (b.bit_offset, b.bitfield_size) {
            return Err(format!("incompatible field #{index} ('{}') offsets", a.name));
        }
        pairs.stack.push((a.type_id, b.type_id, true));
    }
    Ok(())
}

fn same_count(a: &Type<'_>, b: &Type<'_>, what: &str) -> Result<(), String> {
    match a.vlen == b.vlen {
        true => Ok(()),
        false => {
            let (kind, a, b) = (kind(a), a.vlen, b.vlen);
            Err(format!("incompatible number of {kind} {what} {a} and {b}"))
        }
    }
}

fn is_static(ty: &Type<'_>) -> bool {
    match ty.kind {
        Kind::Func => ty.func_linkage() == Some(Linkage::Static),
        _ => ty.var().and_then(|var| var.linkage()) == Some(Linkage::Static),
    }
}
