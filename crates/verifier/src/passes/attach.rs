//! What the program attaches to, and whether programs of its type may.

use btf::{Btf, Kind, TypeId};
use uapi::{AttachType, ProgType, ProgVariant};

use super::extension;
use crate::calls::referenced_arguments;
use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::BadAttach;

/// The function, hook, tracepoint or operation behind `attach_btf_id`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attach {
    /// As messages name it.
    pub(crate) name: String,
    /// Its prototype in the kernel's BTF, 0 for none.
    pub(crate) proto: u32,
    /// Parameters of the prototype that the program does not see.
    pub(crate) hidden: u32,
    /// The structure, for struct_ops.
    pub(crate) structure: String,
}

/// Prefix of the types that stand for tracepoints.
const TRACEPOINT: &str = "btf_trace_";
/// Structures whose operations may be programs, in Linux 6.18 as configured for the facts.
const STRUCT_OPS: &[&str] = &["tcp_congestion_ops", "bpf_dummy_ops"];
/// Operations of `tcp_congestion_ops` that may not be programs.
const TCP_UNSUPPORTED: &[&str] = &["get_info"];

/// The table row of the program's type; struct_ops by its member.
pub(super) fn variant(env: &Env<'_>) -> Option<&'static ProgVariant> {
    let prog = env.prog;
    let prog_type = prog.prog_type?;
    if prog_type == ProgType::StructOps {
        let (structure, member) = operation(env)?;
        return uapi::struct_ops_variant(structure, member);
    }
    uapi::prog_variant(prog_type, prog.expected_attach_type, env.sleepable)
}

/// Names of the structure and member of a struct_ops program.
fn operation<'a>(env: &Env<'a>) -> Option<(&'a str, &'a str)> {
    let btf = env.world.kernel_btf.as_ref()?;
    let t = btf.ty(TypeId(env.prog.attach_btf_id)).filter(|t| t.kind == Kind::Struct)?;
    let member = t.members().nth(env.attach_type as usize)?;
    Some((t.name, member.name))
}

/// The rules of Linux's `check_attach_btf_id`.
pub(super) fn check(env: &mut Env<'_>) -> Checked {
    let Some(prog_type) = env.prog_type else { return reject!(EINVAL) };
    if prog_type == ProgType::Syscall {
        if env.sleepable {
            return Ok(());
        }
        return reject!(EINVAL, BadAttach::SyscallSleeps);
    }
    if env.sleepable && !can_sleep(prog_type, env.attach_type) {
        return reject!(EINVAL, BadAttach::CannotSleep);
    }
    match prog_type {
        ProgType::StructOps => check_operation(env),
        ProgType::Tracing if env.prog.target.is_some() => Err(Reject::needs("tracing of programs")),
        ProgType::Tracing | ProgType::Lsm => check_target(env, prog_type),
        ProgType::Ext => extension::check(env),
        _ => Ok(()),
    }
}

fn can_sleep(prog_type: ProgType, attach: u32) -> bool {
    use AttachType::{LsmCgroup, ModifyReturn, TraceFentry, TraceFexit, TraceIter};
    match prog_type {
        ProgType::Tracing => {
            [TraceFentry, TraceFexit, ModifyReturn, TraceIter].iter().any(|a| a.raw() == attach)
        }
        ProgType::Lsm => attach != LsmCgroup.raw(),
        ProgType::Kprobe | ProgType::StructOps => true,
        _ => false,
    }
}

fn check_operation(env: &mut Env<'_>) -> Checked {
    let id = env.prog.attach_btf_id;
    if !uapi::gpl_compatible(&env.prog.license) {
        return reject!(EINVAL, BadAttach::StructOpsGpl);
    }
    if id == 0 {
        return reject!(ENOTSUPP);
    }
    let btf = kernel_btf(env)?;
    let t = btf.ty(TypeId(id)).filter(|t| t.kind == Kind::Struct && STRUCT_OPS.contains(&t.name));
    let Some(t) = t else {
        return reject!(ENOTSUPP, BadAttach::NotStructOps { id });
    };
    let index = env.attach_type;
    let Some(member) = t.members().nth(index as usize) else {
        return reject!(EINVAL, BadAttach::MemberIndex { index, name: t.name.into() });
    };
    let proto = btf.resolved(member.type_id).filter(|p| p.kind == Kind::Ptr);
    let proto = proto.and_then(|p| btf.resolved(TypeId(p.size_or_type)));
    let Some(proto) = proto.filter(|p| p.kind == Kind::FuncProto) else {
        return reject!(
            EINVAL,
            BadAttach::MemberType { member: member.name.into(), index, name: t.name.into() }
        );
    };
    if t.name == "tcp_congestion_ops" && TCP_UNSUPPORTED.contains(&member.name) {
        return reject!(
            ENOTSUPP,
            BadAttach::Member { member: member.name.into(), name: t.name.into() }
        );
    }
    if t.name == "bpf_dummy_ops" && env.sleepable && member.name != "test_sleepable" {
        return reject!(
            EINVAL,
            BadAttach::Member { member: member.name.into(), name: t.name.into() }
        );
    }
    env.attach = Attach {
        name: member.name.to_string(),
        proto: proto.id.0,
        hidden: 0,
        structure: t.name.to_string(),
    };
    let calls_away = env.subprogs.iter().any(|s| s.has_tail_call);
    if calls_away && !referenced_arguments(env).is_empty() {
        return reject!(EINVAL, BadAttach::TailCall);
    }
    Ok(())
}

