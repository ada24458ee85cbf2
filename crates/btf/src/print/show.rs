//! Printing a value as the kernel does in a pinned map's file: no names, no blanks.
//!
//! The kernel's oddities are kept: elements of arrays whose type has no size of its own (pointers,
//! arrays) all show the first one; brackets of what lies in an array are closed, but not opened;
//! bytes of Latin-1 show as they are; a section's brace is never closed.

use std::io::Write;

use super::walk::bits;
use crate::blob::Btf;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Type, TypeId};

/// Types in types.
const MAX_DEPTH: u32 = 64;
/// Names and arrays in arrays that a declaration may go through to show its bracket.
const MAX_NAMES: u32 = 10;
/// Bytes of one value's text.
const MAX_TEXT: usize = 16 << 20;

/// Appends the value of type `id` in `bytes`; `pointer` is what an address shows as.
pub fn show(
    btf: &Btf,
    id: TypeId,
    bytes: &[u8],
    pointer: &dyn Fn(u64) -> u64,
    out: &mut Vec<u8>,
) -> Result<(), BtfError> {
    let limit = out.len() + MAX_TEXT;
    let mut show = Show { btf, pointer, out, limit, chars: None, member: None, in_array: false };
    show.any(id, bytes, 0, 0)
}

struct Show<'a, 's> {
    btf: &'a Btf,
    pointer: &'s dyn Fn(u64) -> u64,
    out: &'s mut Vec<u8>,
    limit: usize,
    /// In an array of characters: whether its end has come.
    chars: Option<bool>,
    /// The type that the member being shown is declared with.
    member: Option<TypeId>,
    /// An element of an array is being shown; the end of an array in it ends that.
    in_array: bool,
}

