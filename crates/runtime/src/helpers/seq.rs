//! Helpers that write what the reader of an iterator gets.

use interp::Trap;
use uapi::Errno;

use super::print::arguments;
use super::{Call, mem, status};
use crate::format::format;

pub(super) fn printf(
    c: &mut Call<'_, '_>,
    [_, fmt, size, data, len]: [u64; 5],
) -> Result<u64, Trap> {
    let printed = arguments(data, len).and_then(|args| {
        let mut fmt = mem::copy(fmt, size as u32 as usize);
        let end = fmt.iter().position(|byte| *byte == 0).ok_or(Errno::EINVAL)?;
        fmt.truncate(end);
        let text = format(&fmt, &args, c)?;
        put(c, &text)
    });
    Ok(status(printed))
}

pub(super) fn write(c: &mut Call<'_, '_>, [_, data, len, ..]: [u64; 5]) -> Result<u64, Trap> {
    let bytes = mem::copy(data, len as u32 as usize);
    Ok(status(put(c, &bytes)))
}

pub(super) fn put(c: &mut Call<'_, '_>, bytes: &[u8]) -> Result<(), Errno> {
    c.run.event.ok_or(Errno::EINVAL)?.process.seq_write(bytes)
}
