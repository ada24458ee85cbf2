//! Maps that the object defines: BTF-described in `.maps`, `struct bpf_map_def` in `maps`.

use btf::{Btf, Kind, Linkage, SecInfo, Type, TypeId};
use uapi::{MapDef, MapType, OBJ_NAME_LEN};

use crate::budget::Budget;
use crate::elf::{Elf, Section};
use crate::error::LoadError;
use crate::spec::{MapKind, MapSpec, Pin};

/// Name of the section of BTF-defined maps.
pub(crate) const MAPS: &str = ".maps";
/// Page size of the target, to which ring buffers are rounded.
const PAGE: u32 = 4096;
/// Section of the globals that live in an arena (libbpf 1.4).
const ARENA: &str = ".addr_space.1";
/// Bytes of the least `struct bpf_map_def`: type, key size, value size, entries, flags.
const LEGACY_LEN: u64 = 20;

/// A map and where `.maps` holds it.
pub(crate) struct DefinedMap {
    pub(crate) spec: MapSpec,
    /// Its variable's place in the section.
    pub(crate) place: SecInfo,
    /// Where `values` starts in the definition, in bytes.
    pub(crate) values_offset: Option<u32>,
}

/// Fields of a definition, as far as they are given.
#[derive(Default)]
pub(crate) struct Fields {
    map_type: u32,
    key: Option<u32>,
    value: Option<u32>,
    max_entries: u32,
    flags: u32,
    numa_node: u32,
    extra: u64,
    pub(crate) key_type: u32,
    pub(crate) value_type: u32,
    pin: Pin,
    pub(crate) inner: Option<Box<Fields>>,
}

/// The maps of section `.maps`, in the order of their places.
pub(crate) fn btf_maps(elf: &Elf<'_>, btf: Option<&Btf>) -> Result<Vec<DefinedMap>, LoadError> {
    let Some((_, section)) = elf.section_named(MAPS) else { return Ok(Vec::new()) };
    let btf = btf.ok_or_else(|| LoadError::section(MAPS, "needs BTF (compile with -g)"))?;
    let datasec = btf.find_by_name(MAPS, Kind::Datasec).and_then(|id| btf.ty(id));
    let datasec = datasec.ok_or_else(|| LoadError::section(MAPS, "no DATASEC in BTF"))?;
    datasec.datasec().map(|place| btf_map(btf, section, place)).collect()
}

fn btf_map(btf: &Btf, section: &Section<'_>, place: SecInfo) -> Result<DefinedMap, LoadError> {
    let offset = u64::from(place.offset);
    let variable = btf.ty(place.type_id).filter(|ty| ty.kind == Kind::Var && !ty.name.is_empty());
    let variable = variable
        .ok_or_else(|| LoadError::section_at(MAPS, offset, "BTF has no named variable here"))?;
    let name = variable.name;
    if offset + u64::from(place.size) > section.size {
        return Err(LoadError::map(name, "lies beyond the section's end"));
    }
    match variable.var().and_then(|var| var.linkage()) {
        Some(Linkage::Global) => {}
        Some(Linkage::Static) => {
            return Err(LoadError::map(name, "unsupported map linkage static"));
        }
        _ => return Err(LoadError::map(name, "unsupported map linkage extern")),
    }
    let def = btf.resolved(TypeId(variable.size_or_type)).filter(|ty| ty.kind == Kind::Struct);
    // libbpf names the variable's kind here, not the definition's.
    let def = def.ok_or_else(|| LoadError::map(name, "unexpected def kind var"))?;
    if def.size_or_type > place.size {
        return Err(LoadError::map(name, "definition is larger than its variable"));
    }
    let fields = fields(btf, name, &def)?;
    let pin = fields.pin;
    let spec =
        MapSpec { def: fields.into_def(name)?, pin, ..empty(name, MapKind::Btf, MAPS, offset) };
    let last = def.members().last().filter(|member| member.name == "values");
    let values_offset = last.map(|member| member.bit_offset / 8);
    Ok(DefinedMap { spec, place, values_offset })
}

/// Reads a definition.
pub(crate) fn fields(btf: &Btf, name: &str, def: &Type<'_>) -> Result<Fields, LoadError> {
    Parser { btf, map: name }.fields(def, false)
}

