//! A JSON value written as a value of a BTF type.

use std::net::{Ipv4Addr, Ipv6Addr};

use btf::{Kind, Type, TypeId};
use serde_json::Value;

use super::memory::{Memory, Typed};
use super::{ContextError, Path};
use crate::object::list;

/// Structures without a name that a member is looked for in.
const MAX_DEPTH: u32 = 16;

/// What a JSON value is called in messages.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "true or false".into(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a text".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

pub(super) fn wrong(path: &Path, wanted: impl Into<String>, value: &Value) -> ContextError {
    ContextError::WrongType { path: path.into(), wanted: wanted.into(), found: kind(value) }
}

/// A number out of JSON: plain, or as text in hexadecimal.
pub(super) fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => {
            number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from))
        }
        Value::Bool(value) => Some((*value).into()),
        Value::String(text) => {
            i128::from_str_radix(text.strip_prefix("0x")?, 16).ok().filter(|n| *n >= 0)
        }
        _ => None,
    }
}

impl Memory {
    /// Writes `value` as a value of type `ty` at offset `at`.
    pub(super) fn write(
        &mut self,
        ty: &Typed,
        value: &Value,
        at: usize,
        path: &Path,
    ) -> Result<(), ContextError> {
        let btf = ty.btf.clone();
        let Some(resolved) = btf.resolved(ty.id) else {
            return Err(no_type(path, "a value of type void"));
        };
        match resolved.kind {
            Kind::Int => self.int(&resolved, value, at, path),
            Kind::Enum | Kind::Enum64 => self.enumeration(&resolved, value, at, path),
            Kind::Float => self.float(&resolved, value, at, path),
            Kind::Array => self.array(ty, &resolved, value, at, path),
            Kind::Struct | Kind::Union => self.composite(ty, &resolved, value, at, path),
            Kind::Ptr => self.pointer(&ty.at(TypeId(resolved.size_or_type)), value, at, path),
            _ => Err(no_type(path, &format!("'{}' has no values here", resolved.name))),
        }
    }

    fn int(
        &mut self,
        ty: &Type<'_>,
        value: &Value,
        at: usize,
        path: &Path,
    ) -> Result<(), ContextError> {
        let Some(int) = ty.int() else { return Err(no_type(path, "an integer without a size")) };
        let size = ty.size_or_type as usize;
        if let (4, Some(address)) = (size, ip4(path, value)) {
            self.put(at, &address.octets());
            return Ok(());
        }
        if let (1, Value::String(text)) = (size, value)
            && let [byte] = text.as_bytes()
        {
            self.put(at, &[*byte]);
            return Ok(());
        }
        let bits = int.bits.min(8 * size as u32);
        self.bits(at, 0, bits, int.encoding.signed, value, path)
    }

    /// A number of `bits` bits, `shift` bits behind `at`.
    fn bits(
        &mut self,
        at: usize,
        shift: u32,
        bits: u32,
        signed: bool,
        value: &Value,
        path: &Path,
    ) -> Result<(), ContextError> {
        let Some(number) = number(value) else {
            // Numbers beyond 64 bits, and fractions.
            if let Value::Number(number) = value {
                return Err(out_of_range(path, &number.to_string(), bits, signed));
            }
            return Err(wrong(path, "a number", value));
        };
        if bits == 0 || bits > 128 {
            return Err(no_type(path, &format!("an integer of {bits} bits")));
        }
        // In hexadecimal any pattern of bits can be written.
        let top = if signed && !value.is_string() { bits - 1 } else { bits };
        let low = if signed { -(1_i128 << (bits.min(127) - 1)) } else { 0 };
        let fits = bits >= 127 || (low..1_i128 << top).contains(&number);
        if !fits {
            return Err(out_of_range(path, &number.to_string(), bits, signed));
        }
        self.put_bits(at, shift, bits, number as u128);
        Ok(())
    }

    fn put_bits(&mut self, at: usize, shift: u32, bits: u32, value: u128) {
        if shift.is_multiple_of(8) && bits.is_multiple_of(8) {
            let at = at + shift as usize / 8;
            self.put(at, &value.to_le_bytes()[..bits as usize / 8]);
            return;
        }
        for bit in 0..bits {
            let place = shift + bit;
            let at = at + place as usize / 8;
            let mask = 1 << (place % 8);
            let old = self.bytes(at, 1)[0];
            let new = if value >> bit & 1 == 1 { old | mask } else { old & !mask };
            self.put(at, &[new]);
        }
    }

