//! Symbols of several objects: locals side by side, globals of one name made one.

use rustc_hash::FxHashMap;

use super::{Input, Linker};
use crate::elf::Symbol;
use crate::error::LoadError;

/// The symbols of the result.
#[derive(Default)]
pub(super) struct Symbols {
    pub(super) all: Vec<Joint>,
    /// Globals and weak ones.
    pub(super) by_name: FxHashMap<String, usize>,
}

/// A symbol of the result.
#[derive(Clone, Debug)]
pub(super) struct Joint {
    pub(super) name: String,
    pub(super) section: Home,
    pub(super) value: u64,
    pub(super) size: u64,
    pub(super) bind: u8,
    pub(super) kind: u8,
    pub(super) visibility: u8,
    /// Its VAR or FUNC, once one is known.
    pub(super) type_id: Option<btf::TypeId>,
    /// Which of the objects defines it; counts up with each.
    pub(super) definition: u32,
}

/// Where a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Nowhere: another object or the kernel has it.
    Undefined,
    /// In a joined section.
    Section(usize),
    /// One of ELF's reserved numbers.
    Reserved(u16),
}

impl Joint {
    pub(super) fn is_undefined(&self) -> bool {
        self.section == Home::Undefined
    }
}

/// `STB_GLOBAL`, `STB_WEAK`.
const GLOBAL: u8 = 1;
const WEAK: u8 = 2;
/// `STT_NOTYPE`.
const NOTYPE: u8 = 0;

impl Linker {
    /// Adds an object's symbols; `input` then says what each has become.
    pub(super) fn add_symbols(&mut self, input: &mut Input<'_, '_>) -> Result<(), LoadError> {
        for (number, symbol) in input.elf.symbols.iter().enumerate().skip(1) {
            let Some((home, offset)) = home(input, symbol) else { continue };
            let new = Joint {
                name: symbol.name.to_owned(),
                section: home,
                value: symbol.value.saturating_add(offset),
                size: symbol.size,
                bind: symbol.bind,
                kind: symbol.kind,
                visibility: symbol.visibility,
                type_id: None,
                definition: 0,
            };
            let known = match home {
                Home::Section(section) if symbol.is_section() => self.section_symbol(section, new),
                _ if symbol.is_local() => self.symbols.push(new),
                _ => self.symbols.merge(new)?,
            };
            input.symbols[number] = Some(known);
        }
        Ok(())
    }

    fn section_symbol(&mut self, section: usize, new: Joint) -> usize {
        if let Some(known) = self.sections[section].symbol {
            return known;
        }
        let known = self.symbols.push(Joint { value: 0, ..new });
        self.sections[section].symbol = Some(known);
        known
    }
}

/// Where a symbol is now and how far its section has moved; `None` if its section is left out.
fn home(input: &Input<'_, '_>, symbol: &Symbol<'_>) -> Option<(Home, u64)> {
    if symbol.is_undefined() {
        return Some((Home::Undefined, 0));
    }
    match input.places.get(symbol.section) {
        Some(place) => place.map(|place| (Home::Section(place.section), place.offset)),
        None => Some((Home::Reserved(symbol.section as u16), 0)),
    }
}

impl Symbols {
    fn push(&mut self, symbol: Joint) -> usize {
        self.all.push(symbol);
        self.all.len() - 1
    }

    /// Adds a global, or makes it one with that of the same name: a definition over a mere
    /// declaration, a strong one over a weak one, the first of two weak ones.
    fn merge(&mut self, new: Joint) -> Result<usize, LoadError> {
        let Some(&known) = self.by_name.get(&new.name) else {
            let name = new.name.clone();
            let known = self.push(new);
            self.by_name.insert(name, known);
            return Ok(known);
        };
        let old = &mut self.all[known];
        let bad = |message: &str| LoadError::Symbol {
            symbol: new.name.clone(),
            section: String::new(),
            offset: new.value,
            message: message.into(),
        };
        let both = !old.is_undefined() && !new.is_undefined();
        if both && old.bind != WEAK && new.bind != WEAK {
            return Err(bad("is defined in an object before, too, and neither is weak"));
        }
        if old.kind != NOTYPE && new.kind != NOTYPE && old.kind != new.kind {
            return Err(bad("is a function in one object and a variable in another"));
        }
        let replaces = !new.is_undefined() && (old.is_undefined() || new.bind != WEAK);
        // A strict visibility spreads, of a declaration too.
        old.visibility = old.visibility.max(new.visibility);
        if new.bind == GLOBAL {
            old.bind = GLOBAL;
        }
        if replaces {
            (old.section, old.value, old.size) = (new.section, new.value, new.size);
            old.kind = new.kind;
            old.definition += 1;
        }
        Ok(known)
    }
}
