//! `bpftool btf dump … format raw`: one line per type and per part of it, or the same as JSON.

use std::fmt::Write;

use crate::blob::Btf;
use crate::kind::{Kind, Linkage};
use crate::print::JsonText;
use crate::ty::{IntInfo, Type};

/// The lines for one type, each ending in a newline.
#[must_use]
pub fn text(ty: &Type<'_>) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_type(&mut out, ty);
    out
}

/// All own types of a BTF object, as `bpftool btf dump` prints them.
#[must_use]
pub fn dump(btf: &Btf) -> String {
    let mut out = String::with_capacity(btf.own_type_bytes().len() * 2);
    for ty in btf.own_types() {
        let _ = write_type(&mut out, &ty);
    }
    out
}

/// All own types of a BTF object, as `bpftool -j btf dump` prints them.
pub fn dump_json(btf: &Btf, out: &mut JsonText) {
    out.begin_object();
    out.name("types");
    out.begin_array();
    for ty in btf.own_types() {
        json(&ty, out);
    }
    out.end_array();
    out.end_object();
}

/// One type as `bpftool -j btf dump` prints it in its list.
pub fn json(ty: &Type<'_>, out: &mut JsonText) {
    out.begin_object();
    number(out, "id", ty.id.0);
    string(out, "kind", ty.kind.text());
    string(out, "name", anon(ty.name));
    json_body(ty, out);
    out.end_object();
}

fn anon(name: &str) -> &str {
    if name.is_empty() { "(anon)" } else { name }
}

fn encoding(ty: &Type<'_>) -> &'static str {
    match (ty.int_raw().unwrap_or(0) >> 24) & 0xf {
        0 => "(none)",
        1 => "SIGNED",
        2 => "CHAR",
        4 => "BOOL",
        _ => "UNKN",
    }
}

fn linkage(number: u32) -> &'static str {
    match Linkage::from_number(number) {
        Some(Linkage::Static) => "static",
        Some(Linkage::Global) => "global",
        Some(Linkage::Extern) => "extern",
        None => "(unknown)",
    }
}

