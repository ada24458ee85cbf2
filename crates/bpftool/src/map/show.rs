//! `map show`.

use btf::print::JsonText;
use runtime::door::{Fd, MapInfo, ObjKind};
use uapi::MapType;

use crate::answer::Done;
use crate::fail::Fail;
use crate::handle;
use crate::list::{self, Row};
use crate::prog::{number, string, type_name};
use crate::refs::{Ref, Refs};
use crate::session::Ctx;
use crate::words::Words;

/// `map show [MAP]`.
pub(crate) fn show(ctx: &Ctx<'_>, words: Words<'_>) -> Done {
    list::show(ctx, words, ObjKind::Map, handle::maps, row)
}

fn row(ctx: &Ctx<'_>, fd: Fd, refs: &Refs) -> Result<MapRow, Fail> {
    let info = handle::map_info(ctx, fd)?;
    let owner = match info.def.map_type {
        MapType::ProgArray => ctx.door()?.map_owner(fd).ok().flatten(),
        _ => None,
    };
    let refs = refs.of(info.id);
    Ok(MapRow { info, owner, refs })
}

struct MapRow {
    info: MapInfo,
    /// Number of the type of the programs in it, and whether they are compiled.
    owner: Option<(u32, bool)>,
    refs: Ref,
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

impl Row for MapRow {
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
        out += &self.refs.pins_text();
        if info.btf_id != 0 {
            out += &format!("\n\tbtf_id {}", info.btf_id);
        }
        if info.frozen {
            out += if info.btf_id != 0 { "  frozen" } else { "\n\tfrozen" };
        }
        out += &self.refs.pids_text();
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
        self.refs.pins_json(out);
        self.refs.pids_json(out);
        out.end_object();
    }
}
