//! `map show`.

use btf::print::JsonText;
use runtime::door::{Fd, MapInfo, ObjKind};
use uapi::MapType;

use crate::answer::{Answer, Done, Show};
use crate::fail::Fail;
use crate::prog::{number, string, strings, type_name};
use crate::session::Ctx;
use crate::words::Words;
use crate::{handle, pins};

/// `map show [MAP]`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let pinned = if ctx.options.bpffs { pins::all(ctx, ObjKind::Map)? } else { Vec::new() };
    if words.len() == 2 {
        let fds = handle::maps(ctx, &mut words)?;
        if fds.is_empty() {
            return Err(Fail::silent(-1));
        }
        let rows: Result<Vec<_>, _> = fds.iter().map(|fd| row(ctx, *fd, &pinned)).collect();
        let array = fds.len() > 1;
        return Ok(Answer::data(Maps { rows: rows?, array }));
    }
    words.end()?;
    let mut rows = Vec::new();
    handle::every(ctx, ObjKind::Map, |_, fd| {
        rows.push(row(ctx, fd, &pinned)?);
        Ok(())
    })?;
    Ok(Answer::data(Maps { rows, array: true }))
}

fn row(ctx: &Ctx<'_>, fd: Fd, pinned: &[(String, u32)]) -> Result<Row, Fail> {
    let info = handle::map_info(ctx, fd)?;
    let owner = match info.def.map_type {
        MapType::ProgArray => ctx.door()?.map_owner(fd).ok().flatten(),
        _ => None,
    };
    let pins = pins::of(pinned, info.id);
    Ok(Row { info, owner, pins })
}

struct Maps {
    rows: Vec<Row>,
    array: bool,
}

struct Row {
    info: MapInfo,
    /// Number of the type of the programs in it, and whether they are compiled.
    owner: Option<(u32, bool)>,
    pins: Vec<String>,
}

/// The line that begins what is said of a map, with its end.
pub(crate) fn header(info: &MapInfo) -> String {
    let mut out = format!("{}: {}  ", info.id, ring3::map_type_name(info.def.map_type));
    if !info.def.name.is_empty() {
        out += &format!("name {}  ", info.def.name);
    }
    out + &format!("flags {:#x}\n", info.def.flags)
}

/// The same as members.
pub(crate) fn header_json(info: &MapInfo, out: &mut JsonText) {
    number(out, "id", info.id);
    string(out, "type", &ring3::map_type_name(info.def.map_type));
    if !info.def.name.is_empty() {
        string(out, "name", &info.def.name);
    }
    number(out, "flags", info.def.flags);
}

impl Row {
    fn text(&self) -> String {
        let (info, def) = (&self.info, &self.info.def);
        let mut out = header(info);
        let (key, value, entries) = (def.key_size, def.value_size, def.max_entries);
        out += &format!("\tkey {key}B  value {value}B  max_entries {entries}");
        out += &format!("  memlock {}B", info.memlock);
        if let Some((prog_type, jited)) = self.owner {
            out += "\n\t";
            out += &match type_name(prog_type) {
                Ok(name) => format!("owner_prog_type {name}  "),
                Err(raw) => format!("owner_prog_type {raw}  "),
            };
            out += if jited { "owner jited" } else { "owner not jited" };
        }
        for pin in &self.pins {
            out += &format!("\n\tpinned {pin}");
        }
        if info.btf_id != 0 {
            out += &format!("\n\tbtf_id {}", info.btf_id);
        }
        if info.frozen {
            out += if info.btf_id != 0 { "  frozen" } else { "\n\tfrozen" };
        }
        out + "\n"
    }

    fn fields(&self, out: &mut JsonText) {
        let (info, def) = (&self.info, &self.info.def);
        out.begin_object();
        header_json(info, out);
        number(out, "bytes_key", def.key_size);
        number(out, "bytes_value", def.value_size);
        number(out, "max_entries", def.max_entries);
        number(out, "bytes_memlock", info.memlock);
        if let Some((prog_type, jited)) = self.owner {
            match type_name(prog_type) {
                Ok(name) => string(out, "owner_prog_type", &name),
                Err(raw) => number(out, "owner_prog_type", raw),
            }
            number(out, "owner_jited", jited);
        }
        number(out, "frozen", u8::from(info.frozen));
        if info.btf_id != 0 {
            number(out, "btf_id", info.btf_id);
        }
        strings(out, "pinned", &self.pins);
        out.end_object();
    }
}

impl Show for Maps {
    fn plain(&self, out: &mut Vec<u8>) {
        self.rows.iter().for_each(|row| out.extend_from_slice(row.text().as_bytes()));
    }

    fn json(&self, out: &mut JsonText) {
        if self.array {
            out.begin_array();
        }
        self.rows.iter().for_each(|row| row.fields(out));
        if self.array {
            out.end_array();
        }
    }
}
