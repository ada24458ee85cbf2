//! The log of BTF_LOAD in the kernel's format (level 1), written from bytes and verdict.

use std::fmt::Write;

use crate::blob::{Btf, HEAD_LEN, check_header, word};
use crate::error::{BtfError, Place};
use crate::kind::Kind;
use crate::ty::{Member, Type, TypeId};

use super::meta::INFO_MASK;

/// What the kernel would have logged while it loaded these bytes to this verdict.
///
/// `btf` holds the types before the first that cannot be walked over, if there are any.
pub(super) fn log(bytes: &[u8], btf: Option<&Btf>, verdict: Result<(), &BtfError>) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_log(&mut out, bytes, btf, verdict);
    out
}

fn write_log(
    out: &mut String,
    bytes: &[u8],
    btf: Option<&Btf>,
    verdict: Result<(), &BtfError>,
) -> std::fmt::Result {
    match check_header(bytes) {
        Err(BtfError::Unsupported("header length", _)) => out.push_str("Unsupported btf_header\n"),
        Err(BtfError::Header(message @ ("hdr_len not found" | "btf_header not found"))) => {
            writeln!(out, "{message}")?;
        }
        header => {
            write_header(out, bytes)?;
            let sections = header
                .ok()
                .and_then(|(header, header_len)| section_message(&header, header_len, bytes.len()));
            match (sections, btf) {
                (Some(message), _) => writeln!(out, "{message}")?,
                (None, Some(btf)) => write_types(out, btf, verdict)?,
                (None, None) => writeln!(out, "{}", header_message(verdict))?,
            }
        }
    }
    Ok(())
}

fn write_header(out: &mut String, bytes: &[u8]) -> std::fmt::Result {
    let given = word(bytes, 4).unwrap_or(0).min(24) as usize;
    let byte = |at: usize| if at < given { bytes.get(at).copied().unwrap_or(0) } else { 0 };
    let field = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|index| byte(at + index)));
    let magic = u16::from_le_bytes([byte(0), byte(1)]);
    writeln!(out, "magic: {magic:#x}\nversion: {}\nflags: {:#x}", byte(2), byte(3))?;
    for (name, at) in
        [("hdr_len", 4), ("type_off", 8), ("type_len", 12), ("str_off", 16), ("str_len", 20)]
    {
        writeln!(out, "{name}: {}", field(at))?;
    }
    writeln!(out, "btf_total_size: {}", bytes.len())
}

/// The kernel's words for sections that do not fill the bytes exactly, in its order of checks.
fn section_message(header: &[u8], header_len: u32, total: usize) -> Option<&'static str> {
    let field = |at| word(header, at).unwrap_or(0);
    let body = total as u64 - u64::from(header_len);
    if body == 0 {
        return Some("No data");
    }
    let mut sections = [(field(8), field(12)), (field(16), field(20))];
    // It sorts by the sign of a 32-bit difference.
    sections.sort_by(|a, b| {
        let sign = |a: u32, b: u32| (a.wrapping_sub(b) as i32).cmp(&0);
        sign(a.0, b.0).then(sign(a.1, b.1))
    });
    let mut end = 0;
    for (start, len) in sections.map(|(start, len)| (u64::from(start), u64::from(len))) {
        match end {
            _ if start > body => return Some("Invalid section offset"),
            end if end < start => return Some("Unsupported section found"),
            end if end > start => return Some("Section overlap found"),
            end if len > body - end => return Some("Total section length too long"),
            _ => end += len,
        }
    }
    (end != body).then_some("Unsupported section found")
}

/// The kernel's words for a fault of header or sections.
fn header_message(verdict: Result<(), &BtfError>) -> String {
    match verdict {
        Err(BtfError::Header(message)) => (*message).to_owned(),
        Err(BtfError::BigEndian) => "Invalid magic".to_owned(),
        Err(BtfError::Unsupported(what, _)) => format!("Unsupported {what}"),
        Err(BtfError::Section { .. }) => "Total section length too long".to_owned(),
        Err(BtfError::Strings(_)) => "Invalid string section".to_owned(),
        Err(other) => other.to_string(),
        Ok(()) => String::new(),
    }
}

