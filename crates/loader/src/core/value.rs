//! The number that a relocation asks for, in local and in target types.

use btf::{Btf, CoreKind, Kind, Type, TypeId};

use super::access::{Access, Subject, subject};

/// What an instruction is to be changed from and to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patch {
    pub(super) old: u64,
    pub(super) new: u64,
    /// The instruction must hold `old`.
    pub(super) validate: bool,
    /// There is no `new`: the instruction must not be reached.
    pub(super) poison: bool,
    /// Bytes of the field, 0 where they do not matter.
    pub(super) old_size: u32,
    pub(super) new_size: u32,
    /// The size of a load or store cannot be changed without changing what it means.
    pub(super) fixed_size: bool,
}

/// One side's number.
#[derive(Default)]
struct Value {
    number: u64,
    validate: bool,
    size: u32,
    type_id: TypeId,
}

/// Both sides' numbers; without a target what stands for its absence.
pub(super) fn patch(local: &Access<'_>, target: Option<&Access<'_>>) -> Result<Patch, String> {
    let old = value(local)?;
    let new = match target {
        Some(target) => Some(value(target)?),
        None => absent(local.kind),
    };
    let Some(new) = new else {
        return Ok(Patch {
            old: old.number,
            validate: old.validate,
            poison: true,
            ..Patch::default()
        });
    };
    let resizes = old.size != new.size;
    let fixed_size = resizes
        && !target
            .is_some_and(|target| can_resize(local.btf, old.type_id, target.btf, new.type_id));
    Ok(Patch {
        old: old.number,
        new: new.number,
        validate: old.validate,
        poison: false,
        old_size: old.size,
        new_size: new.size,
        fixed_size,
    })
}

/// What a missing type, field or value amounts to; `None`: nothing can stand for it.
fn absent(kind: CoreKind) -> Option<Value> {
    let is_existence = matches!(kind, CoreKind::FieldExists | CoreKind::EnumvalExists);
    (is_existence || subject(kind) == Subject::Type).then(Value::default)
}

fn value(access: &Access<'_>) -> Result<Value, String> {
    let plain = |number| Value { number, validate: true, ..Value::default() };
    match subject(access.kind) {
        Subject::Field if access.kind == CoreKind::FieldExists => Ok(plain(1)),
        Subject::Field => field(access),
        Subject::Type => Ok(match access.kind {
            CoreKind::TypeSize => plain(size(access.btf, access.root)?.into()),
            CoreKind::TypeIdTarget => Value { validate: false, ..plain(access.root.0.into()) },
            _ => plain(1),
        }),
        Subject::Enumval if access.kind == CoreKind::EnumvalExists => Ok(plain(1)),
        Subject::Enumval => enumval(access).map(plain).ok_or_else(|| "no such enum value".into()),
    }
}

fn enumval(access: &Access<'_>) -> Option<u64> {
    let step = access.steps.first()?;
    let ty = access.btf.ty(step.type_id)?;
    let (_, value) = ty.enum_values().nth(usize::try_from(step.index).ok()?)?;
    // libbpf takes 32-bit values as signed, whatever the enum says.
    Some(if ty.kind == Kind::Enum { value as i32 as u64 } else { value as u64 })
}

fn size(btf: &Btf, id: TypeId) -> Result<u32, String> {
    btf.size_of(id).map_err(|error| error.to_string())
}

/// Size of what an array holds, through all its dimensions; of other types their own.
fn element_size(btf: &Btf, id: TypeId) -> Result<u32, String> {
    let mut id = btf.resolve(id).map_err(|error| error.to_string())?;
    for _ in 0..super::access::MAX_STEPS {
        match btf.ty(id).and_then(|ty| ty.array()) {
            Some(array) => id = btf.resolve(array.elem).map_err(|error| error.to_string())?,
            None => return size(btf, id),
        }
    }
    Err("arrays are nested too deeply".into())
}

