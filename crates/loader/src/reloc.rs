//! What each ELF relocation refers to.

use rustc_hash::FxHashMap;

use isa::Insn;

use crate::elf::{Elf, Relocation, Section, Symbol};
use crate::error::LoadError;
use crate::function::{Function, Functions, Reloc, Target};
use crate::maps::DefinedMap;
use crate::spec::{MapSpec, Slot};

/// `call` with an immediate.
const CALL: u8 = 0x85;
/// `src` of a call within the program.
pub(crate) const PSEUDO_CALL: u8 = 1;
/// `src` of a function's address in `ld_imm64`.
pub(crate) const PSEUDO_FUNC: u8 = 4;
/// Bytes of a pointer.
const POINTER: u64 = 8;

/// Where the maps are that symbols can refer to.
#[derive(Default)]
pub(crate) struct MapIndex {
    /// Map of the definition at (section, offset).
    pub(crate) defined: FxHashMap<(usize, u64), usize>,
    /// Map of a data section.
    pub(crate) data: FxHashMap<usize, usize>,
    /// The arena, and the section of its globals.
    pub(crate) arena: Option<(usize, Option<usize>)>,
    /// Sections that define maps.
    pub(crate) map_sections: Vec<usize>,
}

/// What relocations are read against.
pub(crate) struct Relocator<'e, 'a> {
    pub(crate) elf: &'e Elf<'a>,
    pub(crate) maps: &'e MapIndex,
    /// Extern of each symbol.
    pub(crate) externs: &'e FxHashMap<usize, usize>,
}

impl Relocator<'_, '_> {
    /// Gives each function its relocations.
    pub(crate) fn apply(&self, functions: &mut Functions) -> Result<(), LoadError> {
        for (index, rel) in self.elf.sections.iter().enumerate().filter(|(_, s)| s.is_rel()) {
            let Some(section) = self.elf.sections.get(rel.info).filter(|s| s.is_code()) else {
                continue;
            };
            for relocation in self.elf.relocations(index)? {
                self.apply_one(functions, rel.info, section, &relocation)?;
            }
        }
        for function in &mut functions.all {
            function.relocs.sort_by_key(|reloc| reloc.insn);
        }
        Ok(())
    }

    fn apply_one(
        &self,
        functions: &mut Functions,
        section_index: usize,
        section: &Section<'_>,
        relocation: &Relocation,
    ) -> Result<(), LoadError> {
        let offset = relocation.offset;
        let Some(symbol) = self.elf.symbols.get(relocation.symbol) else {
            let message =
                format!("relocation against symbol {}, which does not exist", relocation.symbol);
            return Err(LoadError::section_at(section.name, offset, message));
        };
        if !offset.is_multiple_of(Insn::SIZE as u64) || offset >= section.size {
            return Err(self.bad(section, offset, symbol, "is not at an instruction"));
        }
        let slot = offset as usize / Insn::SIZE;
        // A weak function that another object's has replaced leaves its relocations behind.
        let Some(found) = functions.find(section_index, slot) else { return Ok(()) };
        let function = &functions.all[found];
        let insn = slot - function.section_off;
        let target = self
            .target(function, insn, relocation.symbol, symbol)
            .map_err(|message| self.bad(section, offset, symbol, message))?;
        let function = &mut functions.all[found];
        if matches!(target, Target::FuncAddr { .. }) {
            let load = &mut function.insns[insn];
            *load = Insn::new(load.code, load.dst().0, PSEUDO_FUNC, load.off, load.imm);
        }
        function.relocs.push(Reloc { insn, target });
        Ok(())
    }

    fn bad(
        &self,
        section: &Section<'_>,
        offset: u64,
        symbol: &Symbol<'_>,
        message: impl Into<String>,
    ) -> LoadError {
        LoadError::Relocation {
            section: section.name.into(),
            offset,
            symbol: self.elf.symbol_name(symbol).into(),
            message: message.into(),
        }
    }

    fn target(
        &self,
        function: &Function,
        at: usize,
        number: usize,
        symbol: &Symbol<'_>,
    ) -> Result<Target, String> {
        let insn = function.insns[at];
        let is_call = insn.code == CALL;
        if !is_call && !insn.is_ld_imm64() {
            return Err(format!("instruction with code {:#04x} cannot be relocated", insn.code));
        }
        if insn.is_ld_imm64() && at + 1 >= function.insns.len() {
            return Err("64-bit load is cut off by the function's end".into());
        }
        if symbol.is_extern() {
            let index = self.externs.get(&number).copied();
            let index = index.ok_or("extern without a name")?;
            return Ok(match is_call {
                true => Target::ExternCall { index },
                false => Target::ExternLoad { index },
            });
        }
        if is_call {
            return self.call_target(insn, symbol);
        }
        self.load_target(insn, symbol)
    }

    fn call_target(&self, insn: Insn, symbol: &Symbol<'_>) -> Result<Target, String> {
        if insn.src().0 != PSEUDO_CALL {
            return Err("the call is not one of a function of the object".into());
        }
        let (section, offset) = (symbol.section, symbol.value);
        if !self.elf.sections.get(section).is_some_and(Section::is_code) {
            return Err("the function called is in no code section of the object".into());
        }
        match offset % 8 {
            0 => Ok(Target::Call { section, offset }),
            _ => Err(format!("offset {offset:#x} is not an instruction's")),
        }
    }

