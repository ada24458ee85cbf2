//! A call of a kernel function, from its gate to the register it returns in.
//!
//! What an argument must be follows from the function's prototype in the kernel's BTF, the
//! suffixes of its parameters' names ([`param`]) and its flags.

mod args;
mod graph;
mod object;
mod param;
mod ret;

pub(super) use graph::in_less_callback;

use btf::{Btf, TypeId};
use uapi::kfunc_flags as kf;

use super::exit;
use crate::calls::special::{Later, push_of_map};
use crate::check::{IterPlace, KnownDynptr};
use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::BadKfunc;
use crate::passes::{KfuncDesc, Special};
use crate::state::{RegFlags, RegState, SlotByte};

/// What checking the arguments found out.
struct Meta<'w> {
    func: KfuncDesc<'w>,
    /// The kernel's.
    btf: &'w Btf,
    /// Register whose reference the call ends.
    release_reg: Option<usize>,
    /// The reference among the arguments, 0 for none.
    ref_obj_id: u32,
    /// The argument that must be known.
    constant: Option<u64>,
    /// Bytes of the memory returned, and whether it is for reading only.
    r0_size: u64,
    r0_rdonly: bool,
    /// The allocated object among the arguments: which BTF, and its type there.
    object: Option<(u32, u32)>,
    /// A refcount is taken through an owning reference.
    owning: bool,
    dynptr: Option<KnownDynptr>,
    iter: IterPlace,
    map: Option<RegState>,
    /// List head or tree root.
    root: Option<graph::Root>,
    /// The callback.
    subprog: Option<usize>,
    /// What the context is cast to.
    ret_btf_id: u32,
}

impl Meta<'_> {
    fn has(&self, flags: u32) -> bool {
        self.func.has(flags)
    }

    fn name(&self) -> Box<str> {
        self.func.name.into()
    }

    /// Arguments must be alive for sure.
    fn trusts(&self) -> bool {
        self.has(kf::TRUSTED_ARGS | kf::RELEASE)
    }

    fn may_return_null(&self) -> bool {
        self.has(kf::RET_NULL) && !(self.func.special == Special::RefcountAcquire && self.owning)
    }
}

/// The call of a kernel function at `insn_idx`.
pub(crate) fn check_kfunc_call(env: &mut Env<'_>, insn_idx: usize) -> Checked {
    let Some(func) = env.kfunc_at(insn_idx).copied() else {
        return Ok(()); // a weak function that was not found: refused after the walk
    };
    let world = env.world;
    let Some(btf) = world.kernel_btf.as_deref() else { return Err(Reject::needs("kernel BTF")) };
    if func.row.is_none() {
        return reject!(EACCES, BadKfunc::NotAllowed { func: func.name.into() });
    }
    let mut meta = Meta {
        func,
        btf,
        release_reg: None,
        ref_obj_id: 0,
        constant: None,
        r0_size: 0,
        r0_rdonly: false,
        object: None,
        owning: false,
        dynptr: None,
        iter: IterPlace::default(),
        map: None,
        root: None,
        subprog: None,
        ret_btf_id: 0,
    };
    if func.special == Special::Trap {
        return reject!(EFAULT, BadKfunc::Trap);
    }
    if matches!(func.special, Special::ResLock | Special::ResLockIrq) {
        push_failed_lock(env, insn_idx)?;
    }
    if meta.has(kf::SLEEPABLE) && !env.in_sleepable() {
        return reject!(EACCES, BadKfunc::MustSleep { func: meta.name() });
    }
    args::check(env, insn_idx, &mut meta)?;
    push_callbacks(env, insn_idx, &meta)?;
    if func.special == Special::SessionCookie {
        (meta.r0_size, meta.r0_rdonly) = (8, false);
    }
    check_rcu(env, &meta)?;
    check_preemption(env, &meta)?;
    if env.state.active_irq_id != 0 && meta.has(kf::SLEEPABLE) {
        return reject!(EACCES, BadKfunc::SleepsWithoutIrq { func: meta.name() });
    }
    if meta.has(kf::RCU_PROTECTED) && !env.in_rcu_section() {
        return reject!(EACCES, BadKfunc::NeedsRcu { func: meta.name() });
    }
    release(env, insn_idx, &meta)?;
    if func.special == Special::Throw && env.exception_callback.is_none() {
        exit::check_return_code(env, 1)?;
    }
    for n in 0..=5 {
        env.mark_reg_not_init(n);
    }
    ret::set(env, insn_idx, &meta)?;
    note_facts(env, insn_idx, &meta);
    if meta.has(kf::ITER_NEXT) {
        env.step_iter(insn_idx, meta.iter)?;
    }
    if func.special == Special::XdpPullData {
        env.clear_packet_pointers();
        env.changes_packet = true;
    }
    Ok(())
}

/// The path on which the lock was not taken.
fn push_failed_lock(env: &mut Env<'_>, insn_idx: usize) -> Checked {
    const MAX_ERRNO: i32 = 4095;
    env.push_branch(insn_idx + 1, insn_idx, false)?;
    let mut error = env.unknown_reg();
    (error.v.s32_min, error.v.s32_max) = (-MAX_ERRNO, -1);
    error.v.sync();
    if let Some(other) = env.other_branch() {
        other.cur_mut().regs[..6].fill(RegState::NOT_INIT);
        *other.reg_mut(0) = error;
    }
    Ok(())
}

