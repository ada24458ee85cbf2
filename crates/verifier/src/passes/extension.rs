//! Programs that take the place of a function of another program (freplace).

use btf::{Btf, Kind, Linkage, Type, TypeId};
use uapi::{AttachType, Errno, ProgType};

use super::Attach;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadAttach, BadExtension};
use crate::input::{FuncInfo, Target};
use crate::outcome::SubprogFacts;

/// The rules of Linux's `bpf_check_attach_target` for extensions; the program is verified as one of
/// the target's type from here on.
pub(super) fn check(env: &mut Env<'_>) -> Checked {
    let id = env.prog.attach_btf_id;
    if id == 0 {
        return reject!(EINVAL, BadAttach::NoTarget);
    }
    let prog = env.prog;
    let Some(target) = &prog.target else { return check_kernel_function(env, id) };
    let first = env.subprogs.first();
    let own = Own {
        btf: prog.btf.as_deref(),
        main: prog.func_info.first(),
        changes_packet: first.is_some_and(|s| s.changes_pkt_data),
        might_sleep: first.is_some_and(|s| s.might_sleep),
    };
    let function = check_target(&own, target, id)?;
    env.attach = Attach {
        name: function.name.to_owned(),
        proto: function.size_or_type,
        ..Attach::default()
    };
    env.prog_type = Some(target.prog_type);
    env.attach_type = target.attach_type;
    env.variant = uapi::prog_variant(target.prog_type, target.attach_type, env.sleepable);
    Ok(())
}

/// What an extension is checked by.
struct Own<'a> {
    btf: Option<&'a Btf>,
    main: Option<&'a FuncInfo>,
    changes_packet: bool,
    might_sleep: bool,
}

/// Whether an accepted extension may take the place of another function than the one it was
/// verified for; `functions` is what was proven of it. EINVAL if not.
pub fn extends(
    btf: Option<&Btf>,
    func_info: &[FuncInfo],
    functions: &[SubprogFacts],
    target: &Target,
    id: u32,
) -> Result<(), Errno> {
    let own = Own {
        btf,
        main: func_info.first(),
        changes_packet: functions.first().is_some_and(|f| f.changes_packet),
        might_sleep: functions.first().is_some_and(|f| f.might_sleep),
    };
    check_target(&own, target, id).map(drop).map_err(|reject| reject.errno())
}

fn check_target<'t>(own: &Own<'_>, target: &'t Target, id: u32) -> Checked<Type<'t>> {
    let Some(btf) = &target.btf else { return reject!(EINVAL, BadExtension::NoBtf) };
    let function = named(btf, id)?;
    check_function(own, target, &function)?;
    if function.kind != Kind::Func {
        return reject!(EINVAL, BadAttach::NotFunction { id });
    }
    check_signature(own, btf, &function)?;
    Ok(function)
}

/// Without a program the type id is one of the kernel's.
fn check_kernel_function(env: &Env<'_>, id: u32) -> Checked {
    if let Some(btf) = &env.world.kernel_btf {
        named(btf, id)?;
    }
    reject!(EINVAL, BadExtension::KernelFunction)
}

fn named(btf: &Btf, id: u32) -> Checked<Type<'_>> {
    let Some(ty) = btf.ty(TypeId(id)) else {
        return reject!(EINVAL, BadAttach::TypeId { id });
    };
    if ty.name.is_empty() {
        return reject!(EINVAL, BadAttach::Nameless { id });
    }
    Ok(ty)
}

/// The function is one that may be replaced.
fn check_function(own: &Own<'_>, target: &Target, function: &Type<'_>) -> Checked {
    let at = target.func_info.iter().position(|f| f.type_id == function.id.0);
    let Some(found) = at.and_then(|n| target.functions.get(n)) else {
        return reject!(EINVAL, BadExtension::NoFunction { name: function.name.into() });
    };
    if found.exception_callback {
        return reject!(EINVAL, BadExtension::ExceptionCallback);
    }
    if found.unreliable {
        return reject!(EINVAL, BadExtension::StaticFunction);
    }
    if own.changes_packet && !found.changes_packet {
        return reject!(EINVAL, BadExtension::ChangesPacket);
    }
    if own.might_sleep && !found.might_sleep {
        return reject!(EINVAL, BadExtension::MaySleep);
    }
    if target.prog_type == ProgType::Ext {
        return reject!(EINVAL, BadExtension::Recursive);
    }
    let traces = [AttachType::TraceFentry, AttachType::TraceFexit];
    let is_probe = traces.iter().any(|a| a.raw() == target.attach_type);
    if target.prog_type == ProgType::Tracing && is_probe {
        return reject!(EINVAL, BadExtension::OfProbe);
    }
    Ok(())
}

