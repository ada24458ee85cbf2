//! Rules that one type record can be held against by itself.

use crate::blob::{Btf, word};
use crate::error::{BtfError, Place};
use crate::kind::Kind;
use crate::ty::{Member, SecInfo, Type, TypeId};

use super::name::{is_identifier, is_section};
use super::{EINVAL, at, fault, id_in_range, rule};

/// Linux' `ENOTSUPP`, which has no name outside the kernel.
const ENOTSUPP: i32 = 524;
/// Bits of the info word that mean something: vlen, kind, flag.
pub(super) const INFO_MASK: u32 = 0x9f00_ffff;
/// Bits of an integer's data word that mean something.
const INT_MASK: u32 = 0x0fff_ffff;

pub(super) fn check(btf: &Btf, ty: &Type<'_>) -> Result<(), BtfError> {
    let info = btf.head(ty.id).map_or(0, |head| head.info);
    if info & !INFO_MASK != 0 {
        return Err(fault(ty, EINVAL, format!("Invalid btf_info:{info:x}")));
    }
    string(btf, ty, ty.name_off, "Invalid name_offset")?;
    // Each kind has its own order of these in the kernel; of two faults it names the first.
    match ty.kind {
        Kind::Enum | Kind::Enum64 => {
            rule(ty, matches!(ty.size_or_type, 1 | 2 | 4 | 8), "Unexpected size")?;
            check_name(btf, ty)?;
        }
        Kind::Ptr
        | Kind::Const
        | Kind::Volatile
        | Kind::Restrict
        | Kind::Typedef
        | Kind::TypeTag => {
            check_head(ty)?;
            rule(ty, id_in_range(TypeId(ty.size_or_type)), "Invalid type_id")?;
            check_name(btf, ty)?;
        }
        Kind::Fwd => {
            check_head(ty)?;
            rule(ty, ty.size_or_type == 0, "type != 0")?;
            check_name(btf, ty)?;
        }
        Kind::Array | Kind::FuncProto | Kind::DeclTag => {
            check_name(btf, ty)?;
            check_head(ty)?;
        }
        Kind::Func => {
            check_name(btf, ty)?;
            rule(ty, ty.vlen <= 1, "Invalid func linkage")?;
            check_head(ty)?;
        }
        _ => {
            rule(ty, ty.kind != Kind::Datasec || ty.size_or_type != 0, "size == 0")?;
            check_head(ty)?;
            check_name(btf, ty)?;
        }
    }
    match ty.kind {
        Kind::Int => int(ty),
        Kind::Array => array(ty),
        Kind::Struct | Kind::Union => composite(btf, ty),
        Kind::Enum | Kind::Enum64 => enumeration(btf, ty),
        Kind::Float => {
            rule(ty, matches!(ty.size_or_type, 2 | 4 | 8 | 12 | 16), "Invalid type_size")
        }
        Kind::Var => variable(ty),
        Kind::Datasec => datasec(ty),
        Kind::DeclTag => rule(ty, ty.decl_tag() >= Some(-1), "Invalid component_idx"),
        _ => Ok(()),
    }
}

/// vlen and kind flag, for the kinds that have no use for them.
fn check_head(ty: &Type<'_>) -> Result<(), BtfError> {
    let uses_vlen = ty.kind.tail_len(1) != ty.kind.tail_len(0) || ty.kind == Kind::Func;
    rule(ty, uses_vlen || ty.vlen == 0, "vlen != 0")?;
    let uses_flag = matches!(ty.kind, Kind::Fwd | Kind::TypeTag | Kind::DeclTag)
        || ty.kind.is_composite()
        || ty.kind.is_enum();
    rule(ty, uses_flag || !ty.kind_flag, "Invalid btf_info kind_flag")
}

fn check_name(btf: &Btf, ty: &Type<'_>) -> Result<(), BtfError> {
    let name = btf.string_bytes(ty.name_off).unwrap_or(&[]);
    let absent = ty.name_off == 0;
    let (holds, message) = match ty.kind {
        Kind::Int | Kind::Float => (true, ""),
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => {
            (absent || is_identifier(name), "Invalid name")
        }
        Kind::Fwd | Kind::Typedef | Kind::Func | Kind::Var => {
            (!absent && is_identifier(name), "Invalid name")
        }
        Kind::Datasec => (!absent && is_section(name), "Invalid name"),
        Kind::DeclTag => (!name.is_empty(), "Invalid value"),
        Kind::TypeTag => (!name.is_empty(), "Invalid name"),
        _ => (absent, "Invalid name"),
    };
    rule(ty, holds, message)
}

