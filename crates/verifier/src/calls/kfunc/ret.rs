//! What r0 holds after a call of a kernel function.

use btf::{Kind, Type, TypeId};
use uapi::kfunc_flags as kf;

use super::Meta;
use super::graph::{borrowed_node, node_of};
use super::param::{is_scalar, is_scalar_struct};
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadGraph, BadKfunc};
use crate::passes::{PROG_BTF, Special};
use crate::state::{ITER_ACTIVE, RegFlags, RegKind, RegState};

/// Largest per-CPU object (`BPF_GLOBAL_PERCPU_MA_MAX_SIZE`).
const MAX_PERCPU: u32 = 512;

/// Sets r0; the other caller-saved registers are gone already.
pub(super) fn set(env: &mut Env<'_>, insn_idx: usize, meta: &Meta<'_>) -> Checked {
    let Some(proto) = meta.btf.ty(meta.func.proto) else { return reject!(EFAULT) };
    let Some(t) = meta.btf.resolved(TypeId(proto.size_or_type)) else {
        return Ok(()); // nothing is returned
    };
    if is_scalar(&t) {
        match meta.func.special {
            // Where the lock was not taken is a path of its own.
            Special::ResLock | Special::ResLockIrq => env.mark_reg_known(0, 0),
            _ => env.mark_reg_unknown(0),
        }
        return Ok(());
    }
    if t.kind != Kind::Ptr {
        return Ok(());
    }
    let mut reg = pointer(env, meta, &t)?;
    if meta.may_return_null() {
        reg.flags |= RegFlags::MAYBE_NULL;
        reg.id = env.new_id();
    }
    if meta.has(kf::ACQUIRE) {
        let id = env.acquire_reference(insn_idx);
        if meta.may_return_null() {
            reg.id = id;
        }
        reg.ref_obj_id = id;
    }
    if reg.id == 0 && env.may_hold_lock(&reg) {
        reg.id = env.new_id();
    }
    *env.reg_mut(0) = reg;
    Ok(())
}

/// The pointer, before null and references.
fn pointer(env: &mut Env<'_>, meta: &Meta<'_>, t: &Type<'_>) -> Checked<RegState> {
    let kernel = |id: u32| RegState { data: id, ..RegState::pointer(RegKind::BtfId) };
    match meta.func.special {
        Special::ObjNew | Special::PercpuObjNew => return new_object(env, meta),
        Special::RefcountAcquire => {
            let (btf, id) = meta.object.unwrap_or_default();
            return Ok(RegState { data2: btf, ..kernel(id) }.with(RegFlags::ALLOC));
        }
        Special::ListPopFront | Special::ListPopBack | Special::RbtreeRemove => {
            let Some(root) = &meta.root else { return reject!(EFAULT) };
            return Ok(node_of(root));
        }
        Special::ListFront
        | Special::ListBack
        | Special::RbtreeFirst
        | Special::RbtreeRoot
        | Special::RbtreeLeft
        | Special::RbtreeRight => {
            let Some(root) = &meta.root else { return reject!(EFAULT) };
            return Ok(borrowed_node(env, root));
        }
        Special::CastToKernCtx => return Ok(kernel(meta.ret_btf_id).with(RegFlags::TRUSTED)),
        Special::RdonlyCast => return cast(meta),
        Special::DynptrSlice | Special::DynptrSliceRdwr => return slice(env, meta),
        _ => {}
    }
    let target = TypeId(t.size_or_type);
    match meta.btf.resolved(target) {
        // A pointer to nothing known is a number.
        None => Ok(env.unknown_reg()),
        Some(target) if target.kind == Kind::Struct => Ok(object(env, meta, kernel(target.id.0))),
        Some(target) => memory(meta, &target),
    }
}

/// A kernel object, and how far it may be trusted.
fn object(env: &Env<'_>, meta: &Meta<'_>, mut reg: RegState) -> RegState {
    if meta.func.special == Special::GetKmemCache {
        reg.flags |= RegFlags::UNTRUSTED;
    } else if meta.has(kf::RCU_PROTECTED) {
        reg.flags |= RegFlags::RCU;
    }
    if meta.has(kf::ITER_NEXT) {
        let place = meta.iter;
        let iter = &env.state.frame(place.frame).stack.slot(place.spi).spilled;
        let by_rcu = iter.flags.contains(RegFlags::RCU);
        reg.flags |= if by_rcu { RegFlags::RCU } else { RegFlags::TRUSTED };
        debug_assert!(iter.data2 >= ITER_ACTIVE, "the argument was an iterator");
    }
    reg
}