fn enum_encoding(ty: &Type<'_>) -> &'static str {
    if ty.kind_flag { "SIGNED" } else { "UNSIGNED" }
}

/// An enum's constant as C would write it; 64-bit ones have a suffix.
fn constant(ty: &Type<'_>, value: i64) -> String {
    match (ty.kind, ty.kind_flag) {
        (Kind::Enum64, true) => format!("{value}LL"),
        (Kind::Enum64, false) => format!("{}ULL", value as u64),
        _ => value.to_string(),
    }
}

fn fwd_kind(ty: &Type<'_>) -> &'static str {
    if ty.kind_flag { "union" } else { "struct" }
}

fn write_type(out: &mut String, ty: &Type<'_>) -> std::fmt::Result {
    write!(out, "[{}] {} '{}'", ty.id.0, ty.kind, anon(ty.name))?;
    let word = ty.size_or_type;
    match ty.kind {
        Kind::Int => {
            let int = ty.int().unwrap_or(IntInfo { bits: 0, offset: 0, encoding: <_>::default() });
            let IntInfo { bits, offset, .. } = int;
            let encoding = encoding(ty);
            write!(out, " size={word} bits_offset={offset} nr_bits={bits} encoding={encoding}")?;
        }
        Kind::Array => {
            if let Some(array) = ty.array() {
                let (elem, index) = (array.elem.0, array.index.0);
                write!(out, " type_id={elem} index_type_id={index} nr_elems={}", array.count)?;
            }
        }
        Kind::Struct | Kind::Union => {
            write!(out, " size={word} vlen={}", ty.vlen)?;
            for member in ty.members() {
                let (name, id, at) = (anon(member.name), member.type_id.0, member.bit_offset);
                write!(out, "\n\t'{name}' type_id={id} bits_offset={at}")?;
                if member.bitfield_size != 0 {
                    write!(out, " bitfield_size={}", member.bitfield_size)?;
                }
            }
        }
        Kind::Enum | Kind::Enum64 => {
            write!(out, " encoding={} size={word} vlen={}", enum_encoding(ty), ty.vlen)?;
            for (name, value) in ty.enum_values() {
                write!(out, "\n\t'{}' val={}", anon(name), constant(ty, value))?;
            }
        }
        Kind::Fwd => write!(out, " fwd_kind={}", fwd_kind(ty))?,
        Kind::Func => write!(out, " type_id={word} linkage={}", linkage(ty.vlen))?,
        Kind::FuncProto => {
            write!(out, " ret_type_id={word} vlen={}", ty.vlen)?;
            for param in ty.params() {
                write!(out, "\n\t'{}' type_id={}", anon(param.name), param.type_id.0)?;
            }
        }
        Kind::Var => {
            let linkage = linkage(ty.var().map_or(u32::MAX, |var| var.linkage_raw));
            write!(out, " type_id={word}, linkage={linkage}")?;
        }
        Kind::Datasec => {
            write!(out, " size={word} vlen={}", ty.vlen)?;
            for info in ty.datasec() {
                let (id, at, size) = (info.type_id, info.offset, info.size);
                write!(out, "\n\ttype_id={} offset={at} size={size}", id.0)?;
                if let Some(var) = ty.btf().ty(id) {
                    write!(out, " ({} '{}')", var.kind, anon(var.name))?;
                }
            }
        }
        Kind::Float => write!(out, " size={word}")?,
        Kind::DeclTag => {
            write!(out, " type_id={word} component_idx={}", ty.decl_tag().unwrap_or(-1))?;
        }
        _ => write!(out, " type_id={word}")?,
    }
    out.push('\n');
    Ok(())
}

fn number(out: &mut JsonText, name: &str, value: impl std::fmt::Display) {
    out.name(name);
    out.raw(format_args!("{value}"));
}

fn string(out: &mut JsonText, name: &str, value: &str) {
    out.name(name);
    out.string(value);
}

fn json_body(ty: &Type<'_>, out: &mut JsonText) {
    let word = ty.size_or_type;
    match ty.kind {
        Kind::Int => {
            let Some(int) = ty.int() else { return };
            number(out, "size", word);
            number(out, "bits_offset", int.offset);
            number(out, "nr_bits", int.bits);
            string(out, "encoding", encoding(ty));
        }
        Kind::Array => {
            let Some(array) = ty.array() else { return };
            number(out, "type_id", array.elem.0);
            number(out, "index_type_id", array.index.0);
            number(out, "nr_elems", array.count);
        }
        Kind::Struct | Kind::Union => {
            number(out, "size", word);
            list(ty, out, "members", ty.members(), |out, member| {
                string(out, "name", anon(member.name));
                number(out, "type_id", member.type_id.0);
                number(out, "bits_offset", member.bit_offset);
                if member.bitfield_size != 0 {
                    number(out, "bitfield_size", member.bitfield_size);
                }
            });
        }
        Kind::Enum | Kind::Enum64 => {
            string(out, "encoding", enum_encoding(ty));
            number(out, "size", word);
            list(ty, out, "values", ty.enum_values(), |out, (name, value)| {
                string(out, "name", anon(name));
                match (ty.kind, ty.kind_flag) {
                    // bpftool widens 32-bit constants with their sign before it prints them.
                    (Kind::Enum, false) => number(out, "val", i64::from(value as i32) as u64),
                    (_, false) => number(out, "val", value as u64),
                    (_, true) => number(out, "val", value),
                }
            });
        }
        Kind::Fwd => string(out, "fwd_kind", fwd_kind(ty)),
        Kind::Func => {
            number(out, "type_id", word);
            string(out, "linkage", linkage(ty.vlen));
        }
        Kind::FuncProto => {
            number(out, "ret_type_id", word);
            list(ty, out, "params", ty.params(), |out, param| {
                string(out, "name", anon(param.name));
                number(out, "type_id", param.type_id.0);
            });
        }
        Kind::Var => {
            number(out, "type_id", word);
            string(out, "linkage", linkage(ty.var().map_or(u32::MAX, |var| var.linkage_raw)));
        }
        Kind::Datasec => {
            number(out, "size", word);
            list(ty, out, "vars", ty.datasec(), |out, info| {
                number(out, "type_id", info.type_id.0);
                number(out, "offset", info.offset);
                number(out, "size", info.size);
            });
        }
        Kind::Float => number(out, "size", word),
        Kind::DeclTag => {
            number(out, "type_id", word);
            number(out, "component_idx", ty.decl_tag().unwrap_or(-1));
        }
        _ => number(out, "type_id", word),
    }
}

/// `"vlen": n, "name": [{…}, …]`.
fn list<T>(
    ty: &Type<'_>,
    out: &mut JsonText,
    name: &str,
    items: impl Iterator<Item = T>,
    mut body: impl FnMut(&mut JsonText, T),
) {
    number(out, "vlen", ty.vlen);
    out.name(name);
    out.begin_array();
    for item in items {
        out.begin_object();
        body(out, item);
        out.end_object();
    }
    out.end_array();
}
