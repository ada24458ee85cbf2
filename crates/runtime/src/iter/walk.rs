//! The objects that iterators go through.

use std::fs;
use std::sync::Arc;

use maps::{Perms, View};
use uapi::{Errno, MapType};

use super::{Image, MAP_ELEM, Reading};
use crate::attach::link::{IterOver, Link};
use crate::core::Core;
use crate::map_obj::MapObj;
use crate::objects::Ids;
use crate::prog::Prog;

const BOTH: Perms = Perms { read: true, write: true };
/// Threads that are gone through at most.
const MAX_TASKS: usize = 1 << 16;

/// Runs the program on every object.
pub(super) fn walk(core: &Core, over: &IterOver, reading: &mut Reading) -> Result<(), Errno> {
    match (&*over.target, &over.map) {
        (MAP_ELEM, Some(map)) => elements(map, reading),
        ("bpf_map", _) => each(&core.maps, reading, map),
        ("bpf_prog", _) => each(&core.progs, reading, prog),
        ("bpf_link", _) => each(&core.links, reading, link),
        ("task", _) => tasks(reading),
        _ => Err(Errno::ENOENT),
    }
}

fn each<T>(
    ids: &Ids<T>,
    reading: &mut Reading,
    fill: impl Fn(&mut Image, &T) -> Result<u64, Errno>,
) -> Result<(), Errno> {
    let mut id = 0;
    while let Ok(next) = ids.next(id) {
        id = next;
        let Some(object) = ids.get(id) else { continue };
        reading.image.reset();
        let addr = fill(&mut reading.image, &object)?;
        reading.object(&[addr])?;
    }
    Ok(())
}

/// `struct bpf_map`.
pub(super) fn map(image: &mut Image, map: &MapObj) -> Result<u64, Errno> {
    let object = image.object("bpf_map")?;
    let def = map.map.def();
    for (member, value) in [
        ("id", map.id),
        ("map_type", def.map_type.raw()),
        ("key_size", def.key_size),
        ("value_size", def.value_size),
        ("max_entries", def.max_entries),
        ("map_flags", def.flags),
    ] {
        image.put(&object, member, &value.to_ne_bytes());
    }
    image.put(&object, "map_extra", &def.extra.to_ne_bytes());
    image.put(&object, "name", &name(&def.name));
    // The holders that user space has: one stands for all.
    image.put(&object, "usercnt", &1_u64.to_ne_bytes());
    image.put(&object, "refcnt", &1_u64.to_ne_bytes());
    Ok(object.addr)
}

/// `struct bpf_prog` and its `bpf_prog_aux`.
fn prog(image: &mut Image, prog: &Prog) -> Result<u64, Errno> {
    let object = image.object("bpf_prog")?;
    let aux = image.object("bpf_prog_aux")?;
    image.put(&object, "type", &prog.prog_type.raw().to_ne_bytes());
    image.put(&object, "expected_attach_type", &prog.attach_type.to_ne_bytes());
    image.put(&object, "len", &(prog.translated.insns.len() as u32).to_ne_bytes());
    image.put(&object, "tag", &prog.tag);
    image.put(&object, "aux", &aux.addr.to_ne_bytes());
    image.put(&aux, "id", &prog.id.to_ne_bytes());
    image.put(&aux, "prog", &object.addr.to_ne_bytes());
    image.put(&aux, "name", &name(&prog.name));
    image.put(&aux, "load_time", &prog.load_time.to_ne_bytes());
    image.put(&aux, "used_map_cnt", &(prog.maps.len() as u32).to_ne_bytes());
    image.put(&aux, "attach_btf_id", &prog.attach_btf_id.to_ne_bytes());
    image.put(&aux, "verified_insns", &prog.verified_insns.to_ne_bytes());
    Ok(object.addr)
}

/// `struct bpf_link`.
fn link(image: &mut Image, link: &Link) -> Result<u64, Errno> {
    let held = link.prog.lock().clone();
    let of = prog(image, &held)?;
    let object = image.object("bpf_link")?;
    image.put(&object, "id", &link.id.to_ne_bytes());
    image.put(&object, "type", &link.link_type.to_ne_bytes());
    image.put(&object, "prog", &of.to_ne_bytes());
    Ok(object.addr)
}

fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    let len = text.len().min(15);
    name[..len].copy_from_slice(&text.as_bytes()[..len]);
    name
}

fn elements(over: &Arc<crate::map_obj::User>, reading: &mut Reading) -> Result<(), Errno> {
    let def = over.map.def();
    let mut key = vec![0; def.key_size as usize];
    let mut value = vec![0; over.map.user_value_size()];
    let mut before: Option<Vec<u8>> = None;
    // Deletions meanwhile may begin a hash map anew.
    for _ in 0..u64::from(def.max_entries) * 2 {
        match over.map.next_key(BOTH, before.as_deref(), &mut key) {
            Ok(()) => {}
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        if over.map.lookup(BOTH, &key, &mut value, 0).is_ok() {
            reading.image.reset();
            let map = map(&mut reading.image, over)?;
            let key_at = reading.image.bytes(&key)?;
            // It may be deleted meanwhile.
            if let Some(value_at) = value_of(over, reading, &key, &value)? {
                reading.object(&[map, key_at, value_at])?;
            }
        }
        before = Some(key.clone());
    }
    Ok(())
}

/// Where the value of an element is. Each CPU's own are copies, in Linux too.
fn value_of(
    over: &MapObj,
    reading: &mut Reading,
    key: &[u8],
    value: &[u8],
) -> Result<Option<u64>, Errno> {
    match over.map.def().map_type {
        MapType::Array | MapType::Hash | MapType::LruHash => {
            Ok(over.map.ops().lookup(View::from(key), 0))
        }
        _ => reading.image.value(value).map(Some),
    }
}

/// The threads that /proc shows.
fn tasks(reading: &mut Reading) -> Result<(), Errno> {
    let mut threads = Vec::new();
    for tgid in numbers("/proc") {
        let of_process = numbers(&format!("/proc/{tgid}/task"));
        threads.extend(of_process.into_iter().map(|pid| (tgid, pid)));
        if threads.len() >= MAX_TASKS {
            break;
        }
    }
    for (tgid, pid) in threads {
        let comm = fs::read_to_string(format!("/proc/{tgid}/task/{pid}/comm"));
        let Ok(comm) = comm else { continue };
        reading.image.reset();
        let task = reading.image.object("task_struct")?;
        reading.image.put(&task, "pid", &pid.to_ne_bytes());
        reading.image.put(&task, "tgid", &tgid.to_ne_bytes());
        reading.image.put(&task, "comm", &name(comm.trim_end()));
        if pid == tgid {
            reading.image.put(&task, "group_leader", &task.addr.to_ne_bytes());
        }
        reading.object(&[task.addr])?;
    }
    Ok(())
}

/// Names in a folder that are numbers, ascending.
fn numbers(dir: &str) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}