fn push_callbacks(env: &mut Env<'_>, insn_idx: usize, meta: &Meta<'_>) -> Checked {
    let refused =
        |reject: Reject| reject.then(BadKfunc::Callback { func: meta.name(), id: meta.func.id });
    match meta.func.special {
        Special::RbtreeAdd => graph::push_less(env, insn_idx, meta),
        Special::WqSetCallback => {
            push_later(env, insn_idx, meta, Later { map: 1, sleepable: true, ret: (0, 0) })
        }
        Special::TaskWorkSignal | Special::TaskWorkResume => {
            let ret = (i32::MIN, i32::MAX);
            push_later(env, insn_idx, meta, Later { map: 3, sleepable: true, ret })
        }
        _ => Ok(()),
    }
    .map_err(refused)
}

fn push_later(env: &mut Env<'_>, insn_idx: usize, meta: &Meta<'_>, later: Later) -> Checked {
    let Some(subprog) = meta.subprog else { return reject!(EFAULT) };
    push_of_map(env, insn_idx, subprog, later)
}

/// Sections in which what RCU protects stays alive.
fn check_rcu(env: &mut Env<'_>, meta: &Meta<'_>) -> Checked {
    let (lock, unlock) =
        (meta.func.special == Special::RcuLock, meta.func.special == Special::RcuUnlock);
    if !env.state.active_rcu_lock {
        if unlock {
            return reject!(EINVAL, BadKfunc::UnmatchedRcu { func: meta.name() });
        }
        env.state.active_rcu_lock = lock;
        return Ok(());
    }
    if (lock || unlock) && graph::in_less_callback(env) {
        return reject!(EACCES, BadKfunc::RcuInCallback);
    }
    if lock {
        return reject!(EINVAL, BadKfunc::NestedRcu { func: meta.name() });
    }
    if unlock {
        env.state.active_rcu_lock = false;
        distrust(env);
    } else if meta.has(kf::SLEEPABLE) {
        return reject!(EACCES, BadKfunc::SleepsInRcu { func: meta.name() });
    }
    Ok(())
}

/// What only RCU kept alive may be gone.
fn distrust(env: &mut Env<'_>) {
    let by_rcu = |reg: &RegState| reg.flags.contains(RegFlags::RCU);
    let lose = |reg: &mut RegState| {
        reg.flags -= RegFlags::RCU | RegFlags::MAYBE_NULL;
        reg.flags |= RegFlags::UNTRUSTED;
    };
    env.state.for_each_reg_where(by_rcu, lose);
    for n in 0..env.state.frames.len() {
        let slots = env.state.frame(n).stack.slots();
        let found =
            |s: &crate::state::StackSlot| s.bytes[7] == SlotByte::Iter && by_rcu(&s.spilled);
        if slots.iter().any(found) {
            let slots = env.state.frame_mut(n).stack.slots_mut();
            slots.iter_mut().filter(|s| found(s)).for_each(|s| lose(&mut s.spilled));
        }
    }
}

/// Sections without preemption; they nest.
fn check_preemption(env: &mut Env<'_>, meta: &Meta<'_>) -> Checked {
    let open = &mut env.state.active_preempt_locks;
    match meta.func.special {
        Special::PreemptDisable => *open += 1,
        Special::PreemptEnable if *open > 0 => *open -= 1,
        Special::PreemptEnable => {
            return reject!(EINVAL, BadKfunc::UnmatchedPreempt { func: meta.name() });
        }
        _ if *open > 0 && meta.has(kf::SLEEPABLE) => {
            return reject!(EACCES, BadKfunc::SleepsUnpreemptible { func: meta.name() });
        }
        _ => {}
    }
    Ok(())
}

/// Ends the reference that the call takes.
fn release(env: &mut Env<'_>, insn_idx: usize, meta: &Meta<'_>) -> Checked {
    let not_acquired =
        |reject: Reject| reject.then(BadKfunc::NotAcquired { func: meta.name(), id: meta.func.id });
    if let Some(regno) = meta.release_reg {
        let id = env.reg(regno).ref_obj_id;
        env.release_reference(id).map_err(not_acquired)?;
    }
    if meta.func.special.inserts() {
        graph::insert(env, insn_idx, meta)?;
    }
    Ok(())
}

/// What whoever runs the program needs to know of the call.
fn note_facts(env: &mut Env<'_>, insn_idx: usize, meta: &Meta<'_>) {
    let noted = &mut env.aux[insn_idx].object;
    let mut object = noted.unwrap_or_default();
    if matches!(meta.func.special, Special::ObjNew | Special::PercpuObjNew) {
        object.type_id = meta.constant.and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    }
    if let Some((program, type_id)) = meta.object
        && program != 0
    {
        object.type_id = type_id;
    }
    if let Some(root) = meta.root {
        object.root_off = root.off;
        object.node_off = root.node_off;
    }
    *noted = Some(object);
    if object.type_id != 0
        && let Some(btf) = &env.prog.btf
    {
        let size = btf.size_of(TypeId(object.type_id)).unwrap_or(0);
        env.aux[insn_idx].object = Some(crate::outcome::KfuncObject { size, ..object });
    }
}
