//! Kernel interfaces that programs implement: variables of the struct_ops sections as maps.

use btf::{Btf, Kind, Member, Type, TypeId, essential_name};
use uapi::{MapDef, MapType, ProgType, map_flags};

use crate::budget::Budget;
use crate::elf::{Elf, Section};
use crate::error::LoadError;
use crate::function::Functions;
use crate::maps;
use crate::section::section_kind;
use crate::spec::{MapKind, MapSpec, ProgramSpec, Slot, Spec};

/// What the kernel's map values are named: this, then the interface's own name.
const VALUE_PREFIX: &str = "bpf_struct_ops_";

/// The maps of the struct_ops sections, in ELF order, their functions as slots.
pub(crate) fn struct_ops_maps(
    elf: &Elf<'_>,
    btf: Option<&Btf>,
    functions: &Functions,
    budget: &mut Budget,
) -> Result<Vec<MapSpec>, LoadError> {
    let mut found = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        let Some(flags) = section_flags(section) else { continue };
        let bad = |message: &str| LoadError::section(section.name, message);
        let btf = btf.ok_or_else(|| bad("needs BTF (compile with -g)"))?;
        let datasec = btf.find_by_name(section.name, Kind::Datasec).and_then(|id| btf.ty(id));
        let datasec = datasec.ok_or_else(|| bad("no DATASEC in BTF"))?;
        let first = found.len();
        for place in datasec.datasec() {
            let map = struct_ops_map(btf, section, place.type_id, place.offset, flags, budget)?;
            found.push(map);
        }
        add_functions(elf, btf, index, functions, &mut found[first..])?;
    }
    Ok(found)
}

fn section_flags(section: &Section<'_>) -> Option<u32> {
    let name = section.name.strip_prefix('?').unwrap_or(section.name);
    match name {
        _ if !section.is_progbits() || section.size == 0 => None,
        ".struct_ops" => Some(0),
        ".struct_ops.link" => Some(map_flags::LINK),
        _ => None,
    }
}

fn struct_ops_map(
    btf: &Btf,
    section: &Section<'_>,
    variable: TypeId,
    offset: u32,
    flags: u32,
    budget: &mut Budget,
) -> Result<MapSpec, LoadError> {
    let bad = |message: &str| LoadError::section_at(section.name, offset.into(), message);
    let variable = btf.ty(variable).filter(|ty| ty.kind == Kind::Var);
    let variable = variable.ok_or_else(|| bad("BTF has no variable here"))?;
    let ty = btf.resolved(TypeId(variable.size_or_type)).filter(|ty| ty.kind == Kind::Struct);
    let ty = ty.ok_or_else(|| LoadError::map(variable.name, "is not a struct"))?;
    if ty.name.is_empty() {
        return Err(LoadError::map(variable.name, "is a struct without a name"));
    }
    let start = offset as usize;
    let data = section.data.get(start..start.saturating_add(ty.size_or_type as usize));
    let data =
        data.ok_or_else(|| LoadError::map(variable.name, "lies beyond the section's end"))?;
    budget.take(data.len() as u64)?;
    let mut def = MapDef::new(MapType::StructOps, 4, ty.size_or_type, 1);
    def.name = maps::kernel_name(variable.name);
    def.flags = flags;
    let name = section.name;
    Ok(MapSpec {
        def,
        initial: Some(data.to_vec()),
        struct_type: ty.id,
        autocreate: !name.starts_with('?'),
        ..maps::empty(
            variable.name,
            MapKind::StructOps,
            name.trim_start_matches('?'),
            offset.into(),
        )
    })
}

