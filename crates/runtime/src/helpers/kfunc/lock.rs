//! Locks that find out when waiting would last for ever.

use std::time::{Duration, Instant};

use interp::Trap;
use uapi::Errno;

use super::super::{Call, mem};

/// Linux's patience with a lock.
const TIMEOUT: Duration = Duration::from_millis(250);
/// Bytes of the lock.
const LOCK: usize = 4;
/// Interrupts were on.
const ENABLED: u64 = 0x200;

/// 0, or -EDEADLK for a lock that this run holds, or -ETIMEDOUT.
pub(super) fn lock(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.writable(at, LOCK)?;
    if c.run.locks.contains(&at) {
        return Ok(Errno::EDEADLK.as_ret());
    }
    let mut since = None;
    let mut turns = 0_u32;
    while !mem::try_lock(at) {
        turns += 1;
        std::hint::spin_loop();
        if turns.is_multiple_of(64) {
            std::thread::yield_now();
            if since.get_or_insert_with(Instant::now).elapsed() > TIMEOUT {
                return Ok(Errno::ETIMEDOUT.as_ret());
            }
        }
    }
    c.run.locks.push(at);
    Ok(0)
}

pub(super) fn unlock(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.writable(at, LOCK)?;
    if let Some(n) = c.run.locks.iter().rposition(|held| *held == at) {
        c.run.locks.remove(n);
        mem::unlock(at);
    }
    Ok(0)
}

/// The same with interrupts off: there are none here.
pub(super) fn lock_irq(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    c.writable(args[1], 8)?;
    let result = lock(c, args)?;
    if result == 0 {
        mem::write(args[1], &ENABLED.to_ne_bytes());
    }
    Ok(result)
}
