//! Helpers that tell of the current process's groups and namespaces.

use std::fs;
use std::os::unix::fs::MetadataExt;

use interp::Trap;
use uapi::Errno;

use super::{Call, mem};

/// Where the one hierarchy of control groups is mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
/// The root's id, and that of a process in no group.
const ROOT: u64 = 1;

/// The path of the current process's group.
fn path(c: &Call<'_, '_>) -> String {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", c.run.task.pid)).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("0::/"));
    line.unwrap_or_default().to_owned()
}

/// A group's id is the number of its directory.
fn id(path: &str) -> u64 {
    fs::metadata(format!("{CGROUPS}/{path}")).map_or(ROOT, |dir| dir.ino())
}

pub(super) fn current(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(id(&path(c)))
}

/// The group's ancestor at a level, 0 being the root.
pub(super) fn ancestor(c: &mut Call<'_, '_>, [level, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(ancestor_of(&path(c), level as i32))
}

/// Number of the ancestor at a level of the group at this path; 0 if it is not so deep.
pub(super) fn ancestor_of(path: &str, level: i32) -> u64 {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let level = usize::try_from(level).ok();
    level.and_then(|n| parts.get(..n)).map_or(0, |above| id(&above.join("/")))
}

/// Arrays of groups stay empty here.
pub(super) fn under(c: &mut Call<'_, '_>, [map, index, ..]: [u64; 5]) -> Result<u64, Trap> {
    let entries = c.run.map(map)?.map.def().max_entries;
    let why = if index as u32 >= entries { Errno::E2BIG } else { Errno::EAGAIN };
    Ok(why.as_ret())
}

/// The same for a packet's group.
pub(super) fn skb_under(c: &mut Call<'_, '_>, [_, map, index, ..]: [u64; 5]) -> Result<u64, Trap> {
    under(c, [map, index, 0, 0, 0])
}

/// Thread and process as a given PID namespace numbers them: known for the current one alone.
pub(super) fn ns_pid_tgid(
    c: &mut Call<'_, '_>,
    [dev, ino, out, size, _]: [u64; 5],
) -> Result<u64, Trap> {
    let task = c.run.task;
    let own = fs::metadata(format!("/proc/{}/ns/pid", task.pid));
    let same = own.is_ok_and(|own| own.dev() == dev && own.ino() == ino);
    if size as u32 != 8 || !same {
        mem::zero(out, size as u32 as usize);
        return Ok(Errno::EINVAL.as_ret());
    }
    let words = [task.pid.to_ne_bytes(), task.tgid.to_ne_bytes()];
    mem::write(out, words.as_flattened());
    Ok(0)
}

/// Names the thread, as Linux's address does: the same number for the same thread, in the upper
/// half of addresses, with nothing to read there. In events it is the synthetic kernel's, and with
/// the kernel's types an object like its.
pub(super) fn task(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    let known = c.run.event.map_or(0, |event| event.process.task());
    if known != 0 {
        return Ok(known);
    }
    c.run.pin();
    let object = c.run.core.task_object(c.run.task.pid);
    Ok(if object == 0 { number_of(c.run.task.pid) } else { c.run.keep(object) })
}

/// What stands for a task where the kernel's types are not known.
pub(super) fn number_of(pid: u32) -> u64 {
    const BASE: u64 = 0xffff_8880_0000_0000;
    const APART: u64 = 1 << 14;
    BASE + u64::from(pid) * APART
}

/// Only events have a cookie; other runs are of no link.
pub(super) fn attach_cookie(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(c.run.event.map_or(0, |event| event.cookie))
}

/// Branches are not recorded.
pub(super) fn branch_snapshot(_: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    Ok(Errno::ENOENT.as_ret())
}

/// There are no kernel symbols.
pub(super) fn kallsyms(
    _: &mut Call<'_, '_>,
    [name, size, flags, out, _]: [u64; 5],
) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    mem::zero(out, 8);
    let ends = size > 1 && mem::view(name + size as u64 - 1, 1).byte(0) == 0;
    let why = if flags != 0 || !ends { Errno::EINVAL } else { Errno::ENOENT };
    Ok(why.as_ret())
}
