//! What objects' CO-RE relocations ask of a target's types, and the target cut down to that.
//!
//! The result serves the same objects on that kernel as the whole does (bpftool's
//! `gen min_core_btf`). Types keep their order; of structs only the members that are asked for stay.

use std::collections::{BTreeMap, BTreeSet};

use btf::write::{BtfBuilder, NewMember};
use btf::{Btf, BtfError, CoreKind, Kind, Linkage, Type, TypeId};

use super::access::{Access, Subject, subject};
use super::{Session, find};
use crate::error::LoadError;
use crate::spec::Spec;

/// Kept types by their id in the target, with the numbers of the kept members.
#[derive(Clone, Debug)]
pub struct CoreNeeds<'t> {
    target: &'t Btf,
    kept: BTreeMap<TypeId, BTreeSet<usize>>,
}

/// How far marking goes on from a type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    /// Modifiers and elements, not what is pointed at.
    Value,
    /// Pointers too.
    Pointers,
    /// All members as well.
    Members,
    /// All members of what is not behind a pointer; this is.
    Behind,
}

impl<'t> CoreNeeds<'t> {
    /// Nothing is kept of `target` so far.
    pub fn new(target: &'t Btf) -> CoreNeeds<'t> {
        CoreNeeds { target, kept: BTreeMap::new() }
    }

    /// Adds what the relocations of one object find in the target.
    pub fn add(&mut self, spec: &Spec) -> Result<(), LoadError> {
        let Some(local) = spec.btf.clone() else { return Ok(()) };
        let targets = [self.target];
        let mut session = Session::new(&local, &targets);
        for record in &spec.functions.core {
            let function = &spec.functions.all[record.function];
            session.found(&record.relo).and_then(|found| self.keep(found.as_ref())).map_err(
                |message| LoadError::Core {
                    program: function.name.to_string(),
                    index: record.number,
                    section: function.section.to_string(),
                    offset: record.relo.insn_off.into(),
                    message,
                },
            )?;
        }
        Ok(())
    }

    fn keep(&mut self, found: Option<&Access<'_>>) -> Result<(), String> {
        let Some(found) = found else { return Ok(()) };
        match (subject(found.kind), found.kind) {
            (Subject::Field, _) => self.keep_path(found)?,
            (Subject::Enumval, _) => self.mark(found.root, Follow::Value),
            (_, CoreKind::TypeMatches) => self.mark(found.root, Follow::Members),
            (Subject::Type, _) => self.mark(found.root, Follow::Pointers),
        }
        Ok(())
    }

    fn keep_path(&mut self, found: &Access<'_>) -> Result<(), String> {
        let mut id = found.root;
        self.mark(id, Follow::Value);
        for index in found.raw.iter().skip(1) {
            id = self.target.resolve(id).map_err(|error| error.to_string())?;
            let part = self.target.ty(id).and_then(|ty| {
                let index = usize::try_from(*index).ok()?;
                ty.array().map(|array| array.elem).or_else(|| {
                    self.kept.entry(id).or_default().insert(index);
                    ty.members().nth(index).map(|member| member.type_id)
                })
            });
            id = part.ok_or_else(|| format!("type [{}] has no part {index}", id.0))?;
            self.mark(id, Follow::Value);
        }
        Ok(())
    }

    /// Keeps a type and what it is made of. Each pair of type and way is walked once.
    fn mark(&mut self, id: TypeId, follow: Follow) {
        let mut open = vec![(id, follow)];
        let mut seen = BTreeSet::new();
        while let Some((id, follow)) = open.pop() {
            let Some(ty) = self.target.ty(id).filter(|_| !id.is_void()) else { continue };
            if !seen.insert((id, follow as u8)) {
                continue;
            }
            let members = self.kept.entry(id).or_default();
            if follow == Follow::Members && ty.kind.is_composite() {
                members.extend(0..ty.members().len());
            }
            parts(&ty, follow, &mut open);
        }
    }

    /// The kept types as a blob.
    pub fn finish(self) -> Result<Vec<u8>, BtfError> {
        let ids = self.kept.keys().enumerate();
        let new: BTreeMap<_, _> = ids.map(|(at, id)| (*id, TypeId(at as u32 + 1))).collect();
        // What is not kept is void, as behind a pointer that nobody follows.
        let map = |id: TypeId| new.get(&id).copied().unwrap_or(TypeId::VOID);
        let mut builder = BtfBuilder::new();
        for (id, members) in &self.kept {
            if let Some(ty) = self.target.ty(*id) {
                copy(&mut builder, &ty, members, &map);
            }
        }
        builder.finish()
    }
}

/// The types that are kept because `ty` is.
fn parts(ty: &Type<'_>, follow: Follow, open: &mut Vec<(TypeId, Follow)>) {
    // Past an array or a function, a match counts again as not behind a pointer.
    let inner = if follow == Follow::Behind { Follow::Members } else { follow };
    match ty.kind {
        Kind::Struct | Kind::Union if follow == Follow::Members => {
            open.extend(ty.members().map(|member| (member.type_id, Follow::Members)));
        }
        Kind::Ptr => match (follow, ty.target()) {
            (Follow::Value, _) | (_, None) => {}
            (Follow::Pointers, Some(target)) => open.push((target, Follow::Pointers)),
            (Follow::Members | Follow::Behind, Some(target)) => open.push((target, Follow::Behind)),
        },
        Kind::Const | Kind::Volatile | Kind::Restrict | Kind::Typedef | Kind::TypeTag => {
            open.extend(ty.target().map(|target| (target, follow)));
        }
        Kind::Array => {
            open.extend(ty.array().into_iter().flat_map(|a| [(a.elem, inner), (a.index, inner)]));
        }
        Kind::FuncProto => {
            open.extend(ty.params().map(|param| (param.type_id, inner)));
            open.extend(ty.target().map(|target| (target, inner)));
        }
        _ => {}
    }
}

fn copy(
    to: &mut BtfBuilder,
    ty: &Type<'_>,
    kept: &BTreeSet<usize>,
    map: &dyn Fn(TypeId) -> TypeId,
) {
    let target = map(ty.target().unwrap_or(TypeId::VOID));
    let size = ty.size().unwrap_or(0);
    match ty.kind {
        Kind::Int => {
            to.int(ty.name, size, ty.int().map_or_else(Default::default, |int| int.encoding));
        }
        Kind::Float => {
            to.float(ty.name, size);
        }
        Kind::Ptr => {
            to.ptr(target);
        }
        Kind::Array => {
            if let Some(array) = ty.array() {
                to.array(map(array.elem), map(array.index), array.count);
            }
        }
        Kind::Struct | Kind::Union => composite(to, ty, kept, map),
        Kind::Enum => {
            let values: Vec<_> =
                ty.enum_values().map(|(name, value)| (name, value as i32)).collect();
            to.enumeration(ty.name, size, ty.kind_flag, &values);
        }
        Kind::Enum64 => {
            let values: Vec<_> = ty.enum_values().collect();
            to.enum64(ty.name, ty.kind_flag, &values);
        }
        Kind::Fwd => {
            to.fwd(ty.name, ty.kind_flag);
        }
        Kind::Typedef => {
            to.typedef(ty.name, target);
        }
        Kind::Const | Kind::Volatile | Kind::Restrict => {
            to.qualifier(ty.kind, target);
        }
        Kind::TypeTag => {
            to.type_tag(ty.name, target);
        }
        Kind::FuncProto => {
            let params: Vec<_> = ty.params().map(|p| (p.name, map(p.type_id))).collect();
            to.func_proto(target, &params);
        }
        // No relocation leads to these but as a type by itself; only the name matters then.
        Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag => {
            to.func(ty.name, target, Linkage::Static);
        }
    }
}

fn composite(
    to: &mut BtfBuilder,
    ty: &Type<'_>,
    kept: &BTreeSet<usize>,
    map: &dyn Fn(TypeId) -> TypeId,
) {
    let members: Vec<_> = ty
        .members()
        .enumerate()
        .filter(|(at, _)| kept.contains(at))
        .map(|(_, member)| NewMember {
            name: member.name,
            type_id: map(member.type_id),
            bit_offset: member.bit_offset,
            bitfield_size: member.bitfield_size,
        })
        .collect();
    let size = ty.size().unwrap_or(0);
    match ty.kind {
        Kind::Struct => to.structure(ty.name, size, &members),
        _ => to.union(ty.name, size, &members),
    };
}

impl<'t> Session<'_, 't> {
    /// The first candidate's place that answers a relocation; `None` where none does.
    fn found(&mut self, relo: &btf::CoreRelo) -> Result<Option<Access<'t>>, String> {
        let text = relo.access(self.local).ok_or("access path is not a string")?;
        let local = Access::parse(self.local, relo.kind, relo.type_id, text)?;
        let ty = self.local.ty(local.root).filter(|_| local.kind != CoreKind::TypeIdLocal);
        let Some(ty) = ty.filter(|ty| !ty.name.is_empty()) else { return Ok(None) };
        // The answer decides whether candidates agree; disagreement is the error it is in a load.
        self.resolve(&local)?;
        for candidate in self.search(&ty) {
            let place = find::find(&local, candidate.btf, candidate.id, &mut self.steps)?;
            if place.is_some() {
                return Ok(place);
            }
        }
        Ok(None)
    }
}
