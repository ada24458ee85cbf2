//! Helpers that machine code calls without a detour: they need neither callbacks nor a check of
//! their map argument, which the verifier has made.

use jit::{RunContext, Target};
use maps::View;
use uapi::Errno;

use crate::clock::ClockKind;
use crate::map_obj::MapObj;
use crate::run::Run;

type Leaf = extern "C" fn(u64, u64, u64, u64, u64, *mut RunContext) -> u64;

/// Number, function, arguments.
const LEAVES: &[(u32, Leaf, u8)] =
    &[(2, update, 4), (3, delete, 2), (5, ktime, 0), (7, prandom, 0), (8, cpu, 0)];

/// The way to helper `id`, if it is one of these.
pub(super) fn target(id: u32) -> Option<Target> {
    let (_, leaf, args) = LEAVES.iter().find(|(known, ..)| *known == id)?;
    Some(direct(*leaf, *args))
}

/// `bpf_map_lookup_elem` in a map of values.
pub(super) fn lookup() -> Target {
    direct(find, 2)
}

fn direct(leaf: Leaf, args: u8) -> Target {
    Target { addr: leaf as usize, args, may_stop: false, tag: None }
}

fn map<'a>(handle: u64) -> &'a MapObj {
    // SAFETY: a map argument of verified code is the handle of a map that the program, or the
    // run, holds; handles are exposed addresses of map objects.
    unsafe { &*std::ptr::with_exposed_provenance(handle as usize) }
}

fn view(addr: u64, len: usize) -> View<'static> {
    // SAFETY: a verified memory argument of that size, used within the call.
    unsafe { View::new(addr, len) }
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
    let key = view(key, map.key_size());
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
    let (key, value) = (view(key, map.key_size()), view(value, map.value_size()));
    status(map.map.ops().update(key, value, flags, cpu_of(context)))
}

extern "C" fn delete(handle: u64, key: u64, _: u64, _: u64, _: u64, _: *mut RunContext) -> u64 {
    let map = map(handle);
    status(map.map.ops().delete(view(key, map.key_size())))
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
