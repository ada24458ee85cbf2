//! `gen skeleton`: a C header that holds an object and names its parts, for programs that use
//! libbpf.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::path::Path;

use btf::{Btf, Kind, TypeId, c};
use loader::{MapKind, MapSpec, Spec};
use ring3::Object;

use super::MAX_FILE;
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
    let skeleton = Skeleton { name, spec: object.spec(), bytes: &bytes, sub };
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = skeleton.write(&mut out);
    Ok(Answer::data(Raw(out.into_bytes())))
}

/// The file's name up to its suffix, `_bpf` for `.bpf`.
fn default_name(base: &str) -> String {
    base.strip_suffix(".o").unwrap_or(base).to_owned()
}

fn identifier(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(word).collect()
}

struct Skeleton<'a> {
    name: String,
    spec: &'a Spec,
    bytes: &'a [u8],
    sub: bool,
}

/// The member that a data section's map is: `bss` for `hello.bss`.
fn section_member(map: &MapSpec) -> Option<String> {
    let data =
        matches!(map.kind, MapKind::Data | MapKind::Rodata | MapKind::Bss | MapKind::Kconfig);
    data.then(|| identifier(map.section.trim_start_matches('.')))
}

fn map_member(map: &MapSpec) -> String {
    section_member(map).unwrap_or_else(|| identifier(&map.name))
}

