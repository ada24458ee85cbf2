//! Helpers on the process that an event happened in.

use interp::Trap;
use uapi::Errno;

use super::{Call, count, mem, status};

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
/// Frames that Linux walks at most.
const DEPTH: usize = 127;
const FRAME: usize = 8;

/// Frames of a task's user stack, innermost first, without those to skip.
fn frames(c: &Call<'_, '_>, flags: u64) -> Result<Vec<u64>, Errno> {
    let skip = (flags & SKIP) as usize;
    let mut frames = [0; DEPTH];
    // The stack of the kernel is empty.
    let found = match c.run.event {
        Some(event) if flags & USER_STACK != 0 => event.process.stack(&mut frames),
        _ => 0,
    };
    if found == 0 || found < skip {
        return Err(Errno::EFAULT);
    }
    Ok(frames[skip..found.min(DEPTH)].to_vec())
}

/// Whether a task pointer is the event's own.
pub(super) fn is_own(c: &Call<'_, '_>, task: u64) -> bool {
    c.run.event.is_some_and(|event| event.process.task() == task)
}

pub(super) fn stack(c: &mut Call<'_, '_>, [_, buf, size, flags, _]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    let known = flags & !(SKIP | USER_STACK) == 0;
    let found =
        if known && size.is_multiple_of(FRAME) { frames(c, flags) } else { Err(Errno::EINVAL) };
    let bytes: Vec<u8> = match &found {
        Ok(frames) => frames.iter().take(size / FRAME).flat_map(|f| f.to_ne_bytes()).collect(),
        Err(_) => Vec::new(),
    };
    mem::write(buf, &bytes);
    mem::zero(buf + bytes.len() as u64, size - bytes.len());
    Ok(count(found.map(|_| bytes.len() as u64)))
}

/// The number of the stack among those of a map.
pub(super) fn stack_id(c: &mut Call<'_, '_>, [_, map, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    const FAST: u64 = 1 << 9;
    const REUSE: u64 = 1 << 10;
    if flags & !(SKIP | USER_STACK | FAST | REUSE) != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let map = c.run.map(map)?.clone();
    let Some(traces) = map.map.ops().stack_trace() else { return Ok(Errno::EINVAL.as_ret()) };
    if traces.frame_size() != FRAME {
        // Numbers of builds are not read from programs' files.
        return Ok(Errno::EOPNOTSUPP.as_ret());
    }
    let id = frames(c, flags).and_then(|frames| {
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.to_ne_bytes()).collect();
        traces.insert(&frames, &bytes, flags)
    });
    Ok(count(id.map(u64::from)))
}

/// The same of a task, if it is the event's.
pub(super) fn task_stack(
    c: &mut Call<'_, '_>,
    [task, buf, size, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    if is_own(c, task) {
        return stack(c, [0, buf, size, flags, 0]);
    }
    mem::zero(buf, size as u32 as usize);
    Ok(Errno::EOPNOTSUPP.as_ret())
}

/// Memory of a task, if it is the event's.
pub(super) fn copy_from_task(
    c: &mut Call<'_, '_>,
    [dst, size, from, task, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    if flags != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    if size == 0 {
        return Ok(0);
    }
    let mut bytes = vec![0; size];
    let read = match c.run.event {
        Some(event) if is_own(c, task) => event.process.read(from, &mut bytes),
        _ => 0,
    };
    if read < size {
        mem::zero(dst, size);
        return Ok(Errno::EFAULT.as_ret());
    }
    mem::write(dst, &bytes);
    Ok(0)
}

/// The path of a file, where the event's kernel has files.
pub(super) fn path(c: &mut Call<'_, '_>, [path, buf, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    if size == 0 {
        return Ok(0);
    }
    let text = c.run.event.and_then(|event| event.process.path(path));
    let written = text.ok_or(Errno::EINVAL).and_then(|mut text| {
        text.push(0);
        if text.len() > size {
            return Err(Errno::ENAMETOOLONG);
        }
        mem::write(buf, &text);
        Ok(text.len() as u64)
    });
    Ok(count(written))
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
