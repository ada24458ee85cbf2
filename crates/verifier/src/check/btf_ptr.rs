//! Loads through pointers to kernel structures, along their BTF.

use btf::fields::Field;
use btf::{Btf, Kind, Type, TypeId};
use uapi::{MapType, ProgType};

use super::{AccessKind, kernel_store};
use crate::domain::Tnum;
use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::{BadBtf, Reg};
use crate::passes::KERNEL_BTF;
use crate::state::{RegFlags, RegKind, RegState};

/// Suffixes of the kernel's structures that list fields which stay trusted.
mod safe {
    pub(super) const TRUSTED: &str = "__safe_trusted";
    pub(super) const TRUSTED_OR_NULL: &str = "__safe_trusted_or_null";
    pub(super) const RCU: &str = "__safe_rcu";
    pub(super) const RCU_OR_NULL: &str = "__safe_rcu_or_null";
}

/// What lies at a place in a structure.
enum Found<'a> {
    /// A number.
    Scalar,
    /// A pointer to this structure, in the field of this name.
    Struct { id: TypeId, flags: RegFlags, field: &'a str },
    /// A pointer to something else: readable, but never trusted.
    Other,
}

/// Where a walk goes on.
enum Step<'a> {
    Done(Found<'a>),
    Into(TypeId, u32),
}