fn write_types(out: &mut String, btf: &Btf, verdict: Result<(), &BtfError>) -> std::fmt::Result {
    let (id, name_of_fault) = match verdict {
        Err(BtfError::Invalid { id, place, message, .. }) => (*id, Some((*place, message.clone()))),
        Err(BtfError::Truncated { id, offset }) => {
            let all = btf.own_type_bytes();
            write_all(out, btf, *id)?;
            return write_truncated(out, btf, all.get(*offset as usize..).unwrap_or(&[]), *id);
        }
        Err(BtfError::UnknownKind { id, offset, kind }) => {
            write_all(out, btf, *id)?;
            let info = word(btf.own_type_bytes(), *offset as usize + 4).unwrap_or(0);
            return match info & !INFO_MASK {
                0 => writeln!(out, "[{}] Invalid kind:{kind}", id.0),
                _ => writeln!(out, "[{}] Invalid btf_info:{info:x}", id.0),
            };
        }
        Err(_) => return writeln!(out, "{}", header_message(verdict)),
        Ok(()) => (TypeId(u32::MAX), None),
    };
    let Some((place, message)) = name_of_fault else { return write_all(out, btf, id) };
    let in_records = !matches!(place, Place::Reference | Place::PartReference(_) | Place::Chain);
    write_all(out, btf, if in_records { id } else { TypeId(u32::MAX) })?;
    let Some(ty) = btf.ty(id) else { return Ok(()) };
    match place {
        Place::Record => write_faulty_record(out, &ty, &message),
        Place::Reference => {
            write_type(out, &ty)?;
            writeln!(out, " {message}")
        }
        Place::Chain => writeln!(out, "{message}"),
        Place::PartReference(index) => {
            write_type(out, &ty)?;
            out.push('\n');
            // What is wrong beneath modifiers is logged of the type they lead to.
            match ty.members().nth(index as usize) {
                Some(member) if message != "Invalid member" => {
                    let end = btf.resolve(member.type_id).unwrap_or(member.type_id);
                    write_member(
                        out,
                        &ty,
                        &part_name(&ty, index as usize),
                        Member { type_id: end, ..member },
                    )?;
                }
                _ => write_part(out, &ty, index as usize)?,
            }
            writeln!(out, " {message}")
        }
        Place::Part(index) | Place::Constant(index) | Place::ConstantOffset(index) => {
            write_type(out, &ty)?;
            out.push('\n');
            for part in 0..index as usize {
                write_part(out, &ty, part)?;
                out.push('\n');
            }
            match place {
                Place::Constant(_) => write_type(out, &ty)?,
                Place::ConstantOffset(_) => return writeln!(out, "\t{message}"),
                _ => write_part(out, &ty, index as usize)?,
            }
            writeln!(out, " {message}")
        }
    }
}

/// Faults found before the kernel looks at the kind have no description of the type.
fn write_faulty_record(out: &mut String, ty: &Type<'_>, message: &str) -> std::fmt::Result {
    if message.starts_with("Invalid btf_info:") || message.starts_with("Invalid name_offset:") {
        return writeln!(out, "[{}] {message}", ty.id.0);
    }
    if message.starts_with("Invalid int_data:") {
        let name = name(ty.btf(), ty.name_off);
        return writeln!(out, "[{}] {} {name} {message}", ty.id.0, ty.kind);
    }
    write_type(out, ty)?;
    writeln!(out, " {message}")
}

fn write_truncated(out: &mut String, btf: &Btf, rest: &[u8], id: TypeId) -> std::fmt::Result {
    let (name_off, info) = match (word(rest, 0), word(rest, 4)) {
        (Some(name_off), Some(info)) if rest.len() >= HEAD_LEN as usize => (name_off, info),
        _ => {
            return writeln!(out, "[{}] meta_left:{} meta_needed:{HEAD_LEN}", id.0, rest.len());
        }
    };
    if info & !INFO_MASK != 0 {
        return writeln!(out, "[{}] Invalid btf_info:{info:x}", id.0);
    }
    if btf.string_bytes(name_off).is_none() {
        return writeln!(out, "[{}] Invalid name_offset:{name_off}", id.0);
    }
    let Some(kind) = Kind::from_number((info >> 24) & 0x1f) else { return Ok(()) };
    let needed = kind.tail_len(info & 0xffff);
    let left = rest.len() - HEAD_LEN as usize;
    let name = name(btf, name_off);
    writeln!(out, "[{}] {kind} {name} meta_left:{left} meta_needed:{needed}", id.0)
}

/// All own types before `end`, with their parts.
fn write_all(out: &mut String, btf: &Btf, end: TypeId) -> std::fmt::Result {
    for ty in btf.own_types().take_while(|ty| ty.id < end) {
        write_type(out, &ty)?;
        out.push('\n');
        for part in 0..parts(&ty) {
            write_part(out, &ty, part)?;
            out.push('\n');
        }
    }
    Ok(())
}

