//! Helpers that machine code calls without a detour: they need no callbacks, and their map is known
//! when the program is compiled.

use interp::{Trap, TrapKind};
use jit::{RunContext, Target};
use maps::View;
use uapi::Errno;

use crate::clock::ClockKind;
use crate::map_obj::MapObj;
use crate::run::Run;

type Leaf = extern "C" fn(u64, u64, u64, u64, u64, *mut RunContext) -> u64;

/// Number, function, arguments.
type Row = (u32, Leaf, u8);

const LEAVES: &[Row] = &[(5, ktime, 0), (7, prandom, 0), (8, cpu, 0)];

/// On a map of values that the program holds.
const ON_MAPS: &[Row] = &[(1, find, 2), (2, update, 4), (3, delete, 2)];

/// The way to helper `id`, if it is one of these.
pub(super) fn target(id: u32) -> Option<Target> {
    direct(LEAVES, id, false)
}

/// The way to helper `id` on a map of values that is known to be one.
pub(super) fn on_map(id: i32) -> Option<Target> {
    direct(ON_MAPS, u32::try_from(id).ok()?, true)
}

fn direct(rows: &[Row], id: u32, may_stop: bool) -> Option<Target> {
    let &(_, leaf, args) = rows.iter().find(|(known, ..)| *known == id)?;
    Some(Target { addr: leaf as usize, args, may_stop, tag: None })
}

fn map<'a>(handle: u64) -> &'a MapObj {
    // SAFETY: the compiler has seen that the argument is the handle of a map that the program
    // holds; handles are exposed addresses of map objects.
    unsafe { &*std::ptr::with_exposed_provenance(handle as usize) }
}

/// The memory that an argument names, if it is there.
fn view(addr: u64, len: usize, context: *mut RunContext) -> Option<View<'static>> {
    if let Some(missing) = jit::missing(addr, len as u64, false) {
        let size = u32::try_from(len).unwrap_or(u32::MAX);
        let kind = TrapKind::Memory { addr: missing, size, write: false };
        stop(context, Trap::here(kind));
        return None;
    }
    // SAFETY: a verified memory argument of that size, used within the call; should the verifier
    // have erred, it is mapped all the same.
    Some(unsafe { View::new(addr, len) })
}

#[cold]
fn stop(context: *mut RunContext, trap: Trap) {
    // SAFETY: code passes the context of its run, whose user is the `Run`; nobody else uses them
    // during a leaf.
    unsafe {
        (*(*context).user.cast::<Run<'_>>()).trap = Some(trap);
        (*context).stop = 1;
    }
}

fn cpu_of(context: *mut RunContext) -> u32 {
    // SAFETY: code passes the context of its run.
    unsafe { (*context).cpu }
}

fn run_of<'a>(context: *mut RunContext) -> &'a Run<'a> {
    // SAFETY: as above; its user is the `Run`, which nobody changes during a leaf.
    unsafe { &*(*context).user.cast::<Run<'a>>() }
}

fn status(result: Result<(), Errno>) -> u64 {
    result.map_or_else(Errno::as_ret, |()| 0)
}

extern "C" fn find(handle: u64, key: u64, _: u64, _: u64, _: u64, context: *mut RunContext) -> u64 {
    let map = map(handle);
    let Some(key) = view(key, map.key_size(), context) else { return 0 };
    map.map.ops().lookup(key, cpu_of(context)).unwrap_or(0)
}

extern "C" fn update(
    handle: u64,
    key: u64,
    value: u64,
    flags: u64,
    _: u64,
    context: *mut RunContext,
) -> u64 {
    let map = map(handle);
    let Some(key) = view(key, map.key_size(), context) else { return 0 };
    let Some(value) = view(value, map.value_size(), context) else { return 0 };
    status(map.map.ops().update(key, value, flags, cpu_of(context)))
}

extern "C" fn delete(
    handle: u64,
    key: u64,
    _: u64,
    _: u64,
    _: u64,
    context: *mut RunContext,
) -> u64 {
    let map = map(handle);
    let Some(key) = view(key, map.key_size(), context) else { return 0 };
    status(map.map.ops().delete(key))
}

extern "C" fn ktime(_: u64, _: u64, _: u64, _: u64, _: u64, context: *mut RunContext) -> u64 {
    run_of(context).core.clock.ns(ClockKind::Monotonic)
}

extern "C" fn prandom(_: u64, _: u64, _: u64, _: u64, _: u64, context: *mut RunContext) -> u64 {
    run_of(context).core.random.next() >> 32
}

extern "C" fn cpu(_: u64, _: u64, _: u64, _: u64, _: u64, context: *mut RunContext) -> u64 {
    cpu_of(context).into()
}
