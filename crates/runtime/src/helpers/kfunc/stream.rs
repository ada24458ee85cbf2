//! What a program prints into its own streams.

use interp::Trap;
use uapi::Errno;

use super::super::Call;
use super::super::print::arguments;
use crate::format::format;

/// Bytes of a format, and of what it prints.
const MAX: usize = 1024;

/// 0, or what is wrong with stream, arguments or format.
pub(super) fn print(
    c: &mut Call<'_, '_>,
    [stream, fmt, data, len, _]: [u64; 5],
) -> Result<u64, Trap> {
    let Some(stream) = c.run.prog.streams.numbered(stream as u32).cloned() else {
        return Ok(Errno::ENOENT.as_ret());
    };
    let printed = arguments(data, len).and_then(|args| {
        let fmt = c.probe_str(fmt, MAX).ok_or(Errno::EFAULT)?;
        let mut text = format(&fmt, &args, c)?;
        text.truncate(MAX - 1);
        stream.push(&text)
    });
    Ok(printed.map_or_else(Errno::as_ret, |()| 0))
}
