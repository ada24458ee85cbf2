//! Reading and writing registers.

use crate::domain::Bounds;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadReg, Reg};
use crate::state::{RegKind, RegState};

impl Env<'_> {
    /// The register is an operand that is read.
    pub(crate) fn check_reg_read(&mut self, n: usize) -> Checked {
        self.log.scratch_reg(n);
        if n > 10 {
            return reject!(EINVAL, BadReg::Number { reg: Reg(n) });
        }
        if self.state.reg(n).kind == RegKind::NotInit {
            return reject!(EACCES, BadReg::NotReadable { reg: Reg(n) });
        }
        Ok(())
    }

    /// The register is written; it becomes unknown.
    pub(crate) fn check_reg_write(&mut self, n: usize) -> Checked {
        self.check_reg_write_keep(n)?;
        self.mark_reg_unknown(n);
        Ok(())
    }

    /// The register is written, its new state follows from its old one.
    pub(crate) fn check_reg_write_keep(&mut self, n: usize) -> Checked {
        self.log.scratch_reg(n);
        match n {
            10 => reject!(EACCES, BadReg::FramePointer),
            0..10 => Ok(()),
            _ => reject!(EINVAL, BadReg::Number { reg: Reg(n) }),
        }
    }

    /// Nothing is known of the register but that it holds a number.
    pub(crate) fn mark_reg_unknown(&mut self, n: usize) {
        let precise = !self.caps.bpf_capable;
        *self.reg_mut(n) = RegState { precise, ..RegState::UNKNOWN };
    }

    /// An unknown number, to be stored anywhere.
    pub(crate) fn unknown_reg(&self) -> RegState {
        RegState { precise: !self.caps.bpf_capable, ..RegState::UNKNOWN }
    }

    /// The register holds this number.
    pub(crate) fn mark_reg_known(&mut self, n: usize, value: u64) {
        *self.reg_mut(n) =
            RegState { kind: RegKind::Scalar, v: Bounds::constant(value), ..RegState::NOT_INIT };
    }

    /// The register must be written before it is read again.
    pub(crate) fn mark_reg_not_init(&mut self, n: usize) {
        *self.reg_mut(n) = RegState::NOT_INIT;
    }

    /// Whether the register holds a pointer that this loader may not leak.
    pub(crate) fn is_pointer_value(&self, n: usize) -> bool {
        !self.caps.allow_ptr_leaks && self.state.reg(n).is_pointer()
    }
}
