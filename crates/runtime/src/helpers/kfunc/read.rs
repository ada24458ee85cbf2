//! Functions that read memory which the verifier does not vouch for, into buffers and dynptrs.

use interp::Trap;
use uapi::Errno;

use super::super::probe::Side;
use super::super::{Call, dynptr::Dynptr, mem, status};

/// Bytes that go through at a time.
const MAX: u32 = 1 << 24;

fn into(
    c: &mut Call<'_, '_>,
    side: Option<Side>,
    [to, off, size, from, _]: [u64; 5],
    text: bool,
) -> Result<u64, Trap> {
    let (off, size) = (u64::from(off as u32), size as u32);
    let Some(to) = Dynptr::at(c, to)?.filter(|to| !to.read_only) else {
        return Ok(Errno::EINVAL.as_ret());
    };
    if size == 0 {
        return Ok(0);
    }
    if size >= MAX || u64::from(to.size) < off + u64::from(size) {
        return Ok(Errno::E2BIG.as_ret());
    }
    let Some(side) = side else { return Ok(Errno::EFAULT.as_ret()) };
    if text {
        let Some(mut read) = c.str_side(side, from, size as usize) else {
            return Ok(Errno::EFAULT.as_ret());
        };
        read.truncate(size as usize - 1);
        read.push(0);
        return Ok(match to.write(c, off, &read)? {
            Ok(()) => read.len() as u64,
            Err(why) => why.as_ret(),
        });
    }
    let read = c.probe_side(side, from, size as usize);
    if read.len() < size as usize {
        return Ok(Errno::EFAULT.as_ret());
    }
    Ok(status(to.write(c, off, &read)?))
}

/// `bpf_copy_from_user_str`: PAD_ZEROS fills the rest.
fn text(
    c: &mut Call<'_, '_>,
    side: Option<Side>,
    to: u64,
    size: u32,
    from: u64,
    flags: u64,
) -> Result<u64, Trap> {
    const PAD_ZEROS: u64 = 1;
    let size = size as usize;
    if flags & !PAD_ZEROS != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    if size == 0 {
        return Ok(0);
    }
    c.writable(to, size)?;
    let read = side.and_then(|side| c.str_side(side, from, size));
    let Some(mut read) = read else {
        mem::zero(to, if flags == PAD_ZEROS { size } else { 1 });
        return Ok(Errno::EFAULT.as_ret());
    };
    read.truncate(size - 1);
    read.push(0);
    mem::write(to, &read);
    if flags == PAD_ZEROS {
        mem::zero(to + read.len() as u64, size - read.len());
    }
    Ok(read.len() as u64)
}

/// The event's process, if the task is its own.
fn of_task(c: &Call<'_, '_>, task: u64) -> Option<Side> {
    super::super::process::is_own(c, task).then_some(Side::User)
}

pub(super) fn user(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    into(c, Some(Side::User), args, false)
}

pub(super) fn user_text_to(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    into(c, Some(Side::User), args, true)
}

pub(super) fn kernel(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    into(c, Some(Side::Kernel), args, false)
}

pub(super) fn kernel_text(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    into(c, Some(Side::Kernel), args, true)
}

pub(super) fn task(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    let side = of_task(c, args[4]);
    into(c, side, args, false)
}

pub(super) fn task_text_to(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    let side = of_task(c, args[4]);
    into(c, side, args, true)
}

pub(super) fn user_text(
    c: &mut Call<'_, '_>,
    [to, size, from, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    text(c, Some(Side::User), to, size as u32, from, flags)
}

pub(super) fn task_text(
    c: &mut Call<'_, '_>,
    [to, size, from, task, flags]: [u64; 5],
) -> Result<u64, Trap> {
    let side = of_task(c, task);
    text(c, side, to, size as u32, from, flags)
}
