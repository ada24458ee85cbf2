//! Rules on what types refer to: no loops, targets of the right kinds, members inside structs.
//!
//! The walk keeps the kernel's three modes, because they decide what counts as a loop: through a
//! pointer a struct may refer to itself, by value it may not.

use rustc_hash::FxHashMap;

use crate::blob::{Btf, word};
use crate::error::{BtfError, Place};
use crate::kind::Kind;
use crate::resolve::{MAX_DEPTH, POINTER_SIZE};
use crate::ty::{Member, Type, TypeId};

use super::name::is_identifier;
use super::{EINVAL, at, fault, rule};

const E2BIG: i32 = 7;
const EEXIST: i32 = 17;

pub(super) fn check(btf: &Btf) -> Result<(), BtfError> {
    let own = (btf.type_count() + 1 - btf.first_id().0) as usize;
    let mut walk =
        Walk { btf, states: vec![State::New; own], ends: vec![0; own], sizes: Sizes::default() };
    for ty in btf.own_types() {
        if needs_resolve(ty.kind) {
            walk.resolve_root(&ty)?;
        }
        if ty.kind == Kind::FuncProto {
            walk.prototype(&ty).map_err(at(Place::Reference))?;
        }
    }
    btf.own_types().filter(|ty| ty.kind.is_modifier()).try_for_each(|ty| tags_first(btf, &ty))
}

/// Type tags may only stand before other modifiers in a chain.
fn tags_first(btf: &Btf, first: &Type<'_>) -> Result<(), BtfError> {
    let mut in_tags = first.kind == Kind::TypeTag;
    let mut link = *first;
    while link.kind.is_modifier() {
        match (link.kind == Kind::TypeTag, in_tags) {
            (true, false) => {
                return rule(first, false, "Type tags don't precede modifiers")
                    .map_err(at(Place::Chain));
            }
            (false, _) => in_tags = false,
            (true, true) => {}
        }
        // Chains end: resolve() saw each of them before.
        let Some(next) = btf.ty(TypeId(link.size_or_type)) else { break };
        link = next;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// What a walk follows: decided by the first pointer, struct or array on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Undecided,
    Pointer,
    Value,
}

impl Mode {
    /// Whether a walk in this mode ends at types of this kind.
    fn is_sink(self, kind: Kind) -> bool {
        match self {
            Mode::Undecided => !needs_resolve(kind),
            Mode::Pointer => !kind.is_modifier() && kind != Kind::Ptr,
            Mode::Value => !kind.is_modifier() && !kind.is_composite() && kind != Kind::Array,
        }
    }

    fn entering(self, kind: Kind) -> Mode {
        match (self, kind) {
            (Mode::Undecided, Kind::Ptr) => Mode::Pointer,
            (Mode::Undecided, Kind::Struct | Kind::Union | Kind::Array) => Mode::Value,
            (mode, _) => mode,
        }
    }
}

fn needs_resolve(kind: Kind) -> bool {
    kind.is_modifier()
        || kind.is_composite()
        || matches!(
            kind,
            Kind::Ptr | Kind::Array | Kind::Var | Kind::Func | Kind::DeclTag | Kind::Datasec
        )
}

/// Kinds nothing but a data section or declaration tag may refer to.
fn is_source_only(kind: Kind) -> bool {
    matches!(kind, Kind::Var | Kind::DeclTag | Kind::Datasec)
}

/// Sizes of own arrays found so far, by id.
type Sizes = FxHashMap<u32, u32>;

struct Walk<'a> {
    btf: &'a Btf,
    states: Vec<State>,
    /// For each own modifier that is done, the id at the end of its chain, which may be longer than
    /// one walk is deep.
    ends: Vec<u32>,
    sizes: Sizes,
}

impl<'a> Walk<'a> {
    /// Index among the own types; `None` for those of the base, which are verified already.
    fn own(&self, id: TypeId) -> Option<usize> {
        let own = id.0.checked_sub(self.btf.first_id().0)? as usize;
        (own < self.states.len()).then_some(own)
    }

    /// Starts a walk; loops and depth are its fault, wherever on it they show.
    fn resolve_root(&mut self, ty: &Type<'a>) -> Result<(), BtfError> {
        let end = self.resolve(ty, Mode::Undecided, 0).map_err(at(Place::Reference));
        end.map_err(|error| match error {
            BtfError::Invalid { message, errno: errno @ (E2BIG | EEXIST), .. } => {
                at(Place::Reference)(fault(ty, errno, message))
            }
            other => other,
        })
    }