/// A map without contents.
pub(crate) fn empty(name: &str, kind: MapKind, section: &str, offset: u64) -> MapSpec {
    MapSpec {
        name: name.into(),
        def: MapDef::new(MapType::Array, 0, 0, 0),
        kind,
        section: section.into(),
        section_offset: offset,
        initial: None,
        frozen: false,
        pin: Pin::None,
        slots: Vec::new(),
        autocreate: true,
        struct_type: TypeId::VOID,
    }
}

/// Reads one map's definition.
struct Parser<'b> {
    btf: &'b Btf,
    map: &'b str,
}

impl Parser<'_> {
    fn fields(&self, def: &Type<'_>, is_inner: bool) -> Result<Fields, LoadError> {
        let mut fields = Fields::default();
        let last = def.members().len().saturating_sub(1);
        for (index, member) in def.members().enumerate() {
            let (name, ty) = (member.name, member.type_id);
            match name {
                "type" => fields.map_type = self.int(name, ty)?,
                "max_entries" => fields.max_entries = self.int(name, ty)?,
                "map_flags" => fields.flags = self.int(name, ty)?,
                "numa_node" => fields.numa_node = self.int(name, ty)?,
                "map_extra" => fields.extra = self.long(name, ty)?,
                "key_size" => self.set("key size", &mut fields.key, self.int(name, ty)?)?,
                "value_size" => self.set("value size", &mut fields.value, self.int(name, ty)?)?,
                "key" => {
                    let (id, size) = self.pointee(name, ty)?;
                    self.set("key size", &mut fields.key, size)?;
                    fields.key_type = id.0;
                }
                "value" => {
                    let (id, size) = self.pointee(name, ty)?;
                    self.set("value size", &mut fields.value, size)?;
                    fields.value_type = id.0;
                }
                "values" if index != last => {
                    return Err(self.bad("'values' member should be last"));
                }
                "values" => self.values(&mut fields, ty, is_inner)?,
                "pinning" if is_inner => return Err(self.bad("inner def can't be pinned")),
                "pinning" => fields.pin = self.pin(name, ty)?,
                _ => return Err(self.bad(format!("unknown field '{name}'"))),
            }
        }
        if fields.map_type == 0 {
            return Err(self.bad("map type isn't specified"));
        }
        Ok(fields)
    }

    fn bad(&self, message: impl Into<String>) -> LoadError {
        LoadError::map(self.map, message)
    }

    fn set(&self, what: &str, field: &mut Option<u32>, size: u32) -> Result<(), LoadError> {
        match *field {
            Some(old) if old != 0 && old != size => {
                Err(self.bad(format!("conflicting {what} {old} != {size}")))
            }
            _ => {
                *field = Some(size);
                Ok(())
            }
        }
    }

    /// `int (*name)[N]` is N.
    fn int(&self, name: &str, id: TypeId) -> Result<u32, LoadError> {
        let expected = |what: &str, found: Option<Type<'_>>| {
            let found = found.map_or("void".into(), |ty| ty.kind.text().to_ascii_lowercase());
            self.bad(format!("attr '{name}': expected {what}, got {found}"))
        };
        let pointer = self.btf.resolved(id);
        if pointer.is_none_or(|ty| ty.kind != Kind::Ptr) {
            return Err(expected("PTR", pointer));
        }
        let array = pointer.and_then(|ty| self.btf.ty(TypeId(ty.size_or_type)));
        let count = array.and_then(|ty| ty.array()).map(|array| array.count);
        count.ok_or_else(|| expected("ARRAY", array))
    }

    /// As `int`, or the value of an enum with one member.
    fn long(&self, name: &str, id: TypeId) -> Result<u64, LoadError> {
        let Some(ty) = self.btf.resolved(id).filter(|ty| ty.kind.is_enum()) else {
            return self.int(name, id).map(u64::from);
        };
        let mut values = ty.enum_values();
        match (values.next(), values.next()) {
            (Some((_, value)), None) if ty.kind == Kind::Enum => Ok(value as i32 as i64 as u64),
            (Some((_, value)), None) => Ok(value as u64),
            _ => Err(self.bad(format!("field '{name}' is not an enum with one value"))),
        }
    }

    fn pointee(&self, name: &str, id: TypeId) -> Result<(TypeId, u32), LoadError> {
        let pointer = self.btf.ty(id).filter(|ty| ty.kind == Kind::Ptr);
        let target = pointer.map(|ty| TypeId(ty.size_or_type));
        let target = target.ok_or_else(|| self.not_a_pointer(name, id))?;
        let size = self.btf.size_of(target);
        let size = size.map_err(|error| self.bad(format!("field '{name}': {error}")))?;
        Ok((target, size))
    }

    fn not_a_pointer(&self, name: &str, id: TypeId) -> LoadError {
        let found = self.btf.ty(id).map_or("void".into(), |ty| ty.kind.text().to_ascii_lowercase());
        self.bad(format!("{name} spec is not PTR: {found}"))
    }

    fn pin(&self, name: &str, id: TypeId) -> Result<Pin, LoadError> {
        match self.int(name, id)? {
            0 => Ok(Pin::None),
            1 => Ok(Pin::ByName),
            other => Err(self.bad(format!("invalid pinning value {other}"))),
        }
    }

    fn values(&self, fields: &mut Fields, id: TypeId, is_inner: bool) -> Result<(), LoadError> {
        if is_inner {
            return Err(self.bad("multi-level inner maps not supported"));
        }
        let map_type = MapType::from_raw(fields.map_type);
        let nested = matches!(map_type, Some(MapType::ArrayOfMaps | MapType::HashOfMaps));
        if !nested && map_type != Some(MapType::ProgArray) {
            return Err(self.bad("should be map-in-map or prog-array"));
        }
        self.set("value size", &mut fields.value, 4)?;
        let array = self.btf.ty(id).and_then(|ty| ty.array()).filter(|array| array.count == 0);
        let pointer = array.and_then(|array| self.btf.resolved(array.elem));
        let target = pointer
            .filter(|ty| ty.kind == Kind::Ptr)
            .and_then(|ty| self.btf.resolved(TypeId(ty.size_or_type)));
        match target {
            Some(def) if nested && def.kind == Kind::Struct => {
                let inner = Parser { btf: self.btf, map: &format!("{}.inner", self.map) };
                fields.inner = Some(Box::new(inner.fields(&def, true)?));
                Ok(())
            }
            Some(proto) if !nested && proto.kind == Kind::FuncProto => Ok(()),
            _ => Err(self.bad("'values' is not an empty array of pointers to maps or functions")),
        }
    }
}

