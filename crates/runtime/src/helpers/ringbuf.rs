//! Helpers on ring buffers.

use interp::{Region, Trap};
use uapi::Errno;

use super::{Call, mem, status};
use crate::run::Run;

const NOT_ONE: Trap = Trap { pc: 0, kind: interp::TrapKind::Helper("not a ring buffer's record") };

pub(super) fn output(
    c: &mut Call<'_, '_>,
    [map, data, size, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    let Some(ring) = map.map.ops().ringbuf() else { return Err(NOT_ONE) };
    Ok(status(ring.output(mem::view(data, size as usize), flags)))
}

pub(super) fn reserve(c: &mut Call<'_, '_>, [map, size, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    let Some(ring) = map.map.ops().ringbuf() else { return Err(NOT_ONE) };
    let Some(start) = ring.reserve(size).filter(|_| flags == 0) else { return Ok(0) };
    c.run.granted.push(Region { start, end: start + size, writable: true });
    Ok(start)
}

pub(super) fn submit(c: &mut Call<'_, '_>, [data, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    end(c.run, data, false, flags)
}

pub(super) fn discard(c: &mut Call<'_, '_>, [data, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    end(c.run, data, true, flags)
}

/// Ends a record that the run was granted.
pub(crate) fn end(run: &mut Run<'_>, data: u64, discard: bool, flags: u64) -> Result<u64, Trap> {
    match run.granted.iter().rposition(|r| r.start == data) {
        Some(known) => drop(run.granted.swap_remove(known)),
        // Machine code reserves without a grant.
        None if run.ring != 0 => {}
        None => return Err(NOT_ONE),
    }
    let mut maps = run.maps();
    let ring = maps.find_map(|m| m.map.ops().ringbuf().filter(|r| r.owns(data)));
    ring.ok_or(NOT_ONE)?.commit(data, discard, flags);
    Ok(0)
}

pub(super) fn query(c: &mut Call<'_, '_>, [map, what, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    match map.map.ops().ringbuf() {
        Some(ring) => Ok(ring.query(what)),
        None => Ok(Errno::EINVAL.as_ret()),
    }
}
