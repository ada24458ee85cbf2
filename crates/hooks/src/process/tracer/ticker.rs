//! Programs that run in processes send records without a word: somebody looks from time to time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Tracer;
use crate::process::fast;
use crate::process::sys::interrupt;

/// How often.
const TICK: Duration = Duration::from_millis(5);

/// Wakes the tracer when programs have run; ends when it is dropped.
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tracer {
    /// A ticker, if programs run in processes.
    pub(super) fn tick(&self) -> io::Result<Option<Ticker>> {
        let Some(fast) = self.probes.fast().cloned() else { return Ok(None) };
        let (stop, tracer) = (Arc::new(AtomicBool::new(false)), interrupt::this_thread());
        let (stopped, shared) = (stop.clone(), self.shared.clone());
        let watch = move || {
            let mut known = 0;
            while !stopped.load(Relaxed) {
                std::thread::sleep(TICK);
                let runs = fast::Fast::runs(&fast);
                if runs != known {
                    known = runs;
                    shared.tell_ran();
                    interrupt::wake(tracer);
                }
            }
        };
        let thread = std::thread::Builder::new().name("ticker".into()).spawn(watch)?;
        Ok(Some(Ticker { stop, thread: Some(thread) }))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
