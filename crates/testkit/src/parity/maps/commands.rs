//! The commands on one map, in the recorded order.

use runtime::door::{Fd, MapCreate};
use serde_json::Value;
use uapi::{Errno, MapDef, MapType};

use super::world::{World, flag};
use super::{Ask, text};

const GROUP: &str = "commands";

/// Bytes of a page.
const PAGE: usize = 4096;

struct Open<'a> {
    world: &'a World<'a>,
    t: MapType,
    def: MapDef,
    fd: Fd,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let _ = self.world.door.close(self.fd);
    }
}

fn open<'a>(world: &'a World<'a>, req: &MapCreate) -> Result<Open<'a>, Errno> {
    let fd = world.door.map_create(req)?;
    Ok(Open { world, t: req.def.map_type, def: req.def.clone(), fd })
}

pub(super) fn ask(ask: &mut Ask<'_>) {
    let world = ask.world;
    let base = world.base(ask.t, ask.row);
    let map = match open(world, &base) {
        Ok(map) => map,
        Err(errno) => {
            for (what, want) in steps(ask.row).filter(|(what, _)| *what != "batch") {
                ask.case(GROUP, what, &shown(want), format!("no map: {errno}"));
            }
            return;
        }
    };
    for (what, want) in steps(ask.row) {
        if what == "batch" {
            map.batches();
            continue;
        }
        let Some(got) = map.step(what, &base) else { continue };
        let (want, got) = alike(ask.t, what, want, got);
        ask.case(GROUP, what, &want, got);
    }
}

fn steps(row: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let steps = row["syscall_ops"].as_object().into_iter().flatten();
    steps.filter(|(what, _)| *what != "note")
}

/// What depends on secrets of the recorded run is left out on both sides: ids, and the order of
/// keys in a hash.
fn alike(t: MapType, what: &str, want: &Value, got: Value) -> (String, String) {
    let objects = matches!(t, MapType::ProgArray | MapType::ArrayOfMaps | MapType::HashOfMaps);
    let hashed = t.name().contains("HASH") && t != MapType::DevmapHash;
    let cut = |v: &Value, at: &str| {
        let text = shown(v);
        text.split_once(at).map_or(text.clone(), |(head, _)| head.to_owned())
    };
    match what {
        "lookup key0 after update" if objects => (cut(want, " first8"), cut(&got, " first8")),
        // The record has the word without the value.
        "lookup after freeze" => (cut(want, " first8"), cut(&got, " first8")),
        "get_next_key NULL" | "get_next_key from missing key 99" if hashed => {
            (cut(want, " ->"), cut(&got, " ->"))
        }
        "get_next_key walk" if hashed => (sorted(t, want), sorted(t, &got)),
        _ => (shown(want), shown(&got)),
    }
}