fn parts(ty: &Type<'_>) -> usize {
    match ty.kind {
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Datasec => ty.vlen as usize,
        _ => 0,
    }
}

fn name(btf: &Btf, offset: u32) -> String {
    match (offset, btf.string_bytes(offset)) {
        (0, _) => "(anon)".to_owned(),
        (_, Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        (_, None) => "(invalid-name-offset)".to_owned(),
    }
}

/// The line of a type, without its end.
fn write_type(out: &mut String, ty: &Type<'_>) -> std::fmt::Result {
    let word = ty.size_or_type;
    write!(out, "[{}] {} {} ", ty.id.0, ty.kind, name(ty.btf(), ty.name_off))?;
    match ty.kind {
        Kind::Int => {
            let data = ty.int_raw().unwrap_or(0);
            let encoding = match (data >> 24) & 0xf {
                0 => "(none)",
                1 => "SIGNED",
                2 => "CHAR",
                4 => "BOOL",
                _ => "UNKN",
            };
            let (offset, bits) = ((data >> 16) & 0xff, data & 0xff);
            write!(out, "size={word} bits_offset={offset} nr_bits={bits} encoding={encoding}")
        }
        Kind::Array => {
            let Some(array) = ty.array() else { return Ok(()) };
            let (elem, index) = (array.elem.0, array.index.0);
            write!(out, "type_id={elem} index_type_id={index} nr_elems={}", array.count)
        }
        Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Datasec => {
            write!(out, "size={word} vlen={}", ty.vlen)
        }
        Kind::Fwd => out.write_str(if ty.kind_flag { "union" } else { "struct" }),
        Kind::FuncProto => {
            write!(out, "return={word} args=(")?;
            write_args(out, ty)?;
            out.write_str(")")
        }
        Kind::Var => {
            write!(out, "type_id={word} linkage={}", ty.var().map_or(0, |var| var.linkage_raw))
        }
        Kind::Float => write!(out, "size={word}"),
        Kind::DeclTag => {
            write!(out, "type={word} component_idx={}", ty.decl_tag().unwrap_or(0))
        }
        _ => write!(out, "type_id={word}"),
    }
}

fn write_args(out: &mut String, ty: &Type<'_>) -> std::fmt::Result {
    let count = ty.params().len();
    if count == 0 {
        return out.write_str("void");
    }
    for (index, param) in ty.params().enumerate() {
        out.write_str(if index > 0 { ", " } else { "" })?;
        if index + 1 == count && param.type_id.is_void() {
            out.write_str("vararg")?;
        } else {
            let name_off = word(ty.tail, index * 8).unwrap_or(0);
            write!(out, "{} {}", param.type_id.0, name(ty.btf(), name_off))?;
        }
    }
    Ok(())
}

fn write_member(
    out: &mut String,
    ty: &Type<'_>,
    name: &str,
    member: Member<'_>,
) -> std::fmt::Result {
    let (id, at, bits) = (member.type_id.0, member.bit_offset, member.bitfield_size);
    write!(out, "\t{name} type_id={id} ")?;
    if ty.kind_flag {
        write!(out, "bitfield_size={bits} ")?;
    }
    write!(out, "bits_offset={at}")
}

/// The name of a member or constant; parts of all kinds that have any start with it.
fn part_name(ty: &Type<'_>, index: usize) -> String {
    let step = ty.kind.tail_len(1) as usize;
    name(ty.btf(), word(ty.tail, index * step).unwrap_or(0))
}

/// The line of a member, constant or variable, without its end.
fn write_part(out: &mut String, ty: &Type<'_>, index: usize) -> std::fmt::Result {
    let name = part_name(ty, index);
    match ty.kind {
        Kind::Struct | Kind::Union => {
            let Some(member) = ty.members().nth(index) else { return Ok(()) };
            write_member(out, ty, &name, member)
        }
        Kind::Enum | Kind::Enum64 => {
            let value = ty.enum_values().nth(index).map_or(0, |(_, value)| value);
            match ty.kind_flag {
                true => write!(out, "\t{name} val={value}"),
                false => write!(out, "\t{name} val={}", value as u64),
            }
        }
        _ => {
            let Some(info) = ty.datasec().nth(index) else { return Ok(()) };
            let (id, at, size) = (info.type_id.0, info.offset, info.size);
            write!(out, "\t type_id={id} offset={at} size={size}")
        }
    }
}
