//! Helpers on maps.

use interp::Trap;
use uapi::Errno;

use super::{Call, mem, status};
use crate::map_obj::MapObj;

pub(super) fn lookup(c: &mut Call<'_, '_>, [map, key, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    let (ops, key) = (map.map.ops(), mem::view(key, map.key_size()));
    match ops.refs() {
        None => Ok(ops.lookup(key, c.run.cpu).unwrap_or(0)),
        Some(refs) => {
            let mut bytes = vec![0; key.len()];
            key.copy_to(&mut bytes);
            let inner = refs.get(&bytes).and_then(|held| held.object.downcast::<MapObj>().ok());
            Ok(inner.map_or(0, |inner| c.run.hold(inner)))
        }
    }
}

pub(super) fn lookup_percpu(
    c: &mut Call<'_, '_>,
    [map, key, cpu, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let cpu = cpu as u32;
    if cpu >= c.run.core.config.cpus {
        return Ok(0);
    }
    let map = c.run.map(map)?;
    Ok(map.map.ops().lookup(mem::view(key, map.key_size()), cpu).unwrap_or(0))
}

pub(super) fn update(
    c: &mut Call<'_, '_>,
    [map, key, value, flags, _]: [u64; 5],
) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    let key = mem::view(key, map.key_size());
    let value = mem::view(value, map.value_size());
    Ok(status(map.map.ops().update(key, value, flags, c.run.cpu)))
}

pub(super) fn delete(c: &mut Call<'_, '_>, [map, key, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    Ok(status(map.map.ops().delete(mem::view(key, map.key_size()))))
}

pub(super) fn push(c: &mut Call<'_, '_>, [map, value, flags, ..]: [u64; 5]) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    Ok(status(map.map.ops().push(mem::view(value, map.value_size()), flags)))
}

pub(super) fn pop(c: &mut Call<'_, '_>, [map, value, ..]: [u64; 5]) -> Result<u64, Trap> {
    next(c, map, value, true)
}

pub(super) fn peek(c: &mut Call<'_, '_>, [map, value, ..]: [u64; 5]) -> Result<u64, Trap> {
    next(c, map, value, false)
}

fn next(c: &mut Call<'_, '_>, map: u64, value: u64, take: bool) -> Result<u64, Trap> {
    let map = c.run.map(map)?;
    // A bloom filter reads the value that it is asked for.
    let mut out = mem::copy(value, map.value_size());
    let result = map.map.ops().pop(&mut out, take);
    if result != Err(Errno::ENOTSUPP) {
        mem::write(value, &out);
    }
    Ok(status(result))
}
