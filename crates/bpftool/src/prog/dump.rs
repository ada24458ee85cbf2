//! `prog dump xlated`: translated instructions with prototypes, source lines and names.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use btf::print::JsonText;
use btf::{Btf, TypeId};
use isa::{Insn, disasm};
use runtime::door::ProgInfo;
use verifier::LineInfo;

use super::show::{number, string};
use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, io_errno};
use crate::options::Target;
use crate::session::Ctx;
use crate::words::Words;
use crate::{handle, proto};

/// `prog dump { xlated | jited } PROG …`.
pub(crate) fn dump(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let xlated = words.eat("xlated");
    if !xlated && !words.eat("jited") {
        let got = words.peek().unwrap_or("(null)");
        return Err(Fail::new(format!("expected 'xlated' or 'jited', got: {got}")));
    }
    let fds = handle::progs(ctx, &mut words)?;
    let asked = Asked::parse(&mut words, xlated)?;
    if fds.is_empty() {
        return Err(Fail::silent(-1));
    }
    if fds.len() > 1 && (asked.file.is_some() || asked.visual) {
        let word = if asked.visual { "visual" } else { "file" };
        return Err(Fail::new(format!("several programs matched, '{word}' takes one")));
    }
    let infos: Result<Vec<_>, _> = fds.iter().map(|fd| handle::prog_info(ctx, *fd)).collect();
    let infos = infos?;
    if !xlated {
        return super::jited::jited(ctx, infos, &asked);
    }
    if let (Some(file), [info]) = (asked.file, infos.as_slice()) {
        let bytes: Vec<u8> = info.xlated.iter().flat_map(|insn| insn.to_bytes()).collect();
        write(file, &bytes)?;
        return Ok(Answer::null());
    }
    let many = infos.len() > 1;
    let mut listings = Vec::new();
    for info in infos {
        if info.xlated.is_empty() {
            return Err(Fail::new("error retrieving insn dump: kernel.kptr_restrict set?"));
        }
        listings.push(Listing::new(ctx, info, &asked)?);
    }
    if asked.visual {
        let graph: String = listings.iter().map(super::graph::draw).collect();
        return Ok(Answer::data(crate::answer::Raw(graph.into_bytes())));
    }
    Ok(Answer::data(Listings { listings, many, opcodes: asked.opcodes }))
}

pub(super) fn write(file: &str, bytes: &[u8]) -> Result<(), Fail> {
    std::fs::write(file, bytes)
        .map_err(|error| Fail::of(format!("can't open file {file}"), io_errno(&error)))
}

/// What follows the program's name.
#[derive(Default)]
pub(super) struct Asked<'a> {
    pub(super) file: Option<&'a str>,
    pub(super) opcodes: bool,
    linum: bool,
    visual: bool,
}

impl<'a> Asked<'a> {
    fn parse(words: &mut Words<'a>, xlated: bool) -> Result<Asked<'a>, Fail> {
        let mut asked = Asked::default();
        while !words.is_empty() {
            if words.eat("file") {
                asked.file = Some(words.next().ok_or(Fail::new("expected file path"))?);
            } else if words.eat("opcodes") {
                asked.opcodes = true;
            } else if words.eat("linum") {
                asked.linum = true;
            } else if xlated && words.eat("visual") {
                asked.visual = true;
            } else {
                return Err(words.bad());
            }
        }
        Ok(asked)
    }
}

/// One program, ready to be listed.
pub(crate) struct Listing {
    pub(crate) info: ProgInfo,
    btf: Option<Arc<Btf>>,
    pub(crate) linum: bool,
    helpers: HashMap<i32, String>,
    pub(super) subprogs: Vec<(usize, String)>,
    /// As Linux keeps them: distances of calls in `off`.
    linux: bool,
}

impl Listing {
    pub(super) fn new(ctx: &Ctx<'_>, info: ProgInfo, asked: &Asked<'_>) -> Result<Listing, Fail> {
        let btf = proto::btf_of(ctx.door()?, info.btf_id);
        let mut helpers = HashMap::new();
        for insn in info.xlated.iter().filter(|insn| insn.code == CALL && insn.src().0 == 0) {
            if let Some(name) = ctx.symbols().call(insn.imm) {
                helpers.insert(insn.imm, name.to_owned());
            }
        }
        let linux = ctx.target() == Target::Linux && !info.jited.is_empty();
        let subprogs = Vec::new();
        let mut listing = Listing { info, btf, linum: asked.linum, helpers, subprogs, linux };
        listing.subprogs = listing.name_subprogs();
        Ok(listing)
    }

