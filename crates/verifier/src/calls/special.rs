//! Rules of single helpers.

use btf::Kind;
use btf::fields::FieldKind;
use uapi::{ArgKind, DynptrArg, HelperProto, MapType, ProgType, helper_facts};

use super::format;
use super::helper::{Meta, name};
use super::kfunc::in_less_callback;
use super::lock::{LockCall, check_lock};
use super::ret::kernel_struct;
use crate::check::DynptrUse;
use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::{BadArg, BadHelper, BadLock, Bug, Note, Reg, RegType};
use crate::log::say2;
use crate::state::{DynptrKind, FuncState, RefKind, RegKind, RegState};

const D_PATH: u32 = 147;
const GET_FUNC_IP: u32 = 173;
const SPIN_LOCK: u32 = 93;
pub(super) const DYNPTR_WRITE: u32 = 202;
pub(super) const DYNPTR_DATA: u32 = 203;

/// Kernel functions whose fentry and fexit programs may call `bpf_d_path`.
const D_PATH_FUNCTIONS: &[&str] = &[
    "security_file_permission",
    "security_inode_getattr",
    "security_file_open",
    "security_path_truncate",
    "vfs_truncate",
    "vfs_fallocate",
    "dentry_open",
    "vfs_getattr",
    "filp_close",
];

/// The program's type has the helper, but a check of its own refuses it.
pub(super) fn is_refused(env: &Env<'_>, id: i32) -> bool {
    let facts = u32::try_from(id).ok().and_then(helper_facts);
    let bit = env.variant.map_or(0, |v| v.bit());
    facts.is_some_and(|f| f.refused & bit != 0)
}

/// Socket options, which programs on the iterators of sockets may set and read.
pub(super) fn of_iterator(env: &Env<'_>, id: u32) -> Option<&'static HelperProto> {
    const OPTIONS: &[u32] = &[49, 57];
    const ITERATORS: &[&str] = &["bpf_iter_tcp", "bpf_iter_unix"];
    if !OPTIONS.contains(&id) || !ITERATORS.contains(&env.attach.name.as_str()) {
        return None;
    }
    helper_facts(id)?.others.first().map(|(_, proto)| proto)
}

/// The helper's own check of the program.
pub(super) fn is_allowed(env: &Env<'_>, id: u32) -> Checked<bool> {
    let tracing = env.prog_type == Some(ProgType::Tracing);
    match (id, env.prog_type) {
        (D_PATH, _) if tracing && env.attach.name.starts_with("bpf_iter_") => Ok(true),
        (D_PATH, _) if tracing => Ok(D_PATH_FUNCTIONS.contains(&env.attach.name.as_str())),
        (D_PATH | 161 | 193, Some(ProgType::Lsm)) => Err(Reject::needs("lsm hooks")),
        _ => Ok(true),
    }
}

/// After the arguments, before the registers are cleared.
pub(super) fn check(env: &mut Env<'_>, insn_idx: usize, meta: &Meta) -> Checked {
    match meta.id {
        12 => env.check_resource_leak(false, true, "tail_call"),
        81 => {
            if !env.reg(2).is_null() {
                return reject!(EINVAL, BadHelper::StorageFlags);
            }
            Ok(())
        }
        164 => for_each_map_elem(env, insn_idx, meta),
        165 => check_snprintf(env),
        170 => timer_callback(env, insn_idx, meta),
        180 => find_vma(env, insn_idx, meta),
        181 => bpf_loop(env, insn_idx, meta),
        187 => check_set_retval(env),
        197 => check_dynptr_memory(env),
        209 => user_ringbuf_drain(env, insn_idx, meta),
        _ => Ok(()),
    }
}

/// After the map was compared with the helper.
pub(super) fn check_after(env: &Env<'_>, meta: &Meta) -> Checked {
    if meta.id != GET_FUNC_IP {
        return Ok(());
    }
    let id = meta.id as i32;
    match env.prog_type {
        Some(ProgType::Kprobe) => Ok(()),
        Some(ProgType::Tracing) if has_trampoline(env) => Ok(()),
        Some(ProgType::Tracing) => {
            reject!(ENOTSUPP, BadHelper::OnlyFentry { helper: name(env, id).into(), id })
        }
        other => reject!(
            ENOTSUPP,
            BadHelper::NotForProgram {
                helper: name(env, id).into(),
                id,
                prog_type: other.map_or(0, ProgType::raw)
            }
        ),
    }
}

fn has_trampoline(env: &Env<'_>) -> bool {
    use uapi::AttachType::{ModifyReturn, TraceFentry, TraceFexit};
    let attach = env.attach_type;
    [TraceFentry, TraceFexit, ModifyReturn].iter().any(|a| a.raw() == attach)
}

/// A dynptr outlives the call: its memory must stay.
fn check_dynptr_memory(env: &Env<'_>) -> Checked {
    let reg = env.reg(1);
    if reg.is_kind(RegKind::MapValue) {
        return Ok(());
    }
    reject!(EACCES, BadHelper::DynptrMemory { is: RegType::of(reg) })
}

fn check_set_retval(env: &Env<'_>) -> Checked {
    let lsm_cgroup = env.prog_type == Some(ProgType::Lsm)
        && env.attach_type == uapi::AttachType::LsmCgroup.raw();
    if lsm_cgroup && env.attach_returns_void() {
        return reject!(EINVAL, BadHelper::VoidLsmHook);
    }
    Ok(())
}

impl Env<'_> {
    /// The function that the program attaches to returns nothing.
    pub(super) fn attach_returns_void(&self) -> bool {
        let btf = self.world.kernel_btf.as_ref();
        let proto = btf.and_then(|b| b.ty(btf::TypeId(self.attach.proto)));
        proto.is_some_and(|p| p.kind == Kind::FuncProto && p.size_or_type == 0)
    }
}

