//! BTF and .BTF.ext of several objects: one global, one type; data sections joined.

use std::sync::Arc;

use btf::{Btf, BtfBuilder, Ext, Kind, Linkage, NewMember, SecInfo, Type, TypeId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::matching::{Global, difference};
use super::symbols::Symbols;
use super::{Input, Joined, Linker, Place};
use crate::error::LoadError;
use crate::maps::MAPS;

/// Where clang puts variables that another object defines.
const EXTERN: &str = ".extern";
/// Bytes of the header of .BTF.ext.
const EXT_HEADER: u32 = 32;

/// Types of the result.
#[derive(Default)]
pub(super) struct Types {
    builder: Option<BtfBuilder>,
    /// Symbols whose type stands in a data section already, and where.
    placed: FxHashMap<usize, (usize, usize)>,
    /// The definition that a symbol's type was taken from.
    taken: FxHashMap<usize, u32>,
    /// What each global is, and the type in the result that it refers to.
    known: FxHashMap<usize, Known>,
}

/// A global as an object has it, its definition once that is known.
struct Known {
    btf: Arc<Btf>,
    id: TypeId,
    /// Number in the result of its prototype or type.
    target: TypeId,
}

/// What an object's types become.
struct Renumbering<'b> {
    btf: &'b Arc<Btf>,
    /// By old id; void for what is left out.
    ids: Vec<TypeId>,
    /// The globals that a VAR or FUNC is, in the order of ids.
    globals: Vec<(TypeId, usize)>,
}

fn bad_btf(source: btf::BtfError) -> LoadError {
    LoadError::Btf { section: ".BTF", source }
}

impl Linker {
    pub(super) fn add_types(&mut self, input: &Input<'_, '_>) -> Result<(), LoadError> {
        let Some((_, section)) = input.elf.section_named(".BTF") else { return Ok(()) };
        let btf = Arc::new(Btf::parse(section.data).map_err(bad_btf)?);
        let mut builder = self.types.builder.take().unwrap_or_default();
        let numbers = renumber(&btf, builder.next_id(), &mut self.symbols);
        for ty in btf.own_types() {
            if numbers.new_id(ty.id) == builder.next_id() {
                copy(&mut builder, &ty, &numbers);
            }
        }
        self.match_globals(input, &numbers)?;
        self.adopt_definitions(&mut builder, &numbers);
        for ty in btf.own_types().filter(|ty| ty.kind == Kind::Datasec) {
            self.join_variables(input, &numbers, &ty)?;
        }
        if let Some((_, section)) = input.elf.section_named(".BTF.ext") {
            let bad = |source| LoadError::Btf { section: ".BTF.ext", source };
            let ext = Ext::parse(section.data, &btf).map_err(bad)?;
            self.join_ext(input, &numbers, &ext, &mut builder)?;
        }
        self.types.builder = Some(builder);
        Ok(())
    }

    /// Refuses globals that are something else than in the objects before.
    fn match_globals(
        &mut self,
        input: &Input<'_, '_>,
        numbers: &Renumbering<'_>,
    ) -> Result<(), LoadError> {
        let maps = numbers.btf.find_by_name(MAPS, Kind::Datasec).and_then(|id| numbers.btf.ty(id));
        let maps: FxHashSet<TypeId> =
            maps.iter().flat_map(|ty| ty.datasec()).map(|place| place.type_id).collect();
        let present: FxHashSet<usize> = input.symbols.iter().flatten().copied().collect();
        for &(id, global) in numbers.globals.iter().filter(|(_, global)| present.contains(global)) {
            let Some(ty) = numbers.btf.ty(id) else { continue };
            let Some(known) = self.types.known.get(&global) else {
                let target = numbers.new_id(TypeId(ty.size_or_type));
                self.types.known.insert(global, Known { btf: numbers.btf.clone(), id, target });
                continue;
            };
            let (old, new) =
                (Global { btf: &known.btf, id: known.id }, Global { btf: numbers.btf, id });
            difference(ty.name, maps.contains(&id), old, new)
                .map_err(|message| LoadError::Global { symbol: ty.name.to_owned(), message })?;
        }
        Ok(())
    }