/// The program's main function has the prototype of the function that it replaces.
fn check_signature(own: &Own<'_>, theirs: &Btf, function: &Type<'_>) -> Checked {
    let (Some(own), Some(info)) = (own.btf, own.main) else {
        return reject!(EINVAL, BadExtension::NeedsBtf);
    };
    let main = own.ty(TypeId(info.type_id)).filter(|t| t.kind == Kind::Func);
    let Some(main) = main else { return reject!(EINVAL) };
    let pair = Pair { own, theirs, name: main.name, their_name: function.name };
    for f in [&main, function] {
        if f.func_linkage() != Some(Linkage::Global) {
            return reject!(EINVAL, BadExtension::NotGlobal { name: f.name.into() });
        }
    }
    let proto = |btf: &'_ Btf, f: &Type<'_>| -> Option<u32> {
        let id = f.size_or_type;
        (btf.kind(TypeId(id)) == Some(Kind::FuncProto)).then_some(id)
    };
    let (Some(a), Some(b)) = (proto(own, &main), proto(theirs, function)) else {
        return reject!(EINVAL);
    };
    let (Some(a), Some(b)) = (own.ty(TypeId(a)), theirs.ty(TypeId(b))) else {
        return reject!(EINVAL);
    };
    pair.compare(&a, &b)
}

/// The two functions.
struct Pair<'a> {
    own: &'a Btf,
    theirs: &'a Btf,
    name: &'a str,
    their_name: &'a str,
}

/// Kind, members and kind flag of a type, as Linux compares them; void has none.
fn info(t: Option<&Type<'_>>) -> Option<(Kind, u32, bool)> {
    t.map(|t| (t.kind, t.vlen, t.kind_flag))
}

fn kind_text(t: Option<&Type<'_>>) -> &'static str {
    t.map_or("UNKNOWN", |t| t.kind.text())
}

impl Pair<'_> {
    fn compare(&self, a: &Type<'_>, b: &Type<'_>) -> Checked {
        let names = || (Box::from(self.name), Box::from(self.their_name));
        if a.vlen != b.vlen {
            let (name, theirs) = names();
            let (args, their_args) = (a.vlen, b.vlen);
            return reject!(EINVAL, BadExtension::Count { name, args, theirs, their_args });
        }
        let ret = self.own.resolved(TypeId(a.size_or_type));
        let their_ret = self.theirs.resolved(TypeId(b.size_or_type));
        if info(ret.as_ref()) != info(their_ret.as_ref()) {
            let (name, theirs) = names();
            let (kind, their_kind) = (kind_text(ret.as_ref()), kind_text(their_ret.as_ref()));
            return reject!(EINVAL, BadExtension::Return { kind, name, their_kind, theirs });
        }
        let mut params = a.params().zip(b.params()).enumerate();
        params.try_for_each(|(arg, (a, b))| self.compare_arg(arg, a.type_id, b.type_id))
    }

    fn compare_arg(&self, arg: usize, a: TypeId, b: TypeId) -> Checked {
        let (name, theirs) = (Box::from(self.name), Box::from(self.their_name));
        let (t, u) = (self.own.resolved(a), self.theirs.resolved(b));
        if info(t.as_ref()) != info(u.as_ref()) {
            let (kind, their_kind) = (kind_text(t.as_ref()), kind_text(u.as_ref()));
            return reject!(EINVAL, BadExtension::Arg { arg, name, kind, theirs, their_kind });
        }
        let (Some(t), Some(u)) = (t, u) else {
            return reject!(EINVAL, BadExtension::Unrecognized { arg, name });
        };
        if t.kind.has_size() && t.size_or_type != u.size_or_type {
            let (size, their_size) = (t.size_or_type, u.size_or_type);
            return reject!(EINVAL, BadExtension::Size { arg, name, size, theirs, their_size });
        }
        if t.kind == Kind::Int || t.kind.is_enum() {
            return Ok(());
        }
        if t.kind != Kind::Ptr {
            return reject!(EINVAL, BadExtension::Unrecognized { arg, name });
        }
        let t = self.own.resolved(TypeId(t.size_or_type)).filter(|t| t.kind.is_composite());
        let u = self.theirs.resolved(TypeId(u.size_or_type)).filter(|t| t.kind.is_composite());
        let Some(t) = t else { return reject!(EINVAL, BadExtension::NotCtx { arg, name }) };
        let Some(u) = u else { return reject!(EINVAL, BadExtension::NotCtx { arg, name: theirs }) };
        if t.name != u.name {
            let (ty, their_type) = (t.name.into(), u.name.into());
            return reject!(EINVAL, BadExtension::Struct { arg, name, ty, theirs, their_type });
        }
        Ok(())
    }
}
