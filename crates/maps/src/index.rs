//! Keys that are array indexes.

use uapi::Errno;

use crate::raw::View;

/// The index in a key.
pub(crate) fn index(key: &[u8]) -> u32 {
    View::from(key).u32(0)
}

/// The index after `key` among `max`: the first for none or one past the end.
pub(crate) fn next_index(key: Option<&[u8]>, max: u32, next: &mut [u8]) -> Result<(), Errno> {
    let index = match key.map_or(u32::MAX, index) {
        after if after >= max => 0,
        after if after == max - 1 => return Err(Errno::ENOENT),
        after => after + 1,
    };
    View::from(&index.to_ne_bytes()[..]).copy_to(next);
    Ok(())
}
