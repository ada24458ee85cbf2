//! How long a process was on a CPU.

/// Nanoseconds that all its threads took together; `None` if it is gone.
pub(crate) fn of_process(pid: i32) -> Option<u64> {
    /// The scheduler's clock, in the lower bits of a process's clock.
    const SCHEDULER: libc::clockid_t = 2;
    let clock = (!pid) << 3 | SCHEDULER;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one `timespec`.
    let done = unsafe { libc::clock_gettime(clock, &mut time) };
    (done == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
