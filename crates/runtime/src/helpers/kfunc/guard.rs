//! Functions that keep a kernel's other work away, and those that only change how a pointer is
//! seen. A run here has its logical CPU to itself, and nothing it sees goes before it ends.

use interp::Trap;
use uapi::Errno;

use super::super::{Call, mem};

/// Nothing to do.
pub(super) fn nothing(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(0)
}

/// Gives flags to restore.
pub(super) fn irq_save(c: &mut Call<'_, '_>, [flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    /// Interrupts were on.
    const ENABLED: u64 = 0x200;
    c.writable(flags, 8)?;
    mem::write(flags, &ENABLED.to_ne_bytes());
    Ok(0)
}

/// The same pointer, of another type: loads through it are guarded.
pub(super) fn same(_: &mut Call<'_, '_>, [pointer, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(pointer)
}

/// Elements of a hash map.
pub(super) fn elements(c: &mut Call<'_, '_>, [map, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(match c.run.map(map) {
        Ok(map) => map.map.ops().live().into(),
        Err(_) => Errno::EINVAL.as_ret(),
    })
}
