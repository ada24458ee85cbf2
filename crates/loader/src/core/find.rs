//! The place in a target's type that corresponds to a local path.

use btf::{CoreKind, Kind, TypeId, essential_name};

use super::Steps;
use super::access::{Access, MAX_STEPS, Step, Subject, subject};
use super::compat;

/// The target's path, if the candidate type has one; an error says why none can be told.
pub(super) fn find<'t>(
    local: &Access<'_>,
    target: &'t btf::Btf,
    candidate: TypeId,
    steps: &mut Steps,
) -> Result<Option<Access<'t>>, String> {
    let mut found = Access::new(target, local.kind, candidate);
    let fits = match (subject(local.kind), local.kind) {
        (Subject::Type, CoreKind::TypeMatches) => {
            compat::types_match(local.btf, local.root, target, candidate, steps)?
        }
        (Subject::Type, _) => {
            compat::types_compatible(local.btf, local.root, target, candidate, steps)?
        }
        (Subject::Enumval, _) => find_enumval(local, &mut found, candidate)?,
        (Subject::Field, _) => find_field(local, &mut found, candidate, steps)?,
    };
    Ok(fits.then_some(found))
}

fn resolve(access: &Access<'_>, id: TypeId) -> Result<TypeId, String> {
    access.btf.resolve(id).map_err(|error| error.to_string())
}

fn find_enumval<'t>(
    local: &Access<'_>,
    found: &mut Access<'t>,
    candidate: TypeId,
) -> Result<bool, String> {
    let id = resolve(found, candidate)?;
    let Some(ty) = found.btf.ty(id).filter(|ty| ty.kind.is_enum()) else { return Ok(false) };
    let wanted = local.steps.first().and_then(|step| step.name).map(essential_name);
    let mut values = ty.enum_values().map(|(name, _)| name).enumerate();
    let Some((index, name)) = values.find(|(_, name)| Some(essential_name(name)) == wanted) else {
        return Ok(false);
    };
    found.steps.push(Step { type_id: id, index: index as i32, name: Some(name) });
    found.raw.push(index as i32);
    Ok(true)
}

fn find_field<'t>(
    local: &Access<'_>,
    found: &mut Access<'t>,
    candidate: TypeId,
    steps: &mut Steps,
) -> Result<bool, String> {
    let mut id = candidate;
    for (number, step) in local.steps.iter().enumerate() {
        id = resolve(found, id)?;
        if let Some(name) = step.name {
            let wanted = Wanted { local, step, name };
            match find_member(&wanted, found, id, steps)? {
                Some(next) => id = next,
                None => return Ok(false),
            }
            continue;
        }
        if number > 0 {
            let array = found.btf.ty(id).and_then(|ty| ty.array());
            let Some(array) = array else { return Ok(false) };
            let inside = u32::try_from(step.index).is_ok_and(|index| index < array.count);
            if !inside && !found.is_flexible(array.count) {
                return Ok(false);
            }
            id = resolve(found, array.elem)?;
        }
        push_raw(found, step.index)?;
        found.steps.push(Step { type_id: id, index: step.index, name: None });
        found.add_elements(id, step.index)?;
    }
    Ok(true)
}

fn push_raw(found: &mut Access<'_>, index: i32) -> Result<(), String> {
    if found.raw.len() == MAX_STEPS {
        return Err(format!("types are nested more than {MAX_STEPS} deep"));
    }
    found.raw.push(index);
    Ok(())
}

/// A local member to be found.
struct Wanted<'w, 'l> {
    local: &'w Access<'l>,
    step: &'w Step<'l>,
    name: &'l str,
}

/// Looks through a struct and the unnamed ones in it; gives the member's type.
fn find_member<'t>(
    wanted: &Wanted<'_, '_>,
    found: &mut Access<'t>,
    id: TypeId,
    steps: &mut Steps,
) -> Result<Option<TypeId>, String> {
    let id = resolve(found, id)?;
    let Some(ty) = found.btf.ty(id).filter(|ty| ty.kind.is_composite()) else { return Ok(None) };
    for (index, member) in ty.members().enumerate() {
        steps.take()?;
        if !member.name.is_empty() && member.name != wanted.name {
            continue;
        }
        let (before, depth) = (found.bit_offset, found.raw.len());
        push_raw(found, index as i32)?;
        found.bit_offset = before.wrapping_add(member.bit_offset);
        if member.name.is_empty() {
            if let Some(inner) = find_member(wanted, found, member.type_id, steps)? {
                return Ok(Some(inner));
            }
        } else {
            let step = Step { type_id: id, index: index as i32, name: Some(member.name) };
            let fits = compat::fields_compatible(
                wanted.local.btf,
                local_type(wanted),
                found.btf,
                member.type_id,
            )?;
            if fits {
                found.steps.push(step);
                return Ok(Some(member.type_id));
            }
            return Ok(None);
        }
        found.bit_offset = before;
        found.raw.truncate(depth);
    }
    Ok(None)
}

fn local_type(wanted: &Wanted<'_, '_>) -> TypeId {
    let owner = wanted.local.btf.ty(wanted.step.type_id);
    let owner = owner.filter(|owner| matches!(owner.kind, Kind::Struct | Kind::Union));
    let member = owner.and_then(|owner| owner.members().nth(wanted.step.index as usize));
    member.map_or(TypeId::VOID, |member| member.type_id)
}