/// Whether a string offset lies in the section (of the base or the own one).
fn string(btf: &Btf, ty: &Type<'_>, offset: u32, message: &str) -> Result<(), BtfError> {
    match btf.string_bytes(offset) {
        Some(_) => Ok(()),
        None => Err(fault(ty, EINVAL, format!("{message}:{offset}"))),
    }
}

fn int(ty: &Type<'_>) -> Result<(), BtfError> {
    let data = ty.int_raw().unwrap_or(0);
    if data & !INT_MASK != 0 {
        return Err(fault(ty, EINVAL, format!("Invalid int_data:{data:x}")));
    }
    let bits = (data & 0xff) + ((data >> 16) & 0xff);
    rule(ty, bits <= 128, "nr_bits exceeds 128")?;
    rule(ty, bits.div_ceil(8) <= ty.size_or_type, "nr_bits exceeds type_size")?;
    match (data >> 24) & 0xf {
        0 | 1 | 2 | 4 => Ok(()),
        _ => Err(fault(ty, ENOTSUPP, "Unsupported encoding")),
    }
}

fn array(ty: &Type<'_>) -> Result<(), BtfError> {
    rule(ty, ty.size_or_type == 0, "size != 0")?;
    let Some(array) = ty.array() else { return rule(ty, false, "Invalid elem") };
    rule(ty, !array.elem.is_void() && id_in_range(array.elem), "Invalid elem")?;
    rule(ty, !array.index.is_void() && id_in_range(array.index), "Invalid index")
}

fn composite(btf: &Btf, ty: &Type<'_>) -> Result<(), BtfError> {
    let mut last = 0;
    for (index, member) in (0..).zip(ty.members()) {
        member_record(btf, ty, index, member, last).map_err(at(Place::Part(index)))?;
        last = member.bit_offset;
    }
    Ok(())
}

fn member_record(
    btf: &Btf,
    ty: &Type<'_>,
    index: u32,
    member: Member<'_>,
    last: u32,
) -> Result<(), BtfError> {
    let name_off = word(ty.tail, index as usize * 12).unwrap_or(0);
    string(btf, ty, name_off, "Invalid member name_offset")?;
    let name = btf.string_bytes(name_off).unwrap_or(&[]);
    rule(ty, name_off == 0 || is_identifier(name), "Invalid name")?;
    rule(ty, !member.type_id.is_void() && id_in_range(member.type_id), "Invalid type_id")?;
    let at = member.bit_offset;
    let ordered = if ty.kind == Kind::Union { at == 0 } else { last <= at };
    rule(ty, ordered, "Invalid member bits_offset")?;
    let inside = at.div_ceil(8) <= ty.size_or_type;
    rule(ty, inside, "Member bits_offset exceeds its struct size")
}

fn enumeration(btf: &Btf, ty: &Type<'_>) -> Result<(), BtfError> {
    let step = if ty.kind == Kind::Enum64 { 12 } else { 8 };
    for (index, record) in (0..).zip(ty.tail.chunks_exact(step)) {
        let name_off = word(record, 0).unwrap_or(0);
        string(btf, ty, name_off, "Invalid name_offset")
            .map_err(at(Place::ConstantOffset(index)))?;
        let name = btf.string_bytes(name_off).unwrap_or(&[]);
        rule(ty, name_off != 0 && is_identifier(name), "Invalid name")
            .map_err(at(Place::Constant(index)))?;
    }
    Ok(())
}

fn variable(ty: &Type<'_>) -> Result<(), BtfError> {
    let Some(var) = ty.var() else { return rule(ty, false, "Invalid type_id") };
    rule(ty, !var.type_id.is_void() && id_in_range(var.type_id), "Invalid type_id")?;
    rule(ty, var.linkage_raw <= 1, "Linkage not supported")
}

fn datasec(ty: &Type<'_>) -> Result<(), BtfError> {
    let mut end = 0;
    for (index, info) in (0..).zip(ty.datasec()) {
        end = variable_record(ty, info, end).map_err(at(Place::Part(index)))?;
    }
    Ok(())
}

/// Checks one variable's place after `end`, and returns where it ends.
fn variable_record(ty: &Type<'_>, info: SecInfo, end: u64) -> Result<u64, BtfError> {
    let size = u64::from(ty.size_or_type);
    rule(ty, !info.type_id.is_void() && id_in_range(info.type_id), "Invalid type_id")?;
    let start = u64::from(info.offset);
    rule(ty, start >= end && start < size, "Invalid offset")?;
    rule(ty, info.size != 0 && info.size <= ty.size_or_type, "Invalid size")?;
    let end = start + u64::from(info.size);
    rule(ty, end <= size, "Invalid offset+size")?;
    Ok(end)
}
