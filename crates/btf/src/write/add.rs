//! Adding types, one method per kind.

use crate::error::{BtfError, Place};
use crate::kind::{Kind, Linkage};
use crate::ty::{Encoding, SecInfo, TypeId};

use super::BtfBuilder;

/// A member to add to a struct or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMember<'a> {
    /// Name, empty for an anonymous struct or union.
    pub name: &'a str,
    /// Type of the member.
    pub type_id: TypeId,
    /// Offset from the start of the struct, in bits.
    pub bit_offset: u32,
    /// Width in bits of a bit-field, else 0.
    pub bitfield_size: u32,
}

impl BtfBuilder {
    /// An integer of `size` bytes, all of its bits used.
    pub fn int(&mut self, name: &str, size: u32, encoding: Encoding) -> TypeId {
        let Encoding { signed, char, bool } = encoding;
        let flags = u32::from(signed) | u32::from(char) << 1 | u32::from(bool) << 2;
        if size == 0 || size > 16 {
            self.fail(BtfError::Limit("integer size", 16));
        }
        self.add(Kind::Int, name, size, 0, false, &[flags << 24 | (size.min(16) * 8)])
    }

    /// A floating-point number of `size` bytes.
    pub fn float(&mut self, name: &str, size: u32) -> TypeId {
        self.add(Kind::Float, name, size, 0, false, &[])
    }

    /// A pointer.
    pub fn ptr(&mut self, target: TypeId) -> TypeId {
        self.add(Kind::Ptr, "", target.0, 0, false, &[])
    }

    /// An array of `count` elements.
    pub fn array(&mut self, elem: TypeId, index: TypeId, count: u32) -> TypeId {
        self.add(Kind::Array, "", 0, 0, false, &[elem.0, index.0, count])
    }

    /// A struct of `size` bytes; bit-fields are encoded with the kind flag.
    pub fn structure(&mut self, name: &str, size: u32, members: &[NewMember<'_>]) -> TypeId {
        self.composite(Kind::Struct, name, size, members)
    }

    /// A union of `size` bytes.
    pub fn union(&mut self, name: &str, size: u32, members: &[NewMember<'_>]) -> TypeId {
        self.composite(Kind::Union, name, size, members)
    }

    fn composite(
        &mut self,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[NewMember<'_>],
    ) -> TypeId {
        let flagged = members.iter().any(|member| member.bitfield_size != 0);
        let mut tail = Vec::with_capacity(members.len() * 3);
        for member in members {
            if flagged && (member.bit_offset >> 24 != 0 || member.bitfield_size > 0xff) {
                self.fail(BtfError::Limit("bit offset beside a bit-field", 0x00ff_ffff));
            }
            let offset = member.bit_offset | (member.bitfield_size & 0xff) << 24;
            tail.extend([self.string(member.name), member.type_id.0, offset]);
        }
        self.add(kind, name, size, members.len(), flagged, &tail)
    }

    /// An enum of `size` bytes (1, 2 or 4) with 32-bit constants.
    pub fn enumeration(
        &mut self,
        name: &str,
        size: u32,
        signed: bool,
        values: &[(&str, i32)],
    ) -> TypeId {
        let tail: Vec<u32> =
            values.iter().flat_map(|&(name, value)| [self.string(name), value as u32]).collect();
        self.add(Kind::Enum, name, size, values.len(), signed, &tail)
    }

    /// An enum of 8 bytes with 64-bit constants (unsigned ones by their bits).
    pub fn enum64(&mut self, name: &str, signed: bool, values: &[(&str, i64)]) -> TypeId {
        let tail: Vec<u32> = values
            .iter()
            .flat_map(|&(name, value)| [self.string(name), value as u32, (value >> 32) as u32])
            .collect();
        self.add(Kind::Enum64, name, 8, values.len(), signed, &tail)
    }

    /// A struct or union declared but not defined.
    pub fn fwd(&mut self, name: &str, is_union: bool) -> TypeId {
        self.add(Kind::Fwd, name, 0, 0, is_union, &[])
    }

    /// A typedef.
    pub fn typedef(&mut self, name: &str, target: TypeId) -> TypeId {
        self.add(Kind::Typedef, name, target.0, 0, false, &[])
    }

    /// A `const`, `volatile` or `restrict` qualifier on `target`.
    pub fn qualifier(&mut self, kind: Kind, target: TypeId) -> TypeId {
        if !matches!(kind, Kind::Const | Kind::Volatile | Kind::Restrict) {
            self.fail(invalid(self.next_id(), "kind is not a qualifier"));
        }
        self.add(kind, "", target.0, 0, false, &[])
    }

    /// A `btf_type_tag` attribute on `target`.
    pub fn type_tag(&mut self, tag: &str, target: TypeId) -> TypeId {
        self.add(Kind::TypeTag, tag, target.0, 0, false, &[])
    }

    /// A `btf_decl_tag` attribute on a declaration, or on its component if `component` >= 0.
    pub fn decl_tag(&mut self, tag: &str, target: TypeId, component: i32) -> TypeId {
        self.add(Kind::DeclTag, tag, target.0, 0, false, &[component as u32])
    }

    /// A function prototype; a last parameter ("", void) stands for `...`.
    pub fn func_proto(&mut self, ret: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let tail: Vec<u32> =
            params.iter().flat_map(|&(name, id)| [self.string(name), id.0]).collect();
        self.add(Kind::FuncProto, "", ret.0, params.len(), false, &tail)
    }

    /// A function of prototype `proto`.
    pub fn func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        self.add(Kind::Func, name, proto.0, linkage as usize, false, &[])
    }

    /// A variable.
    pub fn var(&mut self, name: &str, type_id: TypeId, linkage: Linkage) -> TypeId {
        self.add(Kind::Var, name, type_id.0, 0, false, &[linkage as u32])
    }

    /// A data section of `size` bytes.
    pub fn datasec(&mut self, name: &str, size: u32, variables: &[SecInfo]) -> TypeId {
        let tail: Vec<u32> =
            variables.iter().flat_map(|info| [info.type_id.0, info.offset, info.size]).collect();
        self.add(Kind::Datasec, name, size, variables.len(), false, &tail)
    }

    fn add(
        &mut self,
        kind: Kind,
        name: &str,
        size_or_type: u32,
        vlen: usize,
        flag: bool,
        tail: &[u32],
    ) -> TypeId {
        let id = self.next_id();
        if vlen > 0xffff {
            self.fail(BtfError::Limit("number of members", 0xffff));
        }
        let at = u32::try_from(self.types.len()).ok();
        match at {
            Some(at) => self.offsets.push(at),
            None => self.fail(BtfError::Limit("BTF length", u64::from(u32::MAX))),
        }
        let info = u32::from(flag) << 31 | u32::from(kind as u8) << 24 | vlen as u32 & 0xffff;
        let name_off = self.string(name);
        for word in [name_off, info, size_or_type].iter().chain(tail) {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        id
    }
}

pub(super) fn invalid(id: TypeId, message: &str) -> BtfError {
    BtfError::Invalid {
        id,
        name: String::new(),
        message: message.to_owned(),
        errno: 22,
        place: Place::Record,
    }
}
