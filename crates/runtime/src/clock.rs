//! Clocks and random numbers that programs see; a run can be made deterministic.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Which clock is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockKind {
    /// Since boot, without sleep.
    Monotonic,
    /// Since boot, with sleep.
    Boot,
    /// Atomic time.
    Tai,
    /// Monotonic, of the last tick.
    Coarse,
    /// Seconds since 1970, for time stamps of packets.
    Real,
}

/// Where time comes from.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The machine.
    Machine,
    /// A counter: each question adds `step` nanoseconds.
    Set { now: AtomicU64, step: u64 },
}

impl Clock {
    /// Nanoseconds.
    pub(crate) fn ns(&self, kind: ClockKind) -> u64 {
        match self {
            Clock::Machine => machine(kind),
            Clock::Set { now, step } => now.fetch_add(*step, Relaxed),
        }
    }
}

/// The machine's time since boot, for measuring.
pub fn monotonic() -> Duration {
    Duration::from_nanos(machine(ClockKind::Monotonic))
}

fn machine(kind: ClockKind) -> u64 {
    let id = match kind {
        ClockKind::Monotonic => ClockId::Monotonic,
        ClockKind::Boot => ClockId::Boottime,
        ClockKind::Coarse => ClockId::MonotonicCoarse,
        // Where nobody told Linux the leap seconds, atomic time is its real time.
        ClockKind::Tai | ClockKind::Real => ClockId::Realtime,
    };
    let t = clock_gettime(id);
    (t.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(t.tv_nsec as u64)
}

/// A source of random numbers (SplitMix64).
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(AtomicU64::new(seed))
    }

    /// A seed that differs from run to run.
    pub(crate) fn fresh_seed() -> u64 {
        use std::hash::{BuildHasher, Hasher};
        std::hash::RandomState::new().build_hasher().finish() ^ machine(ClockKind::Real)
    }

    pub(crate) fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
