//! Tasks and control groups: this machine's, and the event's own.

use interp::Trap;
use uapi::Errno;

use super::super::{Call, group, process};
use crate::kernel_objects::{self as objects, GROUP, TASK};

/// The number of the task that a pointer names.
pub(in super::super) fn number(c: &Call<'_, '_>, task: u64) -> Option<u32> {
    if let Some(event) = c.run.event.filter(|_| process::is_own(c, task)) {
        return Some(event.pid);
    }
    match c.run.core.kernel_object_at(task) {
        Some((TASK, id, _)) => u32::try_from(id).ok(),
        _ => (group::number_of(c.run.task.pid) == task).then_some(c.run.task.pid),
    }
}

/// Number and path of the group that a pointer names, at its start or at its state's.
pub(in super::super) fn group_at(c: &Call<'_, '_>, group: u64) -> Option<(u64, String)> {
    match c.run.core.kernel_object_at(group) {
        Some((GROUP, id, path)) => Some((id, path)),
        _ => None,
    }
}

/// The same pointer, held. The event's own task outlives the run without.
pub(super) fn acquire(c: &mut Call<'_, '_>, [object, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    let held = c.run.core.heap.hold(object);
    let is_event_s = process::is_own(c, object);
    Ok(if held || is_event_s { object } else { 0 })
}

pub(super) fn from_number(c: &mut Call<'_, '_>, [pid, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    let Ok(pid) = u32::try_from(pid as i32) else { return Ok(0) };
    if let Some(event) = c.run.event.filter(|event| event.pid == pid)
        && event.process.task() != 0
    {
        return Ok(event.process.task());
    }
    Ok(if pid == 0 { 0 } else { c.run.core.task_object(pid) })
}

pub(super) fn group_from_id(c: &mut Call<'_, '_>, [id, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(objects::group_with_id(id).map_or(0, |path| c.run.core.group_object(&path)))
}

/// The group above at a level, the root's being 0; the group itself at its own.
pub(super) fn ancestor(c: &mut Call<'_, '_>, [group, level, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    let Some((_, path)) = group_at(c, group) else { return Ok(0) };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let level = usize::try_from(level as i32).ok();
    let above = level.and_then(|level| parts.get(..level)).map(|parts| parts.join("/"));
    Ok(above.map_or(0, |above| c.run.core.group_object(&above)))
}

/// Whether a task is in a group or one below it.
pub(super) fn is_under(c: &mut Call<'_, '_>, [task, group, ..]: [u64; 5]) -> Result<u64, Trap> {
    let own = number(c, task).and_then(objects::group_of);
    let (Some(own), Some((_, above))) = (own, group_at(c, group)) else { return Ok(0) };
    let rest = own.strip_prefix(above.as_str());
    let under =
        above.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    Ok(under.into())
}

/// No hierarchy of the older kind is mounted.
pub(super) fn older_group(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(0)
}

/// A signal to the event's own task; nobody else's.
pub(super) fn signal(
    c: &mut Call<'_, '_>,
    [task, signal, kind, ..]: [u64; 5],
) -> Result<u64, Trap> {
    /// `PIDTYPE_PID` and `PIDTYPE_TGID`.
    const THREAD: u64 = 0;
    const PROCESS: u64 = 1;
    let kind = kind as u32 as u64;
    if kind != THREAD && kind != PROCESS {
        return Ok(Errno::EINVAL.as_ret());
    }
    if !process::is_own(c, task) {
        return Ok(Errno::EPERM.as_ret());
    }
    let args = [signal, 0, 0, 0, 0];
    if kind == THREAD { process::signal_thread(c, args) } else { process::signal(c, args) }
}
