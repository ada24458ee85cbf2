//! A call of a helper, from its gate to the register it returns in.

use std::borrow::Cow;

use uapi::{ArgKind, HelperProto, MapType, helper, helper_facts, helper_for};

use super::{Kptr, arg, compat, ret, special};
use crate::check::{AccessKind, HelperMem, KnownDynptr};
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadArg, BadHelper};
use crate::passes::changes_packet;
use crate::state::{DynptrKind, RegState};

/// What checking the arguments found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Meta {
    /// The helper's number.
    pub(super) id: u32,
    /// The helper takes packet pointers.
    pub(super) pkt_access: bool,
    /// The register that named the map.
    pub(super) map: Option<RegState>,
    /// Constant key of a lookup in an array.
    pub(super) const_key: Option<u64>,
    /// Register whose reference the call ends.
    pub(super) release_reg: Option<usize>,
    /// The reference among the arguments, 0 for none.
    pub(super) ref_obj_id: u32,
    /// Bytes of the memory returned.
    pub(super) mem_size: u32,
    /// Largest value of the size argument.
    pub(super) max_size: u64,
    /// The callback.
    pub(super) subprog: Option<usize>,
    /// The per-CPU pointer whose target is returned.
    pub(super) percpu: Option<RegState>,
    /// The field that holds a kernel pointer.
    pub(super) kptr: Option<Kptr>,
    /// The dynptr among the arguments.
    pub(super) dynptr: Option<KnownDynptr>,
    /// Stack that the helper fills.
    pub(super) written: Option<(usize, i32)>,
}

/// A helper's name for messages.
pub(super) fn name(env: &Env<'_>, id: i32) -> String {
    let known = u32::try_from(id).ok().and_then(|id| {
        let host = || env.world.host_helpers.iter().find(|h| h.id == id);
        helper(id).or_else(host)
    });
    match known {
        Some(h) => h.name.to_string(),
        None if id == 0 => "bpf_unspec".into(),
        None => "unknown".into(),
    }
}

/// The contract of helper `id` in this program, if it has one.
fn contract<'w>(env: &Env<'w>, id: i32) -> Checked<Cow<'w, HelperProto>> {
    let number = u32::try_from(id).ok();
    let Some(number) = number.filter(|n| helper(*n).is_some()) else {
        let host = env.world.host_helpers.iter().find(|h| Some(h.id) == number);
        return match host {
            Some(proto) => Ok(Cow::Borrowed(proto)),
            None if id == 0 => {
                reject!(EINVAL, BadHelper::NotForType { helper: name(env, 0).into(), id: 0 })
            }
            None => reject!(EINVAL, BadHelper::Unknown { helper: name(env, id).into(), id }),
        };
    };
    let needs_perfmon = |v: &uapi::ProgVariant| {
        helper_facts(number).is_some_and(|f| f.needs_perfmon & v.bit() != 0)
    };
    let proto = env
        .variant
        .filter(|v| env.caps.allow_ptr_leaks || !needs_perfmon(v))
        .and_then(|v| helper_for(number, v).or_else(|| special::of_iterator(env, number)));
    match proto {
        Some(proto) => Ok(Cow::Borrowed(proto)),
        None => reject!(EINVAL, BadHelper::NotForType { helper: name(env, id).into(), id }),
    }
}

/// How many parameters helper `id` has in this program; `None` if it may not call it.
pub(crate) fn helper_params(env: &Env<'_>, id: i32) -> Option<u32> {
    contract(env, id).ok().map(|proto| proto.args.len() as u32)
}

/// The helper call at `insn_idx`.
pub(crate) fn check_helper_call(env: &mut Env<'_>, insn_idx: usize) -> Checked {
    let id = env.prog.insns[insn_idx].imm;
    let proto = match contract(env, id) {
        Err(reject) if special::is_refused(env, id) => {
            let _ = reject;
            return reject!(EINVAL, BadHelper::NotInProbe);
        }
        other => other?,
    };
    check_gate(env, &proto)?;
    let mut meta = Meta { id: proto.id, pkt_access: proto.pkt_access, ..Meta::default() };
    for n in 0..proto.args.len().min(5) {
        arg::check(env, insn_idx, n, &proto, &mut meta)?;
    }
    record_map(env, insn_idx, &meta)?;
    record_key(env, insn_idx, &mut meta)?;
    fill_stack(env, insn_idx, &meta)?;
    release(env, &proto, &meta)?;
    special::check(env, insn_idx, &meta)?;
    for n in 0..=5 {
        env.mark_reg_not_init(n);
    }
    ret::set(env, insn_idx, &proto, &meta)?;
    compat::check(env, &meta)?;
    special::check_after(env, &meta)?;
    if let Err(place) = env.used_helpers.binary_search(&proto.id) {
        env.used_helpers.insert(place, proto.id);
    }
    const TAIL_CALL: i32 = 12;
    if id == TAIL_CALL {
        env.changes_packet = true;
        return env.check_tail_call_return();
    }
    let writes_packet = proto.id == special::DYNPTR_WRITE
        && meta.dynptr.is_some_and(|d| matches!(d.kind, DynptrKind::Skb | DynptrKind::SkbMeta));
    if changes_packet(id) || writes_packet {
        env.clear_packet_pointers();
        env.changes_packet = true;
    }
    Ok(())
}

