//! Helpers that run more of the program, or another one.

use interp::{Region, Trap, TrapKind};
use uapi::Errno;

use super::Call;
use crate::prog::Prog;

/// Turns that `bpf_loop` takes at most.
const MAX_LOOPS: u64 = 8 << 20;

pub(super) fn bpf_loop(
    c: &mut Call<'_, '_>,
    [turns, func, ctx, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let turns = turns as u32;
    if flags != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    if u64::from(turns) > MAX_LOOPS {
        return Ok(Errno::E2BIG.as_ret());
    }
    for turn in 0..u64::from(turns) {
        if c.vm.call_back(c.run, func, [turn, ctx, 0, 0, 0])? != 0 {
            return Ok(turn + 1);
        }
    }
    Ok(turns.into())
}

pub(super) fn for_each(
    c: &mut Call<'_, '_>,
    [handle, func, ctx, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    if flags != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let map = c.run.map(handle)?.clone();
    let (key_size, cpu) = (map.key_size() as u64, c.run.cpu);
    let mut trap = None;
    let mut visit = |key: u64, value: u64| {
        c.vm.grant(Region { start: key, end: key + key_size, writable: false });
        match c.vm.call_back(c.run, func, [handle, key, value, ctx, 0]) {
            Ok(ret) => ret == 0,
            Err(why) => {
                trap = Some(why);
                false
            }
        }
    };
    let visited = map.map.ops().for_each(cpu, &mut visit);
    match trap {
        Some(trap) => Err(trap),
        None => Ok(super::count(visited)),
    }
}

/// Comes back, with a value that no program reads, only where there is nothing to call.
pub(super) fn tail_call(
    c: &mut Call<'_, '_>,
    [_, array, index, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let array = c.run.map(array)?;
    let Some(refs) = array.map.ops().refs() else {
        return Err(Trap::here(TrapKind::Helper("tail call without a program array")));
    };
    let held = refs.get(&(index as u32).to_ne_bytes());
    let next = held.and_then(|held| held.object.downcast::<Prog>().ok());
    if let Some(next) = next
        && c.vm.tail_call(u64::from(next.id))
    {
        c.run.next = Some(next);
    }
    Ok(0)
}
