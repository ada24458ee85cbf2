//! A function of the object as the compiler left it, with its relocations sorted out.

use std::sync::Arc;

use btf::CoreRelo;
use isa::Insn;

use crate::budget::Budget;
use crate::elf::{Elf, Section, Symbol};
use crate::error::LoadError;
use crate::spec::{FuncInfo, LineInfo, ProgramSpec};

/// Code of one symbol.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    /// Section name without a leading `?`.
    pub(crate) section: Arc<str>,
    /// ELF index of the section.
    pub(crate) section_index: usize,
    /// First slot in the section.
    pub(crate) section_off: usize,
    pub(crate) insns: Vec<Insn>,
    /// By slot.
    pub(crate) relocs: Vec<Reloc>,
    /// The slots after CO-RE; empty before.
    pub(crate) patched: Vec<Insn>,
    /// Slots that CO-RE made unusable, and what they ask.
    pub(crate) unresolved: Vec<(usize, Arc<str>)>,
    /// CO-RE records, by slot.
    pub(crate) core_relos: Vec<(usize, CoreRelo)>,
    /// From .BTF.ext, in slots from the function's start.
    pub(crate) func_info: Vec<FuncInfo>,
    pub(crate) line_info: Vec<LineInfo>,
    /// The function that handles this program's exceptions.
    pub(crate) exception_callback: Option<usize>,
    pub(crate) autoload: bool,
    pub(crate) global: bool,
    /// Global but hidden: its FUNC is to be static for the verifier.
    pub(crate) hidden: bool,
}

/// What a slot refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reloc {
    /// Slot in the function.
    pub(crate) insn: usize,
    pub(crate) target: Target,
}

/// What a relocation refers to; offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Map { map: usize },
    Value { map: usize, offset: u64 },
    Call { section: usize, offset: u64 },
    FuncAddr { section: usize, offset: u64 },
    ExternLoad { index: usize },
    ExternCall { index: usize },
}

/// The functions of an object, by section and offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Functions {
    pub(crate) all: Vec<Function>,
    /// ELF index of `.text`.
    pub(crate) text: Option<usize>,
    /// All CO-RE records, in the order of .BTF.ext.
    pub(crate) core: Vec<CoreRecord>,
}

/// A CO-RE relocation of a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreRecord {
    pub(crate) function: usize,
    /// Slot in the function.
    pub(crate) insn: usize,
    /// Its number among its section's records.
    pub(crate) number: usize,
    pub(crate) relo: CoreRelo,
}

impl Function {
    /// The slots as they are to be put into programs.
    pub(crate) fn code(&self) -> &[Insn] {
        if self.patched.is_empty() { &self.insns } else { &self.patched }
    }
}

impl Functions {
    /// Splits the code sections by their symbols.
    pub(crate) fn collect(elf: &Elf<'_>, budget: &mut Budget) -> Result<Functions, LoadError> {
        let code = |section: &Section<'_>| section.is_code();
        let text = elf.sections.iter().position(|s| code(s) && s.name == ".text");
        let mut all = Vec::new();
        for symbol in elf.symbols.iter().filter(|symbol| symbol.is_func()) {
            let Some(section) = elf.sections.get(symbol.section).filter(|s| code(s)) else {
                continue;
            };
            budget.take(symbol.size)?;
            all.push(function(section, symbol)?);
        }
        all.sort_by_key(|function| (function.section_index, function.section_off));
        Ok(Functions { all, text, core: Vec::new() })
    }

    /// The function that holds a slot of a section.
    pub(crate) fn find(&self, section: usize, slot: usize) -> Option<usize> {
        let next = self.all.partition_point(|function| {
            (function.section_index, function.section_off) <= (section, slot)
        });
        let found = next.checked_sub(1)?;
        let function = &self.all[found];
        let holds = slot - function.section_off.min(slot) < function.insns.len();
        (function.section_index == section && holds).then_some(found)
    }

    /// Takes over which programs are to be loaded.
    pub(crate) fn set_autoload(&mut self, programs: &[ProgramSpec]) {
        let entries: Vec<usize> = self.entries().collect();
        for (entry, program) in entries.into_iter().zip(programs) {
            self.all[entry].autoload = program.autoload;
        }
    }

    /// The functions that programs start with, in the order of programs.
    pub(crate) fn entries(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.all.len()).filter(|index| !self.is_subprog(*index))
    }

    /// Whether this function is called rather than loaded: it stands in `.text`, not alone, or in
    /// a section of its own (`.text.NAME`), or is static. libbpf refuses the latter two.
    pub(crate) fn is_subprog(&self, index: usize) -> bool {
        let function = &self.all[index];
        let in_text = Some(function.section_index) == self.text;
        let called = in_text || !function.global || function.section.starts_with(".text.");
        called && self.all.len() > 1
    }
}

fn function(section: &Section<'_>, symbol: &Symbol<'_>) -> Result<Function, LoadError> {
    let end = symbol.value.checked_add(symbol.size).filter(|end| *end <= section.data.len() as u64);
    let Some(end) = end else { return Err(bad(section, symbol, "crosses the section's end")) };
    let code = &section.data[symbol.value as usize..end as usize];
    let insns =
        Insn::slots(code).filter(|insns| !insns.is_empty() && symbol.value.is_multiple_of(8));
    let Some(insns) = insns else {
        let message = format!("{} bytes are not a whole number of instructions", symbol.size);
        return Err(bad(section, symbol, message));
    };
    let (name, autoload) = match section.name.strip_prefix('?') {
        Some(name) => (name, false),
        None => (section.name, true),
    };
    Ok(Function {
        name: symbol.name.into(),
        section: name.into(),
        section_index: symbol.section,
        section_off: symbol.value as usize / Insn::SIZE,
        insns,
        relocs: Vec::new(),
        patched: Vec::new(),
        unresolved: Vec::new(),
        core_relos: Vec::new(),
        func_info: Vec::new(),
        line_info: Vec::new(),
        exception_callback: None,
        autoload,
        global: !symbol.is_local(),
        hidden: !symbol.is_local() && symbol.is_hidden(),
    })
}

fn bad(section: &Section<'_>, symbol: &Symbol<'_>, message: impl Into<String>) -> LoadError {
    LoadError::Symbol {
        symbol: symbol.name.into(),
        section: section.name.into(),
        offset: symbol.value,
        message: message.into(),
    }
}
