//! Ctrl-C while a command runs: the terminal sends it to the command too, whose answer counts.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static COUNT: AtomicU32 = AtomicU32::new(0);
const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGQUIT, WAKE];
/// Ends a wait; ignored by default.
const WAKE: i32 = libc::SIGURG;

/// Ends the wait of a thread of this process.
pub(crate) fn wake(tid: i32) {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, WAKE) };
}

/// The thread that calls.
pub(crate) fn this_thread() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::gettid() }
}

/// While it lives, these signals are counted and end nothing.
pub(crate) struct Interrupts {
    before: [Option<libc::sigaction>; SIGNALS.len()],
}

extern "C" fn count(signal: libc::c_int) {
    if signal != WAKE {
        COUNT.fetch_add(1, Relaxed);
    }
}

impl Interrupts {
    /// Signals that are ignored, or that somebody else handles, are left alone.
    pub(crate) fn watch() -> Interrupts {
        COUNT.store(0, Relaxed);
        let before = SIGNALS.map(|signal| {
            // SAFETY: all-zero is a valid `sigaction`.
            let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: only reads the present action.
            let known = unsafe { libc::sigaction(signal, std::ptr::null(), &mut before) } == 0;
            if !known || before.sa_sigaction != libc::SIG_DFL {
                return None;
            }
            let mut action = before;
            action.sa_sigaction = count as *const () as usize;
            // Waiting is to be interrupted.
            action.sa_flags = 0;
            // SAFETY: the handler only adds to an atomic.
            unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
            Some(before)
        });
        Interrupts { before }
    }

    /// How many came.
    pub(crate) fn count(&self) -> u32 {
        COUNT.load(Relaxed)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for (signal, before) in SIGNALS.into_iter().zip(&self.before) {
            if let Some(before) = before {
                // SAFETY: restores an action that the kernel gave us.
                unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
            }
        }
    }
}