/// The subprogram that a helper calls.
fn callback(env: &mut Env<'_>, meta: &Meta) -> Checked<usize> {
    let Some(subprog) = meta.subprog else { return reject!(EFAULT) };
    env.subprogs[subprog].is_cb = true;
    Ok(subprog)
}

fn map_key(map: &RegState) -> RegState {
    RegState { data: map.data, data2: map.data2, ..RegState::pointer(RegKind::MapKey) }
}

fn map_value(map: &RegState) -> RegState {
    RegState { data: map.data, data2: map.data2, ..RegState::pointer(RegKind::MapValue) }
}

/// Registers from `first` to r5 are not the callback's.
fn clear_from(callee: &mut FuncState, first: usize) {
    callee.regs[first..=5].fill(RegState::NOT_INIT);
}

fn for_each_map_elem(env: &mut Env<'_>, insn_idx: usize, meta: &Meta) -> Checked {
    use MapType as M;
    let subprog = callback(env, meta)?;
    let Some(map) = meta.map else { return reject!(EINVAL) };
    let walkable = matches!(
        env.map_def(&map).map_type,
        M::Hash | M::PercpuHash | M::LruHash | M::LruPercpuHash | M::Array | M::PercpuArray
    );
    env.push_sync_callback(insn_idx, subprog, (0, 1), &move |caller, callee| {
        if !walkable {
            return reject!(ENOTSUPP, BadHelper::CallbackMap);
        }
        callee.regs[1] = caller.regs[1];
        callee.regs[2] = map_key(&caller.regs[1]);
        callee.regs[3] = map_value(&caller.regs[1]);
        callee.regs[4] = caller.regs[3];
        clear_from(callee, 5);
        Ok(())
    })
}

fn find_vma(env: &mut Env<'_>, insn_idx: usize, meta: &Meta) -> Checked {
    let subprog = callback(env, meta)?;
    let vma = kernel_struct(env, "vm_area_struct")?;
    env.push_sync_callback(insn_idx, subprog, (0, 1), &move |caller, callee| {
        callee.regs[1] = caller.regs[1];
        callee.regs[2] = RegState { data: vma, ..RegState::pointer(RegKind::BtfId) };
        callee.regs[3] = caller.regs[4];
        clear_from(callee, 4);
        Ok(())
    })
}

