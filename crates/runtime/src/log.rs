//! A log as the caller's buffer takes it.

use uapi::Errno;

use crate::door::LogRequest;

/// Bytes of log kept when the request names no size.
const DEFAULT_SIZE: usize = 16 << 20;
/// Levels and options of a log: two levels, statistics, keep the start (not the end).
const KNOWN: u32 = 15;
const KEEP_START: u32 = 8;
/// Bytes of the largest buffer.
const MAX_SIZE: u32 = u32::MAX >> 2;

/// A log in its buffer.
pub(crate) struct Log {
    pub(crate) text: String,
    /// Bytes that the whole log takes, its closing zero included; 0 where none was asked for.
    pub(crate) true_size: u32,
    /// ENOSPC if it did not fit.
    pub(crate) fits: Result<(), Errno>,
}

/// EINVAL for a request that Linux refuses.
pub(crate) fn check(req: LogRequest) -> Result<(), Errno> {
    let sized = req.level != 0 || req.size == 0;
    let good = sized && req.level & !KNOWN == 0 && req.size <= MAX_SIZE;
    if good { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Puts a whole log into the buffer that was asked for: its end, or its start.
pub(crate) fn finish(whole: String, req: LogRequest) -> Log {
    if req.level == 0 {
        return Log { text: String::new(), true_size: 0, fits: Ok(()) };
    }
    let room = if req.size == 0 { DEFAULT_SIZE } else { req.size as usize };
    let true_size = whole.len() as u32 + 1;
    if whole.len() < room {
        return Log { text: whole, true_size, fits: Ok(()) };
    }
    let cut = if req.level & KEEP_START != 0 {
        &whole.as_bytes()[..room - 1]
    } else {
        &whole.as_bytes()[whole.len() - (room - 1)..]
    };
    let text = String::from_utf8_lossy(cut).into_owned();
    Log { text, true_size, fits: Err(Errno::ENOSPC) }
}
