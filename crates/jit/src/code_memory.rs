//! Pages for code: written once, then sealed. One mapping is never writable and executable.

use std::{ffi::c_void, ptr, slice};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

use crate::{JitError, fault, program::Tables};

/// Sealed code, registered with the fault handler.
#[derive(Debug)]
pub(crate) struct CodeMemory {
    base: *mut c_void,
    mapped: usize,
    len: usize,
}

// SAFETY: the mapping is read-only after `seal` and owned by this value alone.
unsafe impl Send for CodeMemory {}
// SAFETY: as above; shared readers cannot change it.
unsafe impl Sync for CodeMemory {}

impl CodeMemory {
    /// Copies `code` into pages of its own and makes them executable, no longer writable.
    /// `tables` must stay where they are as long as the result lives.
    pub(crate) fn seal(code: &[u8], tables: &Tables) -> Result<CodeMemory, JitError> {
        let mapped = code.len().next_multiple_of(4096);
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at an address of the kernel's choice touches no memory of ours.
        let base =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), mapped, prot, MapFlags::PRIVATE) }
                .map_err(JitError::Memory)?;
        let memory = CodeMemory { base, mapped, len: code.len() };
        // SAFETY: the mapping is writable, at least `code.len()` long and known to nobody else.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), base.cast(), code.len()) };
        let sealed = MprotectFlags::READ | MprotectFlags::EXEC;
        // SAFETY: the whole of our own mapping; nobody holds a reference into it.
        unsafe { rustix::mm::mprotect(base, mapped, sealed) }.map_err(JitError::Memory)?;
        fault::register(memory.base(), memory.len, tables);
        Ok(memory)
    }

    pub(crate) fn base(&self) -> u64 {
        self.base as u64
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: mapped readable and this long until drop, never written again.
        unsafe { slice::from_raw_parts(self.base.cast(), self.len) }
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        fault::unregister(self.base());
        // SAFETY: our own mapping; whoever ran the code has promised to be out of it.
        let unmapped = unsafe { rustix::mm::munmap(self.base, self.mapped) };
        debug_assert!(unmapped.is_ok(), "unmapping our own pages");
    }
}
