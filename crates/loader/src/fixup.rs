//! Data sections in BTF: sizes and offsets, which the compiler leaves at zero, and visibility.

use std::cell::OnceCell;

use btf::{Btf, BtfBuilder, Kind, Linkage, SecInfo};
use rustc_hash::FxHashMap;

use crate::elf::{Elf, Symbol};
use crate::error::LoadError;
use crate::externs::Edited;

/// Fills in what the ELF file knows about each data section.
///
/// `.ksyms` and `.kconfig` have theirs from the externs; their variables are only sorted, by what
/// stands in `edited`.
pub(crate) fn fix_datasecs(
    elf: &Elf<'_>,
    old: &Btf,
    edit: &mut BtfBuilder,
    edited: &Edited,
) -> Result<(), LoadError> {
    let variables = Variables { elf, by_name: OnceCell::new() };
    for section in old.own_types().filter(|ty| ty.kind == Kind::Datasec) {
        let mut records: Vec<SecInfo> = section.datasec().collect();
        if let Some(new) = edited.get(&section.id) {
            records.clone_from(new);
        } else if !matches!(section.name, ".ksyms" | ".kconfig") {
            let unsized_yet = section.size_or_type == 0;
            if unsized_yet {
                edit.set_size(section.id, section_size(elf, section.name)?);
            }
            for record in &mut records {
                fix_variable(&variables, old, section.name, record, unsized_yet, edit)?;
            }
        }
        for (index, record) in records.iter().enumerate() {
            edit.set_sec_info(section.id, index as u32, *record);
        }
        edit.sort_datasec(section.id);
    }
    Ok(())
}

fn section_size(elf: &Elf<'_>, name: &str) -> Result<u32, LoadError> {
    let size = elf.section_named(name).map_or(0, |(_, section)| section.size);
    match u32::try_from(size) {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(LoadError::section(name, "named in BTF, but missing, empty or above 4 GiB")),
    }
}

fn fix_variable(
    variables: &Variables<'_, '_>,
    old: &Btf,
    section: &str,
    record: &mut SecInfo,
    fix_offset: bool,
    edit: &mut BtfBuilder,
) -> Result<(), LoadError> {
    let id = record.type_id;
    let variable = old.ty(id).filter(|ty| ty.kind == Kind::Var).ok_or_else(|| {
        LoadError::section(section, format!("BTF type [{}] is not a variable", id.0))
    })?;
    if variable.var().and_then(|var| var.linkage()) != Some(Linkage::Global) {
        return Ok(());
    }
    let symbol = variables.find(variable.name).ok_or_else(|| {
        LoadError::section(section, format!("variable '{}' has no symbol", variable.name))
    })?;
    if fix_offset {
        record.offset = u32::try_from(symbol.value).map_err(|_| {
            LoadError::section_at(section, symbol.value, "variable lies above 4 GiB")
        })?;
    }
    if symbol.is_hidden() {
        edit.set_var_linkage(id, Linkage::Static);
    }
    Ok(())
}

/// Global variables of the symbol table, by name.
struct Variables<'e, 'a> {
    elf: &'e Elf<'a>,
    by_name: OnceCell<FxHashMap<&'a str, usize>>,
}

impl Variables<'_, '_> {
    fn find(&self, name: &str) -> Option<&Symbol<'_>> {
        let by_name = self.by_name.get_or_init(|| {
            let mut by_name = FxHashMap::default();
            for (index, symbol) in self.elf.symbols.iter().enumerate() {
                if symbol.is_object() && symbol.is_global() {
                    by_name.entry(symbol.name).or_insert(index);
                }
            }
            by_name
        });
        by_name.get(name).map(|index| &self.elf.symbols[*index])
    }
}
