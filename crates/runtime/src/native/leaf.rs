//! Helpers that machine code calls without a detour: they need no callbacks, and their map is known
//! when the program is compiled.

use interp::{Trap, TrapKind};
use jit::{RunContext, Target};
use maps::View;
use uapi::Errno;

use crate::clock::ClockKind;
use crate::helpers::{mem, ringbuf};
use crate::map_obj::MapObj;
use crate::run::Run;

type Leaf = extern "C" fn(u64, u64, u64, u64, u64, *mut RunContext) -> u64;

/// Number, function, arguments.
type Row = (u32, Leaf, u8);

const LEAVES: &[Row] = &[(5, ktime, 0), (7, prandom, 0), (8, cpu, 0)];

/// Those that may end the run.
const ENDING: &[Row] = &[(132, submit, 2), (133, discard, 2)];

/// On a map of values that the program holds.
const ON_MAPS: &[Row] = &[
    (1, find, 2),
    (2, update, 4),
    (3, delete, 2),
    (87, push, 3),
    (88, pop, 2),
    (89, peek, 2),
    (130, output, 4),
    (131, reserve, 3),
];

/// The way to helper `id`, if it is one of these.
pub(super) fn target(id: u32) -> Option<Target> {
    direct(LEAVES, id, false).or_else(|| direct(ENDING, id, true))
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
    if !is_there(addr, len, false, context) {
        return None;
    }
    // SAFETY: a verified memory argument of that size, used within the call; should the verifier
    // have erred, it is mapped all the same.
    Some(unsafe { View::new(addr, len) })
}

/// Whether there is memory at all of an argument, to be written with `write`; else the run ends.
#[inline]
fn is_there(addr: u64, len: usize, write: bool, context: *mut RunContext) -> bool {
    let Some(missing) = jit::missing(addr, len as u64, write) else { return true };
    let size = u32::try_from(len).unwrap_or(u32::MAX);
    stop(context, Trap::here(TrapKind::Memory { addr: missing, size, write }));
    false
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

fn run_mut<'a>(context: *mut RunContext) -> &'a mut Run<'a> {
    // SAFETY: as above; a leaf is alone with it.
    unsafe { &mut *(*context).user.cast::<Run<'a>>() }
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

extern "C" fn push(
    handle: u64,
    value: u64,
    flags: u64,
    _: u64,
    _: u64,
    context: *mut RunContext,
) -> u64 {
    let map = map(handle);
    let Some(value) = view(value, map.value_size(), context) else { return 0 };
    status(map.map.ops().push(value, flags))
}

extern "C" fn pop(handle: u64, to: u64, _: u64, _: u64, _: u64, context: *mut RunContext) -> u64 {
    next(handle, to, true, context)
}

extern "C" fn peek(handle: u64, to: u64, _: u64, _: u64, _: u64, context: *mut RunContext) -> u64 {
    next(handle, to, false, context)
}

fn next(handle: u64, to: u64, take: bool, context: *mut RunContext) -> u64 {
    /// Longer values are copied through the heap.
    const SHORT: usize = 128;
    let (map, mut short, mut long) = (map(handle), [0; SHORT], Vec::new());
    let size = map.value_size();
    if !is_there(to, size, true, context) {
        return 0;
    }
    // SAFETY: it is there, and nobody else's during the call.
    let value = unsafe { View::new(to, size) };
    let out = match short.get_mut(..size) {
        Some(out) => out,
        None => {
            long.resize(size, 0);
            &mut long
        }
    };
    // A bloom filter reads the value that it is asked for.
    value.copy_to(out);
    let result = map.map.ops().pop(out, take);
    if result != Err(Errno::ENOTSUPP) {
        mem::write(to, out);
    }
    status(result)
}

extern "C" fn reserve(
    handle: u64,
    size: u64,
    flags: u64,
    _: u64,
    _: u64,
    context: *mut RunContext,
) -> u64 {
    let Some(ring) = map(handle).map.ops().ringbuf().filter(|_| flags == 0) else { return 0 };
    run_mut(context).ring = handle;
    ring.reserve(size).unwrap_or(0)
}

extern "C" fn output(
    handle: u64,
    data: u64,
    size: u64,
    flags: u64,
    _: u64,
    context: *mut RunContext,
) -> u64 {
    let Some(ring) = map(handle).map.ops().ringbuf() else { return 0 };
    let Some(data) = view(data, size as usize, context) else { return 0 };
    status(ring.output(data, flags))
}

extern "C" fn submit(
    data: u64,
    flags: u64,
    _: u64,
    _: u64,
    _: u64,
    context: *mut RunContext,
) -> u64 {
    end(data, false, flags, context)
}

extern "C" fn discard(
    data: u64,
    flags: u64,
    _: u64,
    _: u64,
    _: u64,
    context: *mut RunContext,
) -> u64 {
    end(data, true, flags, context)
}

fn end(data: u64, discard: bool, flags: u64, context: *mut RunContext) -> u64 {
    let run = run_mut(context);
    // What machine code reserved is not written down: nobody checks its accesses. What it submits
    // is most often of the ring that it reserved from last.
    let last = (run.ring != 0 && run.granted.is_empty()).then(|| map(run.ring));
    let ring = last.and_then(|last| last.map.ops().ringbuf()).filter(|ring| ring.owns(data));
    match ring {
        Some(ring) => ring.commit(data, discard, flags),
        None => {
            if let Err(trap) = ringbuf::end(run, data, discard, flags) {
                stop(context, trap);
            }
        }
    }
    0
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
