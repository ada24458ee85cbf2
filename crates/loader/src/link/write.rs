//! The linked object as ELF bytes.

use super::symbols::{Home, Joint, Symbols};
use super::types::TypeSections;
use super::{Joined, Rel};

/// `SHT_PROGBITS`, `SHT_SYMTAB`, `SHT_STRTAB`, `SHT_NOBITS`, `SHT_REL`.
const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const NOBITS: u32 = 8;
const REL: u32 = 9;
/// `SHF_INFO_LINK`.
const INFO_LINK: u64 = 0x40;
/// Bytes of the file header, a section header, a symbol, a relocation.
const FILE_HEADER: u64 = 64;
const SECTION_HEADER: u64 = 64;
const SYMBOL: u64 = 24;
const RELOCATION: u64 = 16;
/// `STB_LOCAL`.
const LOCAL: u8 = 0;

/// A section as it is written.
#[derive(Default)]
struct Out {
    name: String,
    kind: u32,
    flags: u64,
    data: Vec<u8>,
    /// Of NOBITS; other sections have their data's.
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entry: u64,
}

pub(super) fn write(
    sections: &[Joined],
    symbols: &Symbols,
    types: Option<TypeSections>,
) -> Vec<u8> {
    let mut out = vec![Out::default()];
    // ELF index of each joined section; 0 for those that only BTF knows.
    let mut indices = Vec::new();
    for section in sections {
        indices.push(if section.kind == 0 { 0 } else { out.len() as u32 });
        if section.kind != 0 {
            out.push(contents(section));
        }
    }
    let order = Order::new(symbols);
    let relocated = sections.iter().zip(&indices).filter(|(s, _)| !s.relocations.is_empty());
    let tables = relocated.clone().count() as u32;
    let typed = types.as_ref().map_or(0, |types| 1 + u32::from(types.ext.is_some()));
    let symtab = out.len() as u32 + tables + typed;
    for (section, index) in relocated {
        out.push(relocations(section, *index, symtab, &order));
    }
    if let Some(types) = types {
        out.push(plain(".BTF", types.btf));
        out.extend(types.ext.map(|ext| plain(".BTF.ext", ext)));
    }
    let mut strings = vec![0];
    out.push(symbol_table(symbols, &order, &indices, symtab + 1, &mut strings));
    out.push(Out { kind: STRTAB, align: 1, ..plain(".strtab", Vec::new()) });
    assemble(out, strings)
}

fn plain(name: &str, data: Vec<u8>) -> Out {
    Out { name: name.into(), kind: PROGBITS, data, align: 8, ..Out::default() }
}

fn contents(section: &Joined) -> Out {
    Out {
        name: section.name.clone(),
        kind: section.kind,
        flags: section.flags,
        data: section.data.clone(),
        size: section.size,
        align: section.align,
        ..Out::default()
    }
}

/// Local symbols come first in a symbol table.
struct Order {
    /// Symbols in the order they are written.
    symbols: Vec<usize>,
    /// Number in the table of each symbol; 0 is the empty one.
    numbers: Vec<u64>,
    locals: u32,
}

impl Order {
    fn new(symbols: &Symbols) -> Order {
        let is_local = |symbol: &usize| symbols.all[*symbol].bind == LOCAL;
        let (mut all, globals): (Vec<usize>, Vec<usize>) =
            (0..symbols.all.len()).partition(is_local);
        let locals = all.len() as u32 + 1;
        all.extend(globals);
        let mut numbers = vec![0; all.len()];
        for (number, symbol) in all.iter().enumerate() {
            numbers[*symbol] = number as u64 + 1;
        }
        Order { symbols: all, numbers, locals }
    }
}

fn relocations(section: &Joined, index: u32, symtab: u32, order: &Order) -> Out {
    let record = |rel: &Rel| [rel.offset, order.numbers[rel.symbol] << 32 | u64::from(rel.kind)];
    let words = section.relocations.iter().flat_map(record);
    Out {
        name: format!(".rel{}", section.name),
        kind: REL,
        flags: INFO_LINK,
        data: words.flat_map(u64::to_le_bytes).collect(),
        link: symtab,
        info: index,
        align: 8,
        entry: RELOCATION,
        ..Out::default()
    }
}

fn symbol_table(
    symbols: &Symbols,
    order: &Order,
    indices: &[u32],
    strtab: u32,
    strings: &mut Vec<u8>,
) -> Out {
    let mut data = vec![0; SYMBOL as usize];
    for symbol in &order.symbols {
        write_symbol(&mut data, &symbols.all[*symbol], indices, strings);
    }
    Out {
        name: ".symtab".into(),
        kind: SYMTAB,
        data,
        link: strtab,
        info: order.locals,
        align: 8,
        entry: SYMBOL,
        ..Out::default()
    }
}

fn write_symbol(data: &mut Vec<u8>, symbol: &Joint, indices: &[u32], strings: &mut Vec<u8>) {
    let section = match symbol.section {
        Home::Undefined => 0,
        Home::Section(section) => indices[section] as u16,
        Home::Reserved(number) => number,
    };
    data.extend(add_string(strings, &symbol.name).to_le_bytes());
    data.extend([symbol.bind << 4 | symbol.kind & 15, symbol.visibility]);
    data.extend(section.to_le_bytes());
    data.extend(symbol.value.to_le_bytes());
    data.extend(symbol.size.to_le_bytes());
}

fn add_string(strings: &mut Vec<u8>, text: &str) -> u32 {
    if text.is_empty() {
        return 0;
    }
    let at = strings.len() as u32;
    strings.extend(text.as_bytes());
    strings.push(0);
    at
}

/// File header, contents, section headers; the last section takes `strings`.
fn assemble(mut out: Vec<Out>, mut strings: Vec<u8>) -> Vec<u8> {
    let names: Vec<u32> =
        out.iter().map(|section| add_string(&mut strings, &section.name)).collect();
    if let Some(last) = out.last_mut() {
        last.data = strings;
    }
    let mut bytes = vec![0; FILE_HEADER as usize];
    let mut headers = Vec::new();
    for (section, name) in out.iter().zip(names) {
        let align = section.align.max(1);
        bytes.resize((bytes.len() as u64).next_multiple_of(align) as usize, 0);
        let size = if section.kind == NOBITS { section.size } else { section.data.len() as u64 };
        let offset = if section.kind == 0 { 0 } else { bytes.len() as u64 };
        headers.extend(name.to_le_bytes());
        headers.extend(section.kind.to_le_bytes());
        for word in [section.flags, 0, offset, size] {
            headers.extend(word.to_le_bytes());
        }
        headers.extend(section.link.to_le_bytes());
        headers.extend(section.info.to_le_bytes());
        headers.extend(section.align.to_le_bytes());
        headers.extend(section.entry.to_le_bytes());
        bytes.extend_from_slice(&section.data);
    }
    bytes.resize((bytes.len() as u64).next_multiple_of(8) as usize, 0);
    let header = file_header(bytes.len() as u64, out.len() as u16);
    bytes[..FILE_HEADER as usize].copy_from_slice(&header);
    bytes.extend(headers);
    bytes
}

fn file_header(sections_at: u64, count: u16) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // Relocatable, BPF, version 1.
    header.extend([1, 0, 247, 0, 1, 0, 0, 0]);
    for word in [0, 0, sections_at] {
        header.extend(u64::to_le_bytes(word));
    }
    header.extend([0; 4]);
    let short = [FILE_HEADER as u16, 0, 0, SECTION_HEADER as u16, count, count - 1];
    header.extend(short.iter().flat_map(|word| word.to_le_bytes()));
    header
}
