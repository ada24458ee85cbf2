//! Signals that are about to be delivered: ours, the command's, and those that have to wait.

use std::io;

use super::Tracer;
use crate::process::fast::Fate;

impl Tracer {
    pub(super) fn signal(&mut self, tid: i32, signal: i32) -> io::Result<()> {
        let fate = match self.fate(tid, signal)? {
            Some(fate) => fate,
            None if signal == libc::SIGTRAP
                && !self.probes.is_empty()
                && self.breakpoint(tid)? =>
            {
                Fate::Waits
            }
            None => Fate::Delivered(signal),
        };
        match fate {
            Fate::Delivered(signal) => self.resume(tid, signal),
            Fate::Waits => self.resume(tid, 0),
        }
    }

    /// What becomes of a signal for a thread that is in the agent.
    fn fate(&mut self, tid: i32, signal: i32) -> io::Result<Option<Fate>> {
        let Some(thread) = self.world.threads.get_mut(&tid) else { return Ok(None) };
        let Some((fast, inside)) = self.probes.inside(thread.tgid) else { return Ok(None) };
        fast.signal(inside, (thread.tgid, tid), signal, &mut thread.waiting)
    }
}