fn user_ringbuf_drain(env: &mut Env<'_>, insn_idx: usize, meta: &Meta) -> Checked {
    let subprog = callback(env, meta)?;
    let id = env.new_id();
    env.push_sync_callback(insn_idx, subprog, (0, 1), &move |caller, callee| {
        callee.regs[0] = RegState::NOT_INIT;
        callee.regs[1] = RegState::dynptr(DynptrKind::Local, true, id);
        callee.regs[2] = caller.regs[3];
        clear_from(callee, 3);
        Ok(())
    })
}

fn timer_callback(env: &mut Env<'_>, insn_idx: usize, meta: &Meta) -> Checked {
    let subprog = callback(env, meta)?;
    push_of_map(env, insn_idx, subprog, Later { map: 1, sleepable: false, ret: (0, 0) })
}

/// A function that runs later with the map, key and value that it was set for.
pub(super) struct Later {
    /// The register that leads to the map.
    pub(super) map: usize,
    pub(super) sleepable: bool,
    /// What it may return.
    pub(super) ret: (i32, i32),
}

pub(super) fn push_of_map(
    env: &mut Env<'_>,
    insn_idx: usize,
    subprog: usize,
    later: Later,
) -> Checked {
    env.subprogs[subprog].is_async_cb = true;
    env.push_async_callback(insn_idx, subprog, later.sleepable, &|caller, callee| {
        let of = caller.regs[later.map];
        callee.regs[1] =
            RegState { data: of.data, data2: of.data2, ..RegState::pointer(RegKind::MapPtr) };
        callee.regs[2] = map_key(&of);
        callee.regs[3] = map_value(&of);
        clear_from(callee, 4);
        callee.callback_ret = later.ret;
        Ok(())
    })
}

fn bpf_loop(env: &mut Env<'_>, insn_idx: usize, meta: &Meta) -> Checked {
    let subprog = callback(env, meta)?;
    let no_flags = env.reg(4).is_null();
    if no_flags {
        env.mark_chain_precision(4)?;
    }
    let fits = no_flags.then_some(subprog);
    let noted = &mut env.aux[insn_idx].loop_inline;
    *noted = Some(noted.map_or(fits, |before| before.filter(|_| before == fits)));
    if !env.reg(1).is_scalar() {
        // Any argument will do by the contract, but Linux then looks for where it was computed.
        return reject!(EFAULT, Bug::Backtracking);
    }
    env.mark_chain_precision(1)?;
    if u64::from(env.state.cur().callback_depth) >= env.reg(1).v.umax {
        env.state.cur_mut().callback_depth = 0;
        let frame = env.state.curframe();
        say2!(env, Note::LoopLimit { frame });
        return Ok(());
    }
    env.push_sync_callback(insn_idx, subprog, (0, 1), &|caller, callee| {
        callee.regs[1] = RegState::UNKNOWN;
        callee.regs[2] = caller.regs[3];
        clear_from(callee, 3);
        Ok(())
    })
}

/// The argument points to the timer in a map's value.
pub(super) fn check_timer(env: &Env<'_>, regno: usize, meta: &mut Meta) -> Checked {
    let reg = *env.reg(regno);
    check_field(env, regno, &reg, FieldKind::Timer)?;
    meta.map = Some(reg);
    Ok(())
}

/// The register points to the field of this kind in a map's value.
pub(super) fn check_field(env: &Env<'_>, regno: usize, reg: &RegState, kind: FieldKind) -> Checked {
    let field = kind.name();
    let map_name = &env.map_def(reg).name;
    let Some(var) = reg.v.as_const() else {
        return reject!(EINVAL, BadArg::NoConstantOffset { reg: Reg(regno), field });
    };
    if !env.has_value_btf(reg) {
        return reject!(EINVAL, BadArg::FieldWithoutBtf { map: map_name.as_str().into(), field });
    }
    let Some(found) = env.fields_of(reg).record.find(kind) else {
        return reject!(EINVAL, BadArg::NoSuchField { map: map_name.as_str().into(), field });
    };
    let off = (var as i64).wrapping_add(i64::from(reg.off));
    if off != i64::from(found.off) {
        return reject!(EINVAL, BadArg::NotAtField { off, field, at: found.off });
    }
    Ok(())
}