/// Licence, and whether the program may sleep here.
fn check_gate(env: &Env<'_>, proto: &HelperProto) -> Checked {
    if proto.gpl_only && !uapi::gpl_compatible(&env.prog.license) {
        return reject!(EINVAL, BadHelper::GplOnly);
    }
    if !special::is_allowed(env, proto.id)? {
        return reject!(EINVAL, BadHelper::NotInProbe);
    }
    if !proto.might_sleep {
        return Ok(());
    }
    let (id, name) = (proto.id, &proto.name);
    if !env.state.in_sleepable {
        return reject!(EINVAL, BadHelper::MightSleep);
    }
    if env.state.active_rcu_lock {
        return reject!(EINVAL, BadHelper::SleepsInRcu { helper: name.as_ref().into(), id });
    }
    if env.state.active_preempt_locks > 0 {
        return reject!(
            EINVAL,
            BadHelper::SleepsUnpreemptible { helper: name.as_ref().into(), id }
        );
    }
    if env.state.active_irq_id != 0 {
        return reject!(EINVAL, BadHelper::SleepsWithoutIrq { helper: name.as_ref().into(), id });
    }
    Ok(())
}

/// Helpers whose calls the translation may specialise by map.
const MAP_HELPERS: &[u32] = &[1, 2, 3, 12, 51, 87, 88, 89, 164, 195];
/// Those that change the map.
const MAP_WRITERS: &[u32] = &[2, 3, 87, 88];

/// Notes which map the call is made with; several on different paths are noted as such.
fn record_map(env: &mut Env<'_>, insn_idx: usize, meta: &Meta) -> Checked {
    let Some(map) = meta.map.filter(|_| MAP_HELPERS.contains(&meta.id)) else { return Ok(()) };
    let def = env.map_def(&map);
    if def.prog_flags() & uapi::map_flags::RDONLY_PROG != 0 && MAP_WRITERS.contains(&meta.id) {
        return reject!(EACCES, BadArg::MapIsReadOnly);
    }
    let this = if map.is_inner_map() { None } else { Some(map.map() as u32) };
    let noted = &mut env.aux[insn_idx].call_map;
    *noted = match *noted {
        None => Some(this),
        Some(old) if old == this => Some(old),
        Some(_) => Some(None),
    };
    Ok(())
}

/// Notes the constant index of a tail call or array lookup.
fn record_key(env: &mut Env<'_>, insn_idx: usize, meta: &mut Meta) -> Checked {
    const TAIL_CALL: u32 = 12;
    let key = match meta.id {
        TAIL_CALL => {
            let is_prog_array = |m: &RegState| env.map_def(m).map_type == MapType::ProgArray;
            if !meta.map.as_ref().is_some_and(is_prog_array) {
                return reject!(EINVAL, BadArg::NotProgArray);
            }
            let max = meta.map.map_or(0, |m| env.map_def(&m).max_entries);
            let index = env.reg(3).const_value().filter(|v| *v < u64::from(max));
            if index.is_some() {
                env.mark_chain_precision(3)?;
            }
            index
        }
        1 => meta.const_key,
        _ => return Ok(()),
    };
    let key = key.and_then(|k| u32::try_from(k).ok());
    let noted = &mut env.aux[insn_idx].call_key;
    *noted = match *noted {
        None => Some(key),
        Some(old) if old == key => Some(old),
        Some(_) => Some(None),
    };
    Ok(())
}

/// Stack that the helper writes becomes initialised, byte by byte.
fn fill_stack(env: &mut Env<'_>, insn_idx: usize, meta: &Meta) -> Checked {
    if let Some((regno, bytes)) = meta.written {
        for off in 0..bytes {
            env.check_mem_access(
                insn_idx,
                regno,
                off,
                isa::Size::B,
                AccessKind::Write,
                None,
                false,
                false,
            )?;
        }
    }
    Ok(())
}

/// Ends the reference that the call takes.
fn release(env: &mut Env<'_>, proto: &HelperProto, meta: &Meta) -> Checked {
    let Some(regno) = meta.release_reg else { return Ok(()) };
    let released = if matches!(proto.args[regno - 1].kind, ArgKind::Dynptr(_)) {
        env.release_dynptr(regno).is_ok()
    } else if meta.ref_obj_id != 0 && meta.kptr.is_some() {
        env.hand_over(meta.ref_obj_id)
    } else if meta.ref_obj_id != 0 {
        env.release_reference(meta.ref_obj_id).is_ok()
    } else {
        env.reg(regno).is_null()
    };
    if released {
        return Ok(());
    }
    reject!(EINVAL, BadHelper::NotAcquired { helper: proto.name.as_ref().into(), id: proto.id })
}

/// How a helper uses memory behind an argument.
pub(super) fn memory(uninit: bool) -> HelperMem {
    HelperMem { uninit, ..HelperMem::default() }
}
