//! The walk over a type and its bytes: which numbers and strings a value consists of.

use crate::blob::Btf;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::resolve::{MAX_DEPTH, POINTER_SIZE};
use crate::ty::{Array, IntInfo, Type, TypeId};

/// One printed value without parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Unsigned(u64),
    Signed(i64),
    Bool(bool),
    Char(u8),
    /// Printed in hexadecimal: bit-fields and 128-bit integers.
    Hex(u128),
    Pointer(u64),
    /// Printable ASCII.
    Text(&'a str),
    Float(f64),
    Float32(f32),
    /// What cannot be printed, in bpftool's words.
    Note(&'static str),
}

/// What surrounds a sequence of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Object,
    Array,
}

/// Takes the events of a walk, in order.
pub(crate) trait Sink {
    fn begin(&mut self, group: Group);
    fn end(&mut self, group: Group);
    fn name(&mut self, name: &str);
    fn scalar(&mut self, scalar: Scalar<'_>);
}

/// Values one walk visits at most: bounds output for arrays of empty structs.
const MAX_VALUES: u32 = 1 << 22;

pub(crate) fn walk(
    btf: &Btf,
    id: TypeId,
    bytes: &[u8],
    sink: &mut dyn Sink,
) -> Result<(), BtfError> {
    let need = btf.size_of(id).unwrap_or(0);
    if (bytes.len() as u64) < u64::from(need) {
        return Err(short(id, u64::from(need), bytes));
    }
    Walk { btf, sink, budget: MAX_VALUES }.any(id, bytes, 0, MAX_DEPTH)
}

fn short(id: TypeId, need: u64, bytes: &[u8]) -> BtfError {
    BtfError::ShortValue { id, need, have: bytes.len() as u64 }
}

struct Walk<'a, 's> {
    btf: &'a Btf,
    sink: &'s mut dyn Sink,
    budget: u32,
}

impl<'a> Walk<'a, '_> {
    /// Prints the value `shift` (0 to 7) bits into `bytes`.
    fn any(&mut self, id: TypeId, bytes: &[u8], shift: u32, depth: u32) -> Result<(), BtfError> {
        let limit = BtfError::Limit("number of printed values", u64::from(MAX_VALUES));
        self.budget = self.budget.checked_sub(1).ok_or(limit)?;
        let depth = depth.checked_sub(1).ok_or(BtfError::TooDeep(id))?;
        let id = self.btf.resolve(id)?;
        let Some(ty) = self.btf.ty(id) else {
            self.sink.scalar(Scalar::Note("(unknown)"));
            return Ok(());
        };
        match ty.kind {
            Kind::Int => self.int(&ty, bytes, shift),
            Kind::Struct | Kind::Union => self.composite(&ty, bytes, depth),
            Kind::Array => self.array(&ty, bytes, depth),
            Kind::Enum | Kind::Enum64 => self.enumeration(&ty, bytes),
            Kind::Ptr => {
                let at = fixed::<{ POINTER_SIZE as usize }>(id, bytes)?;
                self.sink.scalar(Scalar::Pointer(u64::from_le_bytes(at)));
                Ok(())
            }
            Kind::Float => self.float(&ty, bytes),
            Kind::Var => self.variable(&ty, bytes, depth),
            Kind::Datasec => self.datasec(&ty, bytes, depth),
            Kind::Fwd => {
                self.sink.scalar(Scalar::Note("(fwd-kind-invalid)"));
                Ok(())
            }
            _ => {
                self.sink.scalar(Scalar::Note("(unsupported-kind)"));
                Ok(())
            }
        }
    }

    fn int(&mut self, ty: &Type<'a>, bytes: &[u8], shift: u32) -> Result<(), BtfError> {
        let Some(int) = ty.int() else { return Err(BtfError::NoSize(ty.id)) };
        let start = shift + int.offset;
        let whole = start == 0 && matches!(int.bits, 8 | 16 | 32 | 64);
        let from = bytes.get(start as usize / 8..).unwrap_or(&[]);
        let raw = bits(ty.id, from, start % 8, int.bits)?;
        self.sink.scalar(if whole { whole_int(int, raw as u64) } else { Scalar::Hex(raw) });
        Ok(())
    }

    fn composite(&mut self, ty: &Type<'a>, bytes: &[u8], depth: u32) -> Result<(), BtfError> {
        self.sink.begin(Group::Object);
        for member in ty.members() {
            self.sink.name(member.name);
            let (at, shift) = (member.bit_offset as usize / 8, member.bit_offset % 8);
            let part = bytes.get(at..).ok_or_else(|| short(ty.id, at as u64, bytes))?;
            if member.bitfield_size == 0 {
                self.any(member.type_id, part, shift, depth)?;
            } else {
                let raw = bits(ty.id, part, shift, member.bitfield_size)?;
                self.sink.scalar(Scalar::Hex(raw));
            }
        }
        self.sink.end(Group::Object);
        Ok(())
    }

    fn array(&mut self, ty: &Type<'a>, bytes: &[u8], depth: u32) -> Result<(), BtfError> {
        let array = ty.array().ok_or(BtfError::NoSize(ty.id))?;
        if let Some(text) = self.char_array(array, bytes) {
            self.sink.scalar(Scalar::Text(text));
            return Ok(());
        }
        let step = self.btf.size_of(array.elem)? as usize;
        self.sink.begin(Group::Array);
        for index in 0..array.count as usize {
            let at = index.checked_mul(step).ok_or(BtfError::SizeOverflow(ty.id))?;
            let part = bytes.get(at..).ok_or_else(|| short(ty.id, at as u64, bytes))?;
            self.any(array.elem, part, 0, depth)?;
        }
        self.sink.end(Group::Array);
        Ok(())
    }