impl Fields {
    /// The first field in which another object's idea of the map differs, types aside.
    pub(crate) fn difference(&self, other: &Fields) -> Option<&'static str> {
        let rows = [
            ("type", self.map_type != other.map_type),
            ("key_size", self.key.unwrap_or(0) != other.key.unwrap_or(0)),
            ("key type", (self.key_type == 0) != (other.key_type == 0)),
            ("value_size", self.value.unwrap_or(0) != other.value.unwrap_or(0)),
            ("value type", (self.value_type == 0) != (other.value_type == 0)),
            ("max_entries", self.max_entries != other.max_entries),
            ("map_flags", self.flags != other.flags),
            ("numa_node", self.numa_node != other.numa_node),
            ("pinning", self.pin != other.pin),
            ("inner map", self.inner.is_some() != other.inner.is_some()),
        ];
        rows.into_iter().find(|(_, differs)| *differs).map(|(field, _)| field)
    }

    fn into_def(self, name: &str) -> Result<MapDef, LoadError> {
        let map_type = MapType::from_raw(self.map_type)
            .ok_or_else(|| LoadError::map(name, format!("unknown map type {}", self.map_type)))?;
        let mut max_entries = self.max_entries;
        if matches!(map_type, MapType::Ringbuf | MapType::UserRingbuf) {
            max_entries = ring_size(max_entries);
        }
        let sizes = (self.key.unwrap_or(0), self.value.unwrap_or(0));
        let mut def = MapDef::new(map_type, sizes.0, sizes.1, max_entries);
        def.name = kernel_name(name);
        def.flags = self.flags;
        def.extra = self.extra;
        def.numa_node = self.numa_node;
        if takes_btf(map_type) {
            (def.btf_key_type_id, def.btf_value_type_id) = (self.key_type, self.value_type);
        }
        if let Some(inner) = self.inner {
            def.inner = Some(Box::new(inner.into_def(&format!("{name}.inner"))?));
        }
        Ok(def)
    }
}

/// The most bytes of a name that the kernel takes.
pub(crate) fn kernel_name(name: &str) -> String {
    let mut end = name.len().min(OBJ_NAME_LEN - 1);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].into()
}

