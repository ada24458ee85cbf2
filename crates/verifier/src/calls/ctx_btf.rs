//! Contexts that are the arguments of a kernel function, typed by its BTF.

use btf::{Btf, Kind, Type, TypeId};
use uapi::{AttachType, ProgType, iterator};

use super::ctx::register;
use super::exit::hook_result;
use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::{BadMem, HookArg, Note};
use crate::log::say;
use crate::state::{RefKind, RegFlags, RegKind, RegState};

/// The argument at byte `off`, as a register.
pub(super) fn find(env: &mut Env<'_>, off: i32, size: i32) -> Checked<Option<RegState>> {
    let world = env.world;
    let Some(btf) = &world.kernel_btf else {
        return Err(Reject::needs("kernel BTF"));
    };
    let name = env.attach.name.clone();
    if off % 8 != 0 {
        return refuse(env, HookArg::Unaligned { name: &name, off });
    }
    let Some(proto) = btf.ty(TypeId(env.attach.proto)).filter(|p| p.kind == Kind::FuncProto) else {
        return reject!(EINVAL);
    };
    let hidden = env.attach.hidden;
    let index = argument_index(btf, &proto, off as u32);
    let count = proto.vlen.saturating_sub(hidden);
    if index > count {
        return refuse(env, HookArg::Missing { name: &name, nth: index + 1 });
    }
    let (ty, param) = if index == count {
        match return_value(env, btf, &proto, index)? {
            Some(ty) => (ty, ""),
            None => return Ok(None),
        }
    } else {
        match proto.params().nth((index + hidden) as usize) {
            Some(p) => (p.type_id, p.name),
            None => return Ok(None),
        }
    };
    let Some(t) = btf.resolved(ty) else { return Ok(Some(env.unknown_reg())) };
    if is_scalar(&t) {
        let mut reg = env.unknown_reg();
        if let (true, Some((min, max))) = (index == count, hook_result(env)) {
            reg.v.limit_s32(min, max);
        }
        return Ok(Some(reg));
    }
    if t.kind != Kind::Ptr {
        let (ty, kind) = (t.name, t.kind.text());
        return refuse(env, HookArg::NotPointer { name: &name, arg: index, ty, kind });
    }
    if size != 8 {
        return refuse(env, HookArg::Size { name: &name, size });
    }
    pointer(env, btf, &t, index, param)
}

fn refuse(env: &mut Env<'_>, why: HookArg<'_>) -> Checked<Option<RegState>> {
    say!(env, Note::HookRefused(why));
    Ok(None)
}

fn is_scalar(t: &Type<'_>) -> bool {
    t.kind.is_enum() || t.kind.is_composite() || (t.kind == Kind::Int && t.size_or_type <= 8)
}

/// Which argument lies at byte `off`: each takes whole words. The one after the last is the
/// return value.
fn argument_index(btf: &Btf, proto: &Type<'_>, off: u32) -> u32 {
    let width = |id| match btf.resolved(id) {
        Some(t) if t.kind != Kind::Ptr => btf.size_of(id).unwrap_or(8).div_ceil(8).max(1) * 8,
        _ => 8,
    };
    let mut end = 0u32;
    for (n, param) in proto.params().enumerate() {
        end = end.saturating_add(width(param.type_id));
        if off < end {
            return n as u32;
        }
    }
    proto.vlen + u32::from(off >= end.saturating_add(width(TypeId(proto.size_or_type))))
}

/// Type of the slot behind the arguments, for programs that see what the function returned.
fn return_value(
    env: &mut Env<'_>,
    btf: &Btf,
    proto: &Type<'_>,
    index: u32,
) -> Checked<Option<TypeId>> {
    let ret = TypeId(proto.size_or_type);
    match AttachType::from_raw(env.attach_type) {
        Some(AttachType::LsmMac | AttachType::LsmCgroup | AttachType::TraceFexit) => Ok(Some(ret)),
        Some(AttachType::ModifyReturn) => {
            let t = btf.resolved(ret);
            if t.is_some_and(|t| t.kind == Kind::Int && t.size_or_type <= 8) {
                return Ok(Some(ret));
            }
            let kind = t.map_or("UNKNOWN", |t| t.kind.text());
            refuse(env, HookArg::Result { kind })?;
            Ok(None)
        }
        _ => {
            let name = env.attach.name.clone();
            refuse(env, HookArg::Missing { name: &name, nth: index + 1 })?;
            Ok(None)
        }
    }
}