fn kernel_btf<'a>(env: &Env<'a>) -> Checked<&'a Btf> {
    match &env.world.kernel_btf {
        Some(btf) => Ok(btf),
        None => Err(Reject::needs("kernel BTF")),
    }
}

fn check_target(env: &mut Env<'_>, prog_type: ProgType) -> Checked {
    let id = env.prog.attach_btf_id;
    if id == 0 {
        return reject!(EINVAL, BadAttach::NoTarget);
    }
    let btf = kernel_btf(env)?;
    let Some(target) = btf.ty(TypeId(id)) else {
        return reject!(EINVAL, BadAttach::TypeId { id });
    };
    if target.name.is_empty() {
        return reject!(EINVAL, BadAttach::Nameless { id });
    }
    let attach = env.attach_type;
    if attach == AttachType::TraceRawTp.raw() {
        env.attach = tracepoint(btf, id)?;
        return Ok(());
    }
    let known = matches!(
        AttachType::from_raw(attach),
        Some(
            AttachType::TraceIter
                | AttachType::ModifyReturn
                | AttachType::LsmMac
                | AttachType::LsmCgroup
                | AttachType::TraceFentry
                | AttachType::TraceFexit
        )
    );
    if !known {
        return reject!(EINVAL);
    }
    if target.kind != Kind::Func {
        return reject!(EINVAL, BadAttach::NotFunction { id });
    }
    env.attach =
        Attach { name: target.name.to_string(), proto: target.size_or_type, ..Attach::default() };
    match attach {
        a if a == AttachType::TraceIter.raw() => check_iterator(target.name),
        _ if prog_type == ProgType::Lsm => check_hook(env, target.name),
        _ => Ok(()),
    }
}

/// A tracepoint's arguments: those of its probe function, which has names, else its type's.
fn tracepoint(btf: &Btf, id: u32) -> Checked<Attach> {
    let Some(t) = btf.ty(TypeId(id)).filter(|t| t.kind == Kind::Typedef) else {
        return reject!(EINVAL, BadAttach::NotTypedef { id });
    };
    let Some(name) = t.name.strip_prefix(TRACEPOINT) else {
        return reject!(EINVAL, BadAttach::WrongName { id, name: t.name.into() });
    };
    let probe = btf.find_by_name(&format!("__bpf_trace_{name}"), Kind::Func);
    let proto = match probe.and_then(|id| btf.ty(id)) {
        Some(func) => TypeId(func.size_or_type),
        None => match btf.ty(TypeId(t.size_or_type)).filter(|p| p.kind == Kind::Ptr) {
            Some(pointer) => TypeId(pointer.size_or_type),
            None => return reject!(EINVAL),
        },
    };
    if btf.kind(proto) != Some(Kind::FuncProto) {
        return reject!(EINVAL);
    }
    Ok(Attach { name: name.to_string(), proto: proto.0, hidden: 1, structure: String::new() })
}

fn check_iterator(function: &str) -> Checked {
    let known = function.strip_prefix("bpf_iter_").is_some_and(|n| uapi::iterator(n).is_some());
    if known { Ok(()) } else { reject!(EINVAL) }
}

fn check_hook(env: &Env<'_>, function: &str) -> Checked {
    if !uapi::gpl_compatible(&env.prog.license) {
        return reject!(EINVAL, BadAttach::LsmGpl);
    }
    if !function.starts_with("bpf_lsm_") {
        return reject!(
            EINVAL,
            BadAttach::WrongName { id: env.prog.attach_btf_id, name: function.into() }
        );
    }
    let hook = uapi::lsm_hook(function.strip_prefix("bpf_lsm_").unwrap_or(function));
    if hook.disabled {
        let (id, name) = (env.prog.attach_btf_id, function.into());
        return reject!(EINVAL, BadAttach::DisabledHook { id, name });
    }
    if env.sleepable && !hook.sleepable {
        return reject!(EINVAL, BadAttach::HookCannotSleep { name: function.into() });
    }
    Ok(())
}
