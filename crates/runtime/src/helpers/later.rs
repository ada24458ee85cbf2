//! Timers and work queues.

use interp::Trap;
use uapi::Errno;

use super::{Call, status};
use crate::later::{Clock, Kind};
use crate::prog::Prog;

/// Flag of `bpf_timer_start`: the time is one of the clock.
const ABSOLUTE: u64 = 1;
/// Flag of `bpf_timer_start`: the callback runs on this CPU. It does in any case.
const PINNED: u64 = 2;
/// Clocks that Linux numbers.
const MAX_CLOCKS: u64 = 16;

/// Which of a program's functions is at an address that it loaded.
fn function(prog: &Prog, address: u64) -> Option<usize> {
    let starts = &prog.translated.starts;
    if let Some(slot) = address.checked_sub(interp::FUNC_BASE) {
        return starts.iter().position(|start| u64::from(*start) == slot);
    }
    let code = prog.native.as_ref().ok()?;
    (0..starts.len()).find(|n| code.function_address(*n) == Some(address))
}

pub(super) fn timer_init(
    c: &mut Call<'_, '_>,
    [timer, map, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let clock = Clock::numbered(flags % MAX_CLOCKS).filter(|_| flags < MAX_CLOCKS);
    let Some(clock) = clock else { return Ok(Errno::EINVAL.as_ret()) };
    let map = c.run.map(map)?;
    Ok(status(c.run.core.later.init(timer, Kind::Timer(clock), map)))
}

pub(super) fn set_callback(
    c: &mut Call<'_, '_>,
    [item, address, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let found = c.run.progs().find_map(|prog| Some((prog, function(prog, address)?)));
    let set = found
        .ok_or(Errno::EINVAL)
        .and_then(|(prog, function)| c.run.core.later.set_callback(item, prog, function));
    Ok(status(set))
}

pub(super) fn timer_start(
    c: &mut Call<'_, '_>,
    [timer, ns, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    if flags & !(ABSOLUTE | PINNED) != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let absolute = flags & ABSOLUTE != 0;
    Ok(status(c.run.core.later.start(timer, ns, absolute, c.run.cpu)))
}

/// 1 if it was to run or did.
pub(super) fn timer_cancel(c: &mut Call<'_, '_>, [timer, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.run.core.later.cancel(timer).map_or_else(Errno::as_ret, u64::from))
}

pub(super) fn work_init(
    c: &mut Call<'_, '_>,
    [work, map, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    if flags as u32 != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let map = c.run.map(map)?;
    Ok(status(c.run.core.later.init(work, Kind::Work, map)))
}

pub(super) fn work_set_callback(
    c: &mut Call<'_, '_>,
    [work, address, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    if flags as u32 != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    set_callback(c, [work, address, 0, 0, 0])
}

pub(super) fn work_start(c: &mut Call<'_, '_>, [work, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    if flags as u32 != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    Ok(status(c.run.core.later.start(work, 0, false, c.run.cpu)))
}

/// Work on behalf of a task, which here runs as all work does: EBUSY while it waits or runs.
pub(super) fn task_work(
    c: &mut Call<'_, '_>,
    [_, work, map, address, _]: [u64; 5],
) -> Result<u64, Trap> {
    let map = c.run.map(map)?.clone();
    let found = c.run.progs().find_map(|prog| Some((prog.clone(), function(prog, address)?)));
    let later = &c.run.core.later;
    let scheduled = found.ok_or(Errno::EINVAL).and_then(|(prog, function)| {
        if later.is_waiting(work) {
            return Err(Errno::EBUSY);
        }
        match later.init(work, Kind::Work, &map) {
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(why) => return Err(why),
        }
        later.set_callback(work, &prog, function)?;
        later.start(work, 0, false, c.run.cpu)
    });
    Ok(status(scheduled))
}