    /// Functions by their first slot, named as the kernel names their machine code.
    fn name_subprogs(&self) -> Vec<(usize, String)> {
        let Some(btf) = &self.btf else { return Vec::new() };
        let starts: Vec<_> = self.info.func_info.iter().map(|f| f.insn_off as usize).collect();
        let named = self.info.func_info.iter().enumerate().filter_map(|(at, info)| {
            let start = starts[at];
            let end = starts.get(at + 1).copied().unwrap_or(self.info.xlated.len());
            let name = btf.ty(TypeId(info.type_id))?.name;
            let insns = self.info.xlated.get(start..end)?;
            let tag = super::show::tag(runtime::tag(insns));
            Some((start, format!("bpf_prog_{tag}_{}", name.get(..15).unwrap_or(name))))
        });
        named.collect()
    }

    /// The prototype of the function that starts at `pc`.
    pub(crate) fn prototype(&self, pc: usize) -> Option<String> {
        let info = self.info.func_info.iter().find(|info| info.insn_off as usize == pc)?;
        proto::prototype(self.btf.as_deref()?, TypeId(info.type_id))
    }

    /// The last source line at or before `pc`, `skip` lines having been passed.
    pub(crate) fn line(&self, pc: usize, skip: usize) -> Option<&LineInfo> {
        let rest = self.info.line_info.get(skip..)?;
        if rest.first().is_none_or(|first| pc < first.insn_off as usize) {
            return None;
        }
        rest.iter().take_while(|line| line.insn_off as usize <= pc).last()
    }

    /// A line's text without the blanks before it, and its place if that is asked for.
    pub(crate) fn line_text(&self, line: &LineInfo) -> Option<Line> {
        let btf = self.btf.as_deref()?;
        let text = btf.string(line.line_off)?.trim_start().to_owned();
        let file = btf.string(line.file_name_off).unwrap_or_default().to_owned();
        Some(Line { text, file, number: line.line_col >> 10, column: line.line_col & 0x3ff })
    }

    /// The instruction at `pc` as text.
    pub(crate) fn insn(&self, pc: usize) -> String {
        // The kernel keeps the distance of a call in `off`, and the function's number in `imm`.
        disasm::kernel(&self.info.xlated, pc, &Named { listing: self, pc })
    }

    /// Slots that the instruction at `pc` takes.
    pub(crate) fn width(&self, pc: usize) -> usize {
        let wide = self.info.xlated[pc].is_ld_imm64() && pc + 1 < self.info.xlated.len();
        if wide { 2 } else { 1 }
    }

    /// Every instruction with what stands before it.
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let (mut pc, mut skip) = (0, 0);
        while pc < self.info.xlated.len() {
            let line = self.line(pc, skip);
            skip += usize::from(line.is_some());
            let width = self.width(pc);
            rows.push(Row {
                pc,
                prototype: self.prototype(pc),
                line: line.and_then(|line| self.line_text(line)),
                text: self.insn(pc),
                slots: self.info.xlated[pc..pc + width].to_vec(),
            });
            pc += width;
        }
        rows
    }
}

/// A line of source.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) file: String,
    pub(crate) number: u32,
    pub(crate) column: u32,
}

impl Line {
    /// `[file:… line_num:… line_col:…]`.
    pub(crate) fn place(&self) -> String {
        format!("[file:{} line_num:{} line_col:{}]", self.file, self.number, self.column)
    }
}

struct Row {
    pc: usize,
    prototype: Option<String>,
    line: Option<Line>,
    text: String,
    slots: Vec<Insn>,
}

const CALL: u8 = 0x85;
const PSEUDO_CALL: u8 = 1;

/// Names of what the instruction at `pc` refers to.
struct Named<'a> {
    listing: &'a Listing,
    pc: usize,
}