/// `bpf_spin_lock` and `bpf_spin_unlock`.
pub(super) fn check_spin_lock(env: &mut Env<'_>, regno: usize, meta: &Meta) -> Checked {
    if in_less_callback(env) {
        return reject!(EACCES, BadLock::InCallback);
    }
    check_lock(env, regno, LockCall { kind: RefKind::Lock, takes: meta.id == SPIN_LOCK })
}

/// A dynptr argument.
pub(super) fn check_dynptr(
    env: &mut Env<'_>,
    regno: usize,
    insn_idx: usize,
    arg: uapi::ArgType,
    meta: &mut Meta,
) -> Checked {
    let kind = match arg.kind {
        ArgKind::Dynptr(DynptrArg::Local) => Some(DynptrKind::Local),
        ArgKind::Dynptr(DynptrArg::Ringbuf) => Some(DynptrKind::Ringbuf),
        _ => None,
    };
    if arg.uninit {
        let kind = kind.unwrap_or(DynptrKind::Local);
        return env.process_dynptr(regno, insn_idx, DynptrUse::Make { kind, shares: None });
    }
    env.process_dynptr(regno, insn_idx, DynptrUse::Use { kind, mutates: arg.release })?;
    let known = env.known_dynptr(&env.reg(regno).clone());
    if meta.id == DYNPTR_DATA {
        meta.ref_obj_id = known.ref_obj_id;
    }
    meta.dynptr = Some(known);
    Ok(())
}

/// The argument points to a string in a frozen read-only map.
pub(super) fn check_const_str(env: &mut Env<'_>, regno: usize) -> Checked {
    let reg = *env.reg(regno);
    if !is_frozen_rdonly(env, &reg) {
        return reject!(EACCES, BadArg::StringNotReadOnly { reg: Reg(regno) });
    }
    let Some(var) = reg.v.as_const() else {
        return reject!(EACCES, BadArg::StringNotConstant { reg: Reg(regno) });
    };
    let def = env.map_def(&reg);
    if !uapi::map_type_facts(def.map_type).direct_value {
        return reject!(EACCES, BadArg::NoDirectValue);
    }
    let rest = (def.value_size as i32).wrapping_sub(reg.off);
    env.check_map_access(regno, reg.off, rest, false)?;
    let Some(text) = constant_bytes(env, &reg, var) else {
        return reject!(EACCES, BadArg::StringUnreadable);
    };
    if !text.contains(&0) {
        return reject!(EINVAL, BadArg::StringUnterminated);
    }
    Ok(())
}

fn is_frozen_rdonly(env: &Env<'_>, reg: &RegState) -> bool {
    let map = env.map(reg.map());
    let rdonly = env.map_def(reg).flags & uapi::map_flags::RDONLY_PROG != 0;
    rdonly && map.frozen && !reg.is_inner_map()
}

/// What a frozen map holds from the register's place on.
fn constant_bytes<'a>(env: &Env<'a>, reg: &RegState, var: u64) -> Option<&'a [u8]> {
    let at = u64::try_from(i64::from(reg.off)).ok()?.checked_add(var)?;
    env.map(reg.map()).value.as_deref()?.get(usize::try_from(at).ok()?..)
}

fn check_snprintf(env: &Env<'_>) -> Checked {
    let size = env.reg(5).v.var_off.value;
    if !size.is_multiple_of(8) {
        return reject!(EINVAL);
    }
    let format = *env.reg(3);
    let text = format.v.as_const().and_then(|var| constant_bytes(env, &format, var));
    match text {
        Some(text) if format::is_valid(text, (size / 8) as usize) => Ok(()),
        _ => reject!(EINVAL, BadArg::Format),
    }
}