impl<'a> Show<'a, '_> {
    fn any(&mut self, id: TypeId, bytes: &[u8], shift: u32, depth: u32) -> Result<(), BtfError> {
        if depth > MAX_DEPTH {
            return Err(BtfError::TooDeep(id));
        }
        if self.out.len() > self.limit {
            return Err(BtfError::Limit("bytes of a value's text", MAX_TEXT as u64));
        }
        let id = self.btf.resolve(id)?;
        let ty = self.btf.ty(id).ok_or(BtfError::NoSize(id))?;
        match ty.kind {
            Kind::Int => self.int(&ty, bytes, shift, depth),
            Kind::Struct | Kind::Union => self.composite(&ty, bytes, depth),
            Kind::Array => self.array(&ty, bytes, depth),
            Kind::Enum | Kind::Enum64 => self.enumeration(&ty, bytes, depth),
            Kind::Ptr => {
                let raw = bits(id, bytes, 0, 64)? as u64;
                let shown = if raw == 0 { 0 } else { (self.pointer)(raw) };
                self.scalar(format_args!("0x{shown:016x}"), depth)
            }
            Kind::Var => self.any(TypeId(ty.size_or_type), bytes, 0, depth),
            Kind::Datasec => self.section(&ty, bytes),
            kind => {
                // Not a value to the kernel: no delimiter.
                let _ = write!(self.out, "<unsupported kind:{}>", kind as u32);
                Ok(())
            }
        }
    }

    /// Opens what lies in brackets, as its declaration says.
    fn open(&mut self, id: TypeId) {
        if !self.in_array {
            let bracket = self.bracket(self.member.unwrap_or(id));
            self.out.extend_from_slice(bracket);
        }
    }

    fn bracket(&self, id: TypeId) -> &'static [u8] {
        let mut ty = self.btf.ty(id);
        let mut array = false;
        for _ in 0..MAX_NAMES {
            let Some(now) = ty else { return b"" };
            let next = match now.kind {
                Kind::Array => {
                    array = true;
                    now.array().map(|array| array.elem)
                }
                Kind::Typedef => Some(TypeId(now.size_or_type)),
                Kind::Struct | Kind::Union if !array => return b"{",
                Kind::Ptr => return b"",
                _ => return if array { b"[" } else { b"" },
            };
            ty = next.and_then(|id| self.unqualified(id));
        }
        b""
    }

    /// Past `const` and its like.
    fn unqualified(&self, id: TypeId) -> Option<Type<'a>> {
        let mut ty = self.btf.ty(id)?;
        for _ in 0..MAX_DEPTH {
            match ty.kind {
                Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                    ty = self.btf.ty(TypeId(ty.size_or_type))?;
                }
                _ => return Some(ty),
            }
        }
        None
    }

    fn scalar(&mut self, text: std::fmt::Arguments<'_>, depth: u32) -> Result<(), BtfError> {
        let delimiter = if depth == 0 { "" } else { "," };
        // Writing to memory does not fail.
        let _ = write!(self.out, "{text}{delimiter}");
        Ok(())
    }

    fn hex(&mut self, raw: u128, depth: u32) -> Result<(), BtfError> {
        self.scalar(format_args!("0x{raw:x}"), depth)
    }

    fn int(&mut self, ty: &Type<'a>, bytes: &[u8], shift: u32, depth: u32) -> Result<(), BtfError> {
        let int = ty.int().ok_or(BtfError::NoSize(ty.id))?;
        let start = shift + int.offset;
        let from = bytes.get(start as usize / 8..).unwrap_or(&[]);
        let raw = bits(ty.id, from, start % 8, int.bits)?;
        if start != 0 || !matches!(int.bits, 8 | 16 | 32 | 64) {
            return self.hex(raw, depth);
        }
        if int.bits == 8
            && let Some(ended) = &mut self.chars
        {
            let byte = raw as u8;
            *ended |= byte == 0;
            match byte {
                _ if *ended => return Ok(()),
                0x20..=0x7e | 0xa0..=0xff => {
                    self.out.extend_from_slice(&[b'\'', byte]);
                    return self.scalar(format_args!("'"), depth);
                }
                _ => {}
            }
        }
        if int.encoding.signed {
            let unused = 64 - int.bits;
            let value = ((raw as u64) << unused) as i64 >> unused;
            self.scalar(format_args!("{value}"), depth)
        } else {
            self.scalar(format_args!("{raw}"), depth)
        }
    }

    fn composite(&mut self, ty: &Type<'a>, bytes: &[u8], depth: u32) -> Result<(), BtfError> {
        self.open(ty.id);
        let mut some = false;
        for member in ty.members() {
            some = true;
            self.member = Some(member.type_id);
            let (at, shift) = (member.bit_offset as usize / 8, member.bit_offset % 8);
            let part = bytes.get(at..).unwrap_or(&[]);
            match member.bitfield_size {
                0 => self.any(member.type_id, part, shift, depth + 1)?,
                width => {
                    let raw = bits(ty.id, part, shift, width)?;
                    self.hex(raw, depth + 1)?;
                }
            }
            self.member = None;
        }
        // Only a union without members is still known to be one here.
        let delimiter = if ty.kind == Kind::Union && !some { "|" } else { "," };
        self.end("}", delimiter, depth);
        Ok(())
    }

    fn end(&mut self, brace: &str, delimiter: &str, depth: u32) {
        self.out.extend_from_slice(brace.as_bytes());
        if depth > 0 {
            self.out.extend_from_slice(delimiter.as_bytes());
        }
    }

    fn array(&mut self, ty: &Type<'a>, bytes: &[u8], depth: u32) -> Result<(), BtfError> {
        let array = ty.array().ok_or(BtfError::NoSize(ty.id))?;
        let elem = self.btf.resolved(array.elem).ok_or(BtfError::NoSize(ty.id))?;
        let sized = !matches!(elem.kind, Kind::Ptr | Kind::Array);
        let step = if sized { self.btf.size_of(array.elem)? as usize } else { 0 };
        self.open(ty.id);
        self.chars = (elem.kind == Kind::Int && step == 1).then_some(false);
        for index in 0..array.count as usize {
            let part = bytes.get(index * step..).unwrap_or(&[]);
            (self.member, self.in_array) = (None, true);
            self.any(array.elem, part, 0, depth + 1)?;
            self.in_array = false;
            if self.chars == Some(true) {
                break;
            }
        }
        self.chars = None;
        self.end("]", ",", depth);
        Ok(())
    }

    fn enumeration(&mut self, ty: &Type<'a>, bytes: &[u8], depth: u32) -> Result<(), BtfError> {
        let wide = ty.kind == Kind::Enum64;
        let raw = bits(ty.id, bytes, 0, if wide { 64 } else { 32 })? as u64;
        let number = if wide { raw as i64 } else { i64::from(raw as i32) };
        let value = |value: i64| if wide { value } else { i64::from(value as i32) };
        if let Some((name, _)) = ty.enum_values().find(|named| value(named.1) == number) {
            return self.scalar(format_args!("{name}"), depth);
        }
        match (ty.kind_flag, wide) {
            (true, _) => self.scalar(format_args!("{number}"), depth),
            (false, true) => self.scalar(format_args!("{}", number as u64), depth),
            (false, false) => self.scalar(format_args!("{}", number as u32), depth),
        }
    }

    fn section(&mut self, ty: &Type<'a>, bytes: &[u8]) -> Result<(), BtfError> {
        let _ = write!(self.out, "section (\"{}\") = {{", ty.name);
        for (index, variable) in ty.datasec().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            let part = bytes.get(variable.offset as usize..).unwrap_or(&[]);
            self.any(variable.type_id, part, 0, 0)?;
        }
        Ok(())
    }
}
