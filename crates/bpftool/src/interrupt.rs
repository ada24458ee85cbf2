//! Work that goes on until somebody interrupts (Ctrl-C, SIGTERM).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::fail::{Fail, io_errno};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Whether somebody has interrupted since it was made.
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn new() -> Result<Interrupt, Fail> {
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let registered = signal_hook::flag::register(signal, Arc::clone(&seen));
            registered.map_err(|error| Fail::of("can't wait for a signal", io_errno(&error)))?;
        }
        Ok(Interrupt(seen))
    }

    pub(crate) fn seen(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Waits for `time`, or until the signal if it is `None`.
    pub(crate) fn wait(&self, time: Option<Duration>) {
        let start = Instant::now();
        while !self.seen() {
            let left = time.map_or(LOOK, |time| time.saturating_sub(start.elapsed()));
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}
