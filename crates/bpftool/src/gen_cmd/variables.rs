//! Global variables of an object as members of a C structure.

use std::fmt::{self, Write};

use btf::{Btf, Kind, Linkage, TypeId, c};
use loader::{MapSpec, Spec};

use super::skeleton::{identifier, member};

/// More than C lets one write.
const MAX_MODIFIERS: u32 = 16;

/// A data section whose variables user space reads and writes in place.
pub(super) struct Section<'a> {
    btf: &'a Btf,
    /// Its map's member.
    pub(super) member: String,
    /// Those that are not static, by their place.
    pub(super) variables: Vec<Variable>,
}

pub(super) struct Variable {
    pub(super) name: String,
    pub(super) size: u32,
    offset: u32,
    type_id: TypeId,
}

/// Sections with at least one variable that other files may name: libbpf maps those into memory.
pub(super) fn sections(spec: &Spec) -> Vec<Section<'_>> {
    let Some(btf) = &spec.btf else { return Vec::new() };
    let data = spec.maps.iter().filter(|map| map.kind.is_section());
    data.filter_map(|map| section(btf, map)).collect()
}

fn section<'a>(btf: &'a Btf, map: &MapSpec) -> Option<Section<'a>> {
    let found = btf.own_types().find(|ty| ty.kind == Kind::Datasec && ty.name == map.section)?;
    let mut variables = Vec::new();
    for info in found.datasec() {
        let Some(variable) = btf.ty(info.type_id) else { continue };
        let Some(var) = variable.var() else { continue };
        if var.linkage() != Some(Linkage::Static) {
            variables.push(Variable {
                name: identifier(variable.name),
                size: info.size,
                offset: info.offset,
                type_id: var.type_id,
            });
        }
    }
    let section = Section { btf, member: member(map), variables };
    (!section.variables.is_empty()).then_some(section)
}

impl Section<'_> {
    /// A structure with the section's layout; of pointers to the variables in a part of an object.
    pub(super) fn structure(&self, name: &str, pointers: bool, out: &mut String) -> fmt::Result {
        let member = &self.member;
        writeln!(out, "\tstruct {name}__{member} {{")?;
        let mut end = 0;
        for (at, variable) in self.variables.iter().enumerate() {
            if pointers {
                writeln!(out, "\t\t{};", self.pointer(variable))?;
                continue;
            }
            let align = self.btf.align_of(variable.type_id).unwrap_or(1).max(1);
            // Where C would put it by itself, no filling is needed.
            if u32::next_multiple_of(end, align) != variable.offset && variable.offset > end {
                writeln!(out, "\t\tchar __pad{at}[{}];", variable.offset - end)?;
            }
            writeln!(out, "\t\t{};", self.declare(variable.type_id, &variable.name))?;
            end = variable.offset.saturating_add(variable.size);
        }
        writeln!(out, "\t}} {}{member};", if pointers { "" } else { "*" })
    }

    fn pointer(&self, variable: &Variable) -> String {
        let id = self.bare(variable.type_id);
        let function = |id: TypeId| self.btf.ty(id).is_some_and(|ty| ty.kind == Kind::FuncProto);
        let ty = self.btf.ty(id);
        let around = ty.is_some_and(|ty| match ty.kind {
            Kind::Array => true,
            Kind::Ptr => function(self.bare(TypeId(ty.size_or_type))),
            _ => false,
        });
        match around {
            true => format!("typeof({}) *{}", self.declare(id, ""), variable.name),
            false => format!("{} *{}", self.declare(id, ""), variable.name),
        }
    }

    /// As C declares it; user space may write what is constant for programs.
    fn declare(&self, id: TypeId, name: &str) -> String {
        match c::declaration(self.btf, self.bare(id), name) {
            Ok(text) => text.replace("const ", "").replace("volatile ", ""),
            Err(_) => {
                let size = self.btf.size_of(id).unwrap_or(0);
                format!("char {name}[{size}]")
            }
        }
    }

    /// Without `const` and `volatile`.
    fn bare(&self, mut id: TypeId) -> TypeId {
        for _ in 0..MAX_MODIFIERS {
            match self.btf.ty(id) {
                Some(ty) if matches!(ty.kind, Kind::Const | Kind::Volatile | Kind::Restrict) => {
                    id = TypeId(ty.size_or_type);
                }
                _ => break,
            }
        }
        id
    }
}
