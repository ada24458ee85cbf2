//! Pages of arenas.

use interp::{Trap, TrapKind};
use uapi::Errno;

use super::Call;

/// Any node of memory.
const ANY_NODE: i32 = -1;

/// The pages' address in user space; 0 if they cannot be had.
pub(super) fn alloc(
    c: &mut Call<'_, '_>,
    [map, addr, count, node, flags]: [u64; 5],
) -> Result<u64, Trap> {
    // There is one node, 0.
    if flags != 0 || ![ANY_NODE, 0].contains(&(node as i32)) {
        return Ok(0);
    }
    on(c, map, |arena| arena.alloc(addr, (count as u32).into()))
}

pub(super) fn free(c: &mut Call<'_, '_>, [map, addr, count, ..]: [u64; 5]) -> Result<u64, Trap> {
    on(c, map, |arena| {
        if addr != 0 {
            arena.free(addr, (count as u32).into());
        }
        0
    })
}

pub(super) fn reserve(c: &mut Call<'_, '_>, [map, addr, count, ..]: [u64; 5]) -> Result<u64, Trap> {
    let answer = |errno: Errno| i64::from(-errno.0) as u64;
    on(c, map, |arena| arena.reserve(addr, (count as u32).into()).map_or_else(answer, |()| 0))
}

fn on(c: &mut Call<'_, '_>, map: u64, what: impl FnOnce(&maps::Arena) -> u64) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    let arena = map.map.ops().arena();
    arena.map(what).ok_or(Trap::here(TrapKind::Helper("a map that is no arena")))
}
