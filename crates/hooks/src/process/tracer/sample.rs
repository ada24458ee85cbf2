//! Moments that no event tells of: samples by time, and what becomes of connections.

use std::io;

use super::Tracer;
use super::fire::fire_sample;
use crate::process::sys::{cpu_time, ptrace};
use crate::process::ticker::Ticker;

impl Tracer {
    /// The clock that ends waits, if somebody needs one.
    pub(super) fn start_ticker(&self) -> io::Result<Option<Ticker>> {
        let periods = [self.sampler.period(), self.controls.period()];
        periods.into_iter().flatten().min().map(Ticker::start).transpose()
    }

    /// The clock has ticked.
    pub(super) fn look(&mut self) {
        if self.live {
            self.sampler.tick(&mut self.world.threads);
            self.ran |= self.controls.look(&mut self.programs, &self.world);
        }
    }

    /// A thread has stopped for its samples.
    pub(super) fn sampled(&mut self, tid: i32) -> io::Result<()> {
        let Some(thread) = self.world.threads.get_mut(&tid) else { return Ok(()) };
        let samples = std::mem::take(&mut thread.samples);
        let regs = ptrace::regs(tid)?;
        let time = cpu_time::of_process(thread.tgid).unwrap_or(0);
        for program in samples {
            let period = self.sampler.period_of(program);
            let told = (period, time);
            fire_sample(&mut self.programs[program], &self.world, tid, &regs, told);
            self.ran = true;
        }
        Ok(())
    }
}
