//! Storage in objects: sockets, tasks, groups and inodes, and at a program's own group.

use interp::{Trap, TrapKind};
use uapi::Errno;

use super::kfunc::task;
use super::{Call, mem, socket, status};

/// Flag: make it if there is none.
const CREATE: u64 = 1;

/// The value of the object with this number; null without one.
fn get(
    c: &mut Call<'_, '_>,
    map: u64,
    object: Option<u64>,
    value: u64,
    flags: u64,
) -> Result<u64, Trap> {
    let map = c.run.map(map)?.clone();
    let (Some(local), Some(object)) = (map.map.ops().local(), object) else { return Ok(0) };
    if flags & !CREATE != 0 {
        return Ok(0);
    }
    if let Some(known) = local.get(object) {
        return Ok(known);
    }
    if flags == 0 {
        return Ok(0);
    }
    let size = map.value_size();
    let value = if value == 0 { vec![0; size] } else { mem::copy(value, size) };
    // Somebody else may have made it meanwhile.
    let _ = map.map.ops().user_update(&object.to_ne_bytes(), &value, maps::NOEXIST);
    Ok(local.get(object).unwrap_or(0))
}

fn delete(c: &mut Call<'_, '_>, map: u64, object: Option<u64>) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    let Some(object) = object else { return Ok(Errno::EINVAL.as_ret()) };
    let key = object.to_ne_bytes();
    Ok(status(map.map.ops().delete(maps::View::from(key.as_slice()))))
}

pub(super) fn of_socket(
    c: &mut Call<'_, '_>,
    [map, sk, value, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let object = socket::key(c, sk);
    get(c, map, object, value, flags)
}

pub(super) fn delete_of_socket(c: &mut Call<'_, '_>, [map, sk, ..]: [u64; 5]) -> Result<u64, Trap> {
    let object = socket::key(c, sk);
    delete(c, map, object)
}

pub(super) fn of_task(
    c: &mut Call<'_, '_>,
    [map, task, value, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let object = task::number(c, task).map(u64::from);
    get(c, map, object, value, flags)
}

pub(super) fn delete_of_task(c: &mut Call<'_, '_>, [map, task, ..]: [u64; 5]) -> Result<u64, Trap> {
    let object = task::number(c, task).map(u64::from);
    delete(c, map, object)
}

pub(super) fn of_group(
    c: &mut Call<'_, '_>,
    [map, group, value, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let object = task::group_at(c, group).map(|(id, _)| id);
    get(c, map, object, value, flags)
}

pub(super) fn delete_of_group(
    c: &mut Call<'_, '_>,
    [map, group, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let object = task::group_at(c, group).map(|(id, _)| id);
    delete(c, map, object)
}

fn inode(c: &Call<'_, '_>, inode: u64) -> Option<u64> {
    match c.run.core.kernel_object_at(inode) {
        Some(("inode", id, _)) => Some(id),
        _ => None,
    }
}

pub(super) fn of_inode(
    c: &mut Call<'_, '_>,
    [map, at, value, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let object = inode(c, at);
    get(c, map, object, value, flags)
}

pub(super) fn delete_of_inode(c: &mut Call<'_, '_>, [map, at, ..]: [u64; 5]) -> Result<u64, Trap> {
    let object = inode(c, at);
    delete(c, map, object)
}

/// The value at the group that the program is attached to; outside of groups at none.
pub(super) fn at_own_group(c: &mut Call<'_, '_>, [map, ..]: [u64; 5]) -> Result<u64, Trap> {
    let (group, cpu, kind) = (c.run.world.cgroup, c.run.cpu, c.run.prog.attach_type);
    let map = c.run.map(map)?;
    let found = map.map.ops().cgroup_storage().map(|at| at.get_or_create(group, kind, cpu));
    // Programs do not ask whether it is there.
    found.and_then(Result::ok).ok_or(Trap::here(TrapKind::Helper("no storage at the group")))
}