    /// A global's type follows its definition, once that is known.
    fn adopt_definitions(&mut self, builder: &mut BtfBuilder, numbers: &Renumbering<'_>) {
        for &(id, global) in &numbers.globals {
            let symbol = &self.symbols.all[global];
            let Some(ty) = numbers.btf.ty(id) else { continue };
            let is_definition = match ty.kind {
                Kind::Func => ty.func_linkage() == Some(Linkage::Global),
                _ => ty.var().and_then(|var| var.linkage()) == Some(Linkage::Global),
            };
            let taken = self.types.taken.get(&global).copied();
            if !is_definition || symbol.is_undefined() || taken == Some(symbol.definition) {
                continue;
            }
            let Some(type_id) = symbol.type_id else { continue };
            let target = numbers.new_id(TypeId(ty.size_or_type));
            if let Some(known) = self.types.known.get_mut(&global) {
                name_params(builder, known, &ty);
                *known = Known { btf: numbers.btf.clone(), id, target };
            }
            builder.set_target(type_id, target);
            match ty.kind {
                Kind::Func => builder.set_func_linkage(type_id, Linkage::Global),
                _ => builder.set_var_linkage(type_id, Linkage::Global),
            }
            self.types.taken.insert(global, symbol.definition);
        }
    }

    fn join_variables(
        &mut self,
        input: &Input<'_, '_>,
        numbers: &Renumbering<'_>,
        datasec: &Type<'_>,
    ) -> Result<(), LoadError> {
        let place = match input.elf.section_named(datasec.name) {
            Some((index, _)) => match input.places[index] {
                Some(place) => place,
                None => return Ok(()),
            },
            None if datasec.name == EXTERN => return Ok(()),
            None => Place { section: self.section(datasec.name), offset: 0 },
        };
        self.sections[place.section].has_types = true;
        for record in datasec.datasec() {
            let global = numbers.global(record.type_id);
            let offset = self.variable_offset(numbers, &record, place, global)?;
            let new = SecInfo { type_id: numbers.new_id(record.type_id), offset, ..record };
            if new.type_id.is_void() {
                continue;
            }
            let known = global.and_then(|global| self.types.placed.get(&global).copied());
            match known {
                // A declaration's size and place give way to the definition's.
                Some((section, index)) if section == place.section => {
                    self.sections[section].variables[index] = new;
                }
                Some(_) => {}
                None => {
                    let variables = &mut self.sections[place.section].variables;
                    if let Some(global) = global {
                        self.types.placed.insert(global, (place.section, variables.len()));
                    }
                    variables.push(new);
                }
            }
        }
        Ok(())
    }

    /// Globals have their symbol's offset, which the compiler does not fill in; others their own.
    fn variable_offset(
        &self,
        numbers: &Renumbering<'_>,
        record: &SecInfo,
        place: Place,
        global: Option<usize>,
    ) -> Result<u32, LoadError> {
        let symbol = global.map(|global| &self.symbols.all[global]);
        let offset = match symbol {
            Some(symbol) if !symbol.is_undefined() => symbol.value,
            _ => place.offset.saturating_add(record.offset.into()),
        };
        u32::try_from(offset).map_err(|_| {
            let name = numbers.btf.name_of(record.type_id);
            LoadError::section_at(
                &self.sections[place.section].name,
                offset,
                format!("'{name}' lies above 4 GiB"),
            )
        })
    }

    fn join_ext(
        &mut self,
        input: &Input<'_, '_>,
        numbers: &Renumbering<'_>,
        ext: &Ext,
        builder: &mut BtfBuilder,
    ) -> Result<(), LoadError> {
        let place = |name: &str| {
            let found = input.elf.section_named(name).and_then(|(index, _)| input.places[index]);
            found.ok_or_else(|| LoadError::section(".BTF.ext", format!("no section '{name}'")))
        };
        let text = |offset: u32| numbers.btf.string(offset).unwrap_or_default();
        for section in &ext.funcs {
            let place = place(&section.name)?;
            let records = section.records.iter().map(|record| btf::FuncInfo {
                insn_off: record.insn_off.wrapping_add(place.offset as u32),
                type_id: numbers.new_id(record.type_id),
            });
            self.sections[place.section].funcs.extend(records);
        }
        for section in &ext.lines {
            let place = place(&section.name)?;
            let records = section.records.iter().map(|record| btf::LineInfo {
                insn_off: record.insn_off.wrapping_add(place.offset as u32),
                file_name_off: builder.string(text(record.file_name_off)),
                line_off: builder.string(text(record.line_off)),
                ..*record
            });
            self.sections[place.section].lines.extend(records);
        }
        for section in &ext.relos {
            let place = place(&section.name)?;
            let records = section.records.iter().map(|record| btf::CoreRelo {
                insn_off: record.insn_off.wrapping_add(place.offset as u32),
                type_id: numbers.new_id(record.type_id),
                access_str_off: builder.string(text(record.access_str_off)),
                ..*record
            });
            self.sections[place.section].core.extend(records);
        }
        Ok(())
    }
}

