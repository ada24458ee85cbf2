//! Loads and stores by kind of pointer.

use isa::Size;

use super::AccessKind;
use crate::env::Env;
use crate::error::{Checked, reject};

impl Env<'_> {
    /// A load or store of `size` through register `regno` at `off`. `value`: the register stored
    /// from or loaded into; `None` for an unknown number. `strict`: aligned whatever the program
    /// asks for.
    #[expect(clippy::too_many_arguments, reason = "the operands of one access")]
    pub(crate) fn check_mem_access(
        &mut self,
        insn_idx: usize,
        regno: usize,
        off: i32,
        size: Size,
        kind: AccessKind,
        value: Option<usize>,
        strict: bool,
        sign_extend: bool,
    ) -> Checked {
        let _ = (insn_idx, regno, off, size, kind, value, strict, sign_extend);
        reject!(EINVAL)
    }

    /// `off..off + size` behind the register lies in a region of `mem_size` bytes.
    pub(crate) fn check_mem_region_access(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        mem_size: u32,
        zero_allowed: bool,
    ) -> Checked {
        let _ = (regno, off, size, mem_size, zero_allowed);
        reject!(EINVAL)
    }
}
