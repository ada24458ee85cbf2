//! Whether a pointer to a kernel structure is one to the structure asked for.

use btf::{Btf, Kind, Member, TypeId};
use uapi::{ArgKind, ArgType};

use super::helper::Meta;
use super::kptr;
use crate::env::Env;
use crate::error::{Checked, Reject, reject};
use crate::event::{BadArg, Bug, Reg};
use crate::state::{RegFlags, RegState};

/// `bpf_sk_release` takes any socket.
const SK_RELEASE: u32 = 86;

/// The structure behind the register against the one that the argument names.
pub(super) fn check_argument(
    env: &Env<'_>,
    regno: usize,
    reg: &RegState,
    arg: ArgType,
    meta: &Meta,
) -> Checked {
    let flags = reg.flags;
    if flags == RegFlags::ALLOC || flags == RegFlags::ALLOC | RegFlags::PERCPU {
        // Only spin locks and kernel pointers come here.
        return match &meta.kptr {
            Some(kptr) if regno == 2 => kptr::check_source(env, kptr, reg, regno),
            _ => Ok(()),
        };
    }
    if flags.contains(RegFlags::ALLOC) || flags.contains(RegFlags::NON_OWN_REF) {
        return reject!(EFAULT, Bug::ObjectArgument);
    }
    if reg.flags.contains(RegFlags::PERCPU) {
        return Ok(());
    }
    if reg.may_be_null() && (!arg.maybe_null || arg.release) {
        return reject!(EACCES, BadArg::MaybeNull { reg: Reg(regno) });
    }
    let wanted = match arg.kind {
        ArgKind::BtfIdSockCommon => "sock_common",
        ArgKind::BtfId("") => {
            return match &meta.kptr {
                Some(kptr) => kptr::check_source(env, kptr, reg, regno),
                None => Ok(()),
            };
        }
        ArgKind::BtfId(name) => name,
        _ => return Ok(()),
    };
    let Some(btf) = &env.world.kernel_btf else { return Err(Reject::needs("kernel BTF")) };
    let strict = arg.release && meta.id != SK_RELEASE;
    let id = btf.resolve(TypeId(reg.btf_id())).unwrap_or(TypeId(reg.btf_id()));
    if matches(btf, id, reg.off, wanted, strict) {
        return Ok(());
    }
    reject!(
        EACCES,
        BadArg::WrongObject {
            reg: Reg(regno),
            is: btf.name_of(id).into(),
            expected: wanted.into()
        }
    )
}

/// The structure is the type `wanted`, or (unless `strict`) holds one at `off`.
pub(super) fn matches_id(btf: &Btf, id: TypeId, off: i32, wanted: TypeId, strict: bool) -> bool {
    holds(btf, id, off, strict, |t| t.id == wanted)
}

/// The structure is `wanted`, or (unless `strict`) holds one at `off`.
pub(super) fn matches(btf: &Btf, id: TypeId, off: i32, wanted: &str, strict: bool) -> bool {
    holds(btf, id, off, strict, |t| t.kind == Kind::Struct && t.name == wanted)
}

fn holds(
    btf: &Btf,
    id: TypeId,
    off: i32,
    strict: bool,
    is: impl Fn(&btf::Type<'_>) -> bool,
) -> bool {
    /// Deeper nesting than any kernel structure has.
    const MAX_DEPTH: usize = 32;
    let (mut id, Ok(mut off)) = (id, u32::try_from(off)) else { return false };
    for _ in 0..MAX_DEPTH {
        let Some(t) = btf.ty(id) else { return false };
        if off == 0 && is(&t) {
            return true;
        }
        if strict || !t.kind.is_composite() {
            return false;
        }
        let Some((member, at)) = member_at(btf, id, off) else { return false };
        (id, off) = (member, at);
    }
    false
}

/// The structure that lies at byte `off`, and the offset inside it.
fn member_at(btf: &Btf, id: TypeId, off: u32) -> Option<(TypeId, u32)> {
    let covers = |m: &Member<'_>| {
        let start = m.bit_offset / 8;
        let size = btf.size_of(m.type_id).unwrap_or(0);
        m.bitfield_size == 0 && off >= start && off - start < size
    };
    let member = btf.ty(id)?.members().find(covers)?;
    let mut inner = btf.resolved(member.type_id)?;
    while let Some(array) = inner.array() {
        inner = btf.resolved(array.elem)?;
    }
    if !inner.kind.is_composite() || inner.size_or_type == 0 {
        return None;
    }
    Some((inner.id, (off - member.bit_offset / 8) % inner.size_or_type))
}