/// Gives each type its new id: globals known already theirs, data sections none yet.
fn renumber<'b>(btf: &'b Arc<Btf>, first: TypeId, symbols: &mut Symbols) -> Renumbering<'b> {
    let mut ids = vec![TypeId::VOID];
    let mut globals = Vec::new();
    let mut next = first.0;
    for ty in btf.own_types() {
        let mut id = TypeId(next);
        if ty.kind == Kind::Datasec {
            id = TypeId::VOID;
        } else if is_shared(&ty) {
            match symbols.by_name.get(ty.name) {
                Some(&global) => {
                    id = *symbols.all[global].type_id.get_or_insert(id);
                    globals.push((ty.id, global));
                }
                // In a section that adds nothing, such as a second licence.
                None => id = TypeId::VOID,
            }
        }
        next += u32::from(id.0 == next);
        ids.push(id);
    }
    Renumbering { btf, ids, globals }
}

/// A variable or function that is not static.
fn is_shared(ty: &Type<'_>) -> bool {
    match ty.kind {
        Kind::Func => ty.func_linkage() != Some(Linkage::Static),
        Kind::Var => ty.var().and_then(|var| var.linkage()) != Some(Linkage::Static),
        _ => false,
    }
}

/// Names a declaration's parameters, which the compiler leaves out, after the definition's: the
/// two prototypes are one then.
fn name_params(builder: &mut BtfBuilder, declared: &Known, defined: &Type<'_>) {
    let old = declared.btf.ty(declared.id).and_then(|ty| prototype(&ty));
    let Some((old, new)) = old.zip(prototype(defined)) else { return };
    if old.vlen != new.vlen || declared.target.is_void() {
        return;
    }
    for (index, param) in new.params().enumerate() {
        if !param.name.is_empty() {
            builder.set_param_name(declared.target, index as u32, param.name);
        }
    }
}

fn prototype<'b>(func: &Type<'b>) -> Option<Type<'b>> {
    let proto = func.btf().ty(TypeId(func.size_or_type));
    proto.filter(|proto| func.kind == Kind::Func && proto.kind == Kind::FuncProto)
}

impl Renumbering<'_> {
    /// The global that a VAR or FUNC is, if any.
    fn global(&self, id: TypeId) -> Option<usize> {
        let at = self.globals.binary_search_by_key(&id, |(id, _)| *id);
        at.ok().map(|at| self.globals[at].1)
    }

    fn new_id(&self, old: TypeId) -> TypeId {
        self.ids.get(old.0 as usize).copied().unwrap_or(TypeId::VOID)
    }
}

