//! Elements of maps of interfaces and CPUs: the interface must be there, a program may go with it.

use std::sync::Arc;

use maps::{Perms, View};
use uapi::{Errno, MapType, ProgType};

use crate::attach::kinds::at;
use crate::core::Core;
use crate::map_obj::MapObj;
use crate::prog::Prog;

const BOTH: Perms = Perms { read: true, write: true };
/// The loopback interface, which is always there.
const LOOPBACK: u32 = 1;
/// Bytes of an interface or a queue's size, and of a program behind it.
const WORD: usize = 4;

/// Whether updates of the map are to go through here.
pub(crate) fn takes(map: &MapObj) -> bool {
    use MapType::{Cpumap, Devmap, DevmapHash};
    matches!(map.map.def().map_type, Devmap | DevmapHash | Cpumap)
}

/// BPF_MAP_UPDATE_ELEM; `prog` finds a descriptor's program.
pub(crate) fn update(
    core: &Core,
    map: &MapObj,
    perms: Perms,
    key: &[u8],
    value: &[u8],
    flags: u64,
    prog: impl Fn(i32) -> Result<Arc<Prog>, Errno>,
) -> Result<(), Errno> {
    let word = |at: usize| value.get(at..at + WORD).and_then(|bytes| bytes.first_chunk().copied());
    let first = word(0).map_or(0, u32::from_ne_bytes);
    let cpus = map.map.def().map_type == MapType::Cpumap;
    let wanted = match (map.value_size() > WORD).then(|| word(WORD)).flatten() {
        Some(fd) if i32::from_ne_bytes(fd) > 0 => Some(prog(i32::from_ne_bytes(fd))),
        _ => None,
    };
    if !cpus && first != 0 && !is_there(core, first) || (first == 0 && wanted.is_some()) {
        return Err(Errno::EINVAL);
    }
    let (attach_type, bad) =
        if cpus { (at::XDP_CPUMAP, Errno::ENOMEM) } else { (at::XDP_DEVMAP, Errno::EINVAL) };
    let fits =
        |prog: &Arc<Prog>| prog.prog_type == ProgType::Xdp && prog.attach_type == attach_type;
    let prog = wanted.map(|prog| prog.ok().filter(fits).ok_or(bad)).transpose()?;
    let mut stored = value.to_vec();
    if let Some(slot) = stored.get_mut(WORD..2 * WORD) {
        // Who looks it up is told the id.
        slot.copy_from_slice(&prog.as_ref().map_or(0, |prog| prog.id).to_ne_bytes());
    }
    map.map.update(perms, key, &stored, flags)?;
    map.set_entry_prog(key, prog.filter(|_| first != 0));
    Ok(())
}

/// A runtime that has no interfaces of its own takes any number: its user delivers.
fn is_there(core: &Core, ifindex: u32) -> bool {
    ifindex == LOOPBACK || core.network.is_empty() || core.network.get(ifindex).is_some()
}

/// Interfaces in a map, each with the program of its element.
pub(crate) fn entries(map: &MapObj) -> Vec<(u32, Option<Arc<Prog>>)> {
    each(map).into_iter().map(|(key, ifindex)| (ifindex, map.entry_prog(&key))).collect()
}

fn each(map: &MapObj) -> Vec<(Vec<u8>, u32)> {
    let (mut found, mut before) = (Vec::new(), None::<Vec<u8>>);
    let mut key = vec![0; map.key_size()];
    for _ in 0..map.map.def().max_entries {
        if map.map.next_key(BOTH, before.as_deref(), &mut key).is_err() {
            break;
        }
        let mut value = vec![0; map.value_size()];
        if map.map.lookup(BOTH, &key, &mut value, 0).is_ok()
            && let Some(word) = value.first_chunk()
        {
            found.push((key.clone(), u32::from_ne_bytes(*word)));
        }
        before = Some(key.clone());
    }
    found
}

/// An interface goes: no map holds it any more.
pub(crate) fn forget(core: &Core, ifindex: u32) {
    let mut id = 0;
    while let Ok(next) = core.maps.next(id) {
        id = next;
        let Some(map) = core.maps.get(id) else { continue };
        if !takes(&map) || map.map.def().map_type == MapType::Cpumap {
            continue;
        }
        for (key, held) in each(&map) {
            if held == ifindex {
                // Another may have taken it away.
                let _ = map.map.ops().delete(View::from(&key[..]));
                map.set_entry_prog(&key, None);
            }
        }
    }
}
