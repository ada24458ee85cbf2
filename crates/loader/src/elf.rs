//! The ELF file as plain tables: sections, symbols, relocations, every index checked.

use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{FileHeader, Rel, SectionHeader, Sym};

use crate::error::LoadError;

/// `EM_BPF`.
const EM_BPF: u16 = 247;
/// `ELFCLASS32`, `ELFCLASS64`, `ELFDATA2LSB`, `ELFDATA2MSB`.
const CLASS32: u8 = 1;
const CLASS64: u8 = 2;
const LSB: u8 = 1;
const MSB: u8 = 2;
/// Longest name of a section or symbol in bytes; keeps reading names linear in the file's size.
const MAX_NAME: usize = 4096;

/// An object file's tables.
pub(crate) struct Elf<'a> {
    /// Index 0 is the empty section.
    pub(crate) sections: Vec<Section<'a>>,
    pub(crate) symbols: Vec<Symbol<'a>>,
    /// Bytes of the file.
    pub(crate) len: u64,
}

/// One section.
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    /// In bytes; of a NOBITS section too.
    pub(crate) size: u64,
    /// Empty for NOBITS.
    pub(crate) data: &'a [u8],
    /// The section that a relocation section applies to.
    pub(crate) info: usize,
    /// In bytes, as it stands in the file.
    pub(crate) align: u64,
}

/// One symbol.
pub(crate) struct Symbol<'a> {
    pub(crate) name: &'a str,
    /// ELF section index, or one of the reserved numbers.
    pub(crate) section: usize,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) bind: u8,
    pub(crate) kind: u8,
    pub(crate) visibility: u8,
}

/// One relocation (`Elf64_Rel`).
pub(crate) struct Relocation {
    pub(crate) offset: u64,
    pub(crate) symbol: usize,
    /// `R_BPF_*`.
    pub(crate) kind: u32,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Elf<'a>, LoadError> {
        check_ident(bytes)?;
        let bad = |error: object::read::Error| LoadError::Elf(error.to_string());
        let header = elf::FileHeader64::<LE>::parse(bytes).map_err(bad)?;
        if header.e_machine(LE).0 != EM_BPF {
            return Err(LoadError::Machine { machine: header.e_machine(LE).0 });
        }
        if header.e_type(LE).0 != elf::ET_REL.0 {
            return Err(LoadError::NotRelocatable { kind: header.e_type(LE).0 });
        }
        let table = header.sections(LE, bytes).map_err(bad)?;
        let mut sections = Vec::with_capacity(table.len());
        for section in table.iter() {
            let name = name(table.section_name(LE, section).map_err(bad)?)?;
            let data = section
                .data(LE, bytes)
                .map_err(|_| LoadError::section(name, "contents do not fit in the file"))?;
            sections.push(Section {
                name,
                kind: section.sh_type(LE).0,
                flags: section.sh_flags(LE).0,
                size: section.sh_size(LE),
                data,
                info: section.sh_info(LE) as usize,
                align: section.sh_addralign(LE),
            });
        }
        match sections.iter().filter(|section| section.kind == elf::SHT_SYMTAB.0).count() {
            1 => {}
            0 => return Err(LoadError::Elf("no symbol table (stripped?)".into())),
            _ => return Err(LoadError::Elf("more than one symbol table".into())),
        }
        let mut elf = Elf { sections, symbols: Vec::new(), len: bytes.len() as u64 };
        let symbols = table.symbols(LE, bytes, elf::SHT_SYMTAB).map_err(bad)?;
        for symbol in symbols.iter() {
            elf.symbols.push(Symbol {
                name: name(symbol.name(LE, symbols.strings()).map_err(bad)?)?,
                section: usize::from(symbol.st_shndx(LE).0),
                value: symbol.st_value(LE),
                size: symbol.st_size(LE),
                bind: symbol.st_bind().0,
                kind: symbol.st_type().0,
                visibility: symbol.st_visibility().0,
            });
        }
        Ok(elf)
    }

    /// The first section with this name.
    pub(crate) fn section_named(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        self.sections.iter().enumerate().find(|(_, section)| section.name == name)
    }

    /// The relocations in section `index` of type `SHT_REL`.
    pub(crate) fn relocations(
        &self,
        index: usize,
    ) -> Result<impl Iterator<Item = Relocation> + use<'a>, LoadError> {
        let section = &self.sections[index];
        let records = object::pod::slice_from_all_bytes::<elf::Rel64<LE>>(section.data)
            .map_err(|()| LoadError::section(section.name, "not a whole number of relocations"))?;
        Ok(records.iter().map(|rel| Relocation {
            offset: rel.r_offset(LE),
            symbol: rel.r_sym(LE) as usize,
            kind: rel.r_type(LE).0,
        }))
    }

    /// What a relocation's symbol is called: of a section symbol, the section's name.
    pub(crate) fn symbol_name(&self, symbol: &Symbol<'a>) -> &'a str {
        match self.sections.get(symbol.section) {
            Some(section) if symbol.kind == elf::STT_SECTION.0 && symbol.name.is_empty() => {
                section.name
            }
            _ => symbol.name,
        }
    }
}

