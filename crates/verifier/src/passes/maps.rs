//! Which maps a program may refer to.

use btf::fields::FieldKind;
use uapi::{MapType, ProgType, map_type_facts};

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadMap, BadMem};

/// Most maps of a program (`MAX_USED_MAPS`).
const MAX_USED_MAPS: usize = 64;

/// The map with this descriptor as index into `World::maps`, noted as used; `true` if it is new.
pub(super) fn use_map(env: &mut Env<'_>, fd: i32) -> Checked<(usize, bool)> {
    let Some(index) = env.world.maps.iter().position(|m| m.fd == fd) else {
        return reject!(EBADF, BadMap::Fd { fd });
    };
    if env.used_maps.contains(&index) {
        return Ok((index, false));
    }
    if env.used_maps.len() >= MAX_USED_MAPS {
        return reject!(E2BIG, BadMap::TooMany);
    }
    env.used_maps.push(index);
    Ok((index, true))
}

/// The rules between a map and the program's type.
pub(super) fn check_compatible(env: &Env<'_>, index: usize) -> Checked {
    let map = env.map(index);
    let Some(prog_type) = env.prog_type else { return reject!(EINVAL) };
    let tracing = is_tracing(prog_type);
    let holds = |kinds: &[FieldKind]| env.map_fields[index].own.record.has_any(kinds);
    if tracing && holds(&[FieldKind::ListHead, FieldKind::RbRoot]) {
        return reject!(EINVAL, BadMap::TracingGraph);
    }
    if holds(&[FieldKind::SpinLock, FieldKind::ResSpinLock]) {
        if prog_type == ProgType::SocketFilter {
            return reject!(EINVAL, BadMap::FilterLock);
        }
        if tracing {
            return reject!(EINVAL, BadMap::TracingField { field: "bpf_spin_lock" });
        }
    }
    for (kind, name) in [(FieldKind::Timer, "bpf_timer"), (FieldKind::Wq, "bpf_wq")] {
        if tracing && holds(&[kind]) {
            return reject!(EINVAL, BadMap::TracingField { field: name });
        }
    }
    if map.def.map_type == MapType::StructOps {
        return reject!(EINVAL, BadMap::StructOps);
    }
    if env.sleepable && !map_type_facts(map.def.map_type).sleepable {
        return reject!(EINVAL, BadMap::Sleepable);
    }
    Ok(())
}

/// Programs that run where locks may not be taken.
fn is_tracing(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::Kprobe
            | ProgType::Tracepoint
            | ProgType::PerfEvent
            | ProgType::RawTracepoint
            | ProgType::RawTracepointWritable
    )
}

/// Rules for the first use of a map by the program.
pub(super) fn check_new(env: &Env<'_>, index: usize) -> Checked {
    let map_type = env.map(index).def.map_type;
    let same_type =
        || env.used_maps.iter().filter(|m| env.map(**m).def.map_type == map_type).count() > 1;
    match map_type {
        MapType::CgroupStorage | MapType::PercpuCgroupStorage if same_type() => {
            reject!(EBUSY, BadMap::SecondStorage)
        }
        MapType::Arena if same_type() => reject!(EBUSY, BadMap::SecondArena),
        MapType::Arena if !env.caps.allow_ptr_leaks || !env.caps.bpf_capable => {
            reject!(EPERM, BadMap::ArenaPrivileged)
        }
        MapType::Arena if env.map(index).def.extra == 0 => reject!(EINVAL, BadMap::ArenaUnplaced),
        MapType::Arena => Ok(()),
        _ => Ok(()),
    }
}

/// Whether byte `off` of the map's value may be addressed directly.
pub(super) fn check_direct_value(env: &Env<'_>, index: usize, off: u32) -> Checked {
    /// Offsets beyond this are not followed (`BPF_MAX_VAR_OFF`).
    const MAX_VAR_OFF: u32 = 1 << 29;
    let def = &env.map(index).def;
    if off >= MAX_VAR_OFF {
        return reject!(EINVAL, BadMap::Offset { off });
    }
    if !map_type_facts(def.map_type).direct_value {
        return reject!(EINVAL, BadMap::NoDirectValue);
    }
    let bad = || BadMem::MapValuePointer { have: def.value_size, off };
    if def.map_type == MapType::Arena {
        let bytes = u64::from(def.max_entries) * 4096;
        return if u64::from(off) > bytes { reject!(ERANGE, bad()) } else { Ok(()) };
    }
    if def.max_entries != 1 {
        return reject!(ENOTSUPP, bad());
    }
    if off >= def.value_size {
        return reject!(EINVAL, bad());
    }
    Ok(())
}
