//! Functions on sets of CPUs: a bit a logical CPU, in words of 64.

use interp::{Trap, TrapKind};
use uapi::Errno;

use super::super::{Call, mem};

/// Bits of Linux's sets, and what a set takes in memory.
const WORDS: usize = 4;
pub(super) const BYTES: usize = WORDS * 8;

type Set = [u64; WORDS];

fn cpus(c: &Call<'_, '_>) -> u32 {
    c.run.core.config.cpus.min(WORDS as u32 * 64)
}

/// All CPUs that there are.
fn all(c: &Call<'_, '_>) -> Set {
    let cpus = cpus(c);
    std::array::from_fn(|i| match cpus.saturating_sub(64 * i as u32) {
        0 => 0,
        64.. => u64::MAX,
        n => (1 << n) - 1,
    })
}

/// The set at `addr`, without bits of no CPU.
fn read(c: &mut Call<'_, '_>, addr: u64) -> Result<Set, Trap> {
    c.readable(addr, BYTES)?;
    let (view, all) = (mem::view(addr, BYTES), all(c));
    Ok(std::array::from_fn(|i| view.u64(8 * i) & all[i]))
}

fn write(c: &mut Call<'_, '_>, addr: u64, set: Set) -> Result<(), Trap> {
    c.writable(addr, BYTES)?;
    mem::write(addr, set.map(u64::to_ne_bytes).as_flattened());
    Ok(())
}

fn any(set: Set) -> bool {
    set.iter().any(|word| *word != 0)
}

/// The first CPU of a set; the number of CPUs if it has none.
fn lowest(c: &Call<'_, '_>, set: Set) -> u64 {
    let word = set.iter().position(|word| *word != 0);
    word.map_or(cpus(c).into(), |i| 64 * i as u64 + u64::from(set[i].trailing_zeros()))
}

fn pair(a: Set, b: Set, with: fn(u64, u64) -> u64) -> Set {
    std::array::from_fn(|i| with(a[i], b[i]))
}

fn combine(
    c: &mut Call<'_, '_>,
    [to, a, b, ..]: [u64; 5],
    with: fn(u64, u64) -> u64,
) -> Result<u64, Trap> {
    let set = pair(read(c, a)?, read(c, b)?, with);
    write(c, to, set)?;
    Ok(any(set).into())
}

pub(super) fn and(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    combine(c, args, |a, b| a & b)
}

pub(super) fn or(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    combine(c, args, |a, b| a | b)
}

pub(super) fn xor(c: &mut Call<'_, '_>, args: [u64; 5]) -> Result<u64, Trap> {
    combine(c, args, |a, b| a ^ b)
}

pub(super) fn first(c: &mut Call<'_, '_>, [set, ..]: [u64; 5]) -> Result<u64, Trap> {
    let set = read(c, set)?;
    Ok(lowest(c, set))
}

pub(super) fn first_zero(c: &mut Call<'_, '_>, [set, ..]: [u64; 5]) -> Result<u64, Trap> {
    let set = pair(read(c, set)?, all(c), |a, all| !a & all);
    Ok(lowest(c, set))
}

pub(super) fn first_and(c: &mut Call<'_, '_>, [a, b, ..]: [u64; 5]) -> Result<u64, Trap> {
    let set = pair(read(c, a)?, read(c, b)?, |a, b| a & b);
    Ok(lowest(c, set))
}

pub(super) fn clear(c: &mut Call<'_, '_>, [set, ..]: [u64; 5]) -> Result<u64, Trap> {
    write(c, set, [0; WORDS])?;
    Ok(0)
}

pub(super) fn set_all(c: &mut Call<'_, '_>, [set, ..]: [u64; 5]) -> Result<u64, Trap> {
    let all = all(c);
    write(c, set, all)?;
    Ok(0)
}

pub(super) fn copy(c: &mut Call<'_, '_>, [to, from, ..]: [u64; 5]) -> Result<u64, Trap> {
    let set = read(c, from)?;
    write(c, to, set)?;
    Ok(0)
}

/// Changes one CPU's bit; whether it was set. A CPU that is not there changes nothing.
fn change(c: &mut Call<'_, '_>, cpu: u64, at: u64, on: bool) -> Result<u64, Trap> {
    let cpu = cpu as u32;
    if cpu >= cpus(c) {
        return Ok(0);
    }
    c.writable(at, BYTES)?;
    let (word, bit) = (at + u64::from(cpu / 64) * 8, 1 << (cpu % 64));
    if !word.is_multiple_of(8) {
        return Err(Trap::here(TrapKind::Helper("a set of CPUs that is not aligned")));
    }
    let before = mem::change_bits(word, bit, on);
    Ok((before & bit != 0).into())
}

pub(super) fn set_cpu(c: &mut Call<'_, '_>, [cpu, set, ..]: [u64; 5]) -> Result<u64, Trap> {
    change(c, cpu, set, true).map(|_| 0)
}

pub(super) fn clear_cpu(c: &mut Call<'_, '_>, [cpu, set, ..]: [u64; 5]) -> Result<u64, Trap> {
    change(c, cpu, set, false).map(|_| 0)
}

pub(super) fn test_and_set(c: &mut Call<'_, '_>, [cpu, set, ..]: [u64; 5]) -> Result<u64, Trap> {
    change(c, cpu, set, true)
}

pub(super) fn test_and_clear(c: &mut Call<'_, '_>, [cpu, set, ..]: [u64; 5]) -> Result<u64, Trap> {
    change(c, cpu, set, false)
}

pub(super) fn test(c: &mut Call<'_, '_>, [cpu, set, ..]: [u64; 5]) -> Result<u64, Trap> {
    let (cpu, set) = (cpu as u32, read(c, set)?);
    let word = set.get(cpu as usize / 64).copied().unwrap_or(0);
    Ok(word >> (cpu % 64) & 1)
}

pub(super) fn empty(c: &mut Call<'_, '_>, [set, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok((!any(read(c, set)?)).into())
}

pub(super) fn full(c: &mut Call<'_, '_>, [set, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok((read(c, set)? == all(c)).into())
}

pub(super) fn equal(c: &mut Call<'_, '_>, [a, b, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok((read(c, a)? == read(c, b)?).into())
}

pub(super) fn intersects(c: &mut Call<'_, '_>, [a, b, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(any(pair(read(c, a)?, read(c, b)?, |a, b| a & b)).into())
}

pub(super) fn subset(c: &mut Call<'_, '_>, [a, b, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok((!any(pair(read(c, a)?, read(c, b)?, |a, b| a & !b))).into())
}

pub(super) fn weight(c: &mut Call<'_, '_>, [set, ..]: [u64; 5]) -> Result<u64, Trap> {
    Ok(read(c, set)?.iter().map(|word| u64::from(word.count_ones())).sum())
}

/// Copies a set from plain memory, which must hold a bit for each CPU.
pub(super) fn populate(c: &mut Call<'_, '_>, [to, from, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let need = cpus(c).div_ceil(64) as usize * 8;
    let size = size as u32 as usize;
    if size < need {
        return Ok(Errno::EACCES.as_ret());
    }
    c.readable(from, need)?;
    let (view, all) = (mem::view(from, need), all(c));
    write(c, to, std::array::from_fn(|i| view.u64(8 * i) & all[i]))?;
    Ok(0)
}
