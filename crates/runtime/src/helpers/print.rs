//! Helpers that print.

use interp::Trap;
use uapi::Errno;

use super::{Call, count, mem};
use crate::clock::ClockKind;
use crate::event::Process;
use crate::format::{Memory, format};
use crate::task::Task;
use crate::trace;

/// Bytes of a printed line, its closing zero included.
const MAX_LINE: usize = 1024;
/// Arguments in an array.
const MAX_ARGS: u64 = 12;

impl Memory for Call<'_, '_> {
    fn string(&mut self, addr: u64, max: usize) -> Option<Vec<u8>> {
        self.probe_str(addr, max)
    }

    fn bytes(&mut self, addr: u64, len: usize) -> Option<Vec<u8>> {
        Some(self.probe(addr, len)).filter(|b| b.len() == len)
    }
}

pub(super) fn trace_printk(
    c: &mut Call<'_, '_>,
    [fmt, size, a, b, d]: [u64; 5],
) -> Result<u64, Trap> {
    Ok(count(trace(c, fmt, size as u32, &[a, b, d])))
}

pub(super) fn trace_vprintk(
    c: &mut Call<'_, '_>,
    [fmt, size, data, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    let printed = arguments(data, len).and_then(|args| trace(c, fmt, size as u32, &args));
    Ok(count(printed))
}

pub(super) fn snprintf(
    c: &mut Call<'_, '_>,
    [out, size, fmt, data, len]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let printed = arguments(data, len).and_then(|args| {
        let fmt = c.probe_str(fmt, usize::MAX).ok_or(Errno::EFAULT)?;
        let text = format(&fmt, &args, c)?;
        if size > 0 {
            let mut kept = text[..text.len().min(size - 1)].to_vec();
            kept.push(0);
            mem::write(out, &kept);
        }
        Ok(text.len() as u64 + 1)
    });
    Ok(count(printed))
}

pub(super) fn arguments(data: u64, len: u64) -> Result<Vec<u64>, Errno> {
    let len = len & 0xffff_ffff;
    if !len.is_multiple_of(8) || len > MAX_ARGS * 8 || (len != 0 && data == 0) {
        return Err(Errno::EINVAL);
    }
    let bytes = mem::view(data, len as usize);
    Ok((0..len as usize).step_by(8).map(|i| bytes.u64(i)).collect())
}

fn trace(c: &mut Call<'_, '_>, fmt: u64, size: u32, args: &[u64]) -> Result<u64, Errno> {
    let mut fmt = mem::copy(fmt, size as usize);
    let end = fmt.iter().position(|b| *b == 0).ok_or(Errno::EINVAL)?;
    fmt.truncate(end);
    let mut text = format(&fmt, args, c)?;
    let len = text.len() as u64;
    text.truncate(MAX_LINE - 1);
    let run = &*c.run;
    let now = run.core.clock.ns(ClockKind::Monotonic);
    let text = String::from_utf8_lossy(&text);
    let of_event = run.event.map(|event| Task { comm: name(event.process), ..run.task.clone() });
    let task = of_event.as_ref().unwrap_or(run.task);
    run.core.trace.write(trace::line(task, run.cpu, run.trace_flags, now, &text));
    Ok(len)
}

/// The name of the thread that an event happened in.
fn name(process: &dyn Process) -> String {
    let comm = process.comm();
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    String::from_utf8_lossy(&comm[..end]).into_owned()
}