fn copy(builder: &mut BtfBuilder, ty: &Type<'_>, numbers: &Renumbering<'_>) {
    let target = numbers.new_id(TypeId(ty.size_or_type));
    let (name, size) = (ty.name, ty.size_or_type);
    match ty.kind {
        Kind::Int => {
            let encoding = ty.int().map(|int| int.encoding).unwrap_or_default();
            builder.int(name, size, encoding)
        }
        Kind::Float => builder.float(name, size),
        Kind::Ptr => builder.ptr(target),
        Kind::Array => {
            let array = ty.array();
            let ids = array.map_or((target, target, 0), |a| (a.elem, a.index, a.count));
            builder.array(numbers.new_id(ids.0), numbers.new_id(ids.1), ids.2)
        }
        Kind::Struct | Kind::Union => {
            let members: Vec<NewMember<'_>> = ty
                .members()
                .map(|member| NewMember {
                    name: member.name,
                    type_id: numbers.new_id(member.type_id),
                    bit_offset: member.bit_offset,
                    bitfield_size: member.bitfield_size,
                })
                .collect();
            match ty.kind {
                Kind::Struct => builder.structure(name, size, &members),
                _ => builder.union(name, size, &members),
            }
        }
        Kind::Enum => {
            let values: Vec<(&str, i32)> =
                ty.enum_values().map(|(name, value)| (name, value as i32)).collect();
            builder.enumeration(name, size, ty.kind_flag, &values)
        }
        Kind::Enum64 => {
            let values: Vec<(&str, i64)> = ty.enum_values().collect();
            builder.enum64(name, ty.kind_flag, &values)
        }
        Kind::Fwd => builder.fwd(name, ty.kind_flag),
        Kind::Typedef => builder.typedef(name, target),
        Kind::Const | Kind::Volatile | Kind::Restrict => builder.qualifier(ty.kind, target),
        Kind::TypeTag => builder.type_tag(name, target),
        Kind::DeclTag => builder.decl_tag(name, target, ty.decl_tag().unwrap_or(-1)),
        Kind::FuncProto => {
            let params: Vec<(&str, TypeId)> =
                ty.params().map(|p| (p.name, numbers.new_id(p.type_id))).collect();
            builder.func_proto(target, &params)
        }
        Kind::Func => builder.func(name, target, ty.func_linkage().unwrap_or(Linkage::Static)),
        Kind::Var => {
            let linkage = ty.var().and_then(|var| var.linkage()).unwrap_or(Linkage::Static);
            builder.var(name, target, linkage)
        }
        // Data sections are written last, joined.
        Kind::Datasec => return,
    };
}

/// The finished sections `.BTF` and `.BTF.ext`.
pub(super) struct TypeSections {
    pub(super) btf: Vec<u8>,
    pub(super) ext: Option<Vec<u8>>,
}

impl Types {
    pub(super) fn finish(
        &mut self,
        sections: &mut [Joined],
    ) -> Result<Option<TypeSections>, LoadError> {
        let Some(mut builder) = self.builder.take() else { return Ok(None) };
        for section in sections.iter_mut().filter(|section| section.has_types) {
            let size = u32::try_from(section.size)
                .map_err(|_| LoadError::section(&section.name, "above 4 GiB"))?;
            section.variables.sort_by_key(|variable| variable.offset);
            builder.datasec(&section.name, size, &section.variables);
        }
        let numbers = builder.dedup().map_err(bad_btf)?;
        renumber_ext(sections, &numbers);
        let has_ext = sections.iter().any(|s| !s.funcs.is_empty() || !s.lines.is_empty());
        let ext = has_ext.then(|| ext_bytes(sections, &mut builder));
        Ok(Some(TypeSections { btf: builder.finish().map_err(bad_btf)?, ext }))
    }
}

/// Records follow the types that stayed.
fn renumber_ext(sections: &mut [Joined], numbers: &[TypeId]) {
    let new = |old: TypeId| numbers.get(old.0 as usize).copied().unwrap_or_default();
    for section in sections {
        section.funcs.iter_mut().for_each(|record| record.type_id = new(record.type_id));
        section.core.iter_mut().for_each(|record| record.type_id = new(record.type_id));
    }
}

fn ext_bytes(sections: &[Joined], builder: &mut BtfBuilder) -> Vec<u8> {
    let funcs = ext_part(sections, builder, |s| s.funcs.iter().map(|r| r.to_words()).collect());
    let lines = ext_part(sections, builder, |s| s.lines.iter().map(|r| r.to_words()).collect());
    let core = ext_part(sections, builder, |s| s.core.iter().map(|r| r.to_words()).collect());
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    let mut words = vec![EXT_HEADER];
    let mut at = 0;
    for part in [&funcs, &lines, &core] {
        words.extend([at, part.len() as u32 * 4]);
        at += part.len() as u32 * 4;
    }
    words.extend(funcs.into_iter().chain(lines).chain(core));
    bytes.extend(words.into_iter().flat_map(u32::to_le_bytes));
    bytes
}

/// One kind of records as words: their size, then for each section its name, number and records.
fn ext_part<const N: usize>(
    sections: &[Joined],
    builder: &mut BtfBuilder,
    records: impl Fn(&Joined) -> Vec<[u32; N]>,
) -> Vec<u32> {
    let mut words = Vec::new();
    for section in sections {
        let records = records(section);
        if records.is_empty() {
            continue;
        }
        if words.is_empty() {
            words.push(N as u32 * 4);
        }
        words.extend([builder.string(&section.name), records.len() as u32]);
        words.extend(records.as_flattened());
    }
    words
}
