//! Finding special fields in a type, as the kernel's `btf_parse_fields` does.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Field, FieldKind, Record, Target};
use super::{Kinds, MAX_FIELDS};
use crate::blob::Btf;
use crate::error::{BtfError, Place};
use crate::kind::Kind;
use crate::resolve::MAX_DEPTH;
use crate::ty::{Type, TypeId};

pub(super) const ENOENT: i32 = 2;
pub(super) const E2BIG: i32 = 7;
const EFAULT: i32 = 14;
const EEXIST: i32 = 17;
pub(super) const EINVAL: i32 = 22;

/// Structures that programs may keep references to, and the function that ends one. The kernel
/// knows those whose function its BTF lists.
const DESTRUCTORS: &[(&str, &str)] = &[
    ("task_struct", "bpf_task_release_dtor"),
    ("cgroup", "bpf_cgroup_release_dtor"),
    ("bpf_cpumask", "bpf_cpumask_release_dtor"),
    ("bpf_crypto_ctx", "bpf_crypto_ctx_release_dtor"),
    ("prog_test_ref_kfunc", "bpf_kfunc_call_test_release_dtor"),
    ("prog_test_member", "bpf_kfunc_call_memb_release_dtor"),
];

pub(super) fn fault(ty: &Type<'_>, errno: i32, message: &str) -> BtfError {
    let (id, name, message) = (ty.id, ty.name.to_owned(), message.to_owned());
    BtfError::Invalid { id, name, message, errno, place: Place::Record }
}

/// One search.
pub(super) struct Search<'a> {
    btf: &'a Btf,
    kernel: Option<&'a Btf>,
    tags: &'a Tags,
    /// What is looked for.
    kinds: Kinds,
    seen: Kinds,
    found: Vec<Field>,
    /// Names that fields gave, to be looked up once all are found.
    named: Vec<Named<'a>>,
    /// Structures known to hold nothing.
    plain: BTreeSet<TypeId>,
}

/// Where `contains:` tags are: by type and part, the first of them and whether there are more.
#[derive(Debug, Default)]
pub(super) struct Tags(BTreeMap<(TypeId, i32), (TypeId, bool)>);

/// How a tag that tells what a list or tree contains begins.
const CONTAINS: &str = "contains:";

impl Tags {
    pub(super) fn new(btf: &Btf) -> Tags {
        let mut tags = Tags::default();
        for tag in btf.types().filter(|t| t.kind == Kind::DeclTag && t.name.starts_with(CONTAINS)) {
            let place = (TypeId(tag.size_or_type), tag.decl_tag().unwrap_or(-1));
            tags.0.entry(place).and_modify(|known| known.1 = true).or_insert((tag.id, false));
        }
        tags
    }
}

/// What a found field names.
#[derive(Clone, Copy)]
enum Named<'a> {
    Nothing,
    Pointee(TypeId),
    Node { value: TypeId, node: &'a str },
}

