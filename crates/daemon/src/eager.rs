//! Waiting for the other side of a socket without going to sleep at once.
//!
//! To wake a sleeping thread costs more than most commands do: who asks again and again is
//! answered several times faster by a thread that still looks.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// How long a look may take before the thread sleeps: a few wake-ups' worth.
const LOOK: Duration = Duration::from_micros(60);

/// Returns when there is something to read, the other side is gone, or some time is over.
pub(crate) fn look(socket: impl AsFd) {
    let start = Instant::now();
    let mut byte = [0; 1];
    while recv(&socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) == Err(Errno::AGAIN) {
        if start.elapsed() > LOOK {
            return;
        }
        // Others come first, above all the other side where there is one CPU.
        std::thread::yield_now();
    }
}
