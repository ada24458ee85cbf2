//! BPF objects made by hand.

use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

/// An object of one function in one section, without maps and BTF.
pub fn program(section: &str, name: &str, code: &[u8]) -> Vec<u8> {
    let mut elf = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let text = elf.add_section(Vec::new(), section.into(), SectionKind::Text);
    elf.append_section_data(text, code, 8);
    let licence = elf.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    elf.append_section_data(licence, b"GPL\0", 1);
    elf.add_symbol(Symbol {
        name: name.into(),
        value: 0,
        size: code.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(text),
        flags: SymbolFlags::None,
    });
    elf.write().expect("an object")
}

/// `r0 = imm`
pub fn mov(imm: i32) -> [u8; 8] {
    let [a, b, c, d] = imm.to_le_bytes();
    [0xb7, 0, 0, 0, a, b, c, d]
}

/// `call helper`
pub fn call(helper: i32) -> [u8; 8] {
    let [a, b, c, d] = helper.to_le_bytes();
    [0x85, 0, 0, 0, a, b, c, d]
}

/// `exit`
pub const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
