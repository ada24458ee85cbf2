//! What a program may return.

use btf::{Kind, TypeId};
use uapi::{AttachType, ProgType};

use crate::domain::Tnum;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadExit, Known, Reg, RegType};
use crate::passes::KERNEL_BTF;
use crate::state::{RegKind, RegState};

/// Largest errno that an LSM program returns negated.
const MAX_ERRNO: i32 = 4095;
/// The register (r0, or the argument of an exception) holds what the program may return.
pub(crate) fn check_return_code(env: &mut Env<'_>, regno: usize) -> Checked {
    let first = env.state.frame(0);
    let (is_subprog, in_exception) = (first.subprog != 0, first.in_exception_callback());
    let (is_async, async_range) = (first.in_async_callback(), first.callback_ret);
    let entry = !is_subprog || in_exception;
    if entry && returns_nothing(env) {
        return Ok(());
    }
    let reg = *env.reg(regno);
    if entry && !in_exception && is_returned_reference(env, &reg) {
        return env.check_ptr_off(&reg, regno, false);
    }
    env.check_reg_read(regno)?;
    if env.is_pointer_value(regno) {
        return reject!(EACCES, BadExit::AddrLeak { reg: Reg(regno) });
    }
    let reg = *env.reg(regno);
    if is_async {
        return enforce(env, regno, &reg, async_range, false, "At async callback return");
    }
    if !entry {
        if reg.kind != RegKind::Scalar {
            return reject!(
                EINVAL,
                BadExit::SubprogNotScalar { reg: Reg(regno), is: RegType::of(&reg) }
            );
        }
        return Ok(());
    }
    match range(env)? {
        Some((range, low)) => {
            enforce(env, regno, &reg, range, low, "At program exit")?;
            // Congestion is told to the way out only.
            env.demands.attach_type |= env.prog_type == Some(ProgType::CgroupSkb)
                && env.attach_type == AttachType::CgroupInetEgress.raw()
                && Tnum::range(2, 3).contains(reg.v.var_off);
            Ok(())
        }
        None => Ok(()),
    }
}

/// Hooks and operations without a result leave r0 alone.
fn returns_nothing(env: &Env<'_>) -> bool {
    match env.prog_type {
        Some(ProgType::Lsm) => env.attach_type != AttachType::LsmCgroup.raw() && proto_is_void(env),
        Some(ProgType::StructOps) => proto_is_void(env),
        _ => false,
    }
}

/// The referenced object that an operation gives back to the kernel, of the type it returns.
fn is_returned_reference(env: &Env<'_>, reg: &RegState) -> bool {
    if env.prog_type != Some(ProgType::StructOps) || reg.ref_obj_id == 0 {
        return false;
    }
    let btf = env.world.kernel_btf.as_ref();
    let pointee = proto_ret(env).and_then(|id| {
        let pointer = btf?.resolved(id).filter(|t| t.kind == Kind::Ptr)?;
        btf?.resolve(TypeId(pointer.size_or_type)).ok()
    });
    reg.kind == RegKind::BtfId && reg.data2 == KERNEL_BTF && pointee == Some(TypeId(reg.btf_id()))
}

fn proto_ret(env: &Env<'_>) -> Option<TypeId> {
    let btf = env.world.kernel_btf.as_ref()?;
    let proto = btf.ty(TypeId(env.attach.proto)).filter(|p| p.kind == Kind::FuncProto)?;
    Some(TypeId(proto.size_or_type))
}

fn proto_is_void(env: &Env<'_>) -> bool {
    proto_ret(env) == Some(TypeId::VOID)
}

/// The values allowed, and whether only the low half counts; `None` for any value.
fn range(env: &Env<'_>) -> Checked<Option<((i32, i32), bool)>> {
    match env.prog_type {
        Some(ProgType::Lsm) => Ok(lsm_range(env)),
        Some(ProgType::StructOps) => {
            let btf = env.world.kernel_btf.as_ref();
            let ret = proto_ret(env).and_then(|id| btf?.resolved(id));
            // Of a pointer null is left: what the kernel may take came back before.
            Ok(ret.filter(|t| t.kind == Kind::Ptr).map(|_| ((0, 0), false)))
        }
        Some(ProgType::Ext) => Ok(None),
        _ => Ok(env.variant.and_then(|v| v.ret).map(|range| (range, false))),
    }
}

fn lsm_range(env: &Env<'_>) -> Option<((i32, i32), bool)> {
    if env.attach_type == AttachType::LsmCgroup.raw() {
        return Some((if proto_is_void(env) { (1, 1) } else { (0, 1) }, false));
    }
    Some((hook_range(&env.attach.name), true))
}

/// What the security hook itself returns.
fn hook_range(function: &str) -> (i32, i32) {
    let name = function.strip_prefix("bpf_lsm_").unwrap_or(function);
    if uapi::lsm_hook(name).boolean { (0, 1) } else { (-MAX_ERRNO, 0) }
}

/// The range of the result that a program of a security hook reads from its context.
pub(super) fn hook_result(env: &Env<'_>) -> Option<(i32, i32)> {
    let is_mac = env.prog.prog_type == Some(ProgType::Lsm)
        && env.prog.expected_attach_type == AttachType::LsmMac.raw();
    (is_mac && !proto_is_void(env)).then(|| hook_range(&env.attach.name))
}

fn enforce(
    env: &mut Env<'_>,
    regno: usize,
    reg: &RegState,
    (min, max): (i32, i32),
    low_half: bool,
    place: &'static str,
) -> Checked {
    if reg.kind != RegKind::Scalar {
        return reject!(EINVAL, BadExit::NotKnown { place, reg: Reg(regno), is: RegType::of(reg) });
    }
    env.mark_chain_precision(regno)?;
    let within = if low_half {
        min <= reg.v.s32_min && reg.v.s32_max <= max
    } else {
        i64::from(min) <= reg.v.smin && reg.v.smax <= i64::from(max)
    };
    if within {
        return Ok(());
    }
    let known = Known::of(reg);
    reject!(EINVAL, BadExit::OutOfRange { place, reg: Reg(regno), known, min, max })
}
