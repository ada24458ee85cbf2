//! What .BTF.ext says of each function: types, lines, CO-RE relocations.

use std::sync::Arc;

use btf::{Btf, Ext, ExtSection, Kind, Linkage};
use isa::Insn;
use rustc_hash::FxHashMap;

use crate::budget::Budget;
use crate::elf::Elf;
use crate::error::LoadError;
use crate::function::{CoreRecord, Function, Functions};
use crate::spec::{FuncInfo, LineInfo};

/// Bytes of the largest record, for the bound on memory.
const RECORD: u64 = 16;
/// What a FUNC's tag starts with that names its exception callback.
const EXCEPTION_CALLBACK: &str = "exception_callback:";

/// Gives each function its records.
pub(crate) fn attach_info(
    elf: &Elf<'_>,
    ext: &Ext,
    functions: &mut Functions,
    budget: &mut Budget,
) -> Result<(), LoadError> {
    let funcs = by_section(elf, &ext.funcs, |record| record.insn_off);
    let lines = by_section(elf, &ext.lines, |record| record.insn_off);
    for function in &mut functions.all {
        let start = function.section_off as u32;
        if let Some(records) = funcs.get(&function.section_index) {
            let own = own_records(function, records, |record| record.insn_off);
            budget.take(own.len() as u64 * RECORD)?;
            function.func_info = own
                .iter()
                .map(|record| FuncInfo {
                    insn_off: (record.insn_off / Insn::SIZE as u32).wrapping_sub(start),
                    type_id: record.type_id,
                })
                .collect();
        }
        if let Some(records) = lines.get(&function.section_index) {
            let own = own_records(function, records, |record| record.insn_off);
            budget.take(own.len() as u64 * RECORD)?;
            function.line_info = own
                .iter()
                .map(|record| {
                    let [insn_off, file_name_off, line_off, line_col] = record.to_words();
                    let insn_off = (insn_off / Insn::SIZE as u32).wrapping_sub(start);
                    LineInfo { insn_off, file_name_off, line_off, line_col }
                })
                .collect();
        }
    }
    attach_core_relos(elf, ext, functions)
}

fn by_section<'x, T>(
    elf: &Elf<'_>,
    sections: &'x [ExtSection<T>],
    at: impl Fn(&T) -> u32,
) -> FxHashMap<usize, Records<'x, T>> {
    let mut by_section = FxHashMap::default();
    for section in sections {
        if let Some((index, _)) = elf.section_named(&section.name) {
            let records = section.records.as_slice();
            let is_sorted = records.is_sorted_by_key(&at);
            by_section.entry(index).or_insert(Records { records, is_sorted });
        }
    }
    by_section
}

/// What .BTF.ext says of one section.
struct Records<'x, T> {
    records: &'x [T],
    is_sorted: bool,
}

/// The run of records from the first inside the function to the last, as libbpf cuts it.
fn own_records<'x, T>(
    function: &Function,
    section: &Records<'x, T>,
    at: impl Fn(&T) -> u32,
) -> &'x [T] {
    let start = function.section_off;
    let end = start + function.insns.len();
    let records = section.records;
    if section.is_sorted {
        let before =
            |slot| records.partition_point(|record| (at(record) as usize / Insn::SIZE) < slot);
        return &records[before(start)..before(end)];
    }
    let mut own = None;
    for (index, record) in records.iter().enumerate() {
        let slot = at(record) as usize / Insn::SIZE;
        if slot >= end {
            break;
        }
        if slot >= start {
            own = Some((own.map_or(index, |(first, _)| first), index + 1));
        }
    }
    own.map_or(&[], |(first, last)| &records[first..last])
}

fn attach_core_relos(elf: &Elf<'_>, ext: &Ext, functions: &mut Functions) -> Result<(), LoadError> {
    for section in &ext.relos {
        let Some((index, _)) = elf.section_named(&section.name) else { continue };
        for (number, relo) in section.records.iter().enumerate() {
            let offset = relo.insn_off as usize;
            if !offset.is_multiple_of(Insn::SIZE) {
                let message = format!("CO-RE relocation #{number} is not at an instruction");
                return Err(LoadError::section_at(&section.name, offset as u64, message));
            }
            let slot = offset / Insn::SIZE;
            // A weak function that another object's has replaced leaves its records behind.
            let Some(found) = functions.find(index, slot) else { continue };
            let function = &mut functions.all[found];
            let insn = slot - function.section_off;
            function.core_relos.push((insn, *relo));
            functions.core.push(CoreRecord { function: found, insn, number, relo: *relo });
        }
    }
    Ok(())
}

/// Notes which function is each program's exception callback, by the tags in BTF.
pub(crate) fn attach_callbacks(btf: &Btf, functions: &mut Functions) -> Result<(), LoadError> {
    let mut wanted: FxHashMap<&str, Vec<&str>> = FxHashMap::default();
    for tag in btf.own_types().filter(|ty| ty.kind == Kind::DeclTag) {
        let Some(callback) = tag.name.strip_prefix(EXCEPTION_CALLBACK) else { continue };
        if tag.decl_tag() != Some(-1) {
            continue;
        }
        let owner = tag.target().and_then(|id| btf.ty(id));
        let owner = owner.filter(|owner| owner.func_linkage() == Some(Linkage::Global));
        let owner = owner.ok_or_else(|| {
            LoadError::section(".BTF", format!("tag '{}' is not on a global function", tag.name))
        })?;
        wanted.entry(owner.name).or_default().push(callback);
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let callable = (0..functions.all.len()).rev().filter(|index| functions.is_subprog(*index));
    let callable: FxHashMap<Arc<str>, usize> =
        callable.map(|index| (functions.all[index].name.clone(), index)).collect();
    for index in 0..functions.all.len() {
        let names = wanted.get(&*functions.all[index].name);
        // The verifier refuses more than one, so none is appended.
        let Some([name]) = names.map(Vec::as_slice) else { continue };
        if functions.is_subprog(index) {
            continue;
        }
        let callback = callable.get(*name).copied();
        let usable = callback.filter(|callback| {
            let function = &functions.all[*callback];
            function.global && !function.hidden
        });
        let function = &mut functions.all[index];
        function.exception_callback = usable;
        if usable.is_none() {
            return Err(LoadError::Program {
                program: function.name.to_string(),
                section: function.section.to_string(),
                insn: 0,
                message: format!("exception callback '{name}' is not a global function of .text"),
            });
        }
    }
    Ok(())
}
