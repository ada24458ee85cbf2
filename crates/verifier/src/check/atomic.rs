//! Atomic read-modify-write, load-acquire, store-release.

use isa::{AtomicOp, Op, Size};

use super::AccessKind;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadMem, BadReg, Reg, RegType};
use crate::state::{RegKind, RegState};

impl Env<'_> {
    /// Any atomic instruction.
    pub(crate) fn check_atomic(&mut self, op: Op) -> Checked {
        match op {
            Op::Atomic { size, op, fetch, base, off, src } => {
                let load = match op {
                    AtomicOp::Cmpxchg => Some(0),
                    _ => fetch.then_some(src.index()),
                };
                self.check_rmw(size, op, load, base.index(), off.into(), src.index())
            }
            Op::LoadAcquire { size, dst, base, off } => {
                self.check_reg_read(base.index())?;
                let ptr = *self.reg(base.index());
                self.check_load(size, false, dst.index(), base.index(), off.into(), true)?;
                check_atomic_base(&ptr, base.index(), "loads from")
            }
            Op::StoreRelease { size, base, off, src } => {
                self.check_reg_read(src.index())?;
                self.check_reg_read(base.index())?;
                let ptr = *self.reg(base.index());
                self.check_mem_access(
                    self.insn_idx,
                    base.index(),
                    off.into(),
                    size,
                    AccessKind::Write,
                    Some(src.index()),
                    true,
                    false,
                )?;
                self.note_pointer_kind(&ptr, false)?;
                check_atomic_base(&ptr, base.index(), "stores into")
            }
            _ => Ok(()),
        }
    }

    fn check_rmw(
        &mut self,
        size: Size,
        op: AtomicOp,
        load: Option<usize>,
        base: usize,
        off: i32,
        src: usize,
    ) -> Checked {
        if !matches!(size, Size::W | Size::DW) {
            return reject!(EINVAL, BadMem::AtomicSize);
        }
        self.check_reg_read(src)?;
        self.check_reg_read(base)?;
        if op == AtomicOp::Cmpxchg {
            self.check_reg_read(0)?;
            if self.is_pointer_value(0) {
                return reject!(EACCES, BadReg::LeaksInto { reg: Reg(0), into: "mem" });
            }
        }
        if self.is_pointer_value(src) {
            return reject!(EACCES, BadReg::LeaksInto { reg: Reg(src), into: "mem" });
        }
        let ptr = *self.reg(base);
        check_atomic_base(&ptr, base, "stores into")?;
        if let Some(load) = load {
            self.check_reg_write(load)?;
        }
        let at = self.insn_idx;
        let access = |env: &mut Self, kind, value| {
            env.check_mem_access(at, base, off, size, kind, value, true, false)
        };
        access(self, AccessKind::Read, None)?;
        if load.is_some() {
            // Once more, as a load: the register may be filled from the stack.
            access(self, AccessKind::Read, load)?;
        }
        if ptr.kind == RegKind::Arena {
            self.note_pointer_kind(&ptr, false)?;
        }
        access(self, AccessKind::Write, None)
    }
}

fn check_atomic_base(ptr: &RegState, regno: usize, what: &'static str) -> Checked {
    let refused =
        matches!(ptr.kind, RegKind::Ctx | RegKind::FlowKeys) || ptr.is_packet() || ptr.is_socket();
    if refused {
        return reject!(EACCES, BadMem::AtomicBase { what, reg: Reg(regno), is: RegType::of(ptr) });
    }
    Ok(())
}
