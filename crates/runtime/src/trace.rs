//! The trace pipe: what `bpf_printk` prints, line by line as Linux's trace_pipe shows it.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::task::Task;

/// Lines kept when nobody reads.
const MAX_LINES: usize = 1 << 16;

/// Receives each line, without its line end.
pub type TraceSink = Box<dyn FnMut(&str) + Send>;

/// The pipe: a sink, or a buffer whose oldest lines give way.
#[derive(Default)]
pub(crate) struct TracePipe {
    inner: Mutex<Inner>,
    written: Condvar,
}

#[derive(Default)]
struct Inner {
    lines: VecDeque<String>,
    sink: Option<TraceSink>,
}

impl TracePipe {
    pub(crate) fn set_sink(&self, sink: Option<TraceSink>) {
        self.inner.lock().sink = sink;
    }

    pub(crate) fn write(&self, line: String) {
        let mut inner = self.inner.lock();
        if let Some(sink) = &mut inner.sink {
            return sink(&line);
        }
        if inner.lines.len() == MAX_LINES {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
        drop(inner);
        self.written.notify_one();
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.inner.lock().lines.drain(..).collect()
    }

    /// Lines that were taken and not read: they come first again, as far as there is room.
    pub(crate) fn give_back(&self, lines: Vec<String>) {
        let mut inner = self.inner.lock();
        for line in lines.into_iter().rev() {
            if inner.lines.len() < MAX_LINES {
                inner.lines.push_front(line);
            }
        }
        drop(inner);
        self.written.notify_one();
    }

    /// What is there, or what comes first within `time`.
    pub(crate) fn take_within(&self, time: Duration) -> Vec<String> {
        let mut inner = self.inner.lock();
        if inner.lines.is_empty() {
            self.written.wait_for(&mut inner, time);
        }
        inner.lines.drain(..).collect()
    }
}

/// One line: task, CPU, latency flags, seconds since boot, and the text.
pub(crate) fn line(task: &Task, cpu: u32, flags: &str, ns: u64, text: &str) -> String {
    let (secs, micros) = (ns / 1_000_000_000, ns / 1000 % 1_000_000);
    let mut out = String::with_capacity(64 + text.len());
    let head = (task.comm.as_str(), task.pid);
    // Writing to a string does not fail.
    let _ = write!(out, "{:>16}-{:<7} [{cpu:03}] {flags} {secs:>5}.{micros:06}: ", head.0, head.1);
    out.push_str("bpf_trace_printk: ");
    out.push_str(text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_read_comes_first_again() {
        let pipe = TracePipe::default();
        for line in ["one", "two"] {
            pipe.write(line.into());
        }
        let taken = pipe.take();
        pipe.write("three".into());
        pipe.give_back(taken);
        assert_eq!(pipe.take(), ["one", "two", "three"]);
    }

    #[test]
    fn a_line_looks_like_linux_s() {
        // Recorded from Linux 6.18's trace_pipe.
        let want = "         python3-1525    [000] b..11  1596.293521: bpf_trace_printk: Hello 42";
        let task = Task { comm: "python3".into(), pid: 1525, ..Task::default() };
        assert_eq!(line(&task, 0, "b..11", 1_596_293_521_000, "Hello 42"), want);
    }
}
