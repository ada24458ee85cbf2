//! The journey from an object's bytes to a spec, step by step.

use std::sync::Arc;

use btf::{Btf, BtfBuilder, Ext, Kind, Linkage, TypeId};
use rustc_hash::FxHashMap;

use crate::assemble::assemble;
use crate::budget::Budget;
use crate::elf::Elf;
use crate::error::LoadError;
use crate::function::Functions;
use crate::reloc::{MapIndex, Relocator};
use crate::spec::{Extern, MapKind, Spec};
use crate::{data, externs, fixup, info, maps, reloc, struct_ops};

/// Bytes of a licence that libbpf keeps.
const LICENSE_LEN: usize = 63;

/// Reads ELF objects.
pub struct Object;

impl Object {
    /// Reads an object whose data maps are named after no file.
    pub fn parse(bytes: &[u8]) -> Result<Spec, LoadError> {
        Object::parse_named("", bytes)
    }

    /// Reads an object; `name` starts the names of its data maps (see [`Object::name_of`]).
    pub fn parse_named(name: &str, bytes: &[u8]) -> Result<Spec, LoadError> {
        let elf = Elf::parse(bytes)?;
        let mut budget = Budget::new(elf.len);
        let mut functions = Functions::collect(&elf, &mut budget)?;
        let types = Types::read(&elf, &functions)?;
        let mut spec = Spec {
            name: name.into(),
            license: license(&elf)?,
            version: version(&elf)?,
            btf: types.btf.clone(),
            externs: types.externs,
            ..Spec::default()
        };
        let btf = types.btf.as_deref();
        if let Some(ext) = &types.ext {
            info::attach_info(&elf, ext, &mut functions, &mut budget)?;
        }
        if let Some(btf) = btf {
            info::attach_callbacks(btf, &mut functions)?;
        }
        let index = collect_maps(&elf, &mut spec, btf, &functions, &mut budget)?;
        let externs = &spec.externs;
        let externs =
            externs.iter().enumerate().map(|(number, ext)| (ext.symbol, number)).collect();
        Relocator { elf: &elf, maps: &index, externs: &externs }.apply(&mut functions)?;
        spec.functions = functions;
        assemble(&mut spec)?;
        Ok(spec)
    }

    /// The name an object has by its path: the file's, up to the first dot.
    pub fn name_of(path: &str) -> &str {
        let file = path.rsplit('/').next().unwrap_or(path);
        file.split('.').next().unwrap_or(file)
    }
}

/// What the object says of types.
struct Types {
    btf: Option<Arc<Btf>>,
    ext: Option<Ext>,
    externs: Vec<Extern>,
}

impl Types {
    fn read(elf: &Elf<'_>, functions: &Functions) -> Result<Types, LoadError> {
        let Some((_, section)) = elf.section_named(".BTF") else {
            if let Some(ext) = elf.symbols.iter().find(|s| s.is_extern() && !s.name.is_empty()) {
                return Err(LoadError::external(ext.name, "needs BTF (compile with -g)"));
            }
            return Ok(Types { btf: None, ext: None, externs: Vec::new() });
        };
        let bad = |section| move |source| LoadError::Btf { section, source };
        let old = Btf::parse(section.data).map_err(bad(".BTF"))?;
        let ext = match elf.section_named(".BTF.ext") {
            Some((_, section)) => Some(Ext::parse(section.data, &old).map_err(bad(".BTF.ext"))?),
            None => None,
        };
        let mut edit = BtfBuilder::from_btf(&old);
        let (externs, edited) = externs::collect(elf, &old, &mut edit)?;
        fixup::fix_datasecs(elf, &old, &mut edit, &edited)?;
        hide_functions(&old, &mut edit, functions);
        let btf = Some(Arc::new(edit.build().map_err(bad(".BTF"))?));
        Ok(Types { btf, ext, externs })
    }
}

/// Hidden global subprograms become static, which the verifier treats as part of their callers.
fn hide_functions(old: &Btf, edit: &mut BtfBuilder, functions: &Functions) {
    for (index, function) in functions.all.iter().enumerate() {
        if !function.hidden || !functions.is_subprog(index) {
            continue;
        }
        let is_global = |id: &TypeId| {
            let linkage = old.ty(*id).and_then(|ty| ty.func_linkage());
            old.kind(*id) == Some(Kind::Func) && linkage == Some(Linkage::Global)
        };
        if let Some(id) = old.find_all_by_name(&function.name).into_iter().find(is_global) {
            edit.set_func_linkage(id, Linkage::Static);
        }
    }
}

fn license(elf: &Elf<'_>) -> Result<String, LoadError> {
    let Some((_, section)) = elf.section_named("license") else { return Ok(String::new()) };
    let text = section.data.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = &text[..text.len().min(LICENSE_LEN)];
    let text = std::str::from_utf8(text).map_err(|_| LoadError::section("license", "not UTF-8"))?;
    Ok(text.into())
}

fn version(elf: &Elf<'_>) -> Result<u32, LoadError> {
    let Some((_, section)) = elf.section_named("version") else { return Ok(0) };
    let word = section.data.try_into().map(u32::from_le_bytes);
    word.map_err(|_| LoadError::section("version", "is not 4 bytes"))
}

/// Fills `spec.maps` in libbpf's order and says where each can be found.
fn collect_maps(
    elf: &Elf<'_>,
    spec: &mut Spec,
    btf: Option<&Btf>,
    functions: &Functions,
    budget: &mut Budget,
) -> Result<MapIndex, LoadError> {
    let mut index = MapIndex::default();
    let legacy = maps::legacy_maps(elf)?;
    if let Some((section, _)) = elf.section_named("maps") {
        index.define(section, 0, legacy.iter());
    }
    spec.maps = legacy;
    let first = spec.maps.len();
    let defined = maps::btf_maps(elf, btf)?;
    if let Some((section, _)) = elf.section_named(maps::MAPS) {
        index.define(section, first, defined.iter().map(|map| &map.spec));
        let slots = reloc::map_slots(elf, section, &defined, first, &programs(elf, functions))?;
        spec.maps.extend(defined.into_iter().map(|map| map.spec));
        for (map, slot, target) in slots {
            spec.maps[first + map].slots.push((slot, target));
        }
    }
    index.arena = maps::place_arena(elf, &mut spec.maps, budget)?;
    for (section, map) in data::data_maps(elf, &spec.name, btf, budget)? {
        index.data.insert(section, spec.maps.len());
        spec.maps.push(map);
    }
    let size = externs::kconfig_size(&spec.externs);
    if size > 0 {
        spec.maps.push(data::internal_map(&spec.name, ".kconfig", MapKind::Kconfig, size, btf));
    }
    spec.maps.extend(struct_ops::struct_ops_maps(elf, btf, functions, budget)?);
    Ok(index)
}

/// Entry programs by symbol: number, section, offset in bytes.
fn programs<'a>(elf: &Elf<'a>, functions: &Functions) -> FxHashMap<&'a str, (usize, usize, u64)> {
    let numbers: FxHashMap<&str, usize> = functions
        .entries()
        .enumerate()
        .map(|(number, index)| (&*functions.all[index].name, number))
        .collect();
    let symbols = elf.symbols.iter().filter(|symbol| symbol.is_func());
    symbols
        .filter_map(|symbol| {
            let number = *numbers.get(symbol.name)?;
            Some((symbol.name, (number, symbol.section, symbol.value)))
        })
        .collect()
}
