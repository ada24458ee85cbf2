//! Buffers of a test run: what goes in, and how much of it comes back.

use uapi::Errno;

use crate::door::{TestRun, TestRunOut};

/// The context given, filled up with zeroes to `size`; `None` if none was given or asked for.
///
/// E2BIG if it is longer and the rest is not zero.
pub(super) fn context(req: &TestRun, size: usize) -> Result<Option<Vec<u8>>, Errno> {
    let Some(given) = &req.ctx_in else {
        return Ok(req.ctx_out.map(|_| vec![0; size]));
    };
    let known = given.len().min(size);
    if given[known..].iter().any(|b| *b != 0) {
        return Err(Errno::E2BIG);
    }
    let mut ctx = given[..known].to_vec();
    ctx.resize(size, 0);
    Ok(Some(ctx))
}

/// Packet and context afterwards, cut to the room that the caller has.
pub(super) fn finish(
    req: &TestRun,
    (retval, duration_ns): (u32, u32),
    data: Vec<u8>,
    ctx: Option<Vec<u8>>,
) -> TestRunOut {
    let mut out = TestRunOut {
        retval,
        duration_ns,
        data_size_out: data.len() as u32,
        data_out: data,
        ..TestRunOut::default()
    };
    match req.data_out {
        None => out.data_out.clear(),
        // Without a size there is no limit.
        Some(0) => {}
        Some(room) if out.data_out.len() > room as usize => {
            out.data_out.truncate(room as usize);
            out.truncated = true;
        }
        Some(_) => {}
    }
    if let (Some(ctx), Some(room), false) = (ctx, req.ctx_out, out.truncated) {
        out.ctx_size_out = ctx.len() as u32;
        out.truncated = ctx.len() > room as usize;
        out.ctx_out = ctx;
        out.ctx_out.truncate(room as usize);
    }
    out
}