/// Memory: of the size that an argument gave, or of its type.
fn memory(meta: &Meta<'_>, target: &Type<'_>) -> Checked<RegState> {
    let (mut size, mut rdonly) = (meta.r0_size, meta.r0_rdonly);
    if size == 0
        && let Ok(own) = meta.btf.size_of(target.id)
    {
        (size, rdonly) = (own.into(), true);
    }
    if size == 0 {
        let (kind, name) = (target.kind.text(), target.name.into());
        return reject!(EINVAL, BadKfunc::ResultKind { func: meta.name(), kind, name });
    }
    let mut reg = RegState { data: size as u32, ..RegState::pointer(RegKind::Mem) };
    reg.flags.set(RegFlags::RDONLY, rdonly);
    reg.ref_obj_id = meta.ref_obj_id;
    Ok(reg)
}

/// `bpf_rdonly_cast`: any structure, or bytes, read with faults caught.
fn cast(meta: &Meta<'_>) -> Checked<RegState> {
    let id = meta.constant.unwrap_or(0);
    if id == 0 {
        let flags = RegFlags::RDONLY | RegFlags::UNTRUSTED;
        return Ok(RegState::pointer(RegKind::Mem).with(flags));
    }
    match meta.btf.ty(TypeId(id as u32)) {
        None => reject!(EINVAL, BadKfunc::CastType { id: id as i64 }),
        Some(t) if t.kind.is_composite() => {
            Ok(RegState { data: t.id.0, ..RegState::pointer(RegKind::BtfId) }
                .with(RegFlags::UNTRUSTED))
        }
        Some(_) => reject!(EINVAL, BadKfunc::CastToStruct),
    }
}

/// Memory behind a dynptr.
fn slice(env: &Env<'_>, meta: &Meta<'_>) -> Checked<RegState> {
    let (Some(size), Some(dynptr)) = (meta.constant, meta.dynptr) else {
        return reject!(EFAULT);
    };
    let mut flags = dynptr.kind.flag();
    if meta.func.special == Special::DynptrSlice {
        flags |= RegFlags::RDONLY;
    } else if !env.may_access_packet(None, true) {
        return reject!(EINVAL, BadKfunc::ReadOnlyPacket);
    }
    let mem = RegState { data: size as u32, data2: dynptr.id, ..RegState::pointer(RegKind::Mem) };
    Ok(mem.with(flags))
}

/// An object of a type of the program's own.
fn new_object(env: &Env<'_>, meta: &Meta<'_>) -> Checked<RegState> {
    let percpu = meta.func.special == Special::PercpuObjNew;
    let id = meta.constant.unwrap_or(0);
    let Ok(id) = u32::try_from(id) else {
        return reject!(EINVAL, BadGraph::TypeIdRange);
    };
    let Some(btf) = env.prog.btf.as_deref() else {
        return reject!(EINVAL, BadGraph::NoBtf);
    };
    let Some(t) = btf.ty(TypeId(id)).filter(|t| t.kind == Kind::Struct) else {
        return reject!(EINVAL, BadGraph::NoStruct);
    };
    let reg = RegState { data: id, data2: PROG_BTF, ..RegState::pointer(RegKind::BtfId) };
    if !percpu {
        return Ok(reg.with(RegFlags::ALLOC));
    }
    if t.size_or_type > MAX_PERCPU {
        let (size, max) = (t.size_or_type, MAX_PERCPU);
        return reject!(EINVAL, BadGraph::PercpuSize { size, max });
    }
    if !is_scalar_struct(btf, &t, 0) {
        return reject!(EINVAL, BadGraph::PercpuScalars);
    }
    if env.struct_metas(PROG_BTF).get(TypeId(id)).is_some() {
        return reject!(EINVAL, BadGraph::PercpuFields);
    }
    Ok(reg.with(RegFlags::ALLOC | RegFlags::PERCPU))
}