    /// The text of a NUL-terminated, printable array of `char` (not of a typedef of it).
    fn char_array<'b>(&self, array: Array, bytes: &'b [u8]) -> Option<&'b str> {
        let mut elem = self.btf.ty(array.elem)?;
        for _ in 0..MAX_DEPTH {
            if elem.kind == Kind::Typedef || !elem.kind.is_modifier() {
                break;
            }
            elem = self.btf.ty(elem.target()?)?;
        }
        let encoding = elem.int()?.encoding;
        let is_char = encoding.char && !encoding.signed && !encoding.bool || elem.name == "char";
        if elem.size() != Some(1) || !is_char {
            return None;
        }
        let bytes = bytes.get(..array.count as usize)?;
        let text = &bytes[..bytes.iter().position(|&byte| byte == 0)?];
        let printable = text.iter().all(|byte| matches!(byte, 0x20..=0x7e));
        std::str::from_utf8(text).ok().filter(|_| printable)
    }

    fn enumeration(&mut self, ty: &Type<'a>, bytes: &[u8]) -> Result<(), BtfError> {
        let number = match ty.size_or_type {
            1 => i64::from(i8::from_le_bytes(fixed(ty.id, bytes)?)),
            2 => i64::from(i16::from_le_bytes(fixed(ty.id, bytes)?)),
            4 => i64::from(i32::from_le_bytes(fixed(ty.id, bytes)?)),
            8 => i64::from_le_bytes(fixed(ty.id, bytes)?),
            _ => return Err(BtfError::NoSize(ty.id)),
        };
        // 32-bit constants are compared as signed ones, whatever the enum says of itself.
        let narrow = ty.kind == Kind::Enum;
        let named = ty
            .enum_values()
            .find(|&(_, value)| number == if narrow { i64::from(value as i32) } else { value });
        self.sink.scalar(named.map_or(Scalar::Signed(number), |(name, _)| Scalar::Text(name)));
        Ok(())
    }

    fn float(&mut self, ty: &Type<'a>, bytes: &[u8]) -> Result<(), BtfError> {
        let scalar = match ty.size_or_type {
            4 => Scalar::Float32(f32::from_le_bytes(fixed(ty.id, bytes)?)),
            8 => Scalar::Float(f64::from_le_bytes(fixed(ty.id, bytes)?)),
            size => Scalar::Hex(bits(ty.id, bytes, 0, size.saturating_mul(8))?),
        };
        self.sink.scalar(scalar);
        Ok(())
    }

    fn variable(&mut self, ty: &Type<'a>, bytes: &[u8], depth: u32) -> Result<(), BtfError> {
        self.sink.begin(Group::Object);
        self.sink.name(ty.name);
        self.any(TypeId(ty.size_or_type), bytes, 0, depth)?;
        self.sink.end(Group::Object);
        Ok(())
    }

    fn datasec(&mut self, ty: &Type<'a>, bytes: &[u8], depth: u32) -> Result<(), BtfError> {
        self.sink.begin(Group::Object);
        self.sink.name(ty.name);
        self.sink.begin(Group::Array);
        for variable in ty.datasec() {
            let at = variable.offset as usize;
            let part = bytes.get(at..).ok_or_else(|| short(ty.id, at as u64, bytes))?;
            self.any(variable.type_id, part, 0, depth)?;
        }
        self.sink.end(Group::Array);
        self.sink.end(Group::Object);
        Ok(())
    }
}

fn whole_int(int: IntInfo, raw: u64) -> Scalar<'static> {
    let encoding = int.encoding;
    if encoding.bool {
        Scalar::Bool(raw != 0)
    } else if encoding.char {
        Scalar::Char(raw as u8)
    } else if encoding.signed {
        let unused = 64 - int.bits;
        Scalar::Signed((raw << unused) as i64 >> unused)
    } else {
        Scalar::Unsigned(raw)
    }
}

/// `width` bits of little-endian `bytes`, from bit `shift` (0 to 7) on.
pub(super) fn bits(id: TypeId, bytes: &[u8], shift: u32, width: u32) -> Result<u128, BtfError> {
    if width > 128 {
        return Err(BtfError::SizeOverflow(id));
    }
    let len = (shift + width).div_ceil(8) as usize;
    let source = bytes.get(..len).ok_or_else(|| short(id, len as u64, bytes))?;
    let mut value: u128 = 0;
    // Up to 17 bytes: the last one's upper bits fall off the shift.
    for (index, &byte) in source.iter().enumerate() {
        let place = index as u32 * 8;
        value |= if place >= shift {
            u128::from(byte).checked_shl(place - shift).unwrap_or(0)
        } else {
            u128::from(byte) >> shift
        };
    }
    Ok(if width == 128 { value } else { value & ((1 << width) - 1) })
}

fn fixed<const N: usize>(id: TypeId, bytes: &[u8]) -> Result<[u8; N], BtfError> {
    bytes.first_chunk::<N>().copied().ok_or_else(|| short(id, N as u64, bytes))
}