impl Skeleton<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let name = &self.name;
        let guard =
            format!("{}_{}H", name.to_uppercase(), if self.sub { "SUBSKEL_" } else { "SKEL_" });
        writeln!(out, "/* Made by ring3 from a BPF object: it need not be edited. */")?;
        writeln!(out, "#ifndef {guard}\n#define {guard}\n")?;
        writeln!(out, "#include <errno.h>\n#include <stdlib.h>\n#include <bpf/libbpf.h>\n")?;
        self.structure(out)?;
        if self.sub {
            self.sub_functions(out)?
        } else {
            self.functions(out)?
        }
        writeln!(out, "#endif /* {guard} */")
    }

    fn structure(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "struct {} {{\n\tstruct bpf_object *obj;", self.name)?;
        if !self.spec.maps.is_empty() {
            out.push_str("\tstruct {\n");
            for map in &self.spec.maps {
                writeln!(out, "\t\tstruct bpf_map *{};", map_member(map))?;
            }
            out.push_str("\t} maps;\n");
        }
        if !self.spec.programs.is_empty() {
            for (kind, member) in [("bpf_program", "progs"), ("bpf_link", "links")] {
                out.push_str("\tstruct {\n");
                for program in &self.spec.programs {
                    writeln!(out, "\t\tstruct {kind} *{};", identifier(&program.name))?;
                }
                writeln!(out, "\t}} {member};")?;
            }
        }
        for map in &self.spec.maps {
            self.section(map, out)?;
        }
        out.push_str("};\n\n");
        Ok(())
    }

    /// A data section's variables as a structure with the section's layout.
    fn section(&self, map: &MapSpec, out: &mut String) -> fmt::Result {
        let (Some(member), Some(btf)) = (section_member(map), &self.spec.btf) else {
            return Ok(());
        };
        let section = btf.own_types().find(|ty| ty.kind == Kind::Datasec && ty.name == map.section);
        let Some(section) = section else { return Ok(()) };
        let mut fields = String::new();
        let mut end = 0;
        let mut seen: HashMap<String, u32> = HashMap::new();
        for (at, info) in section.datasec().enumerate() {
            let Some(variable) = btf.ty(info.type_id) else { continue };
            let Some(var) = variable.var() else { continue };
            if info.offset > end {
                writeln!(fields, "\t\tchar __pad{at}[{}];", info.offset - end)?;
            }
            let mut name = identifier(variable.name);
            let count = seen.entry(name.clone()).or_default();
            *count += 1;
            if *count > 1 {
                name = format!("{name}_{count}");
            }
            let declared = declare(btf, var.type_id, &name, info.size);
            writeln!(fields, "\t\t{declared};")?;
            end = info.offset.saturating_add(info.size);
        }
        writeln!(
            out,
            "\tstruct {}__{member} {{\n{fields}\t}} __attribute__((packed)) *{member};",
            self.name
        )
    }

    fn functions(&self, out: &mut String) -> fmt::Result {
        let name = &self.name;
        writeln!(out, "static const unsigned char {name}__bytes[] = {{")?;
        for line in self.bytes.chunks(16) {
            out.push('\t');
            line.iter().try_for_each(|byte| write!(out, "{byte},"))?;
            out.push('\n');
        }
        out.push_str("};\n\n");
        writeln!(
            out,
            "static inline const void *{name}__elf_bytes(size_t *size)\n{{\n\
             \t*size = sizeof({name}__bytes);\n\treturn {name}__bytes;\n}}\n"
        )?;
        writeln!(out, "static inline void {name}__detach(struct {name} *skel)\n{{")?;
        for program in &self.spec.programs {
            let program = identifier(&program.name);
            writeln!(out, "\tbpf_link__destroy(skel->links.{program});")?;
            writeln!(out, "\tskel->links.{program} = NULL;")?;
        }
        if self.spec.programs.is_empty() {
            out.push_str("\t(void)skel;\n");
        }
        out.push_str("}\n\n");
        writeln!(
            out,
            "static inline void {name}__destroy(struct {name} *skel)\n{{\n\tif (!skel)\n\t\t\
             return;\n\t{name}__detach(skel);\n\tbpf_object__close(skel->obj);\n\tfree(skel);\n}}\n"
        )?;
        self.open(out)?;
        writeln!(out, "static inline int {name}__load(struct {name} *skel)\n{{")?;
        out.push_str("\tint err = bpf_object__load(skel->obj);\n\n\tif (err)\n\t\treturn err;\n");
        self.sections(out)?;
        out.push_str("\treturn 0;\n}\n\n");
        writeln!(
            out,
            "static inline struct {name} *{name}__open_and_load(void)\n{{\n\
             \tstruct {name} *skel = {name}__open();\n\tint err;\n\n\tif (!skel)\n\t\treturn NULL;\n\
             \terr = {name}__load(skel);\n\tif (err) {{\n\t\t{name}__destroy(skel);\n\
             \t\terrno = -err;\n\t\treturn NULL;\n\t}}\n\treturn skel;\n}}\n"
        )?;
        writeln!(out, "static inline int {name}__attach(struct {name} *skel)\n{{")?;
        for program in &self.spec.programs {
            let program = identifier(&program.name);
            writeln!(
                out,
                "\tif (bpf_program__autoattach(skel->progs.{program})) {{\n\
                 \t\tskel->links.{program} = bpf_program__attach(skel->progs.{program});\n\
                 \t\tif (!skel->links.{program})\n\t\t\treturn -errno;\n\t}}"
            )?;
        }
        if self.spec.programs.is_empty() {
            out.push_str("\t(void)skel;\n");
        }
        out.push_str("\treturn 0;\n}\n\n");
        Ok(())
    }

    fn open(&self, out: &mut String) -> fmt::Result {
        let name = &self.name;
        writeln!(
            out,
            "static inline struct {name} *\n{name}__open_opts(const struct bpf_object_open_opts \
             *opts)\n{{\n\tstruct {name} *skel = calloc(1, sizeof(*skel));\n\n\tif (!skel)\n\t\t\
             return NULL;\n\tskel->obj = bpf_object__open_mem({name}__bytes, sizeof({name}__bytes), \
             opts);\n\tif (!skel->obj) {{\n\t\tfree(skel);\n\t\treturn NULL;\n\t}}"
        )?;
        self.find(out)?;
        self.sections(out)?;
        writeln!(out, "\treturn skel;\n}}\n")?;
        writeln!(
            out,
            "static inline struct {name} *{name}__open(void)\n{{\n\tLIBBPF_OPTS(bpf_object_open_opts, \
             opts, .object_name = \"{name}\");\n\n\treturn {name}__open_opts(&opts);\n}}\n"
        )
    }

    fn find(&self, out: &mut String) -> fmt::Result {
        for map in &self.spec.maps {
            let (member, name) = (map_member(map), find_name(map));
            writeln!(
                out,
                "\tskel->maps.{member} = bpf_object__find_map_by_name(skel->obj, \"{name}\");"
            )?;
        }
        for program in &self.spec.programs {
            let member = identifier(&program.name);
            writeln!(
                out,
                "\tskel->progs.{member} = bpf_object__find_program_by_name(skel->obj, \"{}\");",
                program.name
            )?;
        }
        Ok(())
    }

    /// Where the sections' bytes are: before loading libbpf's copy, afterwards the map's own.
    fn sections(&self, out: &mut String) -> fmt::Result {
        let Some(btf) = &self.spec.btf else { return Ok(()) };
        for map in &self.spec.maps {
            let Some(member) = section_member(map) else { continue };
            let named = |ty: &btf::Type<'_>| ty.kind == Kind::Datasec && ty.name == map.section;
            if btf.own_types().any(|ty| named(&ty)) {
                writeln!(
                    out,
                    "\tif (skel->maps.{member})\n\t\tskel->{member} = (void *)\
                     bpf_map__initial_value(skel->maps.{member}, NULL);"
                )?;
            }
        }
        Ok(())
    }

    fn sub_functions(&self, out: &mut String) -> fmt::Result {
        let name = &self.name;
        writeln!(
            out,
            "static inline void {name}__destroy(struct {name} *skel)\n{{\n\tfree(skel);\n}}\n"
        )?;
        writeln!(
            out,
            "static inline struct {name} *{name}__open(const struct bpf_object *src)\n{{\n\
             \tstruct {name} *skel = calloc(1, sizeof(*skel));\n\n\tif (!skel)\n\t\treturn NULL;\n\
             \tskel->obj = (struct bpf_object *)src;"
        )?;
        self.find(out)?;
        self.sections(out)?;
        writeln!(out, "\treturn skel;\n}}\n")
    }
}

/// libbpf finds a data section's map by its section.
fn find_name(map: &MapSpec) -> &str {
    if section_member(map).is_some() { &map.section } else { &map.name }
}

/// A variable as C declares it; bytes where its type cannot be written without others.
fn declare(btf: &Btf, id: TypeId, name: &str, size: u32) -> String {
    if !plain(btf, id, 0) {
        return format!("char {name}[{size}]");
    }
    match c::declaration(btf, id, name) {
        Ok(text) => text.replace("const ", "").replace("volatile ", ""),
        Err(_) => format!("char {name}[{size}]"),
    }
}

/// Whether a type is made of integers only, by the names that C itself knows.
fn plain(btf: &Btf, id: TypeId, depth: u32) -> bool {
    let Some(ty) = btf.ty(id).filter(|_| depth < 32) else { return false };
    match ty.kind {
        Kind::Int => !ty.name.starts_with("__int128"),
        Kind::Float => true,
        Kind::Const | Kind::Volatile => plain(btf, TypeId(ty.size_or_type), depth + 1),
        Kind::Array => ty.array().is_some_and(|array| plain(btf, array.elem, depth + 1)),
        _ => false,
    }
}
