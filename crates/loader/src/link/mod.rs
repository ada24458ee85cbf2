//! Several objects made one, as `bpftool gen object` does it.
//!
//! Sections of one name are joined, globals of one name are one symbol and one type, and types
//! and their uses are renumbered, equal ones merged.

mod matching;
mod symbols;
mod types;
mod write;

use btf::{CoreRelo, FuncInfo, LineInfo, SecInfo};
use isa::Insn;
use rustc_hash::FxHashMap;

use self::symbols::Symbols;
use self::types::Types;
use crate::budget::Budget;
use crate::elf::{Elf, Section};
use crate::error::LoadError;

/// Largest alignment that sections are joined at, in bytes.
const MAX_ALIGN: u64 = 1 << 16;
/// `call` with an immediate.
const CALL: u8 = 0x85;

/// Links objects, each with the name it has in messages, into one relocatable object.
pub fn link(objects: &[(&str, &[u8])]) -> Result<Vec<u8>, LoadError> {
    let mut linker = Linker::default();
    for (name, bytes) in objects {
        let added = Elf::parse(bytes).and_then(|elf| linker.add(&elf));
        added.map_err(|source| LoadError::Object {
            object: (*name).to_owned(),
            source: Box::new(source),
        })?;
    }
    linker.finish()
}

/// The object in the making.
#[derive(Default)]
struct Linker {
    sections: Vec<Joined>,
    by_name: FxHashMap<String, usize>,
    symbols: Symbols,
    types: Types,
}

/// Sections of one name, joined.
#[derive(Default)]
struct Joined {
    name: String,
    /// `SHT_*`; 0 for one that only BTF knows (`.ksyms`, `.kconfig`).
    kind: u32,
    flags: u64,
    align: u64,
    size: u64,
    data: Vec<u8>,
    relocations: Vec<Rel>,
    /// The symbol of the section itself.
    symbol: Option<usize>,
    has_types: bool,
    variables: Vec<SecInfo>,
    funcs: Vec<FuncInfo>,
    lines: Vec<LineInfo>,
    core: Vec<CoreRelo>,
}

/// A relocation of a joined section, against one of the linker's symbols.
#[derive(Clone, Copy)]
struct Rel {
    offset: u64,
    symbol: usize,
    kind: u32,
}

/// Where an object's section went.
#[derive(Clone, Copy)]
struct Place {
    /// Number of the joined section.
    section: usize,
    offset: u64,
}

/// One object being added.
struct Input<'e, 'a> {
    elf: &'e Elf<'a>,
    /// By ELF section; `None` for what is left out.
    places: Vec<Option<Place>>,
    /// The linker's symbol for each of the object's.
    symbols: Vec<Option<usize>>,
}

impl Linker {
    fn add(&mut self, elf: &Elf<'_>) -> Result<(), LoadError> {
        let mut budget = Budget::new(elf.len);
        let mut places = vec![None; elf.sections.len()];
        for (section, place) in elf.sections.iter().zip(&mut places) {
            if is_joined(section) {
                *place = self.join(section, &mut budget)?;
            }
        }
        let mut input = Input { elf, places, symbols: vec![None; elf.symbols.len()] };
        self.add_symbols(&mut input)?;
        self.add_relocations(&input)?;
        self.add_types(&input)
    }

    /// The number of a joined section, made if there is none of that name.
    fn section(&mut self, name: &str) -> usize {
        let next = self.sections.len();
        let number = *self.by_name.entry(name.to_owned()).or_insert(next);
        if number == next {
            self.sections.push(Joined { name: name.to_owned(), ..Joined::default() });
        }
        number
    }

    /// Appends a section's contents; `None` if it adds nothing to what is there.
    fn join(
        &mut self,
        section: &Section<'_>,
        budget: &mut Budget,
    ) -> Result<Option<Place>, LoadError> {
        let bad = |message: &str| LoadError::section(section.name, message);
        let number = self.section(section.name);
        let joined = &mut self.sections[number];
        if joined.kind == 0 {
            (joined.kind, joined.flags) = (section.kind, section.flags);
        } else if (joined.kind, joined.flags) != (section.kind, section.flags) {
            return Err(bad("has another type or flags than in the objects before"));
        } else if matches!(section.name, "license" | "version") {
            return match joined.data == section.data {
                true => Ok(None),
                false => Err(bad("differs from that of the objects before")),
            };
        }
        let align = section.align.max(1);
        if !align.is_power_of_two() || align > MAX_ALIGN {
            return Err(bad("has an alignment that is no power of two up to 64 KiB"));
        }
        joined.align = joined.align.max(align);
        let offset = joined.size.checked_next_multiple_of(joined.align);
        let end = offset.and_then(|offset| Some((offset, offset.checked_add(section.size)?)));
        let (offset, size) = end.ok_or_else(|| bad("is too large"))?;
        if !section.is_nobits() {
            budget.take(section.size)?;
            budget.take(offset - joined.size)?;
            joined.data.resize(offset as usize, 0);
            joined.data.extend_from_slice(section.data);
        }
        joined.size = size;
        Ok(Some(Place { section: number, offset }))
    }

    fn add_relocations(&mut self, input: &Input<'_, '_>) -> Result<(), LoadError> {
        let tables = input.elf.sections.iter().enumerate().filter(|(_, section)| section.is_rel());
        for (index, table) in tables {
            let target = input.places.get(table.info).copied().flatten();
            let Some(place) = target else { continue };
            let section = &input.elf.sections[table.info];
            for relocation in input.elf.relocations(index)? {
                let bad =
                    |message: &str| LoadError::section_at(section.name, relocation.offset, message);
                let symbol = input.elf.symbols.get(relocation.symbol);
                let known = input.symbols.get(relocation.symbol).copied().flatten();
                let (Some(symbol), Some(known)) = (symbol, known) else {
                    return Err(bad("relocation against a symbol that does not exist"));
                };
                let offset = place.offset.saturating_add(relocation.offset);
                let joined = &mut self.sections[place.section];
                if symbol.is_section() {
                    let moved = input.places.get(symbol.section).copied().flatten();
                    let moved = moved.filter(|_| section.is_code());
                    let moved = moved.ok_or_else(|| bad("relocation against a section"))?;
                    shift(&mut joined.data, offset, moved.offset)
                        .ok_or_else(|| bad("relocation beyond the section's end"))?;
                }
                joined.relocations.push(Rel { offset, symbol: known, kind: relocation.kind });
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>, LoadError> {
        let types = self.types.finish(&mut self.sections)?;
        Ok(write::write(&self.sections, &self.symbols, types))
    }
}

/// Moves what an instruction refers to in a section that now starts further on.
fn shift(code: &mut [u8], at: u64, by: u64) -> Option<()> {
    let at = usize::try_from(at).ok()?;
    let slot = code.get_mut(at..at.checked_add(Insn::SIZE)?)?;
    let mut insn = Insn::from_bytes(slot.try_into().ok()?);
    let by = if insn.code == CALL { by / Insn::SIZE as u64 } else { by };
    insn.imm = insn.imm.wrapping_add(by as i32);
    slot.copy_from_slice(&insn.to_bytes());
    Some(())
}

/// Whether a section's contents go into the result.
fn is_joined(section: &Section<'_>) -> bool {
    let name = section.name;
    let is_debug = name.starts_with(".debug_") || name.starts_with(".zdebug_");
    let is_types = matches!(name, ".BTF" | ".BTF.ext");
    let is_empty_text = name == ".text" && section.size == 0;
    (section.is_progbits() || section.is_nobits()) && !is_debug && !is_types && !is_empty_text
}
