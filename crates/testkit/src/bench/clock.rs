//! Times of this thread's own work.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of CPU time that this thread has used.
pub fn thread_ns() -> u64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// CPU nanoseconds of one call.
pub fn time<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let start = thread_ns();
    let out = work();
    (out, thread_ns() - start)
}

/// The middle value; 0 of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The geometric mean; 1 of nothing.
pub fn geomean(values: &[f64]) -> f64 {
    let logs: f64 = values.iter().map(|v| v.ln()).sum();
    if values.is_empty() { 1.0 } else { (logs / values.len() as f64).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_known_values() {
        assert!((geomean(&[1.0, 4.0]) - 2.0).abs() < 1e-12);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
    }
}
