//! Locks that are words of maps' memory.

use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// A word that is held while it is not 0.
pub(crate) struct Spin<'a>(&'a AtomicU32);

/// What this process writes into the word; others write other numbers.
const OURS: u32 = 1;
/// Tries until the word's holder is taken for stopped, where it may be of another process: about a
/// tenth of a second.
const PATIENCE: u32 = 1 << 23;

impl<'a> Spin<'a> {
    /// Waits for the word. None if `shared` with other processes and one of them keeps it, as Linux
    /// refuses with EBUSY rather than wait for somebody who cannot go on.
    #[inline]
    pub(crate) fn lock(cell: &'a AtomicU32, shared: bool) -> Option<Spin<'a>> {
        if cell.compare_exchange(0, OURS, Acquire, Relaxed).is_ok() {
            return Some(Spin(cell));
        }
        Spin::wait(cell, shared)
    }

    #[cold]
    fn wait(cell: &'a AtomicU32, shared: bool) -> Option<Spin<'a>> {
        let mut spins = 0_u32;
        while cell.compare_exchange_weak(0, OURS, Acquire, Relaxed).is_err() {
            spins = spins.saturating_add(1);
            if shared && spins > PATIENCE {
                return None;
            }
            if spins.is_multiple_of(64) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        Some(Spin(cell))
    }
}

impl Drop for Spin<'_> {
    fn drop(&mut self) {
        self.0.store(0, Release);
    }
}