    fn enumeration(
        &mut self,
        ty: &Type<'_>,
        value: &Value,
        at: usize,
        path: &Path,
    ) -> Result<(), ContextError> {
        let bits = 8 * ty.size_or_type;
        if let Value::String(name) = value
            && !name.starts_with("0x")
        {
            let Some((_, number)) = ty.enum_values().find(|(known, _)| known == name) else {
                let known = list(ty.enum_values().map(|(name, _)| name));
                let wanted = format!("one of {known}");
                let found = format!("'{name}'");
                return Err(ContextError::WrongType { path: path.into(), wanted, found });
            };
            self.put_bits(at, 0, bits, number as u128);
            return Ok(());
        }
        self.bits(at, 0, bits, true, value, path)
    }

    fn float(
        &mut self,
        ty: &Type<'_>,
        value: &Value,
        at: usize,
        path: &Path,
    ) -> Result<(), ContextError> {
        let Some(number) = value.as_f64() else { return Err(wrong(path, "a number", value)) };
        match ty.size_or_type {
            4 => self.put(at, &(number as f32).to_le_bytes()),
            8 => self.put(at, &number.to_le_bytes()),
            size => return Err(no_type(path, &format!("a fraction of {size} bytes"))),
        }
        Ok(())
    }

    fn array(
        &mut self,
        ty: &Typed,
        array: &Type<'_>,
        value: &Value,
        at: usize,
        path: &Path,
    ) -> Result<(), ContextError> {
        let Some(shape) = array.array() else { return Err(no_type(path, "an array")) };
        let (elem, room) = (ty.at(shape.elem), shape.count as usize);
        let step = elem.size();
        match value {
            Value::String(text) if step == 1 => {
                if text.len() > room {
                    return Err(too_long(path, text.len(), "characters", room));
                }
                self.put(at, text.as_bytes());
                Ok(())
            }
            Value::String(_) if step == 4 && room == 4 => match ip6(path, value) {
                Some(address) => {
                    self.put(at, &address.octets());
                    Ok(())
                }
                None => Err(wrong(path, "a list or an IPv6 address", value)),
            },
            Value::Array(values) => {
                if values.len() > room {
                    return Err(too_long(path, values.len(), "elements", room));
                }
                for (index, value) in values.iter().enumerate() {
                    self.write(&elem, value, at + index * step, &path.index(index))?;
                }
                Ok(())
            }
            _ if step == 1 => Err(wrong(path, "a text or a list", value)),
            _ => Err(wrong(path, "a list", value)),
        }
    }

    fn composite(
        &mut self,
        ty: &Typed,
        composite: &Type<'_>,
        value: &Value,
        at: usize,
        path: &Path,
    ) -> Result<(), ContextError> {
        let Value::Object(fields) = value else {
            let wanted = format!("an object with the fields of {}", ty.text());
            return Err(wrong(path, wanted, value));
        };
        for (name, value) in fields {
            let path_here = path.field(name);
            let Some(member) = member(ty, name, MAX_DEPTH) else {
                return Err(unknown(path, name, ty, composite));
            };
            let start = at + member.bit_offset as usize / 8;
            let shift = member.bit_offset % 8;
            if member.bits != 0 {
                self.bits(start, shift, member.bits, member.signed, value, &path_here)?;
            } else {
                self.write(&ty.at(member.ty), value, start, &path_here)?;
            }
        }
        Ok(())
    }

    /// A pointer: null, an address, or what it is to lead to.
    pub(super) fn pointer(
        &mut self,
        target: &Typed,
        value: &Value,
        at: usize,
        path: &Path,
    ) -> Result<(), ContextError> {
        match value {
            Value::Null => {
                self.put(at, &[0; 8]);
                Ok(())
            }
            Value::Number(_) => self.bits(at, 0, 64, false, value, path),
            Value::String(text) if text.starts_with("0x") && number(value).is_some() => {
                self.bits(at, 0, 64, false, value, path)
            }
            Value::String(text) if is_text(target) => {
                let to = self.text(text, path)?;
                self.point(at, to);
                Ok(())
            }
            Value::Array(values) => {
                let to = self.elements(target, values, path)?;
                self.point(at, to);
                Ok(())
            }
            Value::Object(_) => {
                let target = self.defined(target, path)?;
                let to = self.object(&target, path)?;
                self.write(&target, value, to, path)?;
                self.point(at, to);
                Ok(())
            }
            _ if is_text(target) => Err(wrong(path, "null, a text, a list or an address", value)),
            _ => Err(wrong(path, "null, an object, a list or an address", value)),
        }
    }

    /// A text in memory, with its closing zero.
    pub(super) fn text(&mut self, text: &str, path: &Path) -> Result<usize, ContextError> {
        let at = self.allocate(text.len() + 1, path)?;
        self.put(at, text.as_bytes());
        Ok(at)
    }

    /// Elements one after the other; bytes where the type is unknown.
    fn elements(
        &mut self,
        target: &Typed,
        values: &[Value],
        path: &Path,
    ) -> Result<usize, ContextError> {
        if is_text(target) {
            let bytes = self::bytes(values, path)?;
            let at = self.allocate(bytes.len(), path)?;
            self.put(at, &bytes);
            return Ok(at);
        }
        let target = self.defined(target, path)?;
        let step = target.size();
        let at = self.allocate(step.saturating_mul(values.len()), path)?;
        for (index, value) in values.iter().enumerate() {
            self.write(&target, value, at + index * step, &path.index(index))?;
        }
        Ok(at)
    }