impl<'a> Search<'a> {
    pub(super) fn new(
        btf: &'a Btf,
        kernel: Option<&'a Btf>,
        tags: &'a Tags,
        kinds: Kinds,
    ) -> Search<'a> {
        Search {
            btf,
            kernel,
            tags,
            kinds,
            seen: Kinds::NONE,
            found: Vec::new(),
            named: Vec::new(),
            plain: BTreeSet::new(),
        }
    }

    /// The record of a structure or section of variables of `size` bytes.
    pub(super) fn run(mut self, ty: &Type<'a>, size: u32) -> Result<Record, BtfError> {
        match ty.kind {
            Kind::Struct => self.structure(ty, 0, 0)?,
            Kind::Datasec => self.section(ty)?,
            _ => return Err(fault(ty, EINVAL, "no structure")),
        }
        self.finish(ty, size)
    }

    fn structure(&mut self, ty: &Type<'a>, base: u32, depth: u32) -> Result<(), BtfError> {
        if self.plain.contains(&ty.id) {
            return Ok(());
        }
        let before = (self.found.len(), self.seen);
        for (index, member) in ty.members().enumerate() {
            if member.bit_offset % 8 != 0 {
                return Err(fault(ty, EINVAL, "a member within a byte"));
            }
            let place = Holder { tagged: ty.id, index: index as i32, want: 0, depth };
            self.one(&place, member.type_id, base, member.bit_offset / 8)?;
        }
        if before == (self.found.len(), self.seen) {
            self.plain.insert(ty.id);
        }
        Ok(())
    }

    fn section(&mut self, ty: &Type<'a>) -> Result<(), BtfError> {
        for var in ty.datasec() {
            let Some(ty) = self.btf.ty(var.type_id) else { continue };
            let place = Holder { tagged: ty.id, index: -1, want: var.size, depth: 0 };
            self.one(&place, TypeId(ty.size_or_type), 0, var.offset)?;
        }
        Ok(())
    }

    /// A member or variable at `off` of what starts at `base`.
    fn one(
        &mut self,
        holder: &Holder,
        mut id: TypeId,
        base: u32,
        off: u32,
    ) -> Result<(), BtfError> {
        let mut count: u32 = 1;
        let mut depth = 0;
        while let Some(array) = self.btf.ty(id).and_then(|t| t.array()) {
            depth += 1;
            if depth == MAX_DEPTH {
                let ty = self.btf.ty(id);
                return Err(ty.map_or(BtfError::NoType(id), |t| fault(&t, E2BIG, "too deep")));
            }
            count = count.wrapping_mul(array.count);
            id = array.elem;
        }
        let Some(ty) = self.btf.ty(id).filter(|_| count != 0) else { return Ok(()) };
        let fits = |size: u32| holder.want == 0 || holder.want == size.wrapping_mul(count);
        let before = self.found.len();
        let Some(kind) = self.kind_of(&ty)? else {
            if ty.kind != Kind::Struct || !fits(ty.size_or_type) {
                return Ok(());
            }
            if holder.depth + 1 >= MAX_DEPTH {
                return Err(fault(&ty, E2BIG, "too deep"));
            }
            self.structure(&ty, base.wrapping_add(off), holder.depth + 1)?;
            return self.repeat(&ty, before, count, ty.size_or_type);
        };
        if !fits(kind.size()) || !off.is_multiple_of(kind.align()) {
            return Ok(());
        }
        let Some((kind, named)) = self.leaf(holder, &ty, kind)? else { return Ok(()) };
        if before >= MAX_FIELDS {
            return Err(fault(&ty, E2BIG, "too many special fields"));
        }
        let (off, size) = (base.wrapping_add(off), kind.size());
        self.found.push(Field { kind, off, size, target: Target::None });
        self.named.push(named);
        self.repeat(&ty, before, count, size)
    }

    /// What the type may be by its name; pointers come out as [`FieldKind::KptrRef`].
    fn kind_of(&mut self, ty: &Type<'a>) -> Result<Option<FieldKind>, BtfError> {
        let named = FieldKind::of_struct(ty.name).filter(|kind| self.kinds.has(*kind));
        if let Some(kind) = named {
            if kind.is_unique() && self.seen.has(kind) {
                return Err(fault(ty, E2BIG, "a second one in a value"));
            }
            self.seen = self.seen.and(Kinds::of(&[kind]));
            return Ok(Some(kind));
        }
        let pointers = self.kinds.has(FieldKind::KptrRef) || self.kinds.has(FieldKind::Uptr);
        Ok((pointers && ty.kind != Kind::Struct).then_some(FieldKind::KptrRef))
    }

    /// The field itself, if the type keeps what its name promises.
    fn leaf(
        &self,
        holder: &Holder,
        ty: &Type<'a>,
        kind: FieldKind,
    ) -> Result<Option<(FieldKind, Named<'a>)>, BtfError> {
        if kind.is_kptr() {
            let found = pointer(self.btf, ty, self.kinds)?;
            return Ok(found.map(|(kind, id)| (kind, Named::Pointee(id))));
        }
        if ty.kind != Kind::Struct || ty.size_or_type != kind.size() {
            return Ok(None);
        }
        if !kind.is_graph_root() {
            return Ok(Some((kind, Named::Nothing)));
        }
        let (value, node) = self.contents(holder, ty)?;
        Ok(Some((kind, Named::Node { value, node })))
    }

    /// What the tag `contains:NAME:NODE` of a list or tree says.
    fn contents(&self, holder: &Holder, ty: &Type<'a>) -> Result<(TypeId, &'a str), BtfError> {
        let bad = |message| fault(ty, EINVAL, message);
        let (tag, more) = match self.tags.0.get(&(holder.tagged, holder.index)) {
            Some((tag, more)) => (self.btf.ty(*tag), *more),
            None => (None, false),
        };
        let tag = tag.ok_or_else(|| bad("what it contains is not told"))?;
        if more {
            return Err(bad("what it contains is told twice"));
        }
        let text = &tag.name[CONTAINS.len()..];
        let (value, node) = text.split_once(':').ok_or_else(|| bad("no node is told"))?;
        let value = self.btf.find_by_name(value, Kind::Struct);
        let value = value.ok_or_else(|| fault(ty, ENOENT, "what it contains does not exist"))?;
        if node.is_empty() {
            return Err(bad("no node is told"));
        }
        Ok((value, node))
    }

    /// An array repeats what its first element has.
    fn repeat(
        &mut self,
        ty: &Type<'a>,
        from: usize,
        count: u32,
        size: u32,
    ) -> Result<(), BtfError> {
        let fields = self.found.len() - from;
        if count == 1 || fields == 0 {
            return Ok(());
        }
        let once = |f: &Field| !f.kind.is_kptr() && !f.kind.is_graph_root();
        if self.found[from..].iter().any(once) {
            return Err(fault(ty, EINVAL, "an array of what a value has once"));
        }
        if fields as u64 * u64::from(count) > (MAX_FIELDS - from) as u64 {
            return Err(fault(ty, E2BIG, "too many special fields"));
        }
        for n in 1..count {
            for at in from..from + fields {
                let off = self.found[at].off.wrapping_add(n.wrapping_mul(size));
                self.found.push(Field { off, ..self.found[at] });
                self.named.push(self.named[at]);
            }
        }
        Ok(())
    }

    /// The rules between fields.
    fn finish(mut self, ty: &Type<'a>, size: u32) -> Result<Record, BtfError> {
        let mut next = 0;
        for n in 0..self.found.len() {
            let field = self.found[n];
            let end = field.off.checked_add(field.size).filter(|end| *end <= size);
            let Some(end) = end else { return Err(fault(ty, EFAULT, "outside of the value")) };
            if field.off < next {
                return Err(fault(ty, EEXIST, "special fields overlap"));
            }
            next = end;
            self.found[n].target = self.target(ty, field.kind, self.named[n])?;
        }
        let mut record = Record { fields: self.found };
        record.fields.sort_by_key(|f| f.off);
        check_together(ty, &record)?;
        Ok(record)
    }

    fn target(&self, ty: &Type<'a>, kind: FieldKind, named: Named<'a>) -> Result<Target, BtfError> {
        match named {
            Named::Nothing => Ok(Target::None),
            Named::Pointee(id) => self.pointee(ty, kind, id),
            Named::Node { value, node } => self.node(kind, value, node),
        }
    }

    /// The kernel's structure of this name, or a program's own.
    fn pointee(&self, ty: &Type<'a>, kind: FieldKind, id: TypeId) -> Result<Target, BtfError> {
        let kernel = self.kernel.ok_or_else(|| fault(ty, EINVAL, "no kernel types are known"))?;
        let name = self.btf.ty(id).map_or("", |t| t.name);
        let Some(theirs) = kernel.find_by_name(name, Kind::Struct) else {
            return Ok(Target::Pointee { id, kernel: false });
        };
        if kind == FieldKind::KptrRef {
            let row = DESTRUCTORS.iter().find(|(of, _)| *of == name);
            row.and_then(|(_, dtor)| kernel.find_by_name(dtor, Kind::Func))
                .ok_or_else(|| fault(ty, ENOENT, "no references to this structure are kept"))?;
        }
        Ok(Target::Pointee { id: theirs, kernel: true })
    }

    fn node(&self, kind: FieldKind, value: TypeId, node: &str) -> Result<Target, BtfError> {
        let wanted = match kind {
            FieldKind::ListHead => FieldKind::ListNode,
            _ => FieldKind::RbNode,
        };
        let Some(ty) = self.btf.ty(value) else { return Err(BtfError::NoType(value)) };
        let mut members = ty.members().filter(|m| m.name == node);
        let member = members.next().ok_or_else(|| fault(&ty, ENOENT, "no such node"))?;
        let is_node = |t: &Type<'_>| t.kind == Kind::Struct && t.name == wanted.name();
        let fits = self.btf.ty(member.type_id).is_some_and(|t| is_node(&t))
            && member.bit_offset.is_multiple_of(8 * wanted.align())
            && members.next().is_none();
        if !fits {
            return Err(fault(&ty, EINVAL, "the node is of another type"));
        }
        Ok(Target::Contains { value, node_off: member.bit_offset / 8 })
    }
}

