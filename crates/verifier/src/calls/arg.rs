//! One argument of a helper.

use uapi::{ArgKind, ArgType, HelperProto, MapType};

use super::helper::{Meta, memory};
use super::kinds::{accepted, type_name};
use super::{btf_ids, kptr, special};
use crate::check::AccessKind;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadArg, Reg, RegType};
use crate::state::{RegFlags, RegKind, SlotByte, slot_of};

/// The argument in register `n + 1`.
pub(super) fn check(
    env: &mut Env<'_>,
    insn_idx: usize,
    n: usize,
    proto: &HelperProto,
    meta: &mut Meta,
) -> Checked {
    let regno = n + 1;
    env.check_reg_read(regno)?;
    let mut arg = proto.args[n];
    if arg.kind == ArgKind::Anything {
        if env.is_pointer_value(regno) {
            return reject!(EACCES, BadArg::AddrLeak { reg: Reg(regno) });
        }
        return Ok(());
    }
    if env.reg(regno).is_packet() && !env.may_access_packet(Some(meta.pkt_access), false) {
        return reject!(EACCES, BadArg::PacketForbidden);
    }
    if arg.kind == ArgKind::MapValue {
        arg = by_map(env, arg, meta)?;
    }
    let null = env.reg(regno).is_null();
    if !(null && arg.maybe_null) {
        check_type(env, regno, arg, proto, meta)?;
        check_offset(env, regno, arg)?;
    }
    note_references(env, regno, arg, meta)?;
    check_value(env, insn_idx, n, arg, proto, meta)
}

/// Values of socket maps are sockets; a bloom filter's is read by peek.
fn by_map(env: &Env<'_>, arg: ArgType, meta: &Meta) -> Checked<ArgType> {
    let Some(map) = &meta.map else {
        return reject!(EACCES, BadArg::TypeWithoutMap);
    };
    match env.map_def(map).map_type {
        MapType::Sockmap | MapType::Sockhash => {
            if arg == ArgType::new(ArgKind::MapValue) {
                return Ok(ArgType::new(ArgKind::BtfIdSockCommon));
            }
            reject!(EINVAL, BadArg::SocketMapValue)
        }
        MapType::BloomFilter if meta.id == 89 => Ok(ArgType::new(ArgKind::MapValue)),
        _ => Ok(arg),
    }
}

/// Kind and flags of the register against the argument's list.
fn check_type(
    env: &Env<'_>,
    regno: usize,
    arg: ArgType,
    proto: &HelperProto,
    meta: &Meta,
) -> Checked {
    const KPTR_XCHG: u32 = 194;
    let reg = *env.reg(regno);
    let list = accepted(arg.kind);
    let mut flags = reg.flags;
    let reads_only = is_read_only(arg);
    if reads_only {
        flags -= RegFlags::RDONLY;
    }
    if arg.maybe_null {
        flags -= RegFlags::MAYBE_NULL;
    }
    if arg.kind == ArgKind::Mem {
        flags -= RegFlags::DYNPTR;
    }
    if meta.id == KPTR_XCHG && regno == 2 {
        flags -= RegFlags::ALLOC | RegFlags::PERCPU;
    }
    if !list.contains(&(reg.kind, flags)) {
        let expected: Vec<String> = list.iter().map(|(k, f)| type_name(*k, *f)).collect();
        return reject!(
            EACCES,
            BadArg::WrongType {
                reg: Reg(regno),
                is: RegType::of(&reg),
                expected: expected.join(", ").into()
            }
        );
    }
    if reg.kind != RegKind::BtfId {
        return Ok(());
    }
    if matches!(arg.kind, ArgKind::Mem | ArgKind::MapKey | ArgKind::MapValue) {
        if reads_only {
            return Ok(());
        }
        return reject!(
            EACCES,
            BadArg::WouldWrite {
                helper: proto.name.as_ref().into(),
                reg: Reg(regno),
                is: RegType::of(&reg)
            }
        );
    }
    btf_ids::check_argument(env, regno, &reg, arg, meta)
}

/// The contract says that the helper reads and does not write.
fn is_read_only(arg: ArgType) -> bool {
    matches!(arg.kind, ArgKind::Mem | ArgKind::Dynptr(_)) && !arg.write && !arg.uninit
}

