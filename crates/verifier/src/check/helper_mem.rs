//! Memory that a program hands to a helper.

use super::AccessKind;
use crate::env::Env;
use crate::error::{Checked, reject};

/// How a helper uses a memory argument, and what was learnt about it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HelperMem {
    /// The helper only writes it: stack behind it need not be initialised.
    pub(crate) uninit: bool,
    /// `Some(pkt_access)` of the helper; `None` where no helper asks (global functions).
    pub(crate) pkt_access: Option<bool>,
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
        let _ = (regno, size, kind, zero_allowed, mem);
        reject!(EINVAL)
    }

    /// The register holds the size of the memory behind register `regno - 1`.
    pub(crate) fn check_mem_size_reg(
        &mut self,
        regno: usize,
        kind: AccessKind,
        zero_allowed: bool,
        mem: &mut HelperMem,
    ) -> Checked {
        let _ = (regno, kind, zero_allowed, mem);
        reject!(EINVAL)
    }
}
