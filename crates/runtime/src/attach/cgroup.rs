//! Programs of control groups: lists that are inherited down the tree.

use std::sync::Arc;

use uapi::Errno;

use super::flag;
use crate::hook::{Entry, List, Place, Places, Target};
use crate::prog::Prog;

/// Programs of one type at one group.
const MAX: usize = 64;
const SAVED: u32 = flag::ALLOW_OVERRIDE | flag::ALLOW_MULTI | flag::PREORDER;
const KNOWN: u32 = SAVED | flag::REPLACE | flag::BEFORE | flag::AFTER | flag::ID | flag::LINK;

/// The root of the tree of groups.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";

/// A group's path without what says nothing; `None` if it is no group's.
pub(crate) fn normal(path: &str) -> Option<String> {
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    let path = format!("/{}", names.join("/"));
    let below = path.strip_prefix(ROOT)?;
    let inside = below.is_empty() || below.starts_with('/');
    let plain = !names.contains(&"..") && path.len() < 4096;
    (inside && plain).then_some(path)
}

/// The list of a group; empty ones are made.
fn list(places: &mut Places, place: &Place) -> usize {
    places.entry(place.clone()).or_default().entries.len()
}

/// Attaches; `old` is what BPF_F_REPLACE names. What was replaced.
pub(crate) fn attach(
    places: &mut Places,
    place: &Place,
    entry: Entry,
    flags: u32,
    old: Option<&Arc<Prog>>,
) -> Result<Option<Entry>, Errno> {
    let (over, multi) = (flags & flag::ALLOW_OVERRIDE != 0, flags & flag::ALLOW_MULTI != 0);
    let replace = flags & flag::REPLACE != 0;
    if flags & !KNOWN != 0 || (over && multi) || (replace && !multi) || (old.is_some() && !replace)
    {
        return Err(Errno::EINVAL);
    }
    let saved = flags & (flag::ALLOW_OVERRIDE | flag::ALLOW_MULTI);
    if !parents_allow(places, place) {
        return Err(Errno::EPERM);
    }
    if list(places, place) > 0 && places[place].flags != saved {
        return Err(Errno::EPERM);
    }
    let list = places.entry(place.clone()).or_default();
    if list.entries.len() >= MAX {
        return Err(Errno::E2BIG);
    }
    let at = replaced(list, &entry, multi, old)?;
    list.flags = saved;
    list.revision = list.revision() + 1;
    let entry = Entry { flags: flags & SAVED, ..entry };
    match at {
        Some(at) => Ok(Some(std::mem::replace(&mut list.entries[at], entry))),
        None => {
            let first = flags & flag::BEFORE != 0;
            let at = if first { 0 } else { list.entries.len() };
            list.entries.insert(at, entry);
            Ok(None)
        }
    }
}

/// The entry whose place a new one takes.
fn replaced(
    list: &List,
    entry: &Entry,
    multi: bool,
    old: Option<&Arc<Prog>>,
) -> Result<Option<usize>, Errno> {
    if !multi {
        return Ok((!list.entries.is_empty()).then_some(0));
    }
    let old = old.map(|prog| prog.id);
    let twice = |known: &Entry| {
        entry.link == 0
            && known.link == 0
            && known.prog.id == entry.prog.id
            && Some(known.prog.id) != old
    };
    if list.entries.iter().any(twice) {
        return Err(Errno::EINVAL);
    }
    let Some(old) = old else { return Ok(None) };
    let at = list.entries.iter().position(|known| known.link == 0 && known.prog.id == old);
    at.map(Some).ok_or(Errno::ENOENT)
}

/// Detaches a program that no link holds.
pub(crate) fn detach(
    places: &mut Places,
    place: &Place,
    prog: Option<&Arc<Prog>>,
) -> Result<Entry, Errno> {
    let list = places.get_mut(place).ok_or(Errno::ENOENT)?;
    if list.entries.is_empty() {
        return Err(Errno::ENOENT);
    }
    let at = if list.flags & flag::ALLOW_MULTI == 0 {
        0
    } else {
        let prog = prog.ok_or(Errno::EINVAL)?;
        let same = |entry: &Entry| entry.link == 0 && entry.prog.id == prog.id;
        list.entries.iter().position(same).ok_or(Errno::ENOENT)?
    };
    list.revision = list.revision() + 1;
    let entry = list.entries.remove(at);
    if list.entries.is_empty() {
        list.flags = 0;
    }
    Ok(entry)
}

/// The group above.
fn parent(path: &str) -> Option<&str> {
    let (above, _) = path.rsplit_once('/')?;
    (above.len() >= ROOT.len()).then_some(above)
}

/// Groups above, nearest first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(path), |path| parent(path))
}

fn above<'a>(places: &'a Places, place: &'a Place) -> impl Iterator<Item = &'a List> {
    let path = match &place.target {
        Target::Cgroup(path) => path.as_str(),
        _ => "",
    };
    parents(path).filter_map(|path| {
        let target = Target::Cgroup(path.to_owned());
        places.get(&Place { target, attach_type: place.attach_type })
    })
}

/// Whether the groups above let this one have programs of its own.
fn parents_allow(places: &Places, place: &Place) -> bool {
    for list in above(places, place) {
        if list.flags & flag::ALLOW_MULTI != 0 {
            return true;
        }
        if list.entries.len() == 1 {
            return list.flags & flag::ALLOW_OVERRIDE != 0;
        }
    }
    true
}

/// What runs for a group: its own programs, then those of the groups above that are not
/// overridden; programs with BPF_F_PREORDER before all others, the topmost first.
pub(crate) fn effective(places: &Places, place: &Place) -> Vec<Entry> {
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for list in places.get(place).into_iter().chain(above(places, place)) {
        let some = !first.is_empty() || !rest.is_empty();
        if some && list.flags & flag::ALLOW_MULTI == 0 {
            continue;
        }
        let (early, late): (Vec<_>, Vec<_>) =
            list.entries.iter().cloned().partition(|entry| entry.flags & flag::PREORDER != 0);
        first.splice(0..0, early);
        rest.extend(late);
    }
    first.extend(rest);
    first
}