impl Section<'_> {
    pub(crate) fn is_code(&self) -> bool {
        self.kind == elf::SHT_PROGBITS.0 && self.flags & elf::SHF_EXECINSTR.0 != 0 && self.size > 0
    }

    pub(crate) fn is_progbits(&self) -> bool {
        self.kind == elf::SHT_PROGBITS.0
    }

    pub(crate) fn is_nobits(&self) -> bool {
        self.kind == elf::SHT_NOBITS.0
    }

    pub(crate) fn is_rel(&self) -> bool {
        self.kind == elf::SHT_REL.0
    }
}

impl Symbol<'_> {
    pub(crate) fn is_local(&self) -> bool {
        self.bind == elf::STB_LOCAL.0
    }

    pub(crate) fn is_weak(&self) -> bool {
        self.bind == elf::STB_WEAK.0
    }

    /// Global or weak.
    pub(crate) fn is_global(&self) -> bool {
        self.bind == elf::STB_GLOBAL.0 || self.is_weak()
    }

    pub(crate) fn is_func(&self) -> bool {
        self.kind == elf::STT_FUNC.0
    }

    pub(crate) fn is_object(&self) -> bool {
        self.kind == elf::STT_OBJECT.0
    }

    pub(crate) fn is_section(&self) -> bool {
        self.kind == elf::STT_SECTION.0
    }

    /// In no section.
    pub(crate) fn is_undefined(&self) -> bool {
        self.section == 0
    }

    /// Declared here, defined by the kernel.
    pub(crate) fn is_extern(&self) -> bool {
        self.section == 0 && self.is_global() && self.kind == elf::STT_NOTYPE.0
    }

    /// Not to be seen outside the object.
    pub(crate) fn is_hidden(&self) -> bool {
        self.visibility == elf::STV_HIDDEN.0 || self.visibility == elf::STV_INTERNAL.0
    }
}

fn check_ident(bytes: &[u8]) -> Result<(), LoadError> {
    let bad = |message: &str| Err(LoadError::Elf(message.into()));
    match bytes {
        [0x7f, b'E', b'L', b'F', class, order, ..] => match (*class, *order) {
            (_, MSB) => Err(LoadError::BigEndian),
            (CLASS64, LSB) => Ok(()),
            (CLASS32, _) => bad("32-bit file; BPF objects are 64-bit"),
            _ => bad("unknown class or byte order"),
        },
        [] => bad("the file is empty"),
        _ => bad("not an ELF file (wrong magic)"),
    }
}

fn name(bytes: &[u8]) -> Result<&str, LoadError> {
    if bytes.len() > MAX_NAME {
        return Err(LoadError::Limit { what: "bytes in a name".into(), limit: MAX_NAME as u64 });
    }
    std::str::from_utf8(bytes)
        .map_err(|_| LoadError::Elf(format!("name '{}' is not UTF-8", bytes.escape_ascii())))
}