const PLAIN: RegFlags = RegFlags::empty();
const ALLOC: RegFlags = RegFlags::ALLOC;
/// Flags of memory, buffers and kernel objects that may be handed over with an offset.
const MOVABLE_MEM: &[RegFlags] = &[PLAIN, RegFlags::RDONLY, RegFlags::RINGBUF];
const MOVABLE_BUF: &[RegFlags] = &[PLAIN, RegFlags::RDONLY];
const MOVABLE_OBJECTS: &[RegFlags] = &[
    PLAIN,
    ALLOC,
    RegFlags::TRUSTED,
    RegFlags::RCU,
    ALLOC.union(RegFlags::NON_OWN_REF),
    ALLOC.union(RegFlags::NON_OWN_REF).union(RegFlags::RCU),
];

/// Offsets that pointers of this kind may have when they are handed over.
pub(super) fn check_offset(env: &Env<'_>, regno: usize, arg: ArgType) -> Checked {
    let reg = env.reg(regno);
    if arg.release {
        if matches!(arg.kind, ArgKind::Dynptr(_)) && reg.kind == RegKind::Stack {
            return Ok(());
        }
        if reg.off != 0 {
            return reject!(EINVAL, BadArg::OffsetOnTrusted { reg: Reg(regno) });
        }
        return env.check_ptr_off(reg, regno, false);
    }
    match reg.kind {
        RegKind::Stack
        | RegKind::Pkt
        | RegKind::PktMeta
        | RegKind::MapKey
        | RegKind::MapValue
        | RegKind::Arena
        | RegKind::Scalar => Ok(()),
        RegKind::Mem if MOVABLE_MEM.contains(&reg.flags) => Ok(()),
        RegKind::Buf if MOVABLE_BUF.contains(&reg.flags) => Ok(()),
        RegKind::BtfId => env.check_ptr_off(reg, regno, MOVABLE_OBJECTS.contains(&reg.flags)),
        _ => env.check_ptr_off(reg, regno, false),
    }
}

/// The reference that the argument holds, and whether the call ends it.
fn note_references(env: &Env<'_>, regno: usize, arg: ArgType, meta: &mut Meta) -> Checked {
    let reg = env.reg(regno);
    if arg.release {
        if matches!(arg.kind, ArgKind::Dynptr(_)) {
            if reg.kind != RegKind::Stack {
                return reject!(EINVAL, BadArg::ReleasesConstDynptr);
            }
            env.check_dynptr_release(regno)?;
        } else if reg.ref_obj_id == 0 && !reg.is_null() {
            return reject!(EINVAL, BadArg::NotReferenced { reg: Reg(regno) });
        }
        meta.release_reg = Some(regno);
    }
    if reg.ref_obj_id != 0 && arg.kind != ArgKind::KptrXchgDest {
        if meta.ref_obj_id != 0 {
            let (id, first) = (reg.ref_obj_id, meta.ref_obj_id);
            return reject!(EACCES, BadArg::SecondReference { reg: Reg(regno), id, first });
        }
        meta.ref_obj_id = reg.ref_obj_id;
    }
    Ok(())
}

/// What depends on the value rather than the type.
fn check_value(
    env: &mut Env<'_>,
    insn_idx: usize,
    n: usize,
    arg: ArgType,
    proto: &HelperProto,
    meta: &mut Meta,
) -> Checked {
    let regno = n + 1;
    match arg.kind {
        ArgKind::ConstMapPtr => note_map(env, regno, meta),
        ArgKind::MapKey => check_key(env, regno, meta),
        ArgKind::MapValue => check_map_value(env, regno, arg, meta),
        ArgKind::Mem => check_memory(env, regno, arg, meta),
        ArgKind::ConstSize => check_size(env, n, proto, false, meta),
        ArgKind::ConstSizeOrZero => check_size(env, n, proto, true, meta),
        ArgKind::ConstAllocSizeOrZero => {
            let Some(size) = env.reg(regno).const_value() else {
                return reject!(EACCES, BadArg::NotConstant { reg: Reg(regno) });
            };
            meta.mem_size = size as u32;
            env.mark_chain_precision(regno)
        }
        ArgKind::PercpuBtfId => {
            let reg = *env.reg(regno);
            if reg.btf_id() == 0 {
                return reject!(EACCES, BadArg::PercpuWithoutType { reg: Reg(regno) });
            }
            meta.percpu = Some(reg);
            Ok(())
        }
        ArgKind::Func => {
            meta.subprog = Some(env.reg(regno).subprog());
            Ok(())
        }
        ArgKind::Timer => special::check_timer(env, regno, meta),
        ArgKind::ConstStr => special::check_const_str(env, regno),
        ArgKind::SpinLock => special::check_spin_lock(env, regno, meta),
        ArgKind::KptrXchgDest => kptr::check_destination(env, regno, meta),
        ArgKind::Dynptr(_) => special::check_dynptr(env, regno, insn_idx, arg, meta),
        ArgKind::Anything
        | ArgKind::Ctx
        | ArgKind::SockCommon
        | ArgKind::Socket
        | ArgKind::BtfId(_)
        | ArgKind::BtfIdSockCommon
        | ArgKind::RingbufMem
        | ArgKind::Stack => Ok(()),
    }
}

