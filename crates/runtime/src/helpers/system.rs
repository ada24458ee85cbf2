//! Helpers that tell of time, chance, CPU and process.

use interp::Trap;

use super::{Call, mem};
use crate::clock::ClockKind;

/// Ticks a second of a usual kernel, and where its tick counter starts (five minutes before 0).
const HZ_NS: u64 = 4_000_000;
const INITIAL_JIFFIES: u64 = (-300_i32 * 250) as u32 as u64;

fn clock(c: &Call<'_, '_>, kind: ClockKind) -> Result<u64, Trap> {
    Ok(c.run.core.clock.ns(kind))
}

pub(super) fn ktime(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    clock(c, ClockKind::Monotonic)
}

pub(super) fn ktime_boot(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    clock(c, ClockKind::Boot)
}

pub(super) fn ktime_coarse(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    clock(c, ClockKind::Coarse)
}

pub(super) fn ktime_tai(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    clock(c, ClockKind::Tai)
}

pub(super) fn jiffies(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(clock(c, ClockKind::Coarse)? / HZ_NS + INITIAL_JIFFIES)
}

pub(super) fn prandom(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.run.core.random.next() >> 32)
}

pub(super) fn cpu(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.run.cpu.into())
}

pub(super) fn numa_node(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(0)
}

pub(super) fn pid_tgid(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(u64::from(c.run.task.tgid) << 32 | u64::from(c.run.task.pid))
}

pub(super) fn uid_gid(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    let task = c.run.task;
    let (uid, gid) = c.run.event.map_or((task.uid, task.gid), |event| event.process.uid_gid());
    Ok(u64::from(gid) << 32 | u64::from(uid))
}

pub(super) fn comm(c: &mut Call<'_, '_>, [buf, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let mut out = vec![0; size];
    let comm = c.run.event.map(|event| event.process.comm());
    let name = comm.as_ref().map_or(c.run.task.comm.as_bytes(), |comm| comm);
    let n = name.len().min(size.saturating_sub(1));
    out[..n].copy_from_slice(&name[..n]);
    mem::write(buf, &out);
    Ok(0)
}

/// Programs hold a lock for a few instructions, so that waiting is spinning.
pub(super) fn spin_lock(_: &mut Call<'_, '_>, [lock, ..]: [u64; 5]) -> Result<u64, Trap> {
    let mut turns = 0u32;
    while !mem::try_lock(lock) {
        turns += 1;
        if turns.is_multiple_of(64) { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
    Ok(0)
}

pub(super) fn spin_unlock(_: &mut Call<'_, '_>, [lock, ..]: [u64; 5]) -> Result<u64, Trap> {
    mem::unlock(lock);
    Ok(0)
}
