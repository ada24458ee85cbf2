//! Kernel objects, allocated objects and maps among the arguments.

use btf::fields::FieldKind;
use btf::{Btf, Type, TypeId};
use uapi::kfunc_flags as kf;

use super::Meta;
use super::param::{PtrParam, standard_type};
use crate::calls::btf_ids;
use crate::calls::special::check_field;
use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::{BadArg, BadGraph, BadKfunc, RegType};
use crate::passes::Special;
use crate::state::{RegFlags, RegKind, RegState};

/// A pointer to a kernel object, or a map.
pub(super) fn check_object(
    env: &Env<'_>,
    meta: &Meta<'_>,
    n: usize,
    kind: PtrParam,
    t: &Type<'_>,
) -> Checked {
    let reg = *env.reg(n + 1);
    let trusted = RegFlags::ALLOC | RegFlags::TRUSTED | RegFlags::NON_OWN_REF;
    let doubtful = !(reg.flags - trusted).is_empty() && !reg.flags.contains(RegFlags::RCU);
    if (reg.kind != RegKind::BtfId || doubtful) && standard_type(reg.kind).is_none() {
        let expected = RegType { kind: reg.kind, flags: reg.flags & trusted };
        return reject!(EINVAL, BadKfunc::NotObject { arg: n, is: RegType::of(&reg), expected });
    }
    let wanted = match kind {
        PtrParam::Map => meta.btf.find_by_name("bpf_map", btf::Kind::Struct),
        _ => meta.btf.resolved(TypeId(t.size_or_type)).map(|t| t.id),
    };
    let Some(wanted) = wanted else { return reject!(EINVAL) };
    let (btf, id) = match standard_type(reg.kind) {
        Some(name) => match meta.btf.find_by_name(name, btf::Kind::Struct) {
            Some(id) => (meta.btf, id),
            None => return Err(Reject::needs("kernel BTF")),
        },
        None => match env.btf_of(&reg) {
            Some(btf) => (btf, TypeId(reg.btf_id())),
            None => return reject!(EFAULT),
        },
    };
    match_object(env, meta, n, (btf, id), wanted)
}

/// The structure behind the register is the one wanted, or holds one.
fn match_object(
    env: &Env<'_>,
    meta: &Meta<'_>,
    n: usize,
    (btf, id): (&Btf, TypeId),
    wanted: TypeId,
) -> Checked {
    let reg = env.reg(n + 1);
    let id = btf.resolve(id).unwrap_or(id);
    let kernel = std::ptr::eq(btf, meta.btf);
    let (is, name) = (btf.name_of(id), meta.btf.name_of(wanted));
    let strict = meta.has(kf::RELEASE) && reg.ref_obj_id != 0 || is_alias(is, name);
    let same = kernel && btf_ids::matches_id(btf, id, reg.off, wanted, strict);
    let projection = matches!((name, is), ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff"));
    if same || projection {
        return Ok(());
    }
    let kind_of = |btf: &Btf, id| btf.kind(id).map_or("UNKNOWN", |k| k.text());
    reject!(
        EINVAL,
        BadKfunc::WrongObject {
            func: meta.name(),
            arg: n,
            kind: kind_of(meta.btf, wanted),
            name: name.into(),
            reg: crate::event::Reg(n + 1),
            is_kind: kind_of(btf, id),
            is: is.into(),
        }
    )
}

/// Structures of which one is the other before it is ready: they are never the same.
fn is_alias(a: &str, b: &str) -> bool {
    const INIT: &str = "___init";
    a.strip_suffix(INIT) == Some(b) || b.strip_suffix(INIT) == Some(a)
}

/// An object that the program allocated, to be given back.
pub(super) fn check_alloc(env: &Env<'_>, meta: &mut Meta<'_>, n: usize) -> Checked {
    let reg = env.reg(n + 1);
    let percpu = RegFlags::ALLOC | RegFlags::PERCPU;
    if reg.kind == RegKind::BtfId && reg.flags == RegFlags::ALLOC {
        if meta.func.special != Special::ObjDrop {
            return reject!(EINVAL, BadGraph::NotForDrop { arg: n });
        }
    } else if reg.kind == RegKind::BtfId && reg.flags == percpu {
        if meta.func.special != Special::PercpuObjDrop {
            return reject!(EINVAL, BadGraph::NotForPercpuDrop { arg: n });
        }
    } else {
        return reject!(EINVAL, BadGraph::NotAllocated { arg: n });
    }
    if reg.ref_obj_id == 0 {
        return reject!(EINVAL, BadGraph::NotReferenced);
    }
    meta.object = Some((reg.data2, reg.btf_id()));
    Ok(())
}

/// An object that counts its references.
pub(super) fn check_refcounted(env: &Env<'_>, meta: &mut Meta<'_>, n: usize) -> Checked {
    let reg = env.reg(n + 1);
    if reg.kind != RegKind::BtfId || !reg.flags.contains(RegFlags::ALLOC) {
        return reject!(EINVAL, BadGraph::NoReference { arg: n });
    }
    if !reg.flags.contains(RegFlags::NON_OWN_REF) && reg.ref_obj_id != 0 {
        meta.owning = true;
    }
    if !env.record_of(reg).is_some_and(|record| record.has(FieldKind::Refcount)) {
        return reject!(EINVAL, BadGraph::NoRefcount { arg: n });
    }
    meta.object = Some((reg.data2, reg.btf_id()));
    Ok(())
}

/// The map is the one that the work was found in.
pub(super) fn check_map(env: &Env<'_>, meta: &Meta<'_>, reg: &RegState) -> Checked {
    let Some(before) = meta.map else { return Ok(()) };
    if reg.kind != RegKind::MapPtr {
        return Ok(());
    }
    let record = &env.fields_of(reg).record;
    let works = record.has_any(&[FieldKind::Wq, FieldKind::TaskWork]);
    if !works || (before.data, before.data2) == (reg.data, reg.data2) {
        return Ok(());
    }
    let (work, map) = (before.data2, reg.data2);
    if record.has(FieldKind::TaskWork) {
        return reject!(EINVAL, BadArg::TaskWorkOfOtherMap { work, map });
    }
    reject!(EINVAL, BadArg::WorkOfOtherMap { work, map })
}

/// Work that runs later.
pub(super) fn check_work(
    env: &Env<'_>,
    meta: &mut Meta<'_>,
    regno: usize,
    kind: PtrParam,
) -> Checked {
    let reg = *env.reg(regno);
    let field = if kind == PtrParam::Wq { FieldKind::Wq } else { FieldKind::TaskWork };
    check_field(env, regno, &reg, field)?;
    meta.map = Some(reg);
    Ok(())
}