    fn load_target(&self, insn: Insn, symbol: &Symbol<'_>) -> Result<Target, String> {
        let Some(section) = self.elf.sections.get(symbol.section).filter(|_| symbol.section > 0)
        else {
            return Err("the symbol is in no section (an uninitialised global?)".into());
        };
        let offset = symbol.value;
        if section.is_code() && (symbol.is_section() || symbol.is_func()) {
            return match (offset % 8, insn.imm % 8) {
                (0, 0) => Ok(Target::FuncAddr { section: symbol.section, offset }),
                _ => Err(format!("address {offset:#x}+{} is not an instruction's", insn.imm)),
            };
        }
        if let Some((map, Some(arena))) = self.maps.arena
            && arena == symbol.section
        {
            return Ok(Target::Value { map, offset });
        }
        if let Some(map) = self.maps.data.get(&symbol.section) {
            return Ok(Target::Value { map: *map, offset });
        }
        if !self.maps.map_sections.contains(&symbol.section) {
            return Err(format!("section '{}' holds neither maps nor data", section.name));
        }
        let map = self.maps.defined.get(&(symbol.section, offset));
        map.map(|map| Target::Map { map: *map })
            .ok_or_else(|| format!("no map is defined at offset {offset:#x} of '{}'", section.name))
    }
}

/// Elements of maps that `.maps` itself sets: inner maps and programs.
pub(crate) fn map_slots(
    elf: &Elf<'_>,
    section: usize,
    defined: &[DefinedMap],
    first_map: usize,
    programs: &FxHashMap<&str, (usize, usize, u64)>,
) -> Result<Vec<(usize, u32, Slot)>, LoadError> {
    let mut slots = Vec::new();
    let mut by_offset: Vec<usize> = (0..defined.len()).collect();
    by_offset.sort_by_key(|map| defined[*map].place.offset);
    let names: FxHashMap<&str, usize> =
        defined.iter().enumerate().map(|(map, def)| (def.spec.name.as_str(), map)).collect();
    for (index, _) in
        elf.sections.iter().enumerate().filter(|(_, s)| s.is_rel() && s.info == section)
    {
        for relocation in elf.relocations(index)? {
            let offset = relocation.offset;
            let missing = || LoadError::section_at(".maps", offset, "relocation without a symbol");
            let symbol = elf.symbols.get(relocation.symbol).ok_or_else(missing)?;
            let bad = |message: &str| LoadError::Relocation {
                section: ".maps".into(),
                offset,
                symbol: symbol.name.into(),
                message: message.into(),
            };
            let place =
                by_offset.partition_point(|m| u64::from(defined[*m].place.offset) <= offset);
            let map = place.checked_sub(1).map(|place| by_offset[place]);
            let map = map.ok_or_else(|| bad("is in no map's definition"))?;
            let slot = slot_number(&defined[map], offset).map_err(bad)?;
            let target = match defined[map].spec.def.inner.is_some() {
                true if symbol.section != section => return Err(bad("is not a map")),
                true => Slot::Map(
                    first_map + *names.get(symbol.name).ok_or_else(|| bad("is not a map"))?,
                ),
                false => match programs.get(symbol.name) {
                    Some((program, section, value))
                        if (*section, *value) == (symbol.section, symbol.value) =>
                    {
                        Slot::Program(*program)
                    }
                    _ => return Err(bad("is not an entry program")),
                },
            };
            slots.push((map, slot, target));
        }
    }
    Ok(slots)
}

/// Which element of `values`, which ends the definition, the offset is.
fn slot_number(map: &DefinedMap, offset: u64) -> Result<u32, &'static str> {
    use uapi::MapType as T;
    let (def, place) = (&map.spec.def, map.place);
    if offset + POINTER > u64::from(place.offset) + u64::from(place.size) {
        return Err("is in no map's definition");
    }
    if !matches!(def.map_type, T::ProgArray | T::ArrayOfMaps | T::HashOfMaps) {
        return Err("is in a map that holds neither maps nor programs");
    }
    if def.map_type == T::HashOfMaps && def.key_size != 4 {
        return Err("is in a hash of maps whose key is not 4 bytes");
    }
    let values = map.values_offset.ok_or("is in a map without 'values'")?;
    let at = (offset - u64::from(place.offset)).checked_sub(u64::from(values));
    match at {
        Some(at) if at % POINTER == 0 => Ok((at / POINTER) as u32),
        _ => Err("is not at an element of 'values'"),
    }
}

impl MapIndex {
    /// Adds the maps of a section of definitions.
    pub(crate) fn define<'m>(
        &mut self,
        section: usize,
        first: usize,
        maps: impl Iterator<Item = &'m MapSpec>,
    ) {
        self.map_sections.push(section);
        for (number, map) in maps.enumerate() {
            // The first of two definitions in one place counts.
            self.defined.entry((section, map.section_offset)).or_insert(first + number);
        }
    }
}