impl Env<'_> {
    /// `size` bytes at `off` behind a pointer to a kernel structure. `value`: the register loaded.
    pub(crate) fn access_btf_pointer(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        kind: AccessKind,
        value: Option<usize>,
    ) -> Checked {
        let reg = *self.reg(regno);
        let Some(btf) = self.btf_of(&reg) else { return Err(Reject::needs("kernel BTF")) };
        let id = TypeId(reg.btf_id());
        self.check_btf_pointer(btf, &reg, regno, off)?;
        let own = reg.flags.contains(RegFlags::ALLOC);
        if own {
            self.check_special_fields(&reg, off as u32, size as u32)?;
        } else if kind == AccessKind::Write {
            return self.check_store_to_kernel(btf, &reg, off as u32, size as u32);
        }
        let found = walk(btf, id, off as u32, size as u32)?;
        if kind == AccessKind::Write {
            return Ok(());
        }
        let loaded = match found {
            Found::Scalar => self.unknown_reg(),
            // A program's own pointers are numbers once they were stored.
            Found::Struct { .. } if own => self.unknown_reg(),
            Found::Other => rdonly_untrusted(),
            Found::Struct { id: target, flags, field } => {
                let flags = self.trust(btf, &reg, target, flags, field);
                let data2 = reg.data2;
                RegState { data: target.0, data2, ..RegState::pointer(RegKind::BtfId) }.with(flags)
            }
        };
        self.set_loaded(value, loaded);
        Ok(())
    }

    /// The access touches none of the special fields of an allocated object.
    fn check_special_fields(&self, reg: &RegState, off: u32, size: u32) -> Checked {
        let end = off.saturating_add(size);
        let touched = |f: &&Field| off < f.off + f.size && f.off < end;
        match self.record_of(reg).and_then(|record| record.iter().find(touched)) {
            Some(field) => {
                reject!(EACCES, BadBtf::SpecialField { field: field.kind.name() })
            }
            None => Ok(()),
        }
    }

    /// The same behind a map itself: the kernel's own structure of the map.
    pub(crate) fn access_map_pointer(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        kind: AccessKind,
        value: Option<usize>,
    ) -> Checked {
        let map_type = self.map_def(self.reg(regno)).map_type;
        let world = self.world;
        let Some(btf) = &world.kernel_btf else { return Err(Reject::needs("kernel BTF")) };
        let name = map_structure(map_type);
        let Some(id) = btf.find_by_name(name, Kind::Struct) else {
            return Err(Reject::needs("this map's structure"));
        };
        if !self.caps.allow_ptr_leaks {
            return reject!(EPERM, BadBtf::Privileged { name: name.into() });
        }
        if off < 0 {
            return reject!(
                EACCES,
                BadBtf::NegativeMap { reg: Reg(regno), name: name.into(), off }
            );
        }
        if kind == AccessKind::Write {
            return reject!(EACCES, BadBtf::ReadOnlyMap { name: name.into() });
        }
        let loaded = match walk(btf, id, off as u32, size as u32)? {
            Found::Scalar => self.unknown_reg(),
            Found::Other => rdonly_untrusted(),
            Found::Struct { id, flags, .. } => {
                RegState { data: id.0, ..RegState::pointer(RegKind::BtfId) }.with(flags)
            }
        };
        self.set_loaded(value, loaded);
        Ok(())
    }

    fn set_loaded(&mut self, value: Option<usize>, mut loaded: RegState) {
        let Some(value) = value else { return };
        if loaded.may_be_null() {
            loaded.id = self.new_id();
        }
        *self.reg_mut(value) = loaded;
    }

    /// Capabilities, licence and offset.
    fn check_btf_pointer(&self, btf: &Btf, reg: &RegState, regno: usize, off: i32) -> Checked {
        let name = btf.resolved(TypeId(reg.btf_id())).map_or("", |t| t.name);
        if !self.caps.allow_ptr_leaks {
            return reject!(EPERM, BadBtf::Privileged { name: name.into() });
        }
        if reg.data2 == KERNEL_BTF && !uapi::gpl_compatible(&self.prog.license) {
            return reject!(EINVAL, BadBtf::GplOnly { name: name.into() });
        }
        if off < 0 {
            return reject!(EACCES, BadBtf::Negative { reg: Reg(regno), name: name.into(), off });
        }
        if reg.v.var_off != Tnum::constant(0) {
            let v = reg.v.var_off;
            return reject!(
                EACCES,
                BadBtf::Variable {
                    reg: Reg(regno),
                    name: name.into(),
                    off,
                    value: v.value,
                    mask: v.mask
                }
            );
        }
        for (flag, what) in [(RegFlags::USER, "user"), (RegFlags::PERCPU, "percpu")] {
            if reg.flags.contains(flag) {
                return reject!(
                    EACCES,
                    BadBtf::Memory { reg: Reg(regno), name: name.into(), what, off }
                );
            }
        }
        Ok(())
    }

    /// Stores into kernel structures: some program types may, by rules of their own.
    fn check_store_to_kernel(&self, btf: &Btf, reg: &RegState, off: u32, size: u32) -> Checked {
        match self.prog_type {
            _ if reg.data2 != KERNEL_BTF => reject!(EACCES, BadBtf::ReadOnly),
            Some(ProgType::StructOps) => kernel_store::check_store(self, btf, reg, off, size),
            Some(ProgType::Xdp | ProgType::SchedCls | ProgType::SchedAct) => {
                kernel_store::check_connection(btf, reg, off, size)
            }
            _ => reject!(EACCES, BadBtf::ReadOnly),
        }
    }

    /// How far a pointer found in a structure may be trusted.
    fn trust(
        &self,
        btf: &Btf,
        reg: &RegState,
        target: TypeId,
        mut flags: RegFlags,
        field: &str,
    ) -> RegFlags {
        let deprecated = RegFlags::MAYBE_NULL | RegFlags::RCU | RegFlags::TRUSTED;
        if reg.flags.contains(RegFlags::UNTRUSTED) {
            return RegFlags::UNTRUSTED;
        }
        if !reg.is_trusted() && !reg.flags.contains(RegFlags::RCU) {
            return flags - deprecated;
        }
        let listed = |suffix| is_listed(btf, reg, target, field, suffix);
        if listed(safe::TRUSTED) {
            return flags | RegFlags::TRUSTED;
        }
        if listed(safe::TRUSTED_OR_NULL) {
            return flags | RegFlags::TRUSTED | RegFlags::MAYBE_NULL;
        }
        if !self.in_rcu_section() || reg.may_be_null() {
            return RegFlags::UNTRUSTED;
        }
        if listed(safe::RCU) {
            return flags | RegFlags::RCU;
        }
        let or_null = listed(safe::RCU_OR_NULL);
        if flags.contains(RegFlags::RCU) || or_null {
            if or_null {
                flags -= RegFlags::UNTRUSTED;
            }
            return flags | RegFlags::RCU | RegFlags::MAYBE_NULL;
        }
        if flags.intersects(RegFlags::PERCPU | RegFlags::USER) {
            return flags;
        }
        flags - deprecated
    }

    /// What RCU protects stays alive here.
    pub(crate) fn in_rcu_section(&self) -> bool {
        self.state.active_rcu_lock || self.state.active_locks > 0 || !self.state.in_sleepable
    }
}

