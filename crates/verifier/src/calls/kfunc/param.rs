//! What a parameter's name and type in BTF ask for.

use btf::{Btf, Kind, Param, Type, TypeId};

use super::Meta;
use crate::calls::ctx_type::is_ctx_type;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::BadKfunc;
use crate::passes::Special;
use crate::state::{RegKind, RegState};

/// What a pointer parameter takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PtrParam {
    Ctx,
    /// Null, where that is allowed and given.
    Null,
    /// An allocated object.
    Alloc,
    /// One with a count of references.
    Refcounted,
    Dynptr,
    Iter,
    ListHead,
    ListNode,
    RbRoot,
    RbNode,
    ConstStr,
    Map,
    Wq,
    TaskWork,
    Irq,
    ResLock,
    /// A kernel object.
    Object,
    Callback,
    /// Memory of the size of what it points to.
    Mem,
    /// Memory whose size is the next argument.
    MemAndSize,
}

/// Parameters that point to one of these structures take nothing else.
const BY_TYPE: &[(&str, PtrParam)] = &[
    ("bpf_list_head", PtrParam::ListHead),
    ("bpf_list_node", PtrParam::ListNode),
    ("bpf_rb_root", PtrParam::RbRoot),
    ("bpf_rb_node", PtrParam::RbNode),
    ("bpf_wq", PtrParam::Wq),
    ("bpf_task_work", PtrParam::TaskWork),
    ("bpf_res_spin_lock", PtrParam::ResLock),
];

/// The parameter's name ends so.
pub(super) fn ends(param: &Param<'_>, suffix: &str) -> bool {
    param.name.ends_with(suffix)
}

/// A number, an enumeration or a truth value.
pub(super) fn is_scalar(t: &Type<'_>) -> bool {
    t.kind == Kind::Int || t.kind.is_enum()
}

/// Whether the parameter is the size of the memory before it, which is a number here.
pub(super) fn is_size(btf: &Btf, param: &Param<'_>, reg: &RegState) -> bool {
    btf.resolved(param.type_id).is_some_and(|t| is_scalar(&t))
        && reg.is_scalar()
        && (ends(param, "__sz") || ends(param, "__szk"))
}

/// What the pointer `t` in parameter `n` takes. `target`: what it points to, without modifiers.
pub(super) fn classify(
    env: &Env<'_>,
    meta: &Meta<'_>,
    params: &[Param<'_>],
    n: usize,
    t: &Type<'_>,
) -> Checked<PtrParam> {
    let (btf, param, reg) = (meta.btf, &params[n], env.reg(n + 1));
    let target_id = TypeId(t.size_or_type);
    if meta.func.special == Special::CastToKernCtx || is_ctx_type(env, btf, target_id) {
        return Ok(PtrParam::Ctx);
    }
    if ends(param, "__nullable") && reg.is_null() {
        return Ok(PtrParam::Null);
    }
    if ends(param, "__alloc") {
        return Ok(PtrParam::Alloc);
    }
    if ends(param, "__refcounted_kptr") {
        return Ok(PtrParam::Refcounted);
    }
    let target = btf.resolved(target_id);
    let name = target.filter(|t| t.kind == Kind::Struct).map_or("", |t| t.name);
    if name == "bpf_dynptr" {
        return Ok(PtrParam::Dynptr);
    }
    let iterates = meta.has(
        uapi::kfunc_flags::ITER_NEW
            | uapi::kfunc_flags::ITER_NEXT
            | uapi::kfunc_flags::ITER_DESTROY,
    );
    if iterates && n == 0 || !iterates && ends(param, "__iter") {
        return Ok(PtrParam::Iter);
    }
    if let Some((_, kind)) = BY_TYPE.iter().take(4).find(|(row, _)| *row == name) {
        return Ok(*kind);
    }
    if ends(param, "__str") {
        return Ok(PtrParam::ConstStr);
    }
    if ends(param, "__map") {
        return Ok(PtrParam::Map);
    }
    if let Some((_, kind)) = BY_TYPE.iter().find(|(row, _)| *row == name) {
        return Ok(*kind);
    }
    if ends(param, "__irq_flag") {
        return Ok(PtrParam::Irq);
    }
    let kind = target.map_or("UNKNOWN", |t| t.kind.text());
    let label = target.map_or("", |t| t.name);
    if is_kernel_object(reg) {
        if !target.is_some_and(|t| t.kind.is_composite()) {
            let (func, name) = (meta.name(), label.into());
            return reject!(EINVAL, BadKfunc::PointerKind { func, arg: n, kind, name });
        }
        return Ok(PtrParam::Object);
    }
    if target.is_some_and(|t| t.kind == Kind::FuncProto) {
        return Ok(PtrParam::Callback);
    }
    let sized = params.get(n + 1).is_some_and(|next| is_size(btf, next, env.reg(n + 2)));
    let fits = match target {
        None => sized,
        Some(t) => is_scalar(&t) || is_scalar_struct(btf, &t, 0),
    };
    if !fits {
        let or = if sized { "void, " } else { "" };
        return reject!(EINVAL, BadKfunc::NotScalars { arg: n, kind, name: label.into(), or });
    }
    Ok(if sized { PtrParam::MemAndSize } else { PtrParam::Mem })
}

/// The register holds something of a type in the kernel's BTF.
pub(super) fn is_kernel_object(reg: &RegState) -> bool {
    reg.kind == RegKind::BtfId || standard_type(reg.kind).is_some()
}

/// The structure behind pointers that carry no type id.
pub(super) fn standard_type(kind: RegKind) -> Option<&'static str> {
    Some(match kind {
        RegKind::Sock => "sock",
        RegKind::SockCommon => "sock_common",
        RegKind::TcpSock => "tcp_sock",
        RegKind::MapPtr => "bpf_map",
        _ => return None,
    })
}

/// Only numbers inside; structures nest at most four deep.
pub(super) fn is_scalar_struct(btf: &Btf, t: &Type<'_>, depth: usize) -> bool {
    const MAX_DEPTH: usize = 3;
    t.kind.is_composite()
        && t.members().all(|member| {
            let Some(inner) = btf.resolved(member.type_id) else { return false };
            if inner.kind.is_composite() {
                return depth < MAX_DEPTH && is_scalar_struct(btf, &inner, depth + 1);
            }
            match inner.array() {
                Some(array) => {
                    array.count != 0 && btf.resolved(array.elem).is_some_and(|t| is_scalar(&t))
                }
                None => is_scalar(&inner),
            }
        })
}
