//! Spin locks in map values and allocated objects: taken and given back.

use btf::fields::FieldKind;

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadArg, BadGraph, BadLock, Reg};
use crate::state::{LockHome, RefKind, Reference, RegFlags, RegKind, RegState};

/// A function on locks, as what it does and on which kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LockCall {
    /// [`RefKind::Lock`], [`RefKind::ResLock`] or [`RefKind::ResLockIrq`].
    pub(crate) kind: RefKind,
    /// It takes the lock; else it gives it back.
    pub(crate) takes: bool,
}

impl LockCall {
    fn field(self) -> FieldKind {
        if self.kind == RefKind::Lock { FieldKind::SpinLock } else { FieldKind::ResSpinLock }
    }

    /// What its functions' names begin with.
    fn name(self) -> &'static str {
        if self.kind == RefKind::Lock { "bpf_spin" } else { "bpf_res_spin" }
    }
}

/// The argument points to a lock, which is free, or held, as the call wants it.
pub(crate) fn check_lock(env: &mut Env<'_>, regno: usize, call: LockCall) -> Checked {
    let reg = *env.reg(regno);
    check_place(env, regno, &reg, call)?;
    let home = home(&reg);
    if call.takes { take(env, &reg, home, call) } else { give_back(env, &reg, home, call) }
}

/// Locks of one map, or of objects of one BTF, are told apart by the register's id.
fn home(reg: &RegState) -> LockHome {
    match reg.kind {
        RegKind::MapValue => LockHome::Map(reg.data),
        _ => LockHome::Btf(reg.data2),
    }
}

/// A lock of what the register points to is held.
pub(super) fn check_locked(env: &Env<'_>, reg: &RegState) -> Checked {
    if env.state.active_locks == 0 {
        return reject!(EINVAL);
    }
    let home = home(reg);
    if env.state.refs.iter().any(|r| r.kind.is_lock() && r.id == reg.id && r.home == home) {
        return Ok(());
    }
    reject!(EINVAL, BadGraph::OtherLock)
}

fn check_place(env: &Env<'_>, regno: usize, reg: &RegState, call: LockCall) -> Checked {
    let field = call.field().name();
    let Some(var) = reg.v.as_const() else {
        return reject!(EINVAL, BadArg::NoConstantOffset { reg: Reg(regno), field });
    };
    let (owner, name) = match reg.kind {
        RegKind::MapValue => ("map", env.map_def(reg).name.as_str()),
        _ => ("local", "kptr"),
    };
    if reg.kind == RegKind::MapValue && !env.has_value_btf(reg) {
        return reject!(EINVAL, BadArg::FieldWithoutBtf { map: name.into(), field });
    }
    let Some(found) = env.record_of(reg).and_then(|r| r.find(call.field())) else {
        return reject!(EINVAL, BadLock::None { owner, name: name.into(), lock: call.name() });
    };
    let off = (var as i64).wrapping_add(i64::from(reg.off));
    if off != i64::from(found.off) {
        return reject!(EINVAL, BadArg::NotAtField { off, field, at: found.off });
    }
    Ok(())
}

fn take(env: &mut Env<'_>, reg: &RegState, home: LockHome, call: LockCall) -> Checked {
    let held = |r: &Reference| match call.kind {
        RefKind::Lock => r.kind == RefKind::Lock,
        _ => r.kind.is_res_lock() && r.id == reg.id && r.home == home,
    };
    if env.state.active_locks != 0 && env.state.refs.iter().any(held) {
        return match call.kind {
            RefKind::Lock => reject!(EINVAL, BadLock::Two),
            _ => reject!(EINVAL, BadLock::Again),
        };
    }
    let insn_idx = env.insn_idx as u32;
    let state = &mut env.state;
    state.refs.push(Reference { kind: call.kind, id: reg.id, insn_idx, home });
    state.active_locks += 1;
    (state.active_lock_id, state.active_lock_home) = (reg.id, home);
    Ok(())
}

fn give_back(env: &mut Env<'_>, reg: &RegState, home: LockHome, call: LockCall) -> Checked {
    let lock = call.name();
    let state = &mut env.state;
    if state.active_locks == 0 {
        return reject!(EINVAL, BadLock::NotHeld { lock });
    }
    let same = |r: &Reference| r.kind == call.kind && r.id == reg.id && r.home == home;
    let Some(at) = state.refs.iter().position(same) else {
        return reject!(EINVAL, BadLock::Other { lock });
    };
    if (state.active_lock_id, state.active_lock_home) != (reg.id, home) {
        return reject!(EINVAL, BadLock::Order { lock });
    }
    let before = state.refs[..at].iter().rev().find(|r| r.kind.is_lock());
    (state.active_lock_id, state.active_lock_home) =
        before.map_or((0, LockHome::None), |r| (r.id, r.home));
    state.refs.remove(at);
    state.active_locks -= 1;
    env.forget_non_owning();
    Ok(())
}

impl Env<'_> {
    /// What the lock guarded may be gone: pointers that own nothing know nothing any more.
    pub(crate) fn forget_non_owning(&mut self) {
        let unknown = self.invalid_reg();
        let guarded = |reg: &RegState| reg.flags.contains(RegFlags::NON_OWN_REF);
        self.state.for_each_reg_where(guarded, |reg| *reg = unknown);
    }
}