    fn resolve(&mut self, ty: &Type<'a>, mode: Mode, depth: u32) -> Result<(), BtfError> {
        let Some(own) = self.own(ty.id).filter(|&own| self.states[own] != State::Done) else {
            return Ok(());
        };
        if depth == MAX_DEPTH {
            let message = format!("Exceeded max resolving depth:{MAX_DEPTH}");
            return Err(fault(ty, E2BIG, message));
        }
        if self.states[own] == State::Open {
            return Err(fault(ty, EEXIST, "Loop detected"));
        }
        self.states[own] = State::Open;
        let mode = mode.entering(ty.kind);
        match ty.kind {
            Kind::Array => self.array(ty, mode, depth)?,
            Kind::Struct | Kind::Union => self.composite(ty, mode, depth)?,
            Kind::Datasec => self.datasec(ty, mode, depth)?,
            Kind::Func => self.func(ty)?,
            Kind::DeclTag => self.decl_tag(ty, mode, depth)?,
            _ => self.reference(ty, mode, depth)?,
        }
        if ty.kind.is_modifier() {
            self.ends[own] = self.end_id(TypeId(ty.size_or_type)).0;
        }
        self.states[own] = State::Done;
        Ok(())
    }

    /// Resolves a referred type unless the mode ends there.
    fn follow(&mut self, to: &Type<'a>, mode: Mode, depth: u32) -> Result<(), BtfError> {
        if mode.is_sink(to.kind) { Ok(()) } else { self.resolve(to, mode, depth + 1) }
    }

