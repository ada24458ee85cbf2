//! Calls that wait: done on threads of their own, so that everybody else goes on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::process::sys::interrupt;
use crate::process::sys::socket::{capabilities, keep_capabilities};

/// What is done, told whether to give up when it is interrupted; the call's result.
pub(crate) type Job = Box<dyn FnOnce(&AtomicBool) -> i64 + Send>;

/// A call that waited has its result.
pub(crate) struct Finished {
    pub(crate) tid: i32,
    /// Which of the thread's calls it was.
    pub(crate) serial: u64,
    pub(crate) result: i64,
}

/// Calls that wait.
pub(crate) struct Workers {
    sender: Sender<Finished>,
    results: Receiver<Finished>,
    serial: u64,
}

impl Default for Workers {
    fn default() -> Workers {
        let (sender, results) = mpsc::channel();
        Workers { sender, results, serial: 0 }
    }
}

/// How often a call that waits is asked whether a signal wants to end it.
const ASK: Duration = Duration::from_millis(20);
/// Pause between two words to a thread that may not have heard the first one.
const AGAIN: Duration = Duration::from_millis(1);

impl Workers {
    /// Starts a call of a stopped thread; which of its calls this is.
    pub(crate) fn start(&mut self, tid: i32, job: Job) -> io::Result<u64> {
        self.serial += 1;
        let (serial, sender) = (self.serial, self.sender.clone());
        let tracer = interrupt::this_thread();
        let work = move || {
            let result = wait_for(tid, job);
            let heard = Arc::new(());
            // Nobody takes it once the tracer is gone.
            let _ = sender.send(Finished { tid, serial, result });
            drop(heard);
            interrupt::wake(tracer);
            std::thread::sleep(AGAIN);
            interrupt::wake(tracer);
        };
        std::thread::Builder::new().name("waiting call".into()).spawn(work)?;
        Ok(serial)
    }

    /// A result that has come.
    pub(crate) fn finished(&self) -> Option<Finished> {
        self.results.try_recv().ok()
    }
}

/// Does the job on another thread, which is interrupted if a signal waits for the caller.
fn wait_for(tid: i32, job: Job) -> i64 {
    let stop = Arc::new(AtomicBool::new(false));
    let (say, hear) = mpsc::channel();
    let (started, who) = mpsc::channel();
    let told = stop.clone();
    let work = move || {
        let _ = started.send(interrupt::this_thread());
        let _ = say.send(job(&told));
    };
    let failed = -i64::from(libc::EAGAIN);
    if std::thread::Builder::new().name("call".into()).spawn(work).is_err() {
        return failed;
    }
    let Ok(worker) = who.recv() else { return failed };
    let mut ask = ASK;
    loop {
        match hear.recv_timeout(ask) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return failed,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if stop.load(Ordering::Relaxed) || is_signalled(tid) {
            stop.store(true, Ordering::Relaxed);
            interrupt::wake(worker);
            ask = AGAIN;
        }
    }
}

/// Signals that do nothing by default: SIGCHLD, SIGCONT, SIGURG, SIGWINCH.
const IDLE: u64 = 1 << 16 | 1 << 17 | 1 << 22 | 1 << 27;

/// Whether a signal waits that the thread takes, or it is gone.
fn is_signalled(tid: i32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{tid}/status")) else { return true };
    let mask = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
    };
    let waits = (mask("SigPnd:") | mask("ShdPnd:")) & !mask("SigBlk:") & !mask("SigIgn:");
    waits & (mask("SigCgt:") | !IDLE) != 0
}

/// Does something with no more rights than a thread has, but these in any case.
pub(super) fn with_rights_of<T: Send>(tid: i32, more: u64, f: impl FnOnce() -> T + Send) -> T {
    let (own, kept) = (capabilities(interrupt::this_thread()), capabilities(tid) | more);
    if own & !kept == 0 {
        return f();
    }
    // Rights belong to a thread: this one's stay.
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            keep_capabilities(kept).ok();
            f()
        });
        match work.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
