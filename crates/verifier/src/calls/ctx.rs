//! Loads from and stores to the context.

use uapi::{CtxClass, ProgType, ctx_access};

use super::ctx_btf;
use super::ret::kernel_struct;
use crate::check::AccessKind;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::BadMem;
use crate::state::{RegFlags, RegKind, RegState};

/// What a load from the context gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CtxField {
    /// The register's new state; of a number, nothing is known yet but by its size.
    pub(crate) reg: RegState,
}

impl Env<'_> {
    /// The register that a load from the context gives.
    pub(crate) fn ctx_register(&self, field: CtxField) -> RegState {
        field.reg
    }
}

/// Bytes of arguments that a program typed by BTF can see.
const MAX_BTF_CTX: i32 = 12 * 8;

/// An access of `size` bytes at `off` of the context.
pub(crate) fn check_ctx_access(
    env: &mut Env<'_>,
    insn_idx: usize,
    off: i32,
    size: u32,
    kind: AccessKind,
) -> Checked<CtxField> {
    let size = size as i32;
    env.aux[insn_idx].access = crate::Access::Ctx;
    let mut field = match find(env, off, size, kind)? {
        Some(reg) => reg,
        None => return reject!(EACCES, BadMem::Ctx { off, size }),
    };
    if kind == AccessKind::Read && field.may_be_null() {
        field.id = env.new_id();
    }
    Ok(CtxField { reg: field })
}

/// The register that a load gives; `None` if the context has no such field.
fn find(env: &mut Env<'_>, off: i32, size: i32, kind: AccessKind) -> Checked<Option<RegState>> {
    let Some(prog_type) = env.prog_type else { return Ok(None) };
    match prog_type {
        ProgType::Tracing | ProgType::Lsm | ProgType::StructOps => {
            let in_range = (0..MAX_BTF_CTX).contains(&off) && off % size == 0;
            if !in_range || kind == AccessKind::Write {
                return Ok(None);
            }
            ctx_btf::find(env, off, size)
        }
        _ => by_table(env, prog_type, off, size, kind),
    }
}

fn by_table(
    env: &Env<'_>,
    prog_type: ProgType,
    off: i32,
    size: i32,
    kind: AccessKind,
) -> Checked<Option<RegState>> {
    let Some(variant) = env.variant else { return Ok(None) };
    let write = kind == AccessKind::Write;
    if prog_type == ProgType::Tracepoint && off < 0 {
        // Linux compares the offset as unsigned: aligned negative ones pass.
        let ok = !write && off % size == 0;
        return Ok(ok.then_some(env.unknown_reg()));
    }
    match ctx_access(variant, off, size as u32, write) {
        Some(class) => register(env, class).map(Some),
        None => Ok(None),
    }
}

/// A register of this class.
pub(super) fn register(env: &Env<'_>, class: CtxClass) -> Checked<RegState> {
    let plain = RegState::pointer;
    let typed = |name, flags| -> Checked<RegState> {
        let reg = RegState { data: kernel_struct(env, name)?, ..plain(RegKind::BtfId) };
        Ok(reg.with(flags))
    };
    Ok(match class {
        CtxClass::Scalar => env.unknown_reg(),
        CtxClass::Pkt => plain(RegKind::Pkt),
        CtxClass::PktEnd => plain(RegKind::PktEnd),
        CtxClass::PktMeta => plain(RegKind::PktMeta),
        CtxClass::Sock => plain(RegKind::Sock),
        CtxClass::SockOrNull => plain(RegKind::Sock).with(RegFlags::MAYBE_NULL),
        CtxClass::SockCommonOrNull => plain(RegKind::SockCommon).with(RegFlags::MAYBE_NULL),
        CtxClass::FlowKeys => plain(RegKind::FlowKeys),
        CtxClass::TpBuffer => plain(RegKind::TpBuffer),
        CtxClass::TrustedBtf(name) => typed(name, RegFlags::TRUSTED)?,
        CtxClass::TrustedBtfOrNull(name) => typed(name, RegFlags::TRUSTED | RegFlags::MAYBE_NULL)?,
        CtxClass::BtfOrNull(name) => typed(name, RegFlags::MAYBE_NULL)?,
        CtxClass::RdonlyBufOrNull => {
            plain(RegKind::Buf).with(RegFlags::RDONLY | RegFlags::MAYBE_NULL)
        }
        CtxClass::BufOrNull => plain(RegKind::Buf).with(RegFlags::MAYBE_NULL),
    })
}
