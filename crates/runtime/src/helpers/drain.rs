//! Samples that user space has put into a ring buffer, shown to a callback one by one.

use std::sync::atomic::AtomicU64;

use interp::{Region, Trap};
use maps::MAX_SAMPLES;
use uapi::Errno;

use super::dynptr::Dynptr;
use super::{Call, mem};

/// How many samples were shown; the callback ends it with a number other than 0.
pub(super) fn drain(
    c: &mut Call<'_, '_>,
    [map, func, ctx, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    /// To wake the writer up always or never: nobody sleeps on these buffers.
    const WAKE_UP: u64 = 3;
    if flags & !WAKE_UP != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let map = c.run.map(map)?.clone();
    let Some(ring) = map.map.ops().user_ringbuf() else { return Ok(Errno::EINVAL.as_ret()) };
    let reader = match ring.drain() {
        Ok(reader) => reader,
        Err(why) => return Ok(why.as_ret()),
    };
    let pointer = [AtomicU64::new(0), AtomicU64::new(0)];
    let at = pointer.as_ptr().expose_provenance() as u64;
    let mut shown = 0;
    for _ in 0..MAX_SAMPLES {
        let sample = match reader.peek() {
            Ok(None) => break,
            Ok(Some(sample)) => sample,
            Err(Errno::EAGAIN) => continue,
            Err(why) => return Ok(why.as_ret()),
        };
        let end = sample.addr + u64::from(sample.len);
        let data = Region { start: sample.addr, end, writable: true };
        mem::write(at, &Dynptr::of_memory(sample.addr, sample.len).bytes());
        c.vm.grant(Region { start: at, end: at + 16, writable: true });
        c.run.granted.push(data);
        let ran = c.vm.call_back(c.run, func, [at, ctx, 0, 0, 0]);
        c.run.granted.retain(|known| *known != data);
        reader.release(sample);
        shown += 1;
        if ran? != 0 {
            break;
        }
    }
    Ok(shown)
}
