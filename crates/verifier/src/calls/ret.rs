//! What r0 holds after a helper call.

use btf::{Kind, TypeId};
use uapi::{HelperProto, MapType, RetKind};

use super::helper::Meta;
use crate::domain::Bounds;
use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::BadHelper;
use crate::state::{RegFlags, RegKind, RegState};

/// Largest errno that a helper returns negated.
const MAX_ERRNO: i32 = 4095;

/// Helpers whose result is the argument in another type: it holds the same reference.
const CASTS: &[u32] = &[95, 96, 136, 137, 138, 139, 140, 196];
/// Helpers that acquire what they return: socket lookups, ring-buffer records, kernel
/// pointers.
const ACQUIRES: &[u32] = &[84, 85, 99, 131, 194];

/// Sets r0; the other caller-saved registers are gone already.
pub(super) fn set(env: &mut Env<'_>, insn_idx: usize, proto: &HelperProto, meta: &Meta) -> Checked {
    let mut flags = RegFlags::empty();
    flags.set(RegFlags::MAYBE_NULL, proto.ret.maybe_null);
    flags.set(RegFlags::RDONLY, proto.ret.readonly);
    flags.set(RegFlags::RINGBUF, proto.ret.ringbuf);
    flags.set(RegFlags::TRUSTED, proto.ret.trusted);
    let mut reg = match proto.ret.kind {
        RetKind::Integer => integer(env, meta),
        RetKind::Void => RegState::NOT_INIT,
        RetKind::MapValue => map_value(env, meta, flags)?,
        RetKind::Socket => RegState::pointer(RegKind::Sock).with(flags),
        RetKind::SockCommon => RegState::pointer(RegKind::SockCommon).with(flags),
        RetKind::TcpSock => RegState::pointer(RegKind::TcpSock).with(flags),
        RetKind::Mem => memory(meta.mem_size, flags),
        RetKind::MemOrBtfId => percpu_target(env, meta, flags)?,
        RetKind::BtfId("") => match &meta.kptr {
            Some(kptr) => kptr.taken(flags),
            None => return reject!(EINVAL, BadHelper::Misconfigured),
        },
        RetKind::BtfId(name) => {
            RegState { data: kernel_struct(env, name)?, ..RegState::pointer(RegKind::BtfId) }
                .with(flags)
        }
    };
    if reg.may_be_null() {
        reg.id = env.new_id();
    }
    if let (super::special::DYNPTR_DATA, Some(dynptr)) = (meta.id, meta.dynptr) {
        reg.data2 = dynptr.id;
    }
    if CASTS.contains(&meta.id) || meta.id == super::special::DYNPTR_DATA {
        reg.ref_obj_id = meta.ref_obj_id;
    } else if acquires(env, meta) {
        let id = env.acquire_reference(insn_idx);
        (reg.id, reg.ref_obj_id) = (id, id);
    }
    *env.reg_mut(0) = reg;
    Ok(())
}

fn acquires(env: &Env<'_>, meta: &Meta) -> bool {
    const LOOKUP: u32 = 1;
    let socket_map =
        |m: &RegState| matches!(env.map_def(m).map_type, MapType::Sockmap | MapType::Sockhash);
    ACQUIRES.contains(&meta.id) || (meta.id == LOOKUP && meta.map.as_ref().is_some_and(socket_map))
}

/// A number; of some helpers its range is known.
fn integer(env: &Env<'_>, meta: &Meta) -> RegState {
    let mut reg = env.unknown_reg();
    match meta.id {
        // bpf_get_stack, bpf_get_task_stack and the probe_read_*_str family: bytes, or an errno.
        67 | 141 | 45 | 114 | 115 => {
            let v = &mut reg.v;
            v.smax = meta.max_size as i64;
            v.s32_max = meta.max_size as i32;
            v.smin = i64::from(-MAX_ERRNO);
            v.s32_min = -MAX_ERRNO;
            v.sync();
        }
        8 => {
            let top = u64::from(env.cpus.saturating_sub(1));
            reg.v = Bounds {
                smin: 0,
                smax: top as i64,
                umin: 0,
                umax: top,
                s32_min: 0,
                s32_max: top as i32,
                u32_min: 0,
                u32_max: top as u32,
                ..Bounds::UNKNOWN
            };
            reg.v.sync();
        }
        _ => {}
    }
    reg
}

fn map_value(env: &mut Env<'_>, meta: &Meta, mut flags: RegFlags) -> Checked<RegState> {
    let Some(map) = meta.map else {
        return reject!(EINVAL, BadHelper::Misconfigured);
    };
    let def = env.map_def(&map);
    if meta.id == 1
        && matches!(def.map_type, MapType::Array | MapType::PercpuArray)
        && meta.const_key.is_some_and(|k| k < u64::from(def.max_entries))
    {
        flags -= RegFlags::MAYBE_NULL;
    }
    let mut reg =
        RegState { data: map.data, data2: map.data2, ..RegState::pointer(RegKind::MapValue) }
            .with(flags);
    if !reg.may_be_null() && env.fields_of(&map).record.lock().is_some() {
        reg.id = env.new_id();
    }
    Ok(reg)
}

fn memory(size: u32, flags: RegFlags) -> RegState {
    RegState { data: size, ..RegState::pointer(RegKind::Mem) }.with(flags)
}

/// The variable of one CPU behind a per-CPU pointer.
fn percpu_target(env: &Env<'_>, meta: &Meta, flags: RegFlags) -> Checked<RegState> {
    let Some(from) = &meta.percpu else {
        return reject!(EINVAL, BadHelper::Misconfigured);
    };
    let Some(btf) = env.btf_of(from) else { return Err(Reject::needs("kernel BTF")) };
    let id = TypeId(from.btf_id());
    if btf.resolved(id).is_some_and(|t| t.kind.is_composite()) {
        let data2 = from.data2;
        let reg = RegState { data: id.0, data2, ..RegState::pointer(RegKind::BtfId) };
        // One CPU's copy of an object that the program allocated, or of a kernel variable.
        let own = from.flags.contains(RegFlags::RCU);
        let flags = if own { RegFlags::ALLOC | RegFlags::RCU } else { flags - RegFlags::RDONLY };
        return Ok(reg.with(flags));
    }
    match btf.size_of(id) {
        Ok(size) => Ok(memory(size, flags)),
        Err(_) => reject!(EINVAL, BadHelper::SizeUnknown { name: btf.name_of(id).into() }),
    }
}

/// Type id of a structure in the kernel's BTF.
pub(super) fn kernel_struct(env: &Env<'_>, name: &str) -> Checked<u32> {
    let btf = env.world.kernel_btf.as_ref();
    match btf.and_then(|b| b.find_by_name(name, Kind::Struct)) {
        Some(id) => Ok(id.0),
        None => Err(Reject::needs("kernel BTF")),
    }
}