/// Which elements an LRU map has kept depends on the CPU of each command: only their number is
/// compared.
fn sorted(t: MapType, list: &Value) -> String {
    let mut keys: Vec<String> = list.as_array().into_iter().flatten().map(shown).collect();
    keys.sort();
    match t {
        MapType::LruHash | MapType::LruPercpuHash => format!("{} answers", keys.len()),
        _ => keys.join(" "),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // A number of errno that Linux does not name.
        Value::Number(n) if n.as_u64() == Some(524) => "ENOTSUPP".into(),
        Value::Array(all) => all.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

impl Open<'_> {
    /// A key; nothing for maps without keys.
    fn key(&self, n: u32) -> Vec<u8> {
        self.world.key(self.t, &self.def, n)
    }

    /// A key pointer in any case.
    fn pointer(&self, n: u32) -> Vec<u8> {
        let key = self.key(n);
        if key.is_empty() { n.to_ne_bytes().to_vec() } else { key }
    }

    fn value(&self, byte: u8) -> Vec<u8> {
        self.world.value(self.t, &self.def, byte)
    }

    fn update(&self, n: u32, byte: u8, flags: u64) -> String {
        text(self.world.door.map_update(self.fd, &self.key(n), &self.value(byte), flags))
    }

    fn lookup(&self, n: u32, flags: u64) -> String {
        let mut out = vec![0; self.world.door.user_value_size(&self.def)];
        match self.world.door.map_lookup(self.fd, &self.key(n), &mut out, flags) {
            Ok(()) if out.is_empty() => "OK".into(),
            Ok(()) => {
                out.resize(out.len().max(8), 0);
                let first: String = out.iter().take(8).map(|b| format!("{b:02x}")).collect();
                format!("OK first8={first}")
            }
            Err(e) => text(Err::<(), _>(e)),
        }
    }

    fn delete(&self, n: u32) -> String {
        text(self.world.door.map_delete(self.fd, &self.pointer(n)))
    }

    fn take(&self, flags: u64) -> String {
        let mut out = vec![0; self.world.door.user_value_size(&self.def)];
        text(self.world.door.map_take(self.fd, &self.key(0), &mut out, flags))
    }

    fn next(&self, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let mut next = vec![0; self.def.key_size as usize];
        self.world.door.map_next_key(self.fd, key, &mut next)?;
        Ok(next)
    }

    fn next_text(&self, key: Option<&[u8]>) -> String {
        match self.next(key) {
            Ok(next) => format!("OK ->{}", hex(&next)),
            Err(e) => text(Err::<(), _>(e)),
        }
    }

    fn walk(&self) -> Value {
        let (mut key, mut keys) = (None::<Vec<u8>>, Vec::new());
        loop {
            match self.next(key.as_deref()) {
                Ok(next) if keys.len() < 100 => {
                    keys.push(Value::from(hex(&next)));
                    key = Some(next);
                }
                Ok(_) => return keys.into(),
                Err(e) => {
                    keys.push(text(Err::<(), _>(e)).into());
                    return keys.into();
                }
            }
        }
    }

    /// What the recorded batches leave behind where they work: less keys.
    fn batches(&self) {
        let keys: Vec<u8> = (0..3).flat_map(|n| self.key(n)).collect();
        let _ = self.world.door.map_delete_batch(self.fd, &keys, 3, 0);
    }

    fn map_pages(&self, offset: u64, pages: usize, write: bool) -> Value {
        let door = self.world.door;
        text(door.map_mmap(self.fd, offset, pages * PAGE, write)).into()
    }

    fn step(&self, what: &str, base: &MapCreate) -> Option<Value> {
        let flags = || what.rsplit('=').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let door = self.world.door;
        let (key, value) = (self.pointer(0), self.value(1));
        let mut out = self.value(0);
        let answer = match what {
            "lookup initial key0" | "lookup key0 after update" | "lookup after freeze" => {
                self.lookup(0, 0)
            }
            _ if what.starts_with("update key0 flags=") => self.update(0, 0x11, flags()),
            "update existing key0 NOEXIST" => self.update(0, 0x22, 1),
            "update key0 again ANY" => self.update(0, 0x33, 0),
            "update missing key1 EXIST" => self.update(1, 0x44, 2),
            "update missing key1 NOEXIST" => self.update(1, 0x44, 1),
            _ if what.starts_with("update keys 0..7 into") => {
                return Some((0..8).map(|n| Value::from(self.update(n, 0x55, 0))).collect());
            }
            "lookup key past end (99)" => self.lookup(99, 0),
            "update key past end (99)" => self.update(99, 0x55, 0),
            "delete key past end (99)" => self.delete(99),
            "lookup key 4294967295" => self.lookup(u32::MAX, 0),
            _ if what.starts_with("lookup key0 flags=") => self.lookup(0, flags()),
            "lookup NULL key ptr" => text(door.map_lookup(self.fd, &[], &mut out, 0)),
            "lookup NULL value ptr" => text(door.map_lookup(self.fd, &key, &mut [], 0)),
            "update NULL key" => text(door.map_update(self.fd, &[], &value, 0)),
            "update NULL value" => text(door.map_update(self.fd, &key, &[], 0)),
            "delete NULL key" => text(door.map_delete(self.fd, &[])),
            "lookup with key ptr although key_size 0" => {
                text(door.map_lookup(self.fd, &key, &mut out, 0))
            }
            "get_next_key NULL" => self.next_text(None),
            "get_next_key from missing key 99" => self.next_text(Some(&self.pointer(99))),
            "get_next_key walk" => return Some(self.walk()),
            "lookup_and_delete key0" | "lookup_and_delete key0 again" => self.take(0),
            "lookup_and_delete after freeze" => self.take(0),
            _ if what.starts_with("lookup_and_delete flags=") => self.take(flags()),
            "delete key1" | "delete key1 again" => self.delete(1),
            "mmap rw 1 page without MMAPABLE" => return Some(self.map_pages(0, 1, true)),
            "mmap rw 2 page without MMAPABLE" => return Some(self.map_pages(0, 2, true)),
            "mmap ro 1 page" => return Some(self.map_pages(0, 1, false)),
            "mmap rw with MMAPABLE" | "mmap past end with MMAPABLE" => {
                let pages = if what.contains("past") { 2 } else { 1 };
                let req = with_flags(base, flag("MMAPABLE"));
                match open(self.world, &req) {
                    Ok(map) => return Some(map.map_pages(0, pages, true)),
                    Err(errno) => errno.to_string(),
                }
            }
            "freeze" | "freeze again" => text(door.map_freeze(self.fd)),
            "update after freeze" => self.update(0, 0x66, 0),
            "delete after freeze" => self.delete(0),
            "RDONLY map: update,lookup,delete,getnext" => return self.restricted(base, "RDONLY"),
            "WRONLY map: update,lookup,delete,getnext" => return self.restricted(base, "WRONLY"),
            _ => "a row that is not known here".into(),
        };
        Some(answer.into())
    }

    /// The commands on a map whose descriptor allows half of them.
    fn restricted(&self, base: &MapCreate, name: &str) -> Option<Value> {
        let map = match open(self.world, &with_flags(base, flag(name))) {
            Ok(map) => map,
            Err(errno) => return Some(errno.to_string().into()),
        };
        let lookup = map.lookup(0, 0);
        let lookup = lookup.split(' ').next().unwrap_or_default().to_owned();
        let next = map.next_text(None);
        let next = next.split(' ').next().unwrap_or_default().to_owned();
        let answers = [map.update(0, 0x11, 0), lookup, map.delete(0), next];
        let frozen = format!("freeze:{}", text(self.world.door.map_freeze(map.fd)));
        Some(answers.into_iter().chain([frozen]).map(Value::from).collect())
    }
}

fn with_flags(base: &MapCreate, flags: u32) -> MapCreate {
    let mut req = base.clone();
    req.def.flags |= flags;
    req
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
