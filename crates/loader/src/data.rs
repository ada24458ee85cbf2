//! Maps that libbpf makes of data sections and of configuration values.

use btf::{Btf, Kind, Linkage, TypeId};
use uapi::{MapDef, MapType, OBJ_NAME_LEN, map_flags};

use crate::budget::Budget;
use crate::elf::{Elf, Section};
use crate::error::LoadError;
use crate::maps;
use crate::spec::{MapKind, MapSpec};

/// What a section's name and type make of it; `None` if it holds no variables.
pub(crate) fn data_kind(section: &Section<'_>) -> Option<MapKind> {
    let is = |name: &str| {
        section.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match () {
        () if section.size == 0 => None,
        () if section.is_nobits() => is(".bss").then_some(MapKind::Bss),
        () if !section.is_progbits() || section.is_code() => None,
        () if is(".data") => Some(MapKind::Data),
        () if is(".rodata") => Some(MapKind::Rodata),
        () => None,
    }
}

/// One map for each data section, with the ELF index of the section.
pub(crate) fn data_maps(
    elf: &Elf<'_>,
    object: &str,
    btf: Option<&Btf>,
    budget: &mut Budget,
) -> Result<Vec<(usize, MapSpec)>, LoadError> {
    let mut maps = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        let Some(kind) = data_kind(section) else { continue };
        let size = u32::try_from(section.size)
            .map_err(|_| LoadError::section(section.name, "above 4 GiB"))?;
        let mut map = internal_map(object, section.name, kind, size, btf);
        if kind != MapKind::Bss {
            budget.take(section.data.len() as u64)?;
            map.initial = Some(section.data.to_vec());
        }
        maps.push((index, map));
    }
    Ok(maps)
}

/// An array of one value, typed by the data section of the same name.
pub(crate) fn internal_map(
    object: &str,
    section: &str,
    kind: MapKind,
    size: u32,
    btf: Option<&Btf>,
) -> MapSpec {
    let frozen = matches!(kind, MapKind::Rodata | MapKind::Kconfig);
    let name = internal_name(object, section);
    let mut def = MapDef::new(MapType::Array, 4, size, 1);
    def.name.clone_from(&name);
    if frozen {
        def.flags |= map_flags::RDONLY_PROG;
    }
    let ty = btf.and_then(|btf| btf.ty(*btf.find_all_by_name(section).first()?));
    if let (Some(btf), Some(ty)) = (btf, ty) {
        def.btf_value_type_id = ty.id.0;
        let shown = |id: TypeId| {
            let var = btf.ty(id).and_then(|ty| ty.var());
            var.is_some_and(|var| var.linkage() != Some(Linkage::Static))
        };
        if ty.kind == Kind::Datasec && ty.datasec().any(|record| shown(record.type_id)) {
            def.flags |= map_flags::MMAPABLE;
        }
    }
    // Custom data sections are known to users by their whole name.
    let shown = match kind {
        MapKind::Data | MapKind::Rodata if !matches!(section, ".data" | ".rodata") => section,
        _ => &name,
    };
    MapSpec { def, frozen, ..maps::empty(shown, kind, section, 0) }
}

/// The object's name, cut so that a section's name of at least seven bytes fits after it; names
/// with a second dot stand alone.
fn internal_name(object: &str, section: &str) -> String {
    let room = OBJ_NAME_LEN - 1;
    let suffix = section.len().max(7).min(room);
    let prefix = match section.get(1..) {
        Some(rest) if rest.contains('.') => 0,
        _ => room - suffix,
    };
    let bytes = object.bytes().take(prefix).chain(section.bytes().take(suffix));
    bytes
        .map(|byte| match byte {
            b'_' | b'.' => char::from(byte),
            _ if byte.is_ascii_alphanumeric() => char::from(byte),
            _ => '_',
        })
        .collect()
}
