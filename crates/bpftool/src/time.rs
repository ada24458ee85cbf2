//! When programs were loaded.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};

/// Seconds since 1970 of a moment given in nanoseconds since boot.
pub(crate) fn wall_clock(since_boot: u64) -> i64 {
    let ns = |id| {
        let time = clock_gettime(id);
        i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
    };
    let boot = ns(ClockId::Realtime) - ns(ClockId::Boottime);
    // Rounded as bpftool does: whole seconds, down.
    i64::try_from((boot + i128::from(since_boot)) / 1_000_000_000).unwrap_or(0)
}

/// `2026-11-20T22:12:25+0000`, in local time.
pub(crate) fn local(seconds: i64) -> String {
    let Ok(time) = Timestamp::from_second(seconds) else { return seconds.to_string() };
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%z").to_string()
}
