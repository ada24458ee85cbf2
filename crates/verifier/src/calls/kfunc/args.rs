//! The arguments of a kernel function.

use btf::{Kind, Param, Type, TypeId};
use uapi::{ArgKind, ArgType, ProgType, kfunc_flags as kf};

use super::param::{self, PtrParam, classify, ends};
use super::{Meta, graph, object};
use crate::calls::arg::check_offset;
use crate::calls::lock::{LockCall, check_lock};
use crate::calls::special::check_const_str;
use crate::check::{AccessKind, DynptrUse, HelperMem, IrqKind, iter_type};
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadKfunc, BadObject, Reg, RegType};
use crate::passes::Special;
use crate::state::{DynptrKind, RefKind, RegFlags, RegKind};

/// Arguments in registers.
const MAX_ARGS: usize = 5;

/// All arguments.
pub(super) fn check(env: &mut Env<'_>, insn_idx: usize, meta: &mut Meta<'_>) -> Checked {
    let Some(proto) = meta.btf.ty(meta.func.proto) else { return reject!(EFAULT) };
    let params: Vec<Param<'_>> = proto.params().collect();
    if params.len() > MAX_ARGS {
        let args = params.len() as u32;
        return reject!(EINVAL, BadKfunc::TooManyArgs { func: meta.name(), args });
    }
    let mut n = 0;
    while n < params.len() {
        let skips = check_one(env, insn_idx, meta, &params, n)?;
        n += 1 + usize::from(skips);
    }
    if meta.has(kf::RELEASE) && meta.release_reg.is_none() {
        return reject!(EINVAL, BadKfunc::NotReferenced { func: meta.name() });
    }
    Ok(())
}

