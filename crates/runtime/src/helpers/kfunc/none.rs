//! Functions on what this machine's kernel has and ring3 has none of: they answer as a kernel
//! whose tables are empty and whose drivers tell nothing.

use interp::Trap;
use uapi::Errno;

use super::super::{Call, mem};

/// Null: there is no such object.
pub(super) fn null(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(0)
}

/// The driver does not tell.
pub(super) fn no_metadata(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(Errno::EOPNOTSUPP.as_ret())
}

/// No connection is tracked, no packet is ciphered: the options, whose `error` comes `at` bytes
/// in, say ENOENT.
fn not_found(c: &mut Call<'_, '_>, options: u64, size: u64, at: u64) -> Result<u64, Trap> {
    if size as u32 as u64 >= at + 4 {
        c.writable(options + at, 4)?;
        mem::write(options + at, &(-Errno::ENOENT.0).to_ne_bytes());
    }
    Ok(0)
}

pub(super) fn no_connection(
    c: &mut Call<'_, '_>,
    [_, _, _, options, size]: [u64; 5],
) -> Result<u64, Trap> {
    not_found(c, options, size, 4)
}

pub(super) fn no_cipher(
    c: &mut Call<'_, '_>,
    [_, options, size, ..]: [u64; 5],
) -> Result<u64, Trap> {
    not_found(c, options, size, 0)
}
