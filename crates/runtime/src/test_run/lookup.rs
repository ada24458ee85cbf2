//! Test runs of SK_LOOKUP programs: on the addresses of a packet that looks for its socket.

use interp::Region;
use maps::View;
use maps::raw::Slab;
use uapi::Errno;

use super::{buffer, no_options, repeat};
use crate::door::{TestRun, TestRunOut};
use crate::helpers::Ctx;
use crate::runner::Ready;

/// Bytes of `struct bpf_sk_lookup`.
const SIZE: usize = 72;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Where its members are.
const COOKIE: usize = 0;
const FAMILY: usize = 8;
const PROTOCOL: usize = 12;
const REMOTE_IP4: usize = 16;
const REMOTE_IP6: usize = 20;
const REMOTE_PORT: usize = 36;
const LOCAL_IP4: usize = 40;
const LOCAL_IP6: usize = 44;
const LOCAL_PORT: usize = 60;
const INGRESS_IFINDEX: usize = 64;

pub(super) fn run(req: &TestRun, mut ready: Ready) -> Result<TestRunOut, Errno> {
    no_options(req)?;
    if req.data_in.is_some() || req.data_out.is_some() {
        return Err(Errno::EINVAL);
    }
    let ctx = buffer::context(req, SIZE)?.ok_or(Errno::EINVAL)?;
    let seen = seen(&ctx)?;
    let memory = Slab::new(SIZE)?;
    let start = memory.addr(0);
    let region = Region { start, end: start + SIZE as u64, writable: true };
    let (mut passed, mut cookie) = (0, 0);
    let stop = ready.stop.clone();
    let (_, duration) = repeat(req.repeat, &stop, || {
        memory.write(0, View::from(seen.as_slice()));
        let verdict = ready.run(Ctx::Flat(region), start)?;
        cookie = ready.selected().map_or(0, |socket| socket.cookie());
        // A socket that was chosen counts whatever the program says then.
        passed = u32::from(verdict as u32 != 0 || cookie != 0);
        Ok(verdict)
    })?;
    let mut shown = ctx;
    shown[COOKIE..COOKIE + 8].copy_from_slice(&cookie.to_ne_bytes());
    Ok(buffer::finish(req, (passed, duration), Vec::new(), Some(shown)))
}

/// What the program sees of what was given: the addresses of its family alone.
fn seen(ctx: &[u8]) -> Result<Vec<u8>, Errno> {
    let word = |at: usize| u32::from_ne_bytes([ctx[at], ctx[at + 1], ctx[at + 2], ctx[at + 3]]);
    let zero = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
    if !zero(&ctx[COOKIE..FAMILY]) || !zero(&ctx[INGRESS_IFINDEX..]) {
        return Err(Errno::EINVAL);
    }
    if word(LOCAL_PORT) > u32::from(u16::MAX) {
        return Err(Errno::ERANGE);
    }
    let mut seen = vec![0; SIZE];
    let mut copy = |at: usize, len: usize| seen[at..at + len].copy_from_slice(&ctx[at..at + len]);
    match word(FAMILY) as u16 {
        AF_INET => {
            copy(REMOTE_IP4, 4);
            copy(LOCAL_IP4, 4);
        }
        AF_INET6 => {
            copy(REMOTE_IP6, 16);
            copy(LOCAL_IP6, 16);
        }
        _ => return Err(Errno::EAFNOSUPPORT),
    }
    // The kernel keeps these in 16 bits.
    for at in [FAMILY, PROTOCOL, REMOTE_PORT, LOCAL_PORT] {
        copy(at, 2);
    }
    Ok(seen)
}
