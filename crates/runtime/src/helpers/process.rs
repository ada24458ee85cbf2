//! Helpers on the process that an event happened in.

use interp::Trap;
use uapi::Errno;

use super::{Call, mem, status};

/// Outside events there is no process to act on.
const NOBODY: u64 = Errno::EPERM.as_ret();

fn send(c: &Call<'_, '_>, signal: u64, thread: bool) -> u64 {
    c.run.event.map_or(NOBODY, |event| status(event.process.signal(signal as u32, thread)))
}

pub(super) fn signal(c: &mut Call<'_, '_>, [signal, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(send(c, signal, false))
}

pub(super) fn signal_thread(c: &mut Call<'_, '_>, [signal, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(send(c, signal, true))
}

pub(super) fn override_return(c: &mut Call<'_, '_>, [_, value, ..]: [u64; 5]) -> Result<u64, Trap> {
    let Some(event) = c.run.event else { return Ok(NOBODY) };
    event.process.override_return(value);
    Ok(0)
}

pub(super) fn func_ip(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.run.event.map_or(0, |event| event.func_ip))
}

pub(super) fn regs(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.run.event.map_or(0, |event| event.process.regs()))
}

pub(super) fn retval(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.run.event.map_or(0, |event| event.process.retval() as i64 as u64))
}

pub(super) fn set_retval(c: &mut Call<'_, '_>, [value, ..]: [u64; 5]) -> Result<u64, Trap> {
    if let Some(event) = c.run.event {
        event.process.set_retval(value as i32);
    }
    Ok(0)
}

const SKIP: u64 = 0xff;
const USER_STACK: u64 = 1 << 8;
const BUILD_ID: u64 = 1 << 11;
/// Frames that Linux walks at most.
const DEPTH: usize = 127;
const FRAME: usize = 8;

/// The user stack; that of the kernel is empty.
pub(super) fn stack(c: &mut Call<'_, '_>, [_, buf, size, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let build_id = flags & BUILD_ID != 0;
    let known = flags & !(SKIP | USER_STACK | BUILD_ID) == 0;
    if !known || build_id || !size.is_multiple_of(FRAME) {
        mem::zero(buf, size);
        return Ok(Errno::EINVAL.as_ret());
    }
    let skip = (flags & SKIP) as usize;
    let mut frames = [0; DEPTH];
    let found = match c.run.event {
        Some(event) if flags & USER_STACK != 0 => event.process.stack(&mut frames),
        _ => 0,
    };
    if found == 0 || found < skip {
        mem::zero(buf, size);
        return Ok(Errno::EFAULT.as_ret());
    }
    let wanted = frames[skip..found].iter().take(size / FRAME);
    let bytes: Vec<u8> = wanted.flat_map(|frame| frame.to_ne_bytes()).collect();
    mem::write(buf, &bytes);
    mem::zero(buf + bytes.len() as u64, size - bytes.len());
    Ok(bytes.len() as u64)
}

/// The word at `index` of a traced function's context; the word before it counts arguments.
fn word(ctx: u64, index: i64) -> u64 {
    let mut bytes = [0; FRAME];
    mem::view(ctx.wrapping_add_signed(index * FRAME as i64), FRAME).copy_to(&mut bytes);
    u64::from_ne_bytes(bytes)
}

fn put(to: u64, value: u64) -> u64 {
    mem::write(to, &value.to_ne_bytes());
    0
}

pub(super) fn func_arg(c: &mut Call<'_, '_>, [ctx, n, value, ..]: [u64; 5]) -> Result<u64, Trap> {
    let known = c.run.event.is_some() && u64::from(n as u32) < word(ctx, -1);
    Ok(if known { put(value, word(ctx, i64::from(n as u32))) } else { Errno::EINVAL.as_ret() })
}

pub(super) fn func_ret(c: &mut Call<'_, '_>, [ctx, value, ..]: [u64; 5]) -> Result<u64, Trap> {
    let Some(event) = c.run.event else { return Ok(Errno::EOPNOTSUPP.as_ret()) };
    Ok(put(value, word(ctx, event.args as i64)))
}

pub(super) fn func_arg_cnt(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.run.event.map_or(0, |event| event.args))
}