/// A pointer that is read with faults caught, whatever it points to.
fn rdonly_untrusted() -> RegState {
    RegState::pointer(RegKind::Mem).with(RegFlags::RDONLY | RegFlags::UNTRUSTED)
}

/// The kernel lists the field in the structure's companion with this suffix.
fn is_listed(btf: &Btf, reg: &RegState, target: TypeId, field: &str, suffix: &str) -> bool {
    let Some(t) = btf.resolved(TypeId(reg.btf_id())) else { return false };
    let Some(list) = btf.find_by_name(&format!("{}{suffix}", t.name), Kind::Struct) else {
        return false;
    };
    let members = btf.ty(list).into_iter().flat_map(|t| t.members());
    members.filter(|m| m.name == field).any(|m| {
        let pointer = btf.resolved(m.type_id).filter(|p| p.kind == Kind::Ptr);
        pointer.and_then(|p| btf.resolve(TypeId(p.size_or_type)).ok()) == Some(target)
    })
}

/// A name as messages have it.
fn label(name: &str) -> &str {
    if name.is_empty() { "(anon)" } else { name }
}

/// What `size` bytes at `off` of a structure are.
fn walk(btf: &Btf, id: TypeId, off: u32, size: u32) -> Checked<Found<'_>> {
    /// Deeper nesting than any kernel structure has.
    const MAX_DEPTH: usize = 64;
    let mut flags = RegFlags::empty();
    let (mut id, mut off) = (id, off);
    for _ in 0..MAX_DEPTH {
        let Some(t) = btf.resolved(id) else { break };
        if !t.kind.is_composite() {
            return reject!(EINVAL, BadBtf::NotStruct { name: label(t.name).into() });
        }
        if t.kind == Kind::Union && t.vlen != 1 {
            flags |= RegFlags::UNTRUSTED;
        }
        match step(btf, &t, off, size, &mut flags)? {
            Step::Done(found) => return Ok(found),
            Step::Into(next, at) => (id, off) = (next, at),
        }
    }
    reject!(EINVAL)
}

fn step<'a>(
    btf: &'a Btf,
    t: &Type<'a>,
    off: u32,
    size: u32,
    flags: &mut RegFlags,
) -> Checked<Step<'a>> {
    if u64::from(off) + u64::from(size) > u64::from(t.size_or_type) {
        return flexible_array(btf, t, off, size);
    }
    for m in t.members() {
        let start = m.bit_offset / 8;
        if off + size <= start {
            break;
        }
        if m.bitfield_size != 0 {
            let end = (m.bit_offset + m.bitfield_size).div_ceil(8);
            if off <= start && end <= off + size {
                return Ok(Step::Done(Found::Scalar));
            }
            continue;
        }
        if off < start {
            break;
        }
        let Ok(bytes) = btf.size_of(m.type_id) else {
            return reject!(EFAULT, BadBtf::FieldWithoutSize { name: label(m.name).into() });
        };
        let end = start.saturating_add(bytes);
        if off >= end {
            continue;
        }
        let place = Place { name: label(m.name), start, end, within: label(t.name) };
        return member(btf, m.type_id, place, off, size, flags);
    }
    reject!(EINVAL, BadBtf::NoField { name: label(t.name).into(), off })
}

/// A member that covers the offset.
struct Place<'a> {
    name: &'a str,
    start: u32,
    /// End of the whole member, an array's included.
    end: u32,
    within: &'a str,
}

