//! XDP of an interface: one program, by netlink or by a link.

use std::sync::Arc;

use uapi::Errno;

use super::kinds::at;
use crate::hook::{Entry, List};
use crate::prog::Prog;

/// `XDP_FLAGS_*`.
const UPDATE_IF_NOEXIST: u32 = 1;
/// The generic mode.
pub(crate) const SKB: u32 = 2;
/// The driver's mode.
pub(crate) const DRV: u32 = 4;
const HW: u32 = 8;
const REPLACE: u32 = 16;
const MODES: u32 = SKB | DRV | HW;

/// Makes `new` the interface's program, or takes the one there is away; what was there before.
/// `link` is 0 for netlink, which gives a program without one.
pub(crate) fn set(
    list: &mut List,
    new: Option<Entry>,
    old: Option<&Arc<Prog>>,
    flags: u32,
) -> Result<Option<Entry>, Errno> {
    let by_link = new.as_ref().is_some_and(|entry| entry.link != 0);
    let known = if by_link { MODES } else { MODES | UPDATE_IF_NOEXIST | REPLACE };
    if flags & !known != 0 || (flags & MODES).count_ones() > 1 {
        return Err(Errno::EINVAL);
    }
    if old.is_some() && flags & REPLACE == 0 {
        return Err(Errno::EINVAL);
    }
    let mode = mode(flags, list);
    if mode == HW {
        return Err(Errno::EOPNOTSUPP);
    }
    let there = list.entries.first().filter(|entry| entry.flags & MODES == mode);
    if there.is_some_and(|entry| entry.link != 0 || by_link) {
        return Err(Errno::EBUSY);
    }
    if flags & REPLACE != 0 && there.map(|entry| entry.prog.id) != old.map(|prog| prog.id) {
        return Err(Errno::EEXIST);
    }
    let Some(new) = new else {
        let at = list.entries.iter().position(|entry| entry.flags & MODES == mode);
        return Ok(at.map(|at| list.entries.remove(at)));
    };
    if flags & UPDATE_IF_NOEXIST != 0 && there.is_some() {
        return Err(Errno::EBUSY);
    }
    if list.entries.first().is_some_and(|entry| entry.flags & MODES != mode) {
        return Err(Errno::EEXIST);
    }
    if matches!(new.prog.attach_type, at::XDP_DEVMAP | at::XDP_CPUMAP) {
        return Err(Errno::EINVAL);
    }
    let before = list.entries.pop();
    list.entries.push(Entry { flags: mode, ..new });
    Ok(before)
}

/// The mode that flags ask for: the driver's unless they say otherwise.
fn mode(flags: u32, list: &List) -> u32 {
    match flags & MODES {
        0 => list.entries.first().map_or(DRV, |entry| entry.flags & MODES),
        mode => mode,
    }
}
