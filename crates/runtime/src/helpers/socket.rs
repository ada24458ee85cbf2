//! Helpers on sockets, of which there are none here: looking for one finds nothing.
//!
//! What takes a socket can therefore not be reached; it answers as Linux does for a wrong one.

use interp::Trap;
use uapi::Errno;

use super::Call;

/// A null pointer: no such socket.
pub(super) fn null(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(0)
}

/// A socket is wanted.
pub(super) fn wanted(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(Errno::EINVAL.as_ret())
}

/// Owner of a packet without socket (`overflowuid`).
pub(super) fn uid(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(65534)
}

/// All is one network namespace, the first.
pub(super) fn netns_cookie(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(1)
}
