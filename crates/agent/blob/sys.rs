//! System calls, and waiting.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::abi::Slot;

/// A system call.
pub fn call(number: u64, args: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    let result;
    // SAFETY: callers pass memory that the call may read and write.
    unsafe {
        asm!("syscall", inlateout("rax") number as i64 => result, in("rdi") a, in("rsi") b,
             in("rdx") c, in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _,
             options(nostack));
    }
    result
}

const SCHED_YIELD: u64 = 24;
/// Tries on the processor, then with others let through.
const SPINS: u32 = 1 << 10;
const YIELDS: u32 = 1 << 12;

/// Asks until the answer is yes; `false` if it is no for too long.
pub fn wait(mut ready: impl FnMut() -> bool) -> bool {
    for tries in 0..SPINS + YIELDS {
        if ready() {
            return true;
        }
        if tries < SPINS {
            core::hint::spin_loop();
        } else {
            call(SCHED_YIELD, [0; 6]);
        }
    }
    false
}

/// A lock that is held; the tracer gives it back where the holder is killed.
pub struct Lock<'a> {
    cell: &'a AtomicU32,
    holding: &'a AtomicU64,
}

impl<'a> Lock<'a> {
    /// Takes it; none where somebody keeps it.
    pub fn take(cell: &'a AtomicU32, slot: &'a Slot) -> Option<Lock<'a>> {
        /// The tracer's own is 1.
        const OURS: u32 = 2;
        slot.holding.store(cell as *const AtomicU32 as u64, Ordering::Relaxed);
        let take = || {
            cell.compare_exchange_weak(0, OURS + slot.cpu, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        };
        let taken = wait(take);
        if !taken {
            slot.holding.store(0, Ordering::Relaxed);
        }
        taken.then_some(Lock { cell, holding: &slot.holding })
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.cell.store(0, Ordering::Release);
        self.holding.store(0, Ordering::Relaxed);
    }
}
