//! `elf FILE`: sections, symbols and relocations of an object, without other tools.

use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, elf};

use btf::print::JsonText;

use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, io_errno};
use crate::prog::{number, string};
use crate::session::Ctx;
use crate::words::Words;

type Header = elf::FileHeader64<Endianness>;

/// Largest file that is read.
const MAX_FILE: u64 = 256 << 20;

/// The bytes of the section called `name`.
pub(crate) fn section(file: &[u8], name: &str) -> Option<Vec<u8>> {
    let header = Header::parse(file).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, file).ok()?;
    let (_, found) = sections.section_by_name(endian, name.as_bytes())?;
    found.data(endian, file).ok().map(<[u8]>::to_vec)
}

/// `elf FILE`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(1)?;
    let file = words.take()?;
    words.end()?;
    let bytes = ctx.read(file, MAX_FILE);
    let bytes = bytes.map_err(|error| Fail::of(format!("can't open {file}"), io_errno(&error)))?;
    let parsed = parse(&bytes).map_err(|error| Fail::new(format!("{file}: {error}")))?;
    Ok(Answer::data(parsed))
}

struct Elf {
    kind: &'static str,
    machine: String,
    little: bool,
    sections: Vec<Section>,
    symbols: Vec<Symbol>,
    relocations: Vec<Relocation>,
}

struct Section {
    name: String,
    kind: String,
    offset: u64,
    size: u64,
    flags: String,
    align: u64,
}

struct Symbol {
    value: u64,
    size: u64,
    kind: &'static str,
    bind: &'static str,
    section: String,
    name: String,
}

struct Relocation {
    section: String,
    offset: u64,
    kind: String,
    symbol: String,
}

fn parse(bytes: &[u8]) -> object::Result<Elf> {
    let header = Header::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let symbols = sections.symbols(endian, bytes, elf::SHT_SYMTAB)?;
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let section_name = |index: object::SectionIndex| {
        let found = sections.section(index).and_then(|s| sections.section_name(endian, s));
        found.map(text).unwrap_or_default()
    };
    let symbol_name = |index: usize| {
        let symbol = symbols.symbol(object::SymbolIndex(index)).ok();
        let Some(symbol) = symbol else { return String::new() };
        match symbols.symbol_name(endian, symbol) {
            Ok(name) if !name.is_empty() => text(name),
            _ => {
                let index = object::SectionIndex(symbol.st_shndx(endian).0.into());
                section_name(index)
            }
        }
    };
    let mut out = Elf {
        kind: match header.e_type(endian) {
            elf::ET_REL => "relocatable",
            elf::ET_EXEC => "executable",
            elf::ET_DYN => "shared object",
            _ => "file",
        },
        machine: match header.e_machine(endian) {
            elf::EM_BPF => "eBPF".into(),
            elf::EM_X86_64 => "x86-64".into(),
            other => format!("machine {other:?}"),
        },
        little: header.is_little_endian(),
        sections: Vec::new(),
        symbols: Vec::new(),
        relocations: Vec::new(),
    };
    for section in sections.iter() {
        out.sections.push(Section {
            name: sections.section_name(endian, section).map(text).unwrap_or_default(),
            kind: section_type(section.sh_type(endian).0),
            offset: section.sh_offset(endian),
            size: section.sh_size(endian),
            flags: flags(section.sh_flags(endian).0),
            align: section.sh_addralign(endian),
        });
        if let Ok(Some((rels, _))) = section.rel(endian, bytes) {
            let target = object::SectionIndex(section.sh_info(endian) as usize);
            for rel in rels {
                out.relocations.push(Relocation {
                    section: section_name(target),
                    offset: rel.r_offset.get(endian),
                    kind: relocation_type(rel.r_type(endian).0),
                    symbol: symbol_name(rel.r_sym(endian) as usize),
                });
            }
        }
    }
    for symbol in symbols.iter() {
        out.symbols.push(Symbol {
            value: symbol.st_value(endian),
            size: symbol.st_size(endian),
            kind: symbol_type(symbol.st_type().0),
            bind: binding(symbol.st_bind().0),
            section: match symbol.st_shndx(endian) {
                elf::SHN_UNDEF => "*UND*".into(),
                elf::SHN_ABS => "*ABS*".into(),
                index => section_name(object::SectionIndex(index.0.into())),
            },
            name: symbols.symbol_name(endian, symbol).map(text).unwrap_or_default(),
        });
    }
    Ok(out)
}