/// Whether libbpf hands key and value types of such a map to the kernel, which refuses some.
pub fn takes_btf(map_type: MapType) -> bool {
    use MapType as T;
    !matches!(
        map_type,
        T::PerfEventArray
            | T::CgroupArray
            | T::StackTrace
            | T::ArrayOfMaps
            | T::HashOfMaps
            | T::Devmap
            | T::DevmapHash
            | T::Cpumap
            | T::Xskmap
            | T::Sockmap
            | T::Sockhash
            | T::Queue
            | T::Stack
            | T::Arena
    )
}

/// Up to the next power of two of pages; sizes for which there is none stay for the kernel to
/// refuse.
fn ring_size(size: u32) -> u32 {
    let fits = size.is_multiple_of(PAGE) && (size / PAGE).is_power_of_two();
    if size == 0 || fits {
        return size;
    }
    (size / PAGE + 1)
        .checked_next_power_of_two()
        .and_then(|pages| pages.checked_mul(PAGE))
        .unwrap_or(size)
}

/// The maps of section `maps`, by offset: `struct bpf_map_def` of libbpf before 1.0.
pub(crate) fn legacy_maps(elf: &Elf<'_>) -> Result<Vec<MapSpec>, LoadError> {
    let Some((index, section)) = elf.section_named("maps") else { return Ok(Vec::new()) };
    let symbols = || {
        let own = elf.symbols.iter().filter(move |symbol| symbol.section == index);
        own.filter(|symbol| symbol.is_global() && !symbol.name.is_empty())
    };
    let count = symbols().count() as u64;
    let len = section.data.len() as u64;
    if count == 0 {
        return Ok(Vec::new());
    }
    let each = len / count;
    if !len.is_multiple_of(count) || each < LEGACY_LEN {
        return Err(LoadError::section("maps", format!("{len} bytes do not make {count} maps")));
    }
    let mut maps = Vec::new();
    for symbol in symbols() {
        let end = symbol.value.saturating_add(each);
        let Some(def) = section.data.get(symbol.value as usize..end as usize) else {
            return Err(LoadError::map(symbol.name, "lies beyond the section's end"));
        };
        maps.push(legacy_map(symbol.name, symbol.value, def)?);
    }
    maps.sort_by_key(|map| map.section_offset);
    Ok(maps)
}

fn legacy_map(name: &str, offset: u64, def: &[u8]) -> Result<MapSpec, LoadError> {
    let words: Vec<u32> =
        def.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let [map_type, key, value, max_entries, flags, rest @ ..] = &words[..] else {
        return Err(LoadError::map(name, "definition is cut off"));
    };
    if rest.iter().any(|word| *word != 0) {
        return Err(LoadError::map(name, "definition has unknown fields that are not zero"));
    }
    let map_type = MapType::from_raw(*map_type)
        .ok_or_else(|| LoadError::map(name, format!("unknown map type {map_type}")))?;
    let mut spec = empty(name, MapKind::Legacy, "maps", offset);
    spec.def = MapDef::new(map_type, *key, *value, *max_entries);
    spec.def.name = kernel_name(name);
    spec.def.flags = *flags;
    Ok(spec)
}

/// Finds the arena and the section of its globals, which lie at its start. (libbpf 1.7 puts them
/// at the end where the kernel takes offsets above 512 MiB; Linux 6.18 does not.)
pub(crate) fn place_arena(
    elf: &Elf<'_>,
    maps: &mut [MapSpec],
    budget: &mut Budget,
) -> Result<Option<(usize, Option<usize>)>, LoadError> {
    let mut arenas = maps.iter_mut().enumerate().filter(|(_, m)| m.def.map_type == MapType::Arena);
    let section = elf.section_named(ARENA).filter(|(_, section)| section.is_progbits());
    let Some((index, arena)) = arenas.next() else {
        return match section {
            Some(_) => Err(LoadError::section(ARENA, "the object defines no arena map")),
            None => Ok(None),
        };
    };
    if let Some((_, second)) = arenas.next() {
        return Err(LoadError::map(&second.name, "is the object's second arena"));
    }
    let Some((section, globals)) = section else { return Ok(Some((index, None))) };
    let bytes = u64::from(arena.def.max_entries) * u64::from(PAGE);
    if globals.size.next_multiple_of(PAGE.into()) > bytes {
        let message = format!("{bytes} bytes are too few for its globals, {}", globals.size);
        return Err(LoadError::map(&arena.name, message));
    }
    budget.take(globals.size)?;
    arena.initial = Some(globals.data.to_vec());
    Ok(Some((index, Some(section))))
}