impl disasm::Names for Named<'_> {
    fn helper(&self, id: i32) -> Option<&str> {
        if let Some(name) = self.listing.helpers.get(&id) {
            return Some(name);
        }
        uapi::helper(u32::try_from(id).ok()?).map(|proto| proto.name.as_ref())
    }

    fn callee(&self, insn: &Insn) -> Option<Cow<'_, str>> {
        if insn.src().0 != PSEUDO_CALL {
            return self.listing.helpers.get(&insn.imm).map(|name| Cow::Borrowed(name.as_str()));
        }
        let off = self.listing.call_offset(insn);
        let target = self.pc as i64 + 1 + off;
        let named = self.listing.subprogs.iter().find(|sub| sub.0 as i64 == target);
        Some(Cow::Owned(match named {
            Some((_, name)) => format!("{off:+}#{name}"),
            None => format!("{off:+}"),
        }))
    }

    fn imm64(&self, insn: &Insn, value: u64) -> Option<Cow<'_, str>> {
        let low = value as u32;
        let high = (value >> 32) as i32;
        Some(Cow::Owned(match insn.src().0 {
            1 => format!("map[id:{low}]"),
            2 => format!("map[id:{low}][0]+{high}"),
            5 => format!("map[idx:{low}]"),
            6 => format!("map[idx:{low}]+{high}"),
            4 => format!("subprog[{:+}]", insn.imm),
            _ => return None,
        }))
    }
}

impl Listing {
    /// How far a call of a function goes. Linux keeps it in `off` once there is machine code.
    pub(crate) fn call_offset(&self, insn: &Insn) -> i64 {
        if self.linux { insn.off.into() } else { insn.imm.into() }
    }
}

struct Listings {
    listings: Vec<Listing>,
    many: bool,
    opcodes: bool,
}

impl Show for Listings {
    fn plain(&self, out: &mut Vec<u8>) {
        for (at, listing) in self.listings.iter().enumerate() {
            let mut text = String::new();
            if self.many {
                let info = &listing.info;
                let gap = if at > 0 { "\n" } else { "" };
                text += &format!("{gap}{}: {}\n", info.id, info.name);
            }
            for row in listing.rows() {
                if let Some(prototype) = &row.prototype {
                    text += &format!("{prototype}:\n");
                }
                if let Some(line) = &row.line {
                    let place =
                        if listing.linum { format!(" {}", line.place()) } else { String::new() };
                    text += &format!("; {}{place}\n", line.text);
                }
                text += &format!("{:4}: {}\n", row.pc, row.text);
                if self.opcodes {
                    let slots: Vec<_> =
                        row.slots.iter().map(|slot| opcodes(&slot.to_bytes())).collect();
                    text += &format!("       {}\n", slots.join(" "));
                }
            }
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn json(&self, out: &mut JsonText) {
        if self.many {
            out.begin_array();
        }
        for listing in &self.listings {
            if self.many {
                out.begin_object();
                number(out, "id", listing.info.id);
                out.name("insns");
            }
            out.begin_array();
            for row in listing.rows() {
                self.row(listing, &row, out);
            }
            out.end_array();
            if self.many {
                out.end_object();
            }
        }
        if self.many {
            out.end_array();
        }
    }
}

/// Bytes in hexadecimal.
pub(super) fn opcodes(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

impl Listings {
    fn row(&self, listing: &Listing, row: &Row, out: &mut JsonText) {
        out.begin_object();
        if let Some(prototype) = &row.prototype {
            string(out, "proto", prototype);
        }
        if let Some(line) = &row.line {
            line_json(line, listing.linum, out);
        }
        string(out, "disasm", &row.text);
        if self.opcodes {
            let insn = row.slots[0];
            out.name("opcodes");
            out.begin_object();
            string(out, "code", &format!("{:#04x}", insn.code));
            string(out, "src_reg", &format!("{:#x}", insn.src().0));
            string(out, "dst_reg", &format!("{:#x}", insn.dst().0));
            let bytes: Vec<u8> = row.slots.iter().flat_map(|slot| slot.to_bytes()).collect();
            out.name("off");
            crate::hex::json(&bytes[2..4], out);
            out.name("imm");
            crate::hex::json(&bytes[4..], out);
            out.end_object();
        }
        out.end_object();
    }
}

/// A source line's members, with its place if that is asked for.
pub(super) fn line_json(line: &Line, linum: bool, out: &mut JsonText) {
    string(out, "src", &line.text);
    if linum {
        string(out, "file", &line.file);
        number(out, "line_num", line.number);
        if line.column != 0 {
            number(out, "line_col", line.column);
        }
    }
}