fn field(access: &Access<'_>) -> Result<Value, String> {
    let step = access.steps.last().ok_or("access path is empty")?;
    if step.name.is_none() {
        return element(access, step.type_id);
    }
    let btf = access.btf;
    let owner = btf.ty(step.type_id);
    let member = owner.and_then(|owner| owner.members().nth(usize::try_from(step.index).ok()?));
    let member = member.ok_or("no such member")?;
    let id = btf.resolve(member.type_id).map_err(|error| error.to_string())?;
    let is_bitfield = member.bitfield_size > 0;
    let place = match is_bitfield {
        true => Place::of_bits(btf, id, access.bit_offset, member.bitfield_size)?,
        false => {
            let bytes = size(btf, id)?;
            Place { offset: access.bit_offset / 8, bytes, bits: bytes.wrapping_mul(8) }
        }
    };
    let mut value = Value { validate: !is_bitfield, ..Value::default() };
    match access.kind {
        CoreKind::FieldByteOffset => {
            value.number = place.offset.into();
            if !is_bitfield {
                value.size = element_size(btf, id)?;
                value.type_id = id;
            }
        }
        CoreKind::FieldByteSize => value.number = place.bytes.into(),
        CoreKind::FieldSigned => {
            value.number = btf.ty(id).is_some_and(|ty| is_signed(&ty)).into();
            value.validate = true;
        }
        CoreKind::FieldLshiftU64 => {
            let end = access.bit_offset.wrapping_add(place.bits);
            let end = end.wrapping_sub(place.offset.wrapping_mul(8));
            value.number = 64_u32.wrapping_sub(end).into();
        }
        _ => {
            value.number = 64_u32.wrapping_sub(place.bits).into();
            value.validate = true;
        }
    }
    Ok(value)
}

/// An array's element: only its offset and size can be asked.
fn element(access: &Access<'_>, id: TypeId) -> Result<Value, String> {
    let mut value = Value { validate: true, ..Value::default() };
    match access.kind {
        CoreKind::FieldByteOffset => {
            value.number = (access.bit_offset / 8).into();
            value.size = element_size(access.btf, id)?;
            value.type_id = id;
        }
        CoreKind::FieldByteSize => value.number = size(access.btf, id)?.into(),
        kind => return Err(format!("{} cannot be asked of an array's element", kind.text())),
    }
    Ok(value)
}

/// Where a field is read: bytes from an aligned offset, and the field's own bits.
struct Place {
    offset: u32,
    bytes: u32,
    bits: u32,
}

impl Place {
    /// The smallest aligned word, from the member's type up, that holds the whole bit-field.
    fn of_bits(btf: &Btf, id: TypeId, bit_offset: u32, bits: u32) -> Result<Place, String> {
        let mut bytes = btf.ty(id).map_or(0, |ty| ty.size_or_type);
        if bytes == 0 {
            return Err("bit-field of a type without a size".into());
        }
        loop {
            let offset = bit_offset / 8 / bytes * bytes;
            let end = u64::from(bit_offset) + u64::from(bits) - u64::from(offset) * 8;
            if end <= u64::from(bytes) * 8 {
                return Ok(Place { offset, bytes, bits });
            }
            if bytes >= 8 {
                return Err("bit-field cannot be read with a 64-bit load".into());
            }
            bytes *= 2;
        }
    }
}

fn is_signed(ty: &Type<'_>) -> bool {
    match ty.kind {
        Kind::Int => ty.int().is_some_and(|int| int.encoding.signed),
        kind => kind.is_enum() && ty.kind_flag,
    }
}

/// Loads of pointers and of integers without sign mean the same in any size.
fn can_resize(local: &Btf, old: TypeId, target: &Btf, new: TypeId) -> bool {
    let (Some(a), Some(b)) = (local.ty(old), target.ty(new)) else { return false };
    let extends = |ty: &Type<'_>| {
        ty.int().is_some_and(|int| !int.encoding.signed || int.encoding.char || int.encoding.bool)
    };
    (a.kind == Kind::Ptr && b.kind == Kind::Ptr) || (extends(&a) && extends(&b))
}
