//! `prog show`.

use btf::print::JsonText;
use runtime::door::{Fd, ObjKind, ProgInfo};
use uapi::ProgType;

use crate::answer::Done;
use crate::fail::Fail;
use crate::list::{self, Row};
use crate::refs::{Ref, Refs};
use crate::session::Ctx;
use crate::words::Words;
use crate::{handle, proto, time};

/// `prog show [PROG]`.
pub(crate) fn show(ctx: &Ctx<'_>, words: Words<'_>) -> Done {
    list::show(ctx, words, ObjKind::Prog, handle::progs, row)
}

fn row(ctx: &Ctx<'_>, fd: Fd, refs: &Refs) -> Result<ProgRow, Fail> {
    let info = handle::prog_info(ctx, fd)?;
    let name = proto::full_name(ctx.door()?, &info);
    let loaded_at = (info.load_time != 0).then(|| time::wall_clock(info.load_time));
    let refs = refs.of(info.id);
    Ok(ProgRow { info, name, loaded_at, refs })
}

struct ProgRow {
    info: ProgInfo,
    name: String,
    /// Seconds since 1970.
    loaded_at: Option<i64>,
    refs: Ref,
}

/// A type as it is shown; its number if it has no name.
pub(crate) fn type_name(number: u32) -> Result<String, u32> {
    match ProgType::from_raw(number) {
        Some(prog_type) => Ok(ring3::prog_type_name(prog_type)),
        None => Err(number),
    }
}

pub(crate) fn tag(tag: [u8; 8]) -> String {
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ids(ids: &[u32]) -> String {
    let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
    ids.join(",")
}

impl Row for ProgRow {
    fn text(&self) -> String {
        let info = &self.info;
        let mut out = match type_name(info.prog_type) {
            Ok(name) => format!("{}: {name}  ", info.id),
            Err(number) => format!("{}: type {number}  ", info.id),
        };
        if !self.name.is_empty() {
            out += &format!("name {}  ", self.name);
        }
        out += &format!("tag {}", tag(info.tag));
        if info.gpl_compatible {
            out += "  gpl";
        }
        if info.run_time_ns != 0 {
            out += &format!("  run_time_ns {} run_cnt {}", info.run_time_ns, info.run_cnt);
        }
        if info.recursion_misses != 0 {
            out += &format!("  recursion_misses {}", info.recursion_misses);
        }
        out.push('\n');
        if let Some(seconds) = self.loaded_at {
            let at = time::local(seconds);
            out += &format!("\tloaded_at {at}  uid {}\n", info.created_by_uid);
        }
        out += &format!("\txlated {}B", info.xlated.len() * isa::Insn::SIZE);
        match info.jited.len() {
            0 => out += "  not jited",
            size => out += &format!("  jited {size}B"),
        }
        out += &format!("  memlock {}B", info.memlock);
        if !info.map_ids.is_empty() {
            out += &format!("  map_ids {}", ids(&info.map_ids));
        }
        out += &self.refs.pins_text();
        if info.btf_id != 0 {
            out += &format!("\n\tbtf_id {}", info.btf_id);
        }
        out += &self.refs.pids_text();
        out + "\n"
    }

    fn fields(&self, out: &mut JsonText) {
        let info = &self.info;
        out.begin_object();
        number(out, "id", info.id);
        match type_name(info.prog_type) {
            Ok(name) => string(out, "type", &name),
            Err(raw) => number(out, "type", raw),
        }
        if !self.name.is_empty() {
            string(out, "name", &self.name);
        }
        string(out, "tag", &tag(info.tag));
        number(out, "gpl_compatible", info.gpl_compatible);
        if info.run_time_ns != 0 {
            number(out, "run_time_ns", info.run_time_ns);
            number(out, "run_cnt", info.run_cnt);
        }
        if info.recursion_misses != 0 {
            number(out, "recursion_misses", info.recursion_misses);
        }
        if let Some(seconds) = self.loaded_at {
            number(out, "loaded_at", seconds);
            number(out, "uid", info.created_by_uid);
        }
        // Only programs of devices that went away are; none here is of a device.
        number(out, "orphaned", false);
        number(out, "bytes_xlated", info.xlated.len() * isa::Insn::SIZE);
        number(out, "jited", !info.jited.is_empty());
        if !info.jited.is_empty() {
            number(out, "bytes_jited", info.jited.len());
        }
        number(out, "bytes_memlock", info.memlock);
        if !info.map_ids.is_empty() {
            out.name("map_ids");
            out.begin_array();
            info.map_ids.iter().for_each(|id| out.raw(format_args!("{id}")));
            out.end_array();
        }
        if info.btf_id != 0 {
            number(out, "btf_id", info.btf_id);
        }
        self.refs.pins_json(out);
        self.refs.pids_json(out);
        out.end_object();
    }
}

/// A member that is a number or `true` and `false`.
pub(crate) fn number(out: &mut JsonText, name: &str, value: impl std::fmt::Display) {
    out.name(name);
    out.raw(format_args!("{value}"));
}

/// A member that is a string.
pub(crate) fn string(out: &mut JsonText, name: &str, value: &str) {
    out.name(name);
    out.string(value);
}

/// A member that is an array of strings, left out if there are none.
pub(crate) fn strings(out: &mut JsonText, name: &str, values: &[String]) {
    if values.is_empty() {
        return;
    }
    out.name(name);
    out.begin_array();
    values.iter().for_each(|value| out.string(value));
    out.end_array();
}