/// Argument `n`; whether the next one was checked with it.
fn check_one(
    env: &mut Env<'_>,
    insn_idx: usize,
    meta: &mut Meta<'_>,
    params: &[Param<'_>],
    n: usize,
) -> Checked<bool> {
    let param = &params[n];
    // What the kernel fills in, or does not look at.
    if ends(param, "__prog") || ends(param, "__ign") {
        return Ok(false);
    }
    let btf = meta.btf;
    let Some(t) = btf.resolved(param.type_id) else { return reject!(EINVAL) };
    if param::is_scalar(&t) {
        return check_scalar(env, meta, param, n).map(|()| false);
    }
    if t.kind != Kind::Ptr {
        return reject!(EINVAL, BadKfunc::ArgType { arg: n, kind: t.kind.text() });
    }
    let reg = *env.reg(n + 1);
    if (meta.trusts() || meta.has(kf::RCU))
        && (reg.is_null() || reg.may_be_null())
        && !ends(param, "__nullable")
    {
        return reject!(EACCES, BadKfunc::MaybeNull { arg: n });
    }
    if reg.ref_obj_id != 0 {
        meta.ref_obj_id = reg.ref_obj_id;
        if meta.has(kf::RELEASE) {
            meta.release_reg = Some(n + 1);
        }
    }
    let kind = classify(env, meta, params, n, &t)?;
    if kind == PtrParam::Null {
        return Ok(false);
    }
    check_trust(env, meta, n, kind)?;
    let mut arg_type = ArgType::new(ArgKind::Anything);
    arg_type.release = meta.has(kf::RELEASE) && reg.ref_obj_id != 0;
    check_offset(env, n + 1, arg_type)?;
    check_pointer(env, insn_idx, meta, params, n, kind, &t)?;
    Ok(kind == PtrParam::MemAndSize)
}

fn check_scalar(env: &mut Env<'_>, meta: &mut Meta<'_>, param: &Param<'_>, n: usize) -> Checked {
    let regno = n + 1;
    let reg = *env.reg(regno);
    if !reg.is_scalar() {
        return reject!(EINVAL, BadKfunc::NotScalar { reg: Reg(regno) });
    }
    if ends(param, "__k") {
        let Some(value) = reg.const_value() else {
            return reject!(EINVAL, BadKfunc::NotConstant { reg: Reg(regno) });
        };
        env.mark_chain_precision(regno)?;
        meta.constant = Some(value);
    } else if matches!(param.name, "rdonly_buf_size" | "rdwr_buf_size") {
        let Some(value) = reg.const_value() else {
            return reject!(EINVAL, BadKfunc::SizeNotConstant { reg: Reg(regno) });
        };
        meta.r0_rdonly = param.name == "rdonly_buf_size";
        meta.r0_size = value;
        env.mark_chain_precision(regno)?;
    }
    Ok(())
}

/// Kernel objects must be alive for functions that ask for it.
fn check_trust(env: &Env<'_>, meta: &mut Meta<'_>, n: usize, kind: PtrParam) -> Checked {
    let reg = *env.reg(n + 1);
    if kind == PtrParam::Map {
        let is_map = matches!(reg.kind, RegKind::MapPtr | RegKind::MapValue | RegKind::MapKey);
        if !is_map && (reg.is_scalar() || !reg.is_init() || reg.data == 0) {
            return reject!(EINVAL, BadKfunc::NotMap { reg: Reg(n + 1) });
        }
        object::check_map(env, meta, &reg)?;
        meta.map = Some(reg);
    }
    if !matches!(kind, PtrParam::Map | PtrParam::Alloc | PtrParam::Object) {
        return Ok(());
    }
    if !meta.trusts() && !meta.has(kf::RCU) || reg.is_trusted() {
        return Ok(());
    }
    if !meta.has(kf::RCU) {
        return reject!(EINVAL, BadKfunc::NotTrusted { reg: Reg(n + 1) });
    }
    if !reg.flags.contains(RegFlags::RCU) {
        return reject!(EINVAL, BadKfunc::NotRcu { reg: Reg(n + 1) });
    }
    Ok(())
}

fn check_pointer(
    env: &mut Env<'_>,
    insn_idx: usize,
    meta: &mut Meta<'_>,
    params: &[Param<'_>],
    n: usize,
    kind: PtrParam,
    t: &Type<'_>,
) -> Checked {
    let regno = n + 1;
    let reg = *env.reg(regno);
    match kind {
        PtrParam::Null => Ok(()),
        PtrParam::Ctx => check_ctx(env, meta, n),
        PtrParam::Alloc => object::check_alloc(env, meta, n),
        PtrParam::Refcounted => object::check_refcounted(env, meta, n),
        PtrParam::Dynptr => check_dynptr(env, insn_idx, meta, &params[n], regno),
        PtrParam::Iter => check_iter(env, insn_idx, meta, &params[n], regno),
        PtrParam::ListHead | PtrParam::RbRoot => graph::check_root(env, meta, n, kind),
        PtrParam::ListNode => graph::check_list_node(env, meta, n),
        PtrParam::RbNode => graph::check_rb_node(env, meta, n),
        PtrParam::Map | PtrParam::Object => object::check_object(env, meta, n, kind, t),
        PtrParam::Mem => check_memory(env, meta, n, t),
        PtrParam::MemAndSize => check_memory_pair(env, meta, params, n),
        PtrParam::Callback => {
            if reg.kind != RegKind::Func {
                return reject!(EINVAL, BadKfunc::NotFunc { arg: n });
            }
            meta.subprog = Some(reg.subprog());
            Ok(())
        }
        PtrParam::ConstStr => {
            if !reg.is_kind(RegKind::MapValue) {
                return reject!(EINVAL, BadKfunc::NotString { arg: n });
            }
            check_const_str(env, regno)
        }
        PtrParam::Wq | PtrParam::TaskWork => {
            if !reg.is_kind(RegKind::MapValue) {
                return reject!(EINVAL, BadKfunc::NotMapValue { arg: n });
            }
            object::check_work(env, meta, regno, kind)
        }
        PtrParam::Irq => {
            if !reg.is_kind(RegKind::Stack) {
                return reject!(EINVAL, BadObject::NotIrq { arg: n });
            }
            match meta.func.special {
                Special::IrqSave => env.save_irq(regno, insn_idx, IrqKind::Native),
                Special::IrqRestore => env.restore_irq(regno, IrqKind::Native),
                Special::ResLockIrq => env.save_irq(regno, insn_idx, IrqKind::Lock),
                _ => env.restore_irq(regno, IrqKind::Lock),
            }
        }
        PtrParam::ResLock => {
            let allocated = reg.kind == RegKind::BtfId && reg.flags == RegFlags::ALLOC;
            if !reg.is_kind(RegKind::MapValue) && !allocated {
                return reject!(EINVAL, BadKfunc::NotLockable { arg: n });
            }
            let irq = matches!(meta.func.special, Special::ResLockIrq | Special::ResUnlockIrq);
            let takes = matches!(meta.func.special, Special::ResLock | Special::ResLockIrq);
            let kind = if irq { RefKind::ResLockIrq } else { RefKind::ResLock };
            check_lock(env, regno, LockCall { kind, takes })
        }
    }
}

fn check_ctx(env: &Env<'_>, meta: &mut Meta<'_>, n: usize) -> Checked {
    let reg = env.reg(n + 1);
    if !reg.is_kind(RegKind::Ctx) {
        return reject!(EINVAL, BadKfunc::NotCtx { arg: n, is: RegType::of(reg) });
    }
    if meta.func.special == Special::CastToKernCtx {
        match kernel_ctx(env, meta) {
            Some(id) => meta.ret_btf_id = id.0,
            None => return reject!(EINVAL),
        }
    }
    Ok(())
}

/// The kernel's own structure of the context.
fn kernel_ctx(env: &Env<'_>, meta: &Meta<'_>) -> Option<TypeId> {
    let table = meta.btf.find_by_name("bpf_ctx_convert", Kind::Struct)?;
    let wanted = format!("{}_kern", env.prog_type?.name());
    let member = meta.btf.ty(table)?.members().find(|m| m.name == wanted)?;
    meta.btf.resolved(member.type_id).filter(|t| t.kind == Kind::Struct).map(|t| t.id)
}

fn check_dynptr(
    env: &mut Env<'_>,
    insn_idx: usize,
    meta: &mut Meta<'_>,
    param: &Param<'_>,
    regno: usize,
) -> Checked {
    if !ends(param, "__uninit") {
        env.process_dynptr(regno, insn_idx, DynptrUse::Use { kind: None, mutates: false })?;
        meta.dynptr = Some(env.known_dynptr(&env.reg(regno).clone()));
        return Ok(());
    }
    let (kind, shares) = match (meta.func.special, meta.dynptr) {
        (Special::DynptrFromSkb, _) => (DynptrKind::Skb, None),
        (Special::DynptrFromSkbMeta, _) => (DynptrKind::SkbMeta, None),
        (Special::DynptrFromXdp, _) => (DynptrKind::Xdp, None),
        (Special::DynptrClone, Some(parent)) => (parent.kind, Some(parent.ref_obj_id)),
        _ => return reject!(EINVAL),
    };
    env.process_dynptr(regno, insn_idx, DynptrUse::Make { kind, shares })
}

fn check_iter(
    env: &mut Env<'_>,
    insn_idx: usize,
    meta: &mut Meta<'_>,
    param: &Param<'_>,
    regno: usize,
) -> Checked {
    if meta.func.special == Special::IterCssTaskNew && !may_iterate_css_tasks(env) {
        return reject!(EINVAL, BadKfunc::CssTask);
    }
    if !env.reg(regno).is_kind(RegKind::Stack) {
        return reject!(EINVAL, BadObject::NotIter { arg: regno - 1 });
    }
    let Some(ty) = iter_type(meta.btf, param.type_id) else {
        return reject!(EINVAL, BadObject::IterArg { arg: regno - 1 });
    };
    if meta.has(kf::ITER_NEW) {
        return env.make_iter(regno, insn_idx, ty, meta.has(kf::RCU_PROTECTED));
    }
    let place = env.use_iter(regno, ty, meta.func.name)?;
    meta.iter = place;
    let iter = &env.state.frame(place.frame).stack.slot(place.spi).spilled;
    meta.ref_obj_id = iter.ref_obj_id;
    if meta.has(kf::ITER_DESTROY) {
        env.destroy_iter(place, ty)?;
    }
    Ok(())
}

/// The lock of the iterator over a cgroup's tasks may be held elsewhere.
fn may_iterate_css_tasks(env: &Env<'_>) -> bool {
    let on_iterator = env.attach_type == uapi::AttachType::TraceIter.raw();
    match env.prog_type {
        Some(ProgType::Lsm) => true,
        Some(ProgType::Tracing) if on_iterator => true,
        _ => env.in_sleepable(),
    }
}

fn check_memory(env: &mut Env<'_>, meta: &Meta<'_>, n: usize, t: &Type<'_>) -> Checked {
    let target = TypeId(t.size_or_type);
    match meta.btf.size_of(target) {
        Ok(size) => env.check_mem_reg(n + 1, size),
        Err(_) => {
            let target = meta.btf.resolved(target);
            let kind = target.map_or("UNKNOWN", |t| t.kind.text());
            let name = target.map_or("", |t| t.name).into();
            reject!(EINVAL, BadKfunc::SizeUnknown { arg: n, kind, name })
        }
    }
}

/// Memory in argument `n`, its size in the next.
fn check_memory_pair(
    env: &mut Env<'_>,
    meta: &mut Meta<'_>,
    params: &[Param<'_>],
    n: usize,
) -> Checked {
    let (regno, size_reg) = (n + 1, n + 2);
    if !(env.reg(regno).is_null() && ends(&params[n], "__opt")) {
        check_sized(env, regno, size_reg)
            .map_err(|r| r.then(BadKfunc::MemoryPair { arg: n, len: n + 1 }))?;
    }
    if ends(&params[n + 1], "__szk") {
        let Some(value) = env.reg(size_reg).const_value() else {
            return reject!(EINVAL, BadKfunc::NotConstant { reg: Reg(size_reg) });
        };
        meta.constant = Some(value);
    }
    Ok(())
}

/// The function may read and write the memory.
fn check_sized(env: &mut Env<'_>, regno: usize, size_reg: usize) -> Checked {
    let saved = *env.reg(regno);
    if saved.may_be_null() {
        let mut valid = saved;
        env.mark_not_null(&mut valid);
        *env.state.reg_mut(regno) = valid;
    }
    let mut mem = HelperMem::default();
    let checked = env
        .check_mem_size_reg(size_reg, AccessKind::Read, true, &mut mem)
        .and_then(|()| env.check_mem_size_reg(size_reg, AccessKind::Write, true, &mut mem));
    if saved.may_be_null() {
        *env.state.reg_mut(regno) = saved;
    }
    checked
}
