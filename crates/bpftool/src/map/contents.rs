//! All elements of a map: in batches where the map has them, else key by key.

use runtime::door::{Bpf, Fd};
use uapi::{Errno, MapDef, MapType};

use super::holds_maps;

/// Bytes of elements asked for at a time.
const BATCH_BYTES: usize = 1 << 20;
/// Elements asked for at least: a bucket of a hash comes whole or not at all.
const BATCH_MIN: usize = 256;

/// A key, and its value or why it cannot be read.
pub(super) type Element = (Vec<u8>, Result<Vec<u8>, Errno>);

/// Elements in the map's order, and why they end if not for want of keys.
pub(super) fn read(door: &dyn Bpf, fd: Fd, def: &MapDef) -> (Vec<Element>, Option<Errno>) {
    match batches(door, fd, def) {
        Some(elements) => (elements, None),
        None => by_key(door, fd, def),
    }
}

/// Nothing if the map has no batches, or a bucket is larger than one.
fn batches(door: &dyn Bpf, fd: Fd, def: &MapDef) -> Option<Vec<Element>> {
    let (key_size, value_size) = (def.key_size as usize, door.user_value_size(def));
    if key_size == 0 || value_size == 0 || is_quiet(def) {
        return None;
    }
    let count = (BATCH_BYTES / (key_size + value_size)).max(BATCH_MIN);
    let count = count.min(def.max_entries.max(1) as usize) as u32;
    let mut elements = Vec::new();
    let mut from: Option<Vec<u8>> = None;
    loop {
        let batch = door.map_lookup_batch(fd, from.as_deref(), count, false, 0).ok()?;
        let keys = batch.keys.chunks_exact(key_size);
        let values = batch.values.chunks_exact(value_size);
        let pairs = keys.zip(values).take(batch.count as usize);
        elements.extend(pairs.map(|(key, value)| (key.to_vec(), Ok(value.to_vec()))));
        match batch.errno {
            None if batch.count > 0 => from = Some(batch.next),
            Some(Errno::ENOENT) => return Some(elements),
            _ => return None,
        }
    }
}

fn by_key(door: &dyn Bpf, fd: Fd, def: &MapDef) -> (Vec<Element>, Option<Errno>) {
    let mut key = vec![0; def.key_size as usize];
    let mut next = key.clone();
    let mut value = vec![0; door.user_value_size(def)];
    let mut elements: Vec<Element> = Vec::new();
    let mut first = true;
    loop {
        let from = (!first).then_some(key.as_slice());
        match door.map_next_key(fd, from, &mut next) {
            Ok(()) => {}
            Err(Errno::ENOENT) => return (elements, None),
            Err(errno) => return (elements, Some(errno)),
        }
        first = false;
        std::mem::swap(&mut key, &mut next);
        match door.map_lookup(fd, &key, &mut value, 0) {
            Ok(()) => elements.push((key.clone(), Ok(value.clone()))),
            // An empty slot is no element.
            Err(_) if is_quiet(def) => {}
            Err(errno) => elements.push((key.clone(), Err(errno))),
        }
    }
}

fn is_quiet(def: &MapDef) -> bool {
    holds_maps(def.map_type) || def.map_type == MapType::ProgArray
}
