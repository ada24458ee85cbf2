//! Helpers on messages that go through a socket.

use interp::Trap;
use uapi::Errno;

use super::{Call, guard, mem, status};
use crate::message::Message;

/// Offsets in `struct sk_msg_md`, and its bytes.
const DATA: u64 = 0;
const SIZE: u64 = 68;
const BYTES: usize = 80;

fn message<'r>(c: &Call<'_, 'r>) -> Result<&'r Message, Errno> {
    c.run.world.message.ok_or(Errno::EINVAL)
}

/// The context follows the message.
fn show(c: &mut Call<'_, '_>, ctx: u64) -> Result<(), Trap> {
    let Some(message) = c.run.world.message else { return Ok(()) };
    guard::usable(c.run, &*c.vm, ctx, BYTES, false)?;
    let (start, end) = message.data();
    mem::write(ctx + DATA, [start.to_ne_bytes(), end.to_ne_bytes()].as_flattened());
    mem::write(ctx + SIZE, &(message.len() as u32).to_ne_bytes());
    Ok(())
}

fn change(
    c: &mut Call<'_, '_>,
    ctx: u64,
    change: impl FnOnce(&Message) -> Result<(), Errno>,
) -> Result<u64, Trap> {
    let done = message(c).and_then(change);
    show(c, ctx)?;
    Ok(status(done))
}

pub(super) fn apply(c: &mut Call<'_, '_>, [_, bytes, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(status(message(c).map(|message| message.apply.set(bytes as u32))))
}

pub(super) fn cork(c: &mut Call<'_, '_>, [_, bytes, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(status(message(c).map(|message| message.cork.set(bytes as u32))))
}

pub(super) fn pull(
    c: &mut Call<'_, '_>,
    [ctx, start, end, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    change(c, ctx, |message| match flags {
        0 => message.pull(start as u32 as usize, end as u32 as usize),
        _ => Err(Errno::EINVAL),
    })
}

pub(super) fn push(
    c: &mut Call<'_, '_>,
    [ctx, start, len, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    change(c, ctx, |message| match (flags, len as u32) {
        (0, 0) => Ok(()),
        (0, len) => message.push(start as u32 as usize, len as usize),
        _ => Err(Errno::EINVAL),
    })
}

pub(super) fn pop(
    c: &mut Call<'_, '_>,
    [ctx, start, len, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    change(c, ctx, |message| match (flags, len as u32) {
        (0, 0) => Ok(()),
        (0, len) => message.pop(start as u32 as usize, len as usize),
        _ => Err(Errno::EINVAL),
    })
}
