//! A clock that ends the tracer's waits, so that it can look at what no event tells.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::sys::interrupt;

/// Ticks until it is dropped.
pub(crate) struct Ticker(Arc<Shared>);

#[derive(Default)]
struct Shared {
    due: AtomicBool,
    over: AtomicBool,
}

impl Ticker {
    /// One that wakes this thread so often.
    pub(crate) fn start(period: Duration) -> io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let (ticks, tracer) = (shared.clone(), interrupt::this_thread());
        let tick = move || {
            while !ticks.over.load(Ordering::Acquire) {
                std::thread::sleep(period);
                ticks.due.store(true, Ordering::Release);
                interrupt::wake(tracer);
            }
        };
        std::thread::Builder::new().name("ticker".into()).spawn(tick)?;
        Ok(Ticker(shared))
    }

    /// Whether it has ticked since somebody asked.
    pub(crate) fn ticked(&self) -> bool {
        self.0.due.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
    }
}