/// Where a type is used.
struct Holder {
    /// The structure or variable whose tags tell more, and which part of it.
    tagged: TypeId,
    index: i32,
    /// Bytes that it must have; 0 for any.
    want: u32,
    depth: u32,
}

/// A tagged pointer: its kind and the structure pointed to.
pub(super) fn pointer(
    btf: &Btf,
    ty: &Type<'_>,
    kinds: Kinds,
) -> Result<Option<(FieldKind, TypeId)>, BtfError> {
    let at = match ty.kind {
        Kind::Volatile => btf.ty(TypeId(ty.size_or_type)),
        _ => Some(*ty),
    };
    let Some(at) = at.filter(|t| t.kind == Kind::Ptr) else { return Ok(None) };
    let tag = btf.ty(TypeId(at.size_or_type));
    let Some(tag) = tag.filter(|t| t.kind == Kind::TypeTag && !t.kind_flag) else {
        return Ok(None);
    };
    let target = TypeId(tag.size_or_type);
    if btf.kind(target) == Some(Kind::TypeTag) {
        return Err(fault(ty, EINVAL, "two tags on a pointer"));
    }
    let kind = FieldKind::of_tag(tag.name).ok_or_else(|| fault(ty, EINVAL, "an unknown tag"))?;
    if !kinds.has(kind) {
        return Ok(None);
    }
    match btf.resolved(target).filter(|t| t.kind == Kind::Struct) {
        Some(pointee) => Ok(Some((kind, pointee.id))),
        None => Err(fault(ty, EINVAL, "a tagged pointer to no structure")),
    }
}

fn check_together(ty: &Type<'_>, record: &Record) -> Result<(), BtfError> {
    use FieldKind::{ListHead, ListNode, RbNode, RbRoot, Refcount, ResSpinLock, SpinLock};
    if record.has(SpinLock) && record.has(ResSpinLock) {
        return Err(fault(ty, EINVAL, "two kinds of locks"));
    }
    if record.has_any(&[ListHead, RbRoot]) && record.lock().is_none() {
        return Err(fault(ty, EINVAL, "a list or tree without a lock"));
    }
    if record.has(ListNode) && record.has(RbNode) && !record.has(Refcount) {
        return Err(fault(ty, EINVAL, "two nodes without a reference count"));
    }
    Ok(())
}
