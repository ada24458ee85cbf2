//! Live frames: XDP programs whose verdicts are carried out.
//!
//! Each frame is a copy of the packet that came in by the interface the context names, or by the
//! loopback interface, which forwards nothing. What passes goes on to tcx and ring3's own counters
//! of the interface; what is sent back or redirected leaves by ring3's interfaces.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use uapi::Errno;

use super::buffer;
use crate::core::Core;
use crate::device::Device;
use crate::door::{TestRun, TestRunOut};
use crate::hook::Hooks;
use crate::packet::PacketBuf;
use crate::path::Path;
use crate::prog::Prog;
use crate::runner::Runner;

/// What Linux keeps of a frame's page for itself.
pub(super) const PAGE_HEAD: usize = 112;
/// Frames of a batch where none is said, and at most.
const BATCH: u32 = 64;
const MAX_BATCH: u32 = 256;

/// E2BIG for a batch that is too large.
pub(super) fn batch(req: &TestRun) -> Result<u32, Errno> {
    match req.batch_size {
        0 => Ok(BATCH),
        n if n > MAX_BATCH => Err(Errno::E2BIG),
        n => Ok(n),
    }
}

/// Sends `req.repeat` copies of the packet that `model` holds through the program, a batch at a
/// time; what left is handed on after each batch.
pub(super) fn run(
    core: &Arc<Core>,
    prog: &Arc<Prog>,
    req: &TestRun,
    model: &PacketBuf,
    stop: &std::sync::atomic::AtomicBool,
) -> Result<TestRunOut, Errno> {
    let batch = batch(req)?;
    let hooks = Hooks { registry: core.hooks.clone(), core: Arc::downgrade(core) };
    let device = hooks.device(model.ingress_ifindex);
    // The loopback interface is no object here: what stays on it is counted nowhere.
    let device = device.unwrap_or_else(|| Arc::new(Device::nowhere(model.ingress_ifindex)));
    let mut path = Path::new(hooks)?;
    let mut runner = Runner::new(core.clone(), prog.clone());
    let bytes = model.with_meta();
    let times = req.repeat.max(1);
    let start = Instant::now();
    let mut sent = 0;
    while sent < times {
        for _ in 0..batch.min(times - sent) {
            path.inject(&device, &mut runner, |frame| frame.copy_of(model, &bytes))?;
            sent += 1;
        }
        path.flush();
        if stop.load(Relaxed) {
            return Err(Errno::EINTR);
        }
    }
    let mean = start.elapsed().as_nanos() / u128::from(times);
    let duration_ns = u32::try_from(mean).unwrap_or(u32::MAX);
    // What comes back is the packet as it was given: the frames are gone.
    Ok(buffer::finish(req, (0, duration_ns), bytes, None))
}