fn note_map(env: &Env<'_>, regno: usize, meta: &mut Meta) -> Checked {
    let reg = *env.reg(regno);
    if let Some(timer) = &meta.map
        && (timer.data, timer.data2) != (reg.data, reg.data2)
    {
        return reject!(EINVAL, BadArg::TimerOfOtherMap { timer: timer.data2, map: reg.data2 });
    }
    meta.map = Some(reg);
    Ok(())
}

fn check_key(env: &mut Env<'_>, regno: usize, meta: &mut Meta) -> Checked {
    let Some(map) = meta.map else {
        return reject!(EACCES, BadArg::KeyWithoutMap);
    };
    let def = env.map_def(&map);
    let mut mem = memory(false);
    env.check_helper_mem_access(regno, def.key_size as i32, AccessKind::Read, false, &mut mem)?;
    if matches!(def.map_type, MapType::Array | MapType::PercpuArray) {
        meta.const_key = constant_key(env, regno, def.key_size as usize)?;
    }
    Ok(())
}

/// The key on the stack, if it is one known number.
fn constant_key(env: &mut Env<'_>, regno: usize, size: usize) -> Checked<Option<u64>> {
    let key = *env.reg(regno);
    if !env.caps.bpf_capable || key.kind != RegKind::Stack {
        return Ok(None);
    }
    let Some(var) = key.v.as_const() else { return Ok(None) };
    let off = i64::from(key.off).wrapping_add(var as i64);
    if !(-512..0).contains(&off) {
        return Ok(None);
    }
    let off = off as i32;
    let (spi, from) = (slot_of(off), ((-off - 1) % 8) as usize);
    let frame = usize::from(key.frameno);
    let Some(slot) = env.state.frame(frame).stack.slots().get(spi).copied() else {
        return Ok(None);
    };
    let run = |byte| slot.bytes[..=from].iter().rev().take_while(|b| **b == byte).count();
    if run(SlotByte::Zero) >= size {
        return Ok(Some(0));
    }
    if !slot.is_spilled_scalar() || run(SlotByte::Spill) != size {
        return Ok(None);
    }
    let Some(value) = slot.spilled.const_value() else { return Ok(None) };
    env.mark_stack_precision(frame, spi)?;
    Ok(Some(value))
}

fn check_map_value(env: &mut Env<'_>, regno: usize, arg: ArgType, meta: &mut Meta) -> Checked {
    if arg.maybe_null && env.reg(regno).is_null() {
        return Ok(());
    }
    let Some(map) = meta.map else {
        return reject!(EACCES, BadArg::ValueWithoutMap);
    };
    let size = env.map_def(&map).value_size as i32;
    let mut mem = memory(arg.uninit);
    env.check_helper_mem_access(regno, size, access(arg), false, &mut mem)?;
    meta.written = mem.written.or(meta.written);
    Ok(())
}

fn access(arg: ArgType) -> AccessKind {
    if arg.write { AccessKind::Write } else { AccessKind::Read }
}

/// Memory of a fixed size; of another size, the next argument is checked with it.
fn check_memory(env: &mut Env<'_>, regno: usize, arg: ArgType, meta: &mut Meta) -> Checked {
    if arg.size == 0 {
        return Ok(());
    }
    let mut mem = memory(arg.uninit);
    env.check_helper_mem_access(regno, arg.size as i32, access(arg), false, &mut mem)?;
    meta.written = mem.written.or(meta.written);
    if arg.aligned {
        let reg = *env.reg(regno);
        env.check_alignment(&reg, 0, arg.size as i32, true)?;
    }
    Ok(())
}

fn check_size(
    env: &mut Env<'_>,
    n: usize,
    proto: &HelperProto,
    zero_allowed: bool,
    meta: &mut Meta,
) -> Checked {
    let Some(before) = n.checked_sub(1).map(|n| proto.args[n]) else { return reject!(EFAULT) };
    meta.max_size = env.reg(n + 1).v.umax;
    let mut mem = memory(before.uninit);
    env.check_mem_size_reg(n + 1, access(before), zero_allowed, &mut mem)?;
    meta.written = mem.written.or(meta.written);
    Ok(())
}