fn member<'a>(
    btf: &'a Btf,
    id: TypeId,
    place: Place<'a>,
    off: u32,
    size: u32,
    flags: &mut RegFlags,
) -> Checked<Step<'a>> {
    let (mut id, mut count) = (id, 1u32);
    while let Some(array) = btf.resolved(id).and_then(|t| t.array()) {
        count = count.saturating_mul(array.count.max(1));
        id = array.elem;
    }
    let Some(t) = btf.resolved(id) else { return reject!(EINVAL) };
    let each = ((place.end - place.start) / count).max(1);
    let start = place.start + (off - place.start) / each * each;
    if t.kind.is_composite() {
        return Ok(Step::Into(t.id, off - start));
    }
    if t.kind == Kind::Ptr {
        return pointer(btf, &t, &place, each, start, off, size, flags).map(Step::Done);
    }
    if off + size > place.end && !flags.contains(RegFlags::UNTRUSTED) {
        return reject!(
            EACCES,
            BadBtf::BeyondMember {
                member: place.name.into(),
                end: place.end,
                name: place.within.into(),
                off,
                size
            }
        );
    }
    Ok(Step::Done(Found::Scalar))
}

#[expect(clippy::too_many_arguments, reason = "one member and one access of it")]
fn pointer<'a>(
    btf: &'a Btf,
    t: &Type<'a>,
    place: &Place<'a>,
    bytes: u32,
    start: u32,
    off: u32,
    size: u32,
    flags: &RegFlags,
) -> Checked<Found<'a>> {
    if bytes != size || off != start {
        return reject!(
            EACCES,
            BadBtf::PartOfPointer {
                member: place.name.into(),
                start,
                name: place.within.into(),
                off,
                size
            }
        );
    }
    let target = TypeId(t.size_or_type);
    let tag = btf.ty(target).filter(|t| t.kind == Kind::TypeTag).map(|t| t.name);
    let own = match tag {
        Some("user") => RegFlags::USER,
        Some("percpu") => RegFlags::PERCPU,
        Some("rcu") => RegFlags::RCU,
        _ => RegFlags::empty(),
    };
    match btf.resolved(target).filter(|t| t.kind.is_composite()) {
        Some(s) => Ok(Found::Struct { id: s.id, flags: *flags | own, field: place.name }),
        None => Ok(Found::Other),
    }
}

/// Past the end: only an array without length at the end of the structure goes on.
fn flexible_array<'a>(btf: &'a Btf, t: &Type<'a>, off: u32, size: u32) -> Checked<Step<'a>> {
    let beyond = || reject!(EACCES, BadBtf::BeyondStruct { name: label(t.name).into(), off, size });
    let Some(last) = t.members().last() else { return beyond() };
    let array = btf.resolved(last.type_id).and_then(|t| t.array()).filter(|a| a.count == 0);
    let start = last.bit_offset / 8;
    let (Some(array), true) = (array, off >= start) else { return beyond() };
    match btf.resolved(array.elem) {
        Some(e) if e.kind == Kind::Int => Ok(Step::Done(Found::Scalar)),
        Some(e) if e.kind.is_composite() && e.size_or_type > 0 => {
            Ok(Step::Into(e.id, (off - start) % e.size_or_type))
        }
        _ => beyond(),
    }
}

/// The kernel's structure of a map.
fn map_structure(map_type: MapType) -> &'static str {
    use MapType as M;
    match map_type {
        M::Hash | M::PercpuHash | M::LruHash | M::LruPercpuHash | M::HashOfMaps => "bpf_htab",
        M::LpmTrie => "lpm_trie",
        M::StackTrace => "bpf_stack_map",
        M::Devmap | M::DevmapHash => "bpf_dtab",
        M::Sockmap => "bpf_stab",
        M::Sockhash => "bpf_shtab",
        M::Cpumap => "bpf_cpu_map",
        M::Xskmap => "xsk_map",
        M::CgroupStorage | M::PercpuCgroupStorage => "bpf_cgroup_storage_map",
        M::ReuseportSockarray => "reuseport_array",
        M::Queue | M::Stack => "bpf_queue_stack",
        M::SkStorage | M::InodeStorage | M::TaskStorage | M::CgrpStorage => "bpf_local_storage_map",
        M::Ringbuf | M::UserRingbuf => "bpf_ringbuf_map",
        M::BloomFilter => "bpf_bloom_filter",
        M::Arena => "bpf_arena",
        M::StructOps => "bpf_struct_ops_map",
        _ => "bpf_array",
    }
}
