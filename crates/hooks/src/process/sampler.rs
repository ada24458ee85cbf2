//! Programs that run so often in a second that a process is on a CPU.
//!
//! What a process has used of CPUs says how many samples are due; they are taken of those of its
//! threads that run at that moment, which are stopped for it.

use std::collections::HashMap;
use std::time::Duration;

use super::point::Point;
use super::sys::{cpu_time, ptrace};
use super::thread::Thread;

/// One program and how often it runs.
struct Sampled {
    program: usize,
    /// Nanoseconds on a CPU between samples.
    period: u64,
    /// By process: the time at its last sample.
    last: HashMap<i32, u64>,
}

/// All such programs.
#[derive(Default)]
pub(crate) struct Sampler(Vec<Sampled>);

const SECOND: u64 = 1_000_000_000;
/// Samples that may be late; more are given up.
const LATE: u64 = 4;

impl Sampler {
    pub(crate) fn new<'p>(points: impl Iterator<Item = &'p Point>) -> Sampler {
        let sampled = points.enumerate().filter_map(|(program, point)| match point {
            Point::Sample(frequency) => {
                let period = SECOND / u64::from(*frequency).max(1);
                Some(Sampled { program, period, last: HashMap::new() })
            }
            _ => None,
        });
        Sampler(sampled.collect())
    }

    /// How often to look; `None` if nobody asks.
    pub(crate) fn period(&self) -> Option<Duration> {
        self.0.iter().map(|sampled| sampled.period).min().map(Duration::from_nanos)
    }

    /// Nanoseconds between a program's samples.
    pub(crate) fn period_of(&self, program: usize) -> u64 {
        self.0.iter().find(|known| known.program == program).map_or(0, |known| known.period)
    }

    /// Stops threads whose samples are due; each knows by then which programs want it.
    pub(crate) fn tick(&mut self, threads: &mut HashMap<i32, Thread>) {
        let mut running: HashMap<i32, Vec<i32>> = HashMap::new();
        for thread in threads.values() {
            let ready = thread.announced && thread.arrived && thread.samples.is_empty();
            if ready && is_running(thread.tid) {
                running.entry(thread.tgid).or_default().push(thread.tid);
            }
        }
        for (tgid, tids) in running {
            let Some(now) = cpu_time::of_process(tgid) else { continue };
            for sampled in &mut self.0 {
                let last = sampled.last.entry(tgid).or_insert(0);
                let due = (now.saturating_sub(*last) / sampled.period).min(LATE);
                *last = (*last).max(now.saturating_sub(LATE * sampled.period));
                for tid in tids.iter().take(due as usize) {
                    let Some(thread) = threads.get_mut(tid) else { continue };
                    *last += sampled.period;
                    thread.samples.push(sampled.program);
                }
            }
            for tid in tids {
                if threads.get(&tid).is_some_and(|thread| !thread.samples.is_empty()) {
                    // One that ends meanwhile has no more samples.
                    let _ = ptrace::interrupt(tid);
                }
            }
        }
    }

    /// A process runs another program, or is gone: its time begins anew.
    pub(crate) fn forget(&mut self, tgid: i32) {
        for sampled in &mut self.0 {
            sampled.last.remove(&tgid);
        }
    }
}

/// Whether a thread is on a CPU or could be.
fn is_running(tid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{tid}/stat"));
    // Its name, in parentheses, may hold anything.
    stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R')))
}
