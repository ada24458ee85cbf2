//! Iterators through tasks, groups and memory areas: a list that is made when they begin.
//!
//! Their state on the stack is the number of the list, counted from 1.

use std::collections::VecDeque;
use std::path::Path;

use interp::Trap;
use uapi::Errno;

use super::super::{Call, mem};
use super::task;
use crate::kernel_objects::{self as objects, Area};

/// Bytes of the smallest state.
const STATE: usize = 8;
/// Iterators of one run.
const MAX_WALKS: usize = 1024;
/// Groups and tasks of one list.
const MAX_ITEMS: usize = 1 << 16;

/// What comes next.
enum Item {
    Task(u32),
    Group(String),
    Area(Box<Area>),
}

/// A list, and the object shown last.
#[derive(Default)]
pub(crate) struct Walk {
    items: VecDeque<Item>,
    last: u64,
    open: bool,
}

fn begin(
    c: &mut Call<'_, '_>,
    at: u64,
    items: impl IntoIterator<Item = Item>,
) -> Result<u64, Trap> {
    c.writable(at, STATE)?;
    c.run.pin();
    mem::write(at, &0_u64.to_ne_bytes());
    let walks = &mut c.run.walks;
    let free = walks.iter().position(|walk| !walk.open).unwrap_or(walks.len());
    if free == MAX_WALKS {
        return Ok(Errno::ENOMEM.as_ret());
    }
    if free == walks.len() {
        walks.push(Walk::default());
    }
    let items = items.into_iter().take(MAX_ITEMS).collect();
    walks[free] = Walk { items, last: 0, open: true };
    mem::write(at, &(free as u64 + 1).to_ne_bytes());
    Ok(0)
}

fn refuse(c: &mut Call<'_, '_>, at: u64, why: Errno) -> Result<u64, Trap> {
    c.writable(at, STATE)?;
    mem::write(at, &0_u64.to_ne_bytes());
    Ok(why.as_ret())
}

fn walk<'w>(c: &'w mut Call<'_, '_>, at: u64) -> Result<Option<&'w mut Walk>, Trap> {
    c.writable(at, STATE)?;
    let number = mem::view(at, STATE).u64(0).checked_sub(1);
    let walks = &mut c.run.walks;
    Ok(number.and_then(|n| walks.get_mut(usize::try_from(n).ok()?)))
}

/// The next object; null at the end. The one before is given back, but stays for the run.
pub(super) fn next(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    loop {
        let core = c.run.core;
        let Some(walk) = walk(c, at)? else { return Ok(0) };
        if walk.last != 0 {
            core.heap.release(std::mem::take(&mut walk.last));
        }
        let Some(item) = walk.items.pop_front() else { return Ok(0) };
        // What is gone meanwhile is passed over.
        walk.last = match item {
            Item::Task(tid) => core.task_object(tid),
            Item::Group(path) => core.group_object(&path),
            Item::Area(area) => core.area_object(&area),
        };
        if walk.last != 0 {
            return Ok(walk.last);
        }
    }
}

pub(super) fn destroy(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    let core = c.run.core;
    if let Some(walk) = walk(c, at)? {
        core.heap.release(walk.last);
        *walk = Walk::default();
    }
    mem::write(at, &0_u64.to_ne_bytes());
    Ok(0)
}

fn threads(process: u32) -> Vec<u32> {
    objects::numbers(&format!("/proc/{process}/task"))
}

pub(super) fn tasks(c: &mut Call<'_, '_>, [at, of, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    const PROCESSES: u32 = 0;
    const ALL_THREADS: u32 = 1;
    const OF_PROCESS: u32 = 2;
    let ids = match flags as u32 {
        // The idle task comes first.
        PROCESSES => [0].into_iter().chain(objects::numbers("/proc")).collect(),
        ALL_THREADS => {
            let all = objects::numbers("/proc").into_iter().flat_map(threads);
            [0].into_iter().chain(all).collect()
        }
        OF_PROCESS => match task::number(c, of) {
            Some(tid) => {
                let own: Vec<u32> = threads(tid);
                // It begins with the task that it is given.
                let first = own.iter().position(|id| *id == tid).unwrap_or(0);
                own[first..].iter().chain(&own[..first]).copied().collect()
            }
            None => return refuse(c, at, Errno::EINVAL),
        },
        _ => return refuse(c, at, Errno::EINVAL),
    };
    let ids: Vec<u32> = ids;
    begin(c, at, ids.into_iter().map(Item::Task))
}

/// From the area that holds the address on, or the first one above it.
pub(super) fn areas(c: &mut Call<'_, '_>, [at, task, addr, ..]: [u64; 5]) -> Result<u64, Trap> {
    let areas = task::number(c, task).map(objects::areas).unwrap_or_default();
    if areas.is_empty() {
        return refuse(c, at, Errno::ENOENT);
    }
    let above = areas.into_iter().filter(|area| area.end > addr);
    begin(c, at, above.map(|area| Item::Area(Box::new(area))))
}

/// Groups below, the group itself first or last, or those above.
pub(super) fn groups(c: &mut Call<'_, '_>, [at, start, order, ..]: [u64; 5]) -> Result<u64, Trap> {
    const BEFORE: u32 = 2;
    const AFTER: u32 = 3;
    const UP: u32 = 4;
    let Some((_, path)) = task::group_at(c, start) else {
        return refuse(c, at, Errno::EINVAL);
    };
    let found = match order as u32 {
        UP => upwards(&path),
        BEFORE | AFTER => {
            let mut found = Vec::new();
            below(&path, order as u32 == BEFORE, &mut found);
            found
        }
        _ => return refuse(c, at, Errno::EINVAL),
    };
    begin(c, at, found.into_iter().map(Item::Group))
}

fn upwards(path: &str) -> Vec<String> {
    let above = Path::new(path).ancestors().map(|path| path.to_string_lossy().into_owned());
    above.collect()
}

fn below(path: &str, first: bool, found: &mut Vec<String>) {
    if found.len() >= MAX_ITEMS {
        return;
    }
    if first {
        found.push(path.to_owned());
    }
    for child in objects::children(&objects::group_folder(path)) {
        let Some(name) = child.file_name().and_then(|name| name.to_str()) else { continue };
        below(format!("{path}/{name}").trim_start_matches('/'), first, found);
    }
    if !first {
        found.push(path.to_owned());
    }
}

/// Processes or threads in a group.
pub(super) fn group_tasks(
    c: &mut Call<'_, '_>,
    [at, group, flags, ..]: [u64; 5],
) -> Result<u64, Trap> {
    const PROCESSES: u32 = 1;
    const THREADED: u32 = 2;
    let list = match flags as u32 {
        0 => "cgroup.threads",
        PROCESSES => "cgroup.procs",
        flags if flags == PROCESSES | THREADED => "cgroup.procs",
        _ => return refuse(c, at, Errno::EINVAL),
    };
    let Some((_, path)) = task::group_at(c, group) else {
        return refuse(c, at, Errno::EINVAL);
    };
    let text = std::fs::read_to_string(objects::group_folder(&path).join(list));
    let text = text.unwrap_or_default();
    let ids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    begin(c, at, ids.into_iter().map(Item::Task))
}

/// There are no caches and no buffers of devices here.
pub(super) fn nothing(c: &mut Call<'_, '_>, [at, ..]: [u64; 5]) -> Result<u64, Trap> {
    begin(c, at, [])
}
