//! Ordered lists of programs: tcx and netkit (`bpf_mprog`), netfilter, namespaces.

use std::sync::Arc;

use uapi::Errno;

use super::flag;
use crate::hook::{Entry, List};
use crate::prog::Prog;

/// Programs in one list.
const MAX: usize = 63;

/// The program or link that flags and a number name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    Prog(u32),
    Link(u32),
}

/// A change of a list.
pub(crate) struct Change {
    pub(crate) flags: u32,
    pub(crate) beside: Result<Beside, Errno>,
    pub(crate) revision: u64,
}

/// Puts a program in; `old` is the one that it replaces with BPF_F_REPLACE. What it replaced.
pub(crate) fn attach(
    list: &mut List,
    entry: Entry,
    change: &Change,
    old: Option<&Prog>,
) -> Result<Option<Entry>, Errno> {
    is_current(list, change.revision)?;
    if list.entries.iter().any(|known| known.prog.id == entry.prog.id) {
        return Err(Errno::EEXIST);
    }
    if change.flags & flag::REPLACE != 0 {
        let old = old.ok_or(Errno::ENOENT)?;
        let at = position(list, Beside::Prog(old.id)).ok_or(Errno::ENOENT)?;
        if list.entries[at].link != entry.link {
            return Err(Errno::EBUSY);
        }
        let neighbour = change.flags & (flag::BEFORE | flag::AFTER) != 0;
        if neighbour && place(list, change)? != at {
            return Err(Errno::ERANGE);
        }
        list.revision = list.revision() + 1;
        return Ok(Some(std::mem::replace(&mut list.entries[at], entry)));
    }
    if list.entries.len() == MAX {
        return Err(Errno::ERANGE);
    }
    let at = place(list, change)?;
    list.entries.insert(at, entry);
    list.revision = list.revision() + 1;
    Ok(None)
}

/// Takes a program out that no link holds: the given one, else the first or last as flags say.
pub(crate) fn detach(
    list: &mut List,
    prog: Option<&Arc<Prog>>,
    change: &Change,
) -> Result<Entry, Errno> {
    if change.flags & flag::REPLACE != 0 {
        return Err(Errno::EINVAL);
    }
    is_current(list, change.revision)?;
    if list.entries.is_empty() {
        return Err(Errno::ENOENT);
    }
    let at = match prog {
        Some(prog) => position(list, Beside::Prog(prog.id)).ok_or(Errno::ENOENT)?,
        None if change.flags & flag::BEFORE != 0 => 0,
        None => list.entries.len() - 1,
    };
    if list.entries[at].link != 0 {
        return Err(Errno::EBUSY);
    }
    list.revision = list.revision() + 1;
    Ok(list.entries.remove(at))
}

fn is_current(list: &List, revision: u64) -> Result<(), Errno> {
    let current = revision == 0 || revision == list.revision();
    if current { Ok(()) } else { Err(Errno::ESTALE) }
}

fn position(list: &List, which: Beside) -> Option<usize> {
    list.entries.iter().position(|entry| match which {
        Beside::Nothing => false,
        Beside::Prog(id) => entry.prog.id == id,
        Beside::Link(id) => entry.link == id,
    })
}

/// Where a new program goes.
fn place(list: &List, change: &Change) -> Result<usize, Errno> {
    let (before, after) = (change.flags & flag::BEFORE != 0, change.flags & flag::AFTER != 0);
    let beside = match change.beside? {
        Beside::Nothing => None,
        which => Some(position(list, which).ok_or(Errno::ENOENT)?),
    };
    match (before, after) {
        (true, true) => match (beside, list.entries.is_empty()) {
            (None, true) => Ok(0),
            _ => Err(Errno::ERANGE),
        },
        (true, false) => Ok(beside.unwrap_or(0)),
        (false, true) => Ok(beside.map_or(list.entries.len(), |at| at + 1)),
        (false, false) => Ok(list.entries.len()),
    }
}
