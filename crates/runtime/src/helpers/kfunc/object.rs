//! Objects that programs allocate, count and give back, and pointers to them in maps.

use std::sync::Arc;

use interp::{Trap, TrapKind};

use super::super::{Call, mem};
use crate::heap::{Kind, ObjectType};

/// Bytes of a set of CPUs with its count, on a kernel for 8192 of them.
pub(crate) const CPU_SET: usize = 1032;

fn allocate(c: &mut Call<'_, '_>, ty: u64, copies: usize) -> Result<u64, Trap> {
    let known = |known: &&Arc<ObjectType>| Arc::as_ptr(known).addr() as u64 == ty;
    let ty = c.run.progs().flat_map(|prog| &prog.object_types).find(known);
    let unknown = Trap::here(TrapKind::Helper("an object of no type"));
    let ty = Arc::clone(ty.ok_or(unknown)?);
    c.run.pin();
    Ok(c.run.core.heap.allocate(Kind::Own(ty, copies)))
}

/// The second argument, in the place of the type's record, is its number in the program.
pub(super) fn new(c: &mut Call<'_, '_>, [_, ty, ..]: [u64; 5]) -> Result<u64, Trap> {
    allocate(c, ty, 1)
}

/// A copy for each CPU.
pub(super) fn new_per_cpu(c: &mut Call<'_, '_>, [_, ty, ..]: [u64; 5]) -> Result<u64, Trap> {
    let cpus = c.run.core.config.cpus as usize;
    allocate(c, ty, cpus)
}

/// One hold of an object ends. What the heap does not know is not ours to free.
pub(super) fn release(c: &mut Call<'_, '_>, [object, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.core.heap.release(object);
    Ok(0)
}

/// One more hold of an object that counts; null if it is already gone.
pub(super) fn acquire(c: &mut Call<'_, '_>, [object, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(if c.run.core.heap.hold(object) { object } else { 0 })
}

/// An empty set of CPUs.
pub(super) fn new_set(c: &mut Call<'_, '_>, _: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(c.run.core.heap.allocate(Kind::Cpus))
}

/// Helper `bpf_kptr_xchg`: the pointer that was there before.
pub(in super::super) fn exchange(
    c: &mut Call<'_, '_>,
    [at, new, ..]: [u64; 5],
) -> Result<u64, Trap> {
    c.writable(at, 8)?;
    if !at.is_multiple_of(8) {
        return Err(Trap::here(TrapKind::Memory { addr: at, size: 8, write: true }));
    }
    c.run.pin();
    Ok(mem::swap(at, new))
}

/// Helper `bpf_per_cpu_ptr`: null for a CPU that is not there.
pub(in super::super) fn of_cpu(
    c: &mut Call<'_, '_>,
    [object, cpu, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let Some((stride, copies)) = c.run.core.heap.copies(object) else { return Ok(0) };
    let cpu = cpu as u32 as usize;
    Ok(if cpu < copies { object + (stride * cpu) as u64 } else { 0 })
}

/// Helper `bpf_this_cpu_ptr`.
pub(in super::super) fn of_this_cpu(
    c: &mut Call<'_, '_>,
    [object, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let cpu = c.run.cpu.into();
    of_cpu(c, [object, cpu, 0, 0, 0])
}

/// The program's memory around a node that it gets to see.
pub(in super::super) fn grant(c: &mut Call<'_, '_>, node: u64) {
    if let Some(region) = c.run.core.heap.region(node) {
        c.vm.grant(region);
    }
}