/// Notes the program behind each function pointer that the section's relocations set.
fn add_functions(
    elf: &Elf<'_>,
    btf: &Btf,
    section: usize,
    functions: &Functions,
    maps: &mut [MapSpec],
) -> Result<(), LoadError> {
    let programs: Vec<usize> = functions.entries().collect();
    let tables = elf.sections.iter().enumerate().filter(|(_, s)| s.is_rel() && s.info == section);
    for (index, _) in tables {
        for relocation in elf.relocations(index)? {
            let symbol = elf.symbols.get(relocation.symbol);
            let bad = |message: &str| LoadError::Relocation {
                section: elf.sections[section].name.into(),
                offset: relocation.offset,
                symbol: symbol.map_or(String::new(), |symbol| elf.symbol_name(symbol).into()),
                message: message.into(),
            };
            let target = symbol.filter(|symbol| symbol.value.is_multiple_of(8));
            let target = target
                .and_then(|symbol| functions.find(symbol.section, symbol.value as usize / 8))
                .ok_or_else(|| bad("is not a function of the object"))?;
            let is_ops = section_kind(&functions.all[target].section)
                .is_some_and(|kind| kind.prog_type == ProgType::StructOps);
            let program = programs.binary_search(&target).ok().filter(|_| is_ops);
            let program = program.ok_or_else(|| bad("is not a struct_ops program"))?;
            let map = maps.iter_mut().find(|map| {
                let end = map.section_offset + u64::from(map.def.value_size);
                (map.section_offset..end).contains(&relocation.offset)
            });
            let map = map.ok_or_else(|| bad("is in no variable"))?;
            let offset = (relocation.offset - map.section_offset) as u32;
            let member = btf.ty(map.struct_type).and_then(|ty| member_at(&ty, offset));
            if !member.is_some_and(|member| is_function_pointer(btf, member.type_id)) {
                return Err(bad("does not set a function pointer"));
            }
            map.slots.retain(|(slot, _)| *slot != offset);
            map.slots.push((offset, Slot::Program(program)));
        }
    }
    Ok(())
}

fn member_at<'b>(ty: &Type<'b>, offset: u32) -> Option<Member<'b>> {
    ty.members().find(|member| u64::from(member.bit_offset) == u64::from(offset) * 8)
}

fn is_function_pointer(btf: &Btf, id: TypeId) -> bool {
    let pointer = btf.resolved(id).filter(|ty| ty.kind == Kind::Ptr);
    let target = pointer.and_then(|ty| btf.resolved(TypeId(ty.size_or_type)));
    target.is_some_and(|ty| ty.kind == Kind::FuncProto)
}

impl Spec {
    /// Lays struct_ops values out as the kernel's own structs, and tells their programs which
    /// member they implement. Slots then count bytes in the kernel's value.
    ///
    /// Call it before [`Spec::relocate_core`]: it decides which of these programs are loaded.
    pub fn resolve_struct_ops(&mut self, kernel: &Btf, modules: &[&Btf]) -> Result<(), LoadError> {
        let Some(local) = self.btf.clone() else { return Ok(()) };
        let mut used = vec![None; self.programs.len()];
        for map in self.maps.iter_mut().filter(|map| map.kind == MapKind::StructOps) {
            let layout = Layout::find(map, &local, kernel, modules)?;
            layout.apply(map, &mut self.programs)?;
            for (_, slot) in &map.slots {
                if let Slot::Program(program) = slot {
                    let wanted = used[*program].get_or_insert(false);
                    *wanted |= map.autocreate;
                }
            }
        }
        for (program, used) in self.programs.iter_mut().zip(used) {
            program.autoload = used.unwrap_or(program.autoload);
        }
        Ok(())
    }
}

/// One interface in the object's types and in the kernel's.
struct Layout<'b> {
    local: &'b Btf,
    ours: Type<'b>,
    kernel: &'b Btf,
    theirs: Type<'b>,
    /// The map's value, which holds `theirs` at `data_offset` bytes.
    value: Type<'b>,
    data_offset: usize,
}

impl<'b> Layout<'b> {
    fn find(
        map: &MapSpec,
        local: &'b Btf,
        kernel: &'b Btf,
        modules: &[&'b Btf],
    ) -> Result<Layout<'b>, LoadError> {
        let bad = |message: String| LoadError::map(&map.name, message);
        let ours = local.ty(map.struct_type).ok_or_else(|| bad("has no type".into()))?;
        let name = essential_name(ours.name);
        let value_name = format!("{VALUE_PREFIX}{name}");
        let in_btf = |btf: &'b Btf, name: &str| btf.ty(btf.find_by_name(name, Kind::Struct)?);
        let mut btfs = std::iter::once(kernel).chain(modules.iter().copied());
        let found = btfs.find_map(|btf| Some((btf, in_btf(btf, &value_name)?, in_btf(btf, name)?)));
        let (kernel, value, theirs) =
            found.ok_or_else(|| bad(format!("struct {value_name} is not in the kernel's BTF")))?;
        let data = value.members().find(|member| member.type_id == theirs.id);
        let data = data.ok_or_else(|| bad(format!("struct {value_name} holds no {name}")))?;
        let data_offset = data.bit_offset as usize / 8;
        Ok(Layout { local, ours, kernel, theirs, value, data_offset })
    }

