//! Memory that a program hands to a helper.

use uapi::ProgType;

use super::AccessKind;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadArg, BadMem, Reg, RegType};
use crate::state::{RegFlags, RegKind};
use crate::transfer::ptr::MAX_VAR_OFF;

/// How a helper uses a memory argument, and what was learnt about it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HelperMem {
    /// The helper only writes it: stack behind it need not be initialised.
    pub(crate) uninit: bool,
    /// Out, if `uninit`: register and bytes of stack that become initialised by the call. The
    /// caller must afterwards write them byte by byte with `check_mem_access`.
    pub(crate) written: Option<(usize, i32)>,
}

impl Env<'_> {
    /// The register points to `size` bytes that a helper may access.
    pub(crate) fn check_helper_mem_access(
        &mut self,
        regno: usize,
        size: i32,
        kind: AccessKind,
        zero_allowed: bool,
        mem: &mut HelperMem,
    ) -> Checked {
        let reg = *self.reg(regno);
        let write = kind == AccessKind::Write;
        let rdonly = reg.flags.contains(RegFlags::RDONLY);
        let refused =
            || reject!(EACCES, BadMem::ReadOnly { reg: Reg(regno), is: RegType::of(&reg) });
        match reg.kind {
            RegKind::Pkt | RegKind::PktMeta => {
                self.check_packet_access(regno, reg.off, size, zero_allowed)
            }
            RegKind::MapKey => {
                if write {
                    return refused();
                }
                let key_size = self.map_def(&reg).key_size;
                self.check_mem_region_access(regno, reg.off, size, key_size, false)
            }
            RegKind::MapValue => {
                self.check_map_access_type(regno, reg.off, size, kind)?;
                self.check_map_access(regno, reg.off, size, zero_allowed)
            }
            RegKind::Mem => {
                if rdonly && write {
                    return refused();
                }
                self.check_mem_region_access(regno, reg.off, size, reg.mem_size(), zero_allowed)
            }
            RegKind::Buf => {
                if rdonly && write {
                    return refused();
                }
                self.access_buffer(rdonly, &reg, regno, reg.off, size)
            }
            RegKind::Stack => {
                let raw = mem.uninit.then_some(&mut mem.written);
                self.check_stack_range_initialized(regno, reg.off, size, zero_allowed, kind, raw)
            }
            RegKind::BtfId => self.access_btf_pointer(regno, reg.off, size, AccessKind::Read, None),
            RegKind::Ctx if self.has_plain_ctx() => {
                if size == 0 {
                    return if zero_allowed { Ok(()) } else { reject!(EACCES) };
                }
                let at = self.insn_idx;
                self.check_mem_access(at, regno, size - 1, isa::Size::B, kind, None, false, false)
            }
            _ => {
                if zero_allowed && size == 0 && reg.is_null() {
                    return Ok(());
                }
                reject!(EACCES, BadArg::NotFramePointer { reg: Reg(regno), is: RegType::of(&reg) })
            }
        }
    }

    /// The context is memory as it stands, without rewriting.
    fn has_plain_ctx(&self) -> bool {
        use ProgType as P;
        matches!(
            self.prog_type,
            Some(
                P::Kprobe
                    | P::Tracepoint
                    | P::Syscall
                    | P::RawTracepoint
                    | P::RawTracepointWritable
                    | P::Tracing
                    | P::StructOps
                    | P::Lsm
                    | P::Netfilter
            )
        )
    }

    /// The register holds the size of the memory behind register `regno - 1`.
    pub(crate) fn check_mem_size_reg(
        &mut self,
        regno: usize,
        kind: AccessKind,
        zero_allowed: bool,
        mem: &mut HelperMem,
    ) -> Checked {
        let reg = *self.reg(regno);
        let known = reg.v.var_off.is_const();
        let mut unknown_size = HelperMem { uninit: false, ..*mem };
        let mem = if known { mem } else { &mut unknown_size };
        if reg.v.smin < 0 {
            return reject!(EACCES, BadMem::LengthNegative { reg: Reg(regno) });
        }
        if reg.v.umin == 0 && !zero_allowed {
            return reject!(
                EACCES,
                BadMem::LengthZero {
                    reg: Reg(regno),
                    min: reg.v.umin as i64,
                    max: reg.v.umax as i64
                }
            );
        }
        if reg.v.umax >= MAX_VAR_OFF as u64 {
            return reject!(EACCES, BadMem::LengthUnbounded { reg: Reg(regno) });
        }
        self.check_helper_mem_access(regno - 1, reg.v.umax as i32, kind, zero_allowed, mem)?;
        self.mark_chain_precision(regno)
    }

    /// A global function may read and write `size` bytes behind the register, or it is null.
    pub(crate) fn check_mem_reg(&mut self, regno: usize, size: u32) -> Checked {
        let saved = *self.reg(regno);
        if saved.is_null() {
            return Ok(());
        }
        if saved.may_be_null() {
            let mut valid = saved;
            self.mark_not_null(&mut valid);
            *self.state.reg_mut(regno) = valid;
        }
        let mut mem = HelperMem::default();
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        let checked =
            self.check_helper_mem_access(regno, size, AccessKind::Read, true, &mut mem).and_then(
                |()| self.check_helper_mem_access(regno, size, AccessKind::Write, true, &mut mem),
            );
        if saved.may_be_null() {
            *self.state.reg_mut(regno) = saved;
        }
        checked
    }
}
