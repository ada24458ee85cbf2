//! Helpers on what only a kernel has: they answer as one that was built without it.

use interp::Trap;
use uapi::Errno;

use super::{Call, mem, status};

/// No such object: a socket of another kind, a file that is none.
pub(super) fn null(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(0)
}

/// Nothing is measured here (no IMA).
pub(super) fn unmeasured(_: &mut Call<'_, '_>, [_, buf, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    mem::zero(buf, size as u32 as usize);
    Ok(Errno::EOPNOTSUPP.as_ret())
}

/// No branches are recorded.
pub(super) fn branch_records(
    _: &mut Call<'_, '_>,
    [_, _, _, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    /// Asks for the size alone.
    const SIZE_ONLY: u64 = 1;
    let why = if flags & !SIZE_ONLY != 0 { Errno::EINVAL } else { Errno::ENOENT };
    Ok(why.as_ret())
}

/// The counter of the event, where the hook gives it.
pub(super) fn perf_value(c: &mut Call<'_, '_>, [_, buf, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    /// Bytes of `struct bpf_perf_event_value`.
    const VALUE: u32 = 24;
    let size = size as u32;
    let counter = c.run.world.counter.filter(|_| size == VALUE).ok_or(Errno::EINVAL);
    mem::zero(buf, size as usize);
    Ok(status(counter.map(|counter| {
        mem::write(buf, counter.map(u64::to_ne_bytes).as_flattened());
    })))
}

/// Nothing is executed here that could be told to be careful.
pub(super) fn executed(_: &mut Call<'_, '_>, [_, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    const SECURE: u64 = 1;
    Ok(if flags & !SECURE == 0 { 0 } else { Errno::EINVAL.as_ret() })
}

/// No packet has a segment routing header, which most actions ask for.
pub(super) fn seg6_action(_: &mut Call<'_, '_>, [_, action, ..]: [u64; 5]) -> Result<u64, Trap> {
    /// To an address, to a table, and decapsulate.
    const WITH_HEADER: [u32; 3] = [2, 3, 7];
    let header = WITH_HEADER.contains(&(action as u32));
    Ok(if header { Errno::EBADMSG.as_ret() } else { Errno::EINVAL.as_ret() })
}