/// `SHT_*` by number.
fn section_type(raw: u32) -> String {
    const NAMES: [&str; 12] = [
        "NULL", "PROGBITS", "SYMTAB", "STRTAB", "RELA", "HASH", "DYNAMIC", "NOTE", "NOBITS", "REL",
        "SHLIB", "DYNSYM",
    ];
    match NAMES.get(raw as usize) {
        Some(name) => (*name).to_owned(),
        None if raw == 0x6fff_4c03 => "LLVM_ADDRSIG".to_owned(),
        None => format!("{raw:#x}"),
    }
}

/// `SHF_*` as letters, as readelf gives them.
fn flags(raw: u64) -> String {
    const LETTERS: [(u64, char); 8] = [
        (1, 'W'),
        (2, 'A'),
        (4, 'X'),
        (0x10, 'M'),
        (0x20, 'S'),
        (0x40, 'I'),
        (0x200, 'G'),
        (0x8000_0000, 'E'),
    ];
    LETTERS.iter().filter(|row| raw & row.0 != 0).map(|row| row.1).collect()
}

/// `R_BPF_*` by number.
fn relocation_type(raw: u32) -> String {
    match raw {
        1 => "R_BPF_64_64".into(),
        2 => "R_BPF_64_ABS64".into(),
        3 => "R_BPF_64_ABS32".into(),
        4 => "R_BPF_64_NODYLD32".into(),
        10 => "R_BPF_64_32".into(),
        other => other.to_string(),
    }
}

/// `STT_*` by number.
fn symbol_type(raw: u8) -> &'static str {
    const NAMES: [&str; 5] = ["NOTYPE", "OBJECT", "FUNC", "SECTION", "FILE"];
    NAMES.get(usize::from(raw)).copied().unwrap_or("other")
}

/// `STB_*` by number.
fn binding(raw: u8) -> &'static str {
    ["LOCAL", "GLOBAL", "WEAK"].get(usize::from(raw)).copied().unwrap_or("other")
}

impl Elf {
    fn text(&self) -> String {
        let order = if self.little { "little-endian" } else { "big-endian" };
        let mut out = format!("ELF 64-bit {order} {}, {}\n\nSections:\n", self.kind, self.machine);
        out += "Idx Type            Offset     Size       Align Flags Name\n";
        for (at, s) in self.sections.iter().enumerate() {
            out += &format!(
                "{at:3} {:<15} {:#010x} {:#010x} {:>5} {:<5} {}\n",
                s.kind, s.offset, s.size, s.align, s.flags, s.name
            );
        }
        out += "\nSymbols:\nValue              Size       Type    Bind   Section          Name\n";
        for s in &self.symbols {
            out += &format!(
                "{:#018x} {:#010x} {:<7} {:<6} {:<16} {}\n",
                s.value, s.size, s.kind, s.bind, s.section, s.name
            );
        }
        if !self.relocations.is_empty() {
            out += "\nRelocations:\nSection          Offset             Type              Symbol\n";
        }
        for r in &self.relocations {
            out += &format!("{:<16} {:#018x} {:<17} {}\n", r.section, r.offset, r.kind, r.symbol);
        }
        out
    }
}

impl Show for Elf {
    fn plain(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text().as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_object();
        string(out, "type", self.kind);
        string(out, "machine", &self.machine);
        out.name("sections");
        out.begin_array();
        for s in &self.sections {
            out.begin_object();
            string(out, "name", &s.name);
            string(out, "type", &s.kind);
            number(out, "offset", s.offset);
            number(out, "size", s.size);
            number(out, "align", s.align);
            string(out, "flags", &s.flags);
            out.end_object();
        }
        out.end_array();
        out.name("symbols");
        out.begin_array();
        for s in &self.symbols {
            out.begin_object();
            number(out, "value", s.value);
            number(out, "size", s.size);
            string(out, "type", s.kind);
            string(out, "bind", s.bind);
            string(out, "section", &s.section);
            string(out, "name", &s.name);
            out.end_object();
        }
        out.end_array();
        out.name("relocations");
        out.begin_array();
        for r in &self.relocations {
            out.begin_object();
            string(out, "section", &r.section);
            number(out, "offset", r.offset);
            string(out, "type", &r.kind);
            string(out, "symbol", &r.symbol);
            out.end_object();
        }
        out.end_array();
        out.end_object();
    }
}
