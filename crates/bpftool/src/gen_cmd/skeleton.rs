//! `gen skeleton`: a C header that holds an object and names its parts, for programs that use
//! libbpf. The text is in `templates`; here its lists are made.

use std::fmt::{self, Write};
use std::path::Path;

use loader::{MapSpec, Spec};
use ring3::Object;

use super::MAX_FILE;
use super::variables::{Section, sections};
use crate::answer::{Answer, Done, Raw};
use crate::fail::{Fail, io_errno};
use crate::session::Ctx;
use crate::words::Words;

/// `gen skeleton OBJECT [name NAME]`.
pub(crate) fn skeleton(ctx: &Ctx<'_>, words: Words<'_>) -> Done {
    header(ctx, words, false)
}

/// `gen subskeleton OBJECT [name NAME]`.
pub(crate) fn subskeleton(ctx: &Ctx<'_>, words: Words<'_>) -> Done {
    header(ctx, words, true)
}

fn header(ctx: &Ctx<'_>, mut words: Words<'_>, sub: bool) -> Done {
    words.need(1)?;
    let file = words.take()?;
    let mut name = None;
    while !words.is_empty() {
        words.need(2)?;
        if !words.eat("name") {
            let got = words.peek().unwrap_or_default();
            return Err(Fail::new(format!("unknown arg {got}")));
        }
        name = Some(words.take()?.to_owned());
    }
    let bytes = ctx.read(file, MAX_FILE);
    let bytes =
        bytes.map_err(|error| Fail::of(format!("failed to stat() {file}"), io_errno(&error)))?;
    let base = Path::new(file).file_name().map_or(file.into(), |base| base.to_string_lossy());
    let object = Object::parse(&base, &bytes);
    let object =
        object.map_err(|error| Fail::new(format!("failed to open BPF object file: {error}")))?;
    let name = identifier(&name.unwrap_or_else(|| default_name(&base)));
    let spec = object.spec();
    let skeleton = Skeleton { name, spec, sections: sections(spec), bytes: &bytes, sub };
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = skeleton.write(&mut out);
    Ok(Answer::data(Raw(out.into_bytes())))
}

/// The file's name up to its suffix, `_bpf` for `.bpf`.
fn default_name(base: &str) -> String {
    base.strip_suffix(".o").unwrap_or(base).to_owned()
}

pub(super) fn identifier(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(word).collect()
}

struct Skeleton<'a> {
    name: String,
    spec: &'a Spec,
    sections: Vec<Section<'a>>,
    bytes: &'a [u8],
    sub: bool,
}

const WHOLE: &str = include_str!("templates/skeleton.h");
const PART: &str = include_str!("templates/subskeleton.h");