    /// A type that others may refer to; `None` for void and absent ones.
    fn target(&self, id: TypeId) -> Option<Type<'a>> {
        self.btf.ty(id).filter(|ty| !is_source_only(ty.kind))
    }

    /// A target that is not itself without a size (though what it leads to may be).
    fn sized(&self, id: TypeId) -> Option<Type<'a>> {
        let sizeless = |kind| matches!(kind, Kind::Fwd | Kind::Func | Kind::FuncProto);
        self.target(id).filter(|ty| !sizeless(ty.kind))
    }

    /// The type under modifiers, all of them resolved; void for broken chains of a base.
    ///
    /// As in the kernel, a function that is resolved already stands for its prototype.
    fn end_id(&self, id: TypeId) -> TypeId {
        match (self.btf.kind(id), self.own(id)) {
            (Some(kind), Some(own)) if kind.is_modifier() => TypeId(self.ends[own]),
            (Some(kind), None) if kind.is_modifier() => {
                self.btf.resolve(id).unwrap_or(TypeId::VOID)
            }
            (Some(Kind::Func), own) if own.is_none_or(|own| self.states[own] == State::Done) => {
                self.btf.head(id).map_or(TypeId::VOID, |func| TypeId(func.size_or_type))
            }
            _ => id,
        }
    }

    /// As [`Walk::end_id`]; `None` for void.
    fn end(&self, id: TypeId) -> Option<Type<'a>> {
        self.btf.ty(self.end_id(id))
    }

    /// Whether values of this type exist.
    fn is_sized(&self, id: TypeId) -> bool {
        self.end(id).is_some_and(|end| {
            !is_source_only(end.kind)
                && !matches!(end.kind, Kind::Fwd | Kind::Func | Kind::FuncProto)
        })
    }

    /// The size of a resolved type; `None` for those that have none.
    fn size(&self, id: TypeId) -> Option<u32> {
        let end = self.end(id)?;
        match self.sizes.get(&end.id.0) {
            Some(&size) => Some(size),
            // As in the kernel, an array counts as empty until it is resolved.
            None if end.kind == Kind::Array && self.own(end.id).is_some() => Some(0),
            None if self.is_sized(id) => self.btf.size_of(end.id).ok(),
            None => None,
        }
    }

    /// Pointers, modifiers and variables.
    fn reference(&mut self, ty: &Type<'a>, mode: Mode, depth: u32) -> Result<(), BtfError> {
        let id = TypeId(ty.size_or_type);
        if id.is_void() && ty.kind != Kind::Var {
            return Ok(());
        }
        let Some(next) = self.target(id) else { return rule(ty, false, "Invalid type_id") };
        self.follow(&next, mode, depth)?;
        if next.kind.is_modifier() && matches!(ty.kind, Kind::Ptr | Kind::Var) {
            // Modifiers may have been resolved in a mode that ended at a pointer.
            if let Some(end) = self.end(id).filter(|end| end.kind == Kind::Ptr) {
                self.follow(&end, mode, depth)?;
            }
        }
        let end = self.end(id).map(|end| end.kind);
        let sizeless = matches!(end, None | Some(Kind::Fwd | Kind::FuncProto));
        rule(ty, self.is_sized(id) || sizeless && ty.kind != Kind::Var, "Invalid type_id")
    }

    fn array(&mut self, ty: &Type<'a>, mode: Mode, depth: u32) -> Result<(), BtfError> {
        let Some(array) = ty.array() else { return rule(ty, false, "Invalid elem") };
        let Some(index) = self.sized(array.index) else {
            return rule(ty, false, "Invalid index");
        };
        self.follow(&index, mode, depth)?;
        let regular = self.end(array.index).is_some_and(|end| is_regular_int(&end));
        rule(ty, regular, "Invalid index")?;
        let Some(elem) = self.sized(array.elem) else { return rule(ty, false, "Invalid elem") };
        self.follow(&elem, mode, depth)?;
        let Some(size) = self.size(array.elem) else { return rule(ty, false, "Invalid elem") };
        let end = self.end(array.elem);
        let regular = end.is_none_or(|end| end.kind != Kind::Int || is_regular_int(&end));
        rule(ty, regular, "Invalid array of int")?;
        let total = size.checked_mul(array.count);
        rule(ty, total.is_some(), "Array size overflows U32_MAX")?;
        self.sizes.insert(ty.id.0, total.unwrap_or(0));
        Ok(())
    }

    fn composite(&mut self, ty: &Type<'a>, mode: Mode, depth: u32) -> Result<(), BtfError> {
        for (index, member) in (0..).zip(ty.members()) {
            let wrong = |message| at(Place::PartReference(index))(fault(ty, EINVAL, message));
            let next = self.sized(member.type_id).ok_or_else(|| wrong("Invalid member"))?;
            self.follow(&next, mode, depth)?;
            self.member(ty, member).map_err(wrong)?;
        }
        Ok(())
    }

    /// Whether a member's bits lie inside the struct, by the kind of its type.
    fn member(&mut self, ty: &Type<'a>, member: Member<'_>) -> Result<(), &'static str> {
        let end = self.end(member.type_id).ok_or("Invalid member")?;
        let at = u64::from(member.bit_offset);
        let field = u64::from(member.bitfield_size);
        let struct_bits = u64::from(ty.size_or_type) * 8;
        let width = match end.kind {
            Kind::Int => return int_member(ty, &end, member),
            Kind::Enum | Kind::Enum64 if field != 0 => {
                if field > 32 {
                    return Err("Invalid member bitfield_size");
                }
                return inside(at + field, struct_bits);
            }
            _ if field != 0 => return Err("Invalid member bitfield_size"),
            // The kernel takes any enum without a bit-field size as an int here.
            Kind::Enum | Kind::Enum64 if ty.kind_flag => 32,
            Kind::Float => {
                let align = u64::from(end.size_or_type.min(POINTER_SIZE)) * 8;
                if !at.is_multiple_of(align) {
                    return Err("Member is not properly aligned");
                }
                u64::from(end.size_or_type) * 8
            }
            Kind::Ptr => u64::from(POINTER_SIZE) * 8,
            Kind::Enum | Kind::Enum64 | Kind::Struct | Kind::Union | Kind::Array => {
                u64::from(self.size(end.id).ok_or("Invalid member")?) * 8
            }
            _ => return Err("Invalid member"),
        };
        if !at.is_multiple_of(8) {
            return Err("Member is not byte aligned");
        }
        inside(at + width, struct_bits)
    }

    fn datasec(&mut self, ty: &Type<'a>, mode: Mode, depth: u32) -> Result<(), BtfError> {
        for (index, info) in (0..).zip(ty.datasec()) {
            let wrong = |message| at(Place::PartReference(index))(fault(ty, EINVAL, message));
            let var = self.btf.ty(info.type_id).filter(|var| var.kind == Kind::Var);
            let var = var.ok_or_else(|| wrong("Not a VAR kind member"))?;
            self.follow(&var, mode, depth)?;
            let size = self.size(TypeId(var.size_or_type)).ok_or_else(|| wrong("Invalid type"))?;
            if info.size < size {
                return Err(wrong("Invalid size"));
            }
        }
        Ok(())
    }

    fn func(&mut self, ty: &Type<'a>) -> Result<(), BtfError> {
        let proto = self.btf.ty(TypeId(ty.size_or_type));
        let Some(proto) = proto.filter(|proto| proto.kind == Kind::FuncProto) else {
            return rule(ty, false, "Invalid type_id");
        };
        let name_off = |index| word(proto.tail, index * 8).unwrap_or(0);
        let mut params = proto.params().enumerate();
        let unnamed =
            params.position(|(index, arg)| name_off(index) == 0 && !arg.type_id.is_void());
        match unnamed {
            Some(index) => Err(fault(ty, EINVAL, format!("Invalid arg#{}", index + 1))),
            None => Ok(()),
        }
    }

    fn prototype(&mut self, ty: &Type<'a>) -> Result<(), BtfError> {
        let ret = TypeId(ty.size_or_type);
        if !ret.is_void() {
            rule(ty, self.sized_target(ret)?, "Invalid return type")?;
        }
        let count = ty.params().len();
        let invalid = |index| fault(ty, EINVAL, format!("Invalid arg#{}", index + 1));
        let name_off = |index| word(ty.tail, index * 8).unwrap_or(0);
        let variadic = ty.params().last().is_some_and(|param| param.type_id.is_void());
        if variadic && name_off(count - 1) != 0 {
            return Err(invalid(count - 1));
        }
        for (index, param) in ty.params().take(count - usize::from(variadic)).enumerate() {
            let name_off = name_off(index);
            let name = self.btf.string_bytes(name_off);
            let named = name_off == 0 || name.is_some_and(is_identifier);
            if param.type_id.is_void() || !named || !self.sized_target(param.type_id)? {
                return Err(invalid(index));
            }
        }
        Ok(())
    }

    /// Whether a result or argument can have this type.
    fn sized_target(&mut self, id: TypeId) -> Result<bool, BtfError> {
        let Some(target) = self.target(id) else { return Ok(false) };
        if needs_resolve(target.kind) {
            self.resolve_root(&target)?;
        }
        Ok(self.is_sized(id))
    }

    fn decl_tag(&mut self, ty: &Type<'a>, mode: Mode, depth: u32) -> Result<(), BtfError> {
        let target = self.btf.ty(TypeId(ty.size_or_type)).filter(|target| {
            target.kind.is_composite()
                || matches!(target.kind, Kind::Func | Kind::Var | Kind::Typedef)
        });
        let Some(target) = target else { return rule(ty, false, "Invalid type_id") };
        self.follow(&target, mode, depth)?;
        let component = ty.decl_tag().unwrap_or(-1);
        let count = match target.kind {
            _ if component == -1 => return Ok(()),
            Kind::Struct | Kind::Union => target.vlen,
            Kind::Func => self.btf.ty(TypeId(target.size_or_type)).map_or(0, |proto| proto.vlen),
            _ => 0,
        };
        let exists = u32::try_from(component).is_ok_and(|component| component < count);
        rule(ty, exists, "Invalid component_idx")
    }
}