    fn apply(&self, map: &mut MapSpec, programs: &mut [ProgramSpec]) -> Result<(), LoadError> {
        let old = map.initial.take().unwrap_or_default();
        let mut new = vec![0; self.value.size_or_type as usize];
        let mut slots = Vec::new();
        for member in self.ours.members() {
            let offset = member.bit_offset / 8;
            let program = map.slots.iter().find(|(slot, _)| *slot == offset);
            let place = self.place(map, &member, &old, program.is_some())?;
            let Some((index, at, size)) = place else {
                if let Some((_, Slot::Program(program))) = program {
                    programs[*program].autoload = false;
                }
                continue;
            };
            if let Some((_, Slot::Program(program))) = program {
                let point = (self.theirs.id.0, index);
                bind(map, &mut programs[*program], point)?;
                slots.push((at as u32, Slot::Program(*program)));
                continue;
            }
            let from = old.get(offset as usize..offset as usize + size);
            if let (Some(from), Some(to)) = (from, new.get_mut(at..at + size)) {
                to.copy_from_slice(from);
            }
        }
        map.slots = slots;
        map.initial = Some(new);
        map.def.value_size = self.value.size_or_type;
        map.def.btf_vmlinux_value_type_id = self.value.id.0;
        Ok(())
    }

    /// Number, offset in the value and size of the kernel's member of the same name; `None` if it
    /// has none and ours is not set.
    fn place(
        &self,
        map: &MapSpec,
        member: &Member<'_>,
        old: &[u8],
        is_set: bool,
    ) -> Result<Option<(u32, usize, usize)>, LoadError> {
        let bad = |message: &str| {
            LoadError::map(&map.name, format!("member '{}' {message}", member.name))
        };
        let size = self.local.size_of(member.type_id);
        let size = size.map_err(|_| bad("has no size"))? as usize;
        let offset = member.bit_offset as usize / 8;
        let bytes = old.get(offset..offset + size).ok_or_else(|| bad("lies outside its struct"))?;
        let mut members = self.theirs.members().zip(0..);
        let Some((found, index)) = members.find(|(found, _)| found.name == member.name) else {
            return match bytes.iter().all(|byte| *byte == 0) {
                true => Ok(None),
                false => Err(bad("is not in the kernel's struct")),
            };
        };
        if member.bitfield_size != 0 || found.bitfield_size != 0 {
            return Err(bad("is a bit-field"));
        }
        let kinds = (self.local.resolved(member.type_id), self.kernel.resolved(found.type_id));
        if kinds.0.map(|ty| ty.kind) != kinds.1.map(|ty| ty.kind) {
            return Err(bad("has another kind of type in the kernel"));
        }
        if is_set && !is_function_pointer(self.kernel, found.type_id) {
            return Err(bad("is not a function pointer in the kernel"));
        }
        let is_pointer = kinds.0.is_some_and(|ty| ty.kind == Kind::Ptr);
        if !is_pointer && self.kernel.size_of(found.type_id).ok() != Some(size as u32) {
            return Err(bad("has another size in the kernel"));
        }
        let at = self.data_offset + found.bit_offset as usize / 8;
        // A pointer that no relocation sets stays null.
        let size = if is_pointer { 0 } else { size };
        Ok(Some((index, at, size)))
    }
}

fn bind(map: &MapSpec, program: &mut ProgramSpec, point: (u32, u32)) -> Result<(), LoadError> {
    if program.attach_btf_id == 0 {
        (program.attach_btf_id, program.expected_attach_type) = point;
    }
    if (program.attach_btf_id, program.expected_attach_type) != point {
        let message = format!("program '{}' already implements another member", program.name);
        return Err(LoadError::map(&map.name, message));
    }
    Ok(())
}