impl Skeleton<'_> {
    /// The template with its marks filled in, line by line: the object's bytes are not gone over.
    fn write(&self, out: &mut String) -> fmt::Result {
        let (template, kind) = if self.sub { (PART, "SUBSKEL") } else { (WHOLE, "SKEL") };
        let guard = format!("{}_{kind}_H", self.name.to_uppercase());
        for line in template.split_inclusive('\n') {
            let mark = line.strip_prefix('@').and_then(|rest| rest.split_once('@'));
            match mark {
                Some(("MEMBERS", _)) => self.members(out)?,
                Some(("FILL", rest)) => {
                    self.fill(out)?;
                    out.push_str(rest);
                }
                Some(("BYTES", rest)) => {
                    self.bytes(out)?;
                    out.push_str(rest);
                }
                Some(("SIZES", rest)) => {
                    self.sizes(out)?;
                    out.push_str(rest);
                }
                _ => out.push_str(&line.replace("@NAME@", &self.name).replace("@GUARD@", &guard)),
            }
        }
        Ok(())
    }

    fn members(&self, out: &mut String) -> fmt::Result {
        if !self.spec.maps.is_empty() {
            out.push_str("\tstruct {\n");
            for map in &self.spec.maps {
                writeln!(out, "\t\tstruct bpf_map *{};", member(map))?;
            }
            out.push_str("\t} maps;\n");
        }
        let kinds = [("bpf_program", "progs"), ("bpf_link", "links")];
        for (kind, list) in kinds.into_iter().take(if self.sub { 1 } else { 2 }) {
            if self.spec.programs.is_empty() {
                continue;
            }
            out.push_str("\tstruct {\n");
            for program in &self.spec.programs {
                writeln!(out, "\t\tstruct {kind} *{};", identifier(&program.name))?;
            }
            writeln!(out, "\t}} {list};")?;
        }
        self.sections.iter().try_for_each(|section| section.structure(&self.name, self.sub, out))
    }

    /// What libbpf is to find, and where it is to say so.
    fn fill(&self, out: &mut String) -> fmt::Result {
        if self.sub {
            self.fill_variables(out)?;
        }
        self.table("map", self.spec.maps.len(), out)?;
        for (at, map) in self.spec.maps.iter().enumerate() {
            let member = member(map);
            writeln!(out, "\ts->maps[{at}].name = \"{}\";", found_as(map))?;
            writeln!(out, "\ts->maps[{at}].map = &skel->maps.{member};")?;
            if !self.sub && self.sections.iter().any(|section| section.member == member) {
                writeln!(out, "\ts->maps[{at}].mmaped = (void **)&skel->{member};")?;
            }
        }
        self.table("prog", self.spec.programs.len(), out)?;
        for (at, program) in self.spec.programs.iter().enumerate() {
            let member = identifier(&program.name);
            writeln!(out, "\ts->progs[{at}].name = \"{}\";", program.name)?;
            writeln!(out, "\ts->progs[{at}].prog = &skel->progs.{member};")?;
            if !self.sub {
                writeln!(out, "\ts->progs[{at}].link = &skel->links.{member};")?;
            }
        }
        Ok(())
    }

    fn fill_variables(&self, out: &mut String) -> fmt::Result {
        let count = self.sections.iter().map(|section| section.variables.len()).sum();
        self.table("var", count, out)?;
        let all = self.sections.iter().flat_map(|s| s.variables.iter().map(move |v| (s, v)));
        for (at, (section, variable)) in all.enumerate() {
            let (place, name) = (&section.member, &variable.name);
            writeln!(out, "\ts->vars[{at}].name = \"{name}\";")?;
            writeln!(out, "\ts->vars[{at}].map = &skel->maps.{place};")?;
            writeln!(out, "\ts->vars[{at}].addr = (void **)&skel->{place}.{name};")?;
        }
        Ok(())
    }

    /// Room for so many rows of a kind.
    fn table(&self, kind: &str, count: usize, out: &mut String) -> fmt::Result {
        if count == 0 {
            return Ok(());
        }
        writeln!(
            out,
            "\ts->{kind}_cnt = {count};\n\ts->{kind}_skel_sz = sizeof(*s->{kind}s);\n\
             \ts->{kind}s = (struct bpf_{kind}_skeleton *)calloc({count}, sizeof(*s->{kind}s));\n\
             \tif (!s->{kind}s)\n\t\treturn -ENOMEM;"
        )
    }

    fn bytes(&self, out: &mut String) -> fmt::Result {
        for line in self.bytes.chunks(16) {
            out.push_str("\t\t");
            line.iter().try_for_each(|byte| write!(out, "{byte},"))?;
            out.push('\n');
        }
        Ok(())
    }

    fn sizes(&self, out: &mut String) -> fmt::Result {
        for section in &self.sections {
            for variable in &section.variables {
                let (place, name, size) = (&section.member, &variable.name, variable.size);
                writeln!(
                    out,
                    "\t_Static_assert(sizeof(skel->{place}->{name}) == {size}, \"size of {name}\");"
                )?;
            }
        }
        Ok(())
    }
}

/// The member that a map is: `bss` for a section `.bss`.
pub(super) fn member(map: &MapSpec) -> String {
    match map.kind.is_section() {
        true => identifier(map.section.trim_start_matches('.')),
        false => identifier(&map.name),
    }
}

/// libbpf finds a data section's map by its section.
fn found_as(map: &MapSpec) -> &str {
    if map.kind.is_section() { &map.section } else { &map.name }
}