fn is_regular_int(ty: &Type<'_>) -> bool {
    ty.int().is_some_and(|int| int.offset == 0 && matches!(int.bits, 8 | 16 | 32 | 64 | 128))
}

fn int_member(ty: &Type<'_>, end: &Type<'_>, member: Member<'_>) -> Result<(), &'static str> {
    let int = end.int().ok_or("Invalid member")?;
    let mut at = u64::from(member.bit_offset);
    let mut width = u64::from(int.bits);
    if ty.kind_flag {
        let field = u64::from(member.bitfield_size);
        match field {
            _ if !is_regular_int(end) => return Err("Invalid member base type"),
            0 if !at.is_multiple_of(8) => return Err("Invalid member offset"),
            0 => {}
            _ if field > width => return Err("Invalid member bitfield_size"),
            _ => width = field,
        }
    } else {
        at += u64::from(int.offset);
        if at > u64::from(u32::MAX) {
            return Err("bits_offset exceeds U32_MAX");
        }
    }
    if at % 8 + width > 128 {
        return Err("nr_copy_bits exceeds 128");
    }
    inside(at + width, u64::from(ty.size_or_type) * 8)
}

fn inside(end_bit: u64, struct_bits: u64) -> Result<(), &'static str> {
    if end_bit <= struct_bits { Ok(()) } else { Err("Member exceeds struct_size") }
}