/// A pointer argument: number, buffer, or trusted pointer to a structure.
fn pointer(
    env: &mut Env<'_>,
    btf: &Btf,
    t: &Type<'_>,
    index: u32,
    param: &str,
) -> Checked<Option<RegState>> {
    let name = env.attach.name.clone();
    if let Some(slot) = name
        .strip_prefix("bpf_iter_")
        .and_then(iterator)
        .and_then(|i| i.slots.get(index as usize))
        .filter(|_| index > 0)
    {
        return register(env, *slot).map(Some);
    }
    let target = TypeId(t.size_or_type);
    let Some(pointee) = btf.resolved(target) else { return Ok(Some(env.unknown_reg())) };
    if pointee.kind == Kind::Int || pointee.kind.is_enum() {
        return Ok(Some(env.unknown_reg()));
    }
    if !pointee.kind.is_composite() {
        let kind = pointee.kind.text();
        return refuse(env, HookArg::NotStruct { name: &name, arg: index, kind });
    }
    let (id, kind, ty) = (pointee.id.0, pointee.kind.text(), pointee.name);
    say!(env, Note::HookArg { name: &name, arg: index, id, kind, ty });
    let mut flags = tags(btf, target);
    if is_trusted(env) {
        flags |= RegFlags::TRUSTED;
    }
    let (null, error) = tracepoint_rules(env, index);
    let stub = stub_parameter(env, btf, index);
    let given = env.ctx_refs.iter().find(|(arg, _)| *arg == index).map(|(_, id)| *id);
    if let Some(id) = given
        && !env.state.refs.iter().any(|r| r.kind == RefKind::Ptr && r.id == id)
    {
        return reject!(EACCES, BadMem::CtxReleased { off: index as i32 * 8 });
    }
    if null || param.ends_with("__nullable") || stub.ends_with("__nullable") {
        flags |= RegFlags::MAYBE_NULL;
    }
    if error {
        say!(env, Note::MaybeError { arg: index });
        return Ok(Some(env.unknown_reg()));
    }
    let id = promoted(env, btf, &pointee);
    let ref_obj_id = given.unwrap_or(0);
    Ok(Some(RegState { data: id, ref_obj_id, ..RegState::pointer(RegKind::BtfId) }.with(flags)))
}

/// Name of the parameter in the kernel's own stub of a struct_ops operation: it has the suffixes
/// that the operation's type has not.
fn stub_parameter<'b>(env: &Env<'_>, btf: &'b Btf, index: u32) -> &'b str {
    let attach = &env.attach;
    if attach.structure.is_empty() {
        return "";
    }
    let name = format!("{}__{}", attach.structure, attach.name);
    let func = btf.find_by_name(&name, Kind::Func).and_then(|id| btf.ty(id));
    let proto = func.and_then(|f| btf.ty(TypeId(f.size_or_type)));
    proto.and_then(|p| p.params().nth(index as usize)).map_or("", |p| p.name)
}

/// References that the kernel hands to a struct_ops program with its arguments: the program holds
/// them from the start.
pub(crate) fn take_argument_references(env: &mut Env<'_>) {
    env.ctx_refs.clear();
    for index in referenced_arguments(env) {
        let id = env.acquire_reference(0);
        env.ctx_refs.push((index, id));
    }
}

/// Arguments that come with a reference.
pub(crate) fn referenced_arguments(env: &Env<'_>) -> Vec<u32> {
    /// As many arguments as a context can hold.
    const MOST: u32 = 12;
    let Some(btf) = env.world.kernel_btf.as_deref().filter(|_| !env.attach.structure.is_empty())
    else {
        return Vec::new();
    };
    (0..MOST).filter(|n| stub_parameter(env, btf, *n).ends_with("__ref")).collect()
}

/// Tags between the pointer and its structure.
fn tags(btf: &Btf, target: TypeId) -> RegFlags {
    match btf.ty(target).filter(|t| t.kind == Kind::TypeTag).map(|t| t.name) {
        Some("user") => RegFlags::USER,
        Some("percpu") => RegFlags::PERCPU,
        _ => RegFlags::empty(),
    }
}

fn is_trusted(env: &Env<'_>) -> bool {
    let attach = AttachType::from_raw(env.attach_type);
    match env.prog_type {
        Some(ProgType::Tracing) => {
            matches!(attach, Some(AttachType::TraceRawTp | AttachType::TraceIter))
        }
        Some(ProgType::Lsm) => {
            let name = env.attach.name.strip_prefix("bpf_lsm_").unwrap_or(&env.attach.name);
            uapi::lsm_hook(name).trusted
        }
        Some(ProgType::StructOps) => true,
        _ => false,
    }
}

/// Whether a tracepoint passes null, or an error in a pointer, as this argument.
fn tracepoint_rules(env: &Env<'_>, index: u32) -> (bool, bool) {
    if env.attach_type != AttachType::TraceRawTp.raw() || env.prog_type != Some(ProgType::Tracing) {
        return (false, false);
    }
    uapi::tracepoint_argument(&env.attach.name, index)
}

/// Congestion control gets TCP sockets where its prototypes say `struct sock`.
fn promoted(env: &Env<'_>, btf: &Btf, pointee: &Type<'_>) -> u32 {
    let is_socket = env.attach.structure == "tcp_congestion_ops" && pointee.name == "sock";
    let tcp = is_socket.then(|| btf.find_by_name("tcp_sock", Kind::Struct)).flatten();
    tcp.unwrap_or(pointee.id).0
}