    /// The definition of a type that may be only declared where it is used.
    pub(super) fn defined(&self, ty: &Typed, path: &Path) -> Result<Typed, ContextError> {
        let Some(resolved) = ty.resolved() else {
            return Err(no_type(
                path,
                "what a 'void *' leads to has no fields; give a text or a list of bytes",
            ));
        };
        let name = resolved.name.to_owned();
        match resolved.kind {
            Kind::Fwd => {
                let wanted = if resolved.kind_flag { Kind::Union } else { Kind::Struct };
                let known = self.structure(wanted, &name);
                known.ok_or_else(|| {
                    no_type(path, &format!("struct {name} is declared, not defined"))
                })
            }
            // A program may know fewer members than the kernel, elsewhere.
            Kind::Struct | Kind::Union if !name.is_empty() => {
                Ok(self.structure(resolved.kind, &name).unwrap_or_else(|| ty.clone()))
            }
            _ => Ok(ty.clone()),
        }
    }
}

/// Bytes out of a list of numbers.
pub(super) fn bytes(values: &[Value], path: &Path) -> Result<Vec<u8>, ContextError> {
    let byte = |(index, value)| {
        let path = path.index(index);
        let number = number(value).ok_or_else(|| wrong(&path, "a byte", value))?;
        u8::try_from(number).map_err(|_| out_of_range(&path, &number.to_string(), 8, false))
    };
    values.iter().enumerate().map(byte).collect()
}

/// Whether a pointer to this may lead to a text: bytes, or anything.
fn is_text(target: &Typed) -> bool {
    match target.resolved() {
        None => true,
        Some(ty) => ty.kind == Kind::Int && ty.size_or_type == 1,
    }
}

fn ip4(path: &Path, value: &Value) -> Option<Ipv4Addr> {
    let named = path.name().contains("ip4") || path.name().ends_with("addr");
    named.then(|| value.as_str()?.parse().ok())?
}

fn ip6(path: &Path, value: &Value) -> Option<Ipv6Addr> {
    path.name().contains("ip6").then(|| value.as_str()?.parse().ok())?
}

/// A member by its name, wherever structures without a name put it.
pub(super) struct Found {
    pub(super) bit_offset: u32,
    /// Bits of a bit-field, else 0.
    pub(super) bits: u32,
    pub(super) signed: bool,
    pub(super) ty: TypeId,
}

pub(super) fn member(ty: &Typed, name: &str, depth: u32) -> Option<Found> {
    let depth = depth.checked_sub(1)?;
    let composite = ty.resolved().filter(|t| t.kind.is_composite())?;
    composite.members().find_map(|member| {
        if member.name.is_empty() {
            let inner = self::member(&ty.at(member.type_id), name, depth)?;
            return Some(Found { bit_offset: member.bit_offset + inner.bit_offset, ..inner });
        }
        (member.name == name).then(|| Found {
            bit_offset: member.bit_offset,
            bits: member.bitfield_size,
            signed: ty
                .btf
                .resolved(member.type_id)
                .and_then(|t| t.int())
                .is_some_and(|int| int.encoding.signed),
            ty: member.type_id,
        })
    })
}

/// The names of a structure's members, through those without a name.
pub(super) fn names(ty: &Typed, depth: u32, out: &mut Vec<String>) {
    let (Some(depth), Some(composite)) = (depth.checked_sub(1), ty.resolved()) else { return };
    for member in composite.members() {
        match member.name {
            "" => names(&ty.at(member.type_id), depth, out),
            name => out.push(name.to_owned()),
        }
    }
}

fn unknown(path: &Path, name: &str, ty: &Typed, _: &Type<'_>) -> ContextError {
    let mut known = Vec::new();
    names(ty, MAX_DEPTH, &mut known);
    ContextError::UnknownField {
        path: path.into(),
        name: name.to_owned(),
        ty: ty.text(),
        known: list(known.iter().map(String::as_str)),
    }
}

pub(super) fn no_type(path: &Path, message: &str) -> ContextError {
    ContextError::NoType { path: path.into(), message: message.to_owned() }
}

fn too_long(path: &Path, len: usize, what: &'static str, room: usize) -> ContextError {
    ContextError::TooLong { path: path.into(), len, what, room }
}

pub(super) fn out_of_range(path: &Path, value: &str, bits: u32, signed: bool) -> ContextError {
    let sign = if signed { "signed " } else { "" };
    let ty = format!("a {sign}number of {bits} bits");
    ContextError::OutOfRange { path: path.into(), value: value.to_owned(), ty }
}
