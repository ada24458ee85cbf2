//! Each recorded answer of Linux 6.18 about a map type, asked of ours.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use maps::{Env, Held, Map, Perms};
use serde_json::Value;
use uapi::{Errno, MapDef, MapType, map_flags};

const RW: Perms = Perms { read: true, write: true };

fn facts() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../facts/map_types.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn types() -> Vec<(MapType, Value)> {
    let all = facts()["maps"].as_array().unwrap().clone();
    all.into_iter()
        .filter_map(|row| {
            let t = MapType::from_raw(row["id"].as_u64().unwrap() as u32)?;
            let made = create(&base(t, &row)).err() != Some(Errno::ENOTSUPP);
            if !made {
                eprintln!("skipped: {} is not built", t.name());
            }
            made.then_some((t, row))
        })
        .collect()
}

fn base(t: MapType, row: &Value) -> MapDef {
    let p = &row["create"]["base"]["params"];
    let n = |k: &str| p[k].as_u64().unwrap() as u32;
    let mut def = MapDef::new(t, n("ks"), n("vs"), n("me"));
    def.flags = n("flags");
    if local_storage(t) {
        (def.btf_key_type_id, def.btf_value_type_id) = (1, 1);
    }
    if t.name().ends_with("OF_MAPS") {
        def.inner = Some(Box::new(MapDef::new(MapType::Array, 4, 4, 1)));
    }
    def
}

/// Its keys are descriptors of sockets, inodes, tasks or cgroups, and types are a must.
fn local_storage(t: MapType) -> bool {
    use MapType::{CgrpStorage, InodeStorage, SkStorage, TaskStorage};
    matches!(t, SkStorage | InodeStorage | TaskStorage | CgrpStorage)
}

/// The recording machine: 2 CPUs, 24 GiB.
fn create(def: &MapDef) -> Result<Map, Errno> {
    Map::create(def, &Env { cpus: 2, mem_limit: 24105 << 20, seed: 7 })
}

fn text<T>(r: Result<T, Errno>) -> String {
    match r {
        Ok(_) => "OK".into(),
        Err(Errno::EOPNOTSUPP) => "ENOTSUP".into(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn creation_answers_as_linux() {
    for (t, row) in types() {
        let c = &row["create"];
        assert_eq!(text(create(&base(t, &row))), c["base"]["result"].as_str().unwrap());
        for field in ["key_size", "value_size", "max_entries"] {
            each_value(c[field].as_object().unwrap(), tried(field, t), |value, want| {
                let mut def = base(t, &row);
                match field {
                    "key_size" => def.key_size = value,
                    "value_size" => def.value_size = value,
                    _ => def.max_entries = value,
                }
                assert_eq!(text(create(&def)), want, "{} {field} {value}", t.name());
            });
        }
        flags(t, &row);
    }
}

fn tried(field: &str, t: MapType) -> &'static [u32] {
    match field {
        // Sizes past the 512 bytes that a program can pass are still created.
        "key_size" => &[0, 1, 2, 3, 4, 5, 8, 9, 12, 16, 20, 24, 32, 64, 255, 256, 260, 264, 512],
        // Sizes other than the type's are the door's to refuse.
        "value_size" if local_storage(t) => &[4],
        "value_size" => &[0, 1, 4, 5, 8, 24, 64, 1016, 1024, 4096, 32768],
        _ if matches!(t, MapType::Ringbuf | MapType::UserRingbuf) => {
            &[0, 1, 2, 100, 1000, 4095, 4097, 12288]
        }
        _ => &[0, 1, 2, 3, 4, 5, 7, 100, 1000, 4096, 65535, 100_000],
    }
}

/// Calls `check` with each listed value, and the tried ones under "otherwise".
fn each_value(
    rule: &serde_json::Map<String, Value>,
    tried: &[u32],
    mut check: impl FnMut(u32, &str),
) {
    let mut listed = Vec::new();
    for (want, values) in rule.iter().filter(|(k, _)| *k != "otherwise") {
        for v in values.as_array().unwrap() {
            listed.push(v.as_u64().unwrap() as u32);
            check(v.as_u64().unwrap() as u32, want);
        }
    }
    if let Some(want) = rule.get("otherwise") {
        let others = tried.iter().filter(|v| !listed.contains(v));
        others.for_each(|&v| check(v, want.as_str().unwrap()));
    }
}

fn flags(t: MapType, row: &Value) {
    let names = facts()["_flag_bits"].clone();
    let rule = row["create"]["flags"].as_object().unwrap();
    for (bit, name) in names.as_array().unwrap().iter().enumerate() {
        if matches!(name.as_str(), Some("PATH_FD" | "VTYPE_BTF_OBJ_FD" | "TOKEN_FD")) {
            // Descriptors are the door's business.
            continue;
        }
        let mut def = base(t, row);
        let before = def.flags;
        def.flags ^= 1 << bit;
        if def.flags < before {
            // The base's own flag taken away: the record lists flags added.
            continue;
        }
        let listed = rule.iter().find(|(_, v)| v.as_array().is_some_and(|a| a.contains(name)));
        let want = listed.map_or(rule["otherwise"].as_str().unwrap(), |(k, _)| k);
        assert_eq!(text(create(&def)), want, "{} flag {name}", t.name());
    }
    type Change = fn(&mut MapDef);
    let cases: [(&str, Change); 5] = [
        ("map_extra=1", |d| d.extra = 1),
        ("numa_node without flag", |d| d.numa_node = 1),
        ("numa=0 with flag", |d| d.flags |= map_flags::NUMA_NODE),
        ("numa=99 with flag", |d| (d.flags, d.numa_node) = (d.flags | map_flags::NUMA_NODE, 99)),
        ("RDONLY|WRONLY", |d| d.flags |= map_flags::RDONLY | map_flags::WRONLY),
    ];
    for (what, change) in cases {
        let mut def = base(t, row);
        change(&mut def);
        assert_eq!(text(create(&def)), row["create"][what], "{} {what}", t.name());
    }
}

struct Case {
    map: Map,
    t: MapType,
}

impl Case {
    fn key(&self, n: u32) -> Vec<u8> {
        match self.t {
            MapType::LpmTrie => [32u32.to_ne_bytes(), (0x0a | n << 24).to_ne_bytes()].concat(),
            _ => {
                let mut key = n.to_ne_bytes().to_vec();
                key.resize(self.map.def().key_size as usize, 0);
                key
            }
        }
    }

    fn value(&self, byte: u8) -> Vec<u8> {
        let mut value = vec![byte; self.map.user_value_size()];
        match self.t {
            // The loopback interface; a queue of 192 packets.
            MapType::Devmap | MapType::DevmapHash => value.copy_from_slice(&1u32.to_ne_bytes()),
            MapType::Cpumap => value.copy_from_slice(&192u32.to_ne_bytes()),
            _ => {}
        }
        value
    }

    fn update(&self, n: u32, byte: u8, flags: u64) -> String {
        if self.map.ops().refs().is_some() {
            // Descriptors are the door's business; there are none of perf events.
            let held = match self.t {
                MapType::PerfEventArray => Err(Errno::EBADF),
                MapType::CgroupArray => Ok(Held { id: 1, object: Arc::new(()) }),
                _ => Ok(Held { id: 7, object: Arc::new(()) }),
            };
            return text(self.map.update_ref(RW, &self.key(n), flags, || held));
        }
        text(self.map.update(RW, &self.key(n), &self.value(byte), flags))
    }

    fn lookup(&self, n: u32, flags: u64) -> String {
        let mut out = self.value(0);
        match self.map.lookup(RW, &self.key(n), &mut out, flags) {
            Ok(()) => {
                out.resize(out.len().max(8), 0);
                let first: Vec<_> = out.iter().take(8).map(|b| format!("{b:02x}")).collect();
                format!("OK first8={}", first.concat())
            }
            Err(e) => text(Err::<(), _>(e)),
        }
    }

    fn keys_are_plain(&self) -> bool {
        let queue = matches!(self.t, MapType::Queue | MapType::Stack);
        let descriptors = matches!(self.t, MapType::PerfEventArray | MapType::CgroupArray);
        !descriptors && (queue || self.map.def().key_size != 0)
    }

    fn delete(&self, n: u32) -> String {
        text(self.map.delete(RW, &self.key(n)))
    }

    fn take(&self, n: u32, flags: u64) -> String {
        text(self.map.take(RW, &self.key(n), &mut self.value(0), flags))
    }

    fn walk(&self) -> Vec<String> {
        let (mut key, mut keys) = (None::<Vec<u8>>, vec![]);
        loop {
            let mut next = vec![0; self.map.def().key_size as usize];
            match self.map.next_key(RW, key.as_deref(), &mut next) {
                Ok(()) => keys.push(next.iter().map(|b| format!("{b:02x}")).collect()),
                Err(e) => {
                    keys.push(text(Err::<(), _>(e)));
                    return keys;
                }
            }
            key = Some(next);
        }
    }

    fn step(&self, what: &str) -> Option<Value> {
        let flags = || what.rsplit('=').next().unwrap().parse().unwrap();
        let answer = match what {
            "lookup initial key0" => self.lookup(0, 0),
            _ if what.starts_with("update key0 flags=") => self.update(0, 0x11, flags()),
            "update existing key0 NOEXIST" => self.update(0, 0x22, 1),
            "update key0 again ANY" => self.update(0, 0x33, 0),
            "lookup key0 after update" => self.lookup(0, 0),
            "update missing key1 EXIST" => self.update(1, 0x44, 2),
            "update missing key1 NOEXIST" => self.update(1, 0x44, 1),
            "update keys 0..7 into max_entries=4" => {
                return Some((0..8).map(|n| Value::from(self.update(n, 0x55, 0))).collect());
            }
            "lookup key past end (99)" => self.lookup(99, 0),
            "update key past end (99)" => self.update(99, 0x55, 0),
            "delete key past end (99)" => self.delete(99),
            "lookup key 4294967295" => self.lookup(u32::MAX, 0),
            _ if what.starts_with("lookup key0 flags=") => self.lookup(0, flags()),
            "get_next_key walk" => return Some(self.walk().into_iter().map(Value::from).collect()),
            "lookup_and_delete key0" | "lookup_and_delete key0 again" => self.take(0, 0),
            _ if what.starts_with("lookup_and_delete flags=") => self.take(0, flags()),
            // A key pointer for a map without keys, and descriptors, are the door's to refuse.
            "delete key1" | "delete key1 again" if self.keys_are_plain() => self.delete(1),
            "freeze" | "freeze again" => text(self.map.freeze(RW)),
            "update after freeze" => self.update(0, 0x66, 0),
            "delete after freeze" if self.t != MapType::Arena => self.delete(0),
            "lookup_and_delete after freeze" => self.take(0, 0),
            _ => return None,
        };
        Some(answer.into())
    }
}

#[test]
fn commands_answer_as_linux() {
    let mut steps = 0;
    for (t, row) in types() {
        if local_storage(t) {
            eprintln!("skipped: {} needs sockets, inodes, tasks or cgroups", t.name());
            continue;
        }
        let mut case = Case { map: create(&base(t, &row)).unwrap(), t };
        for (what, want) in row["syscall_ops"].as_object().unwrap() {
            if what == "freeze" {
                case.map = create(&base(t, &row)).unwrap();
            }
            if what == "batch" {
                batches(t, &row, want);
                continue;
            }
            if t == MapType::LruPercpuHash && APPROXIMATE.contains(&what.as_str()) {
                continue;
            }
            let Some(mut got) = case.step(what) else { continue };
            let mut want = want.clone();
            if what == "get_next_key walk" && hashed(t) {
                // The order is the seed's.
                for list in [&mut got, &mut want] {
                    list.as_array_mut().unwrap().sort_by_key(ToString::to_string);
                }
            }
            if what == "get_next_key walk" && t == MapType::LruPercpuHash {
                // Which elements are old is an approximation of Linux's own.
                (got, want) = (list_len(&got), list_len(&want));
            }
            if case.map.ops().refs().is_some() && want.as_str().is_some_and(|w| w.contains("=")) {
                // The id of an object of the recorded run.
                continue;
            }
            steps += 1;
            assert_eq!(got, want, "{}: {what}", t.name());
        }
    }
    assert!(steps > 100, "{steps}");
}

/// They depend on which keys Linux happened to evict.
const APPROXIMATE: [&str; 3] =
    ["lookup_and_delete key0", "delete key1", "lookup key past end (99)"];

fn list_len(list: &Value) -> Value {
    list.as_array().unwrap().len().into()
}

fn hashed(t: MapType) -> bool {
    t.name().contains("HASH")
}

fn batches(t: MapType, row: &Value, want: &Value) {
    let case = Case { map: create(&base(t, row)).unwrap(), t };
    if t.name().ends_with("OF_MAPS") {
        eprintln!("skipped: batches of {} take descriptors", t.name());
        return;
    }
    let full = || (0..4).for_each(|n| drop(case.update(n, 1, 0)));
    full();
    let all = |n: u32| (0..n).flat_map(|n| case.key(n)).collect::<Vec<_>>();
    let values = |n: usize| case.value(9).repeat(n);
    let count = |r: Result<maps::Batch, Errno>, asked: u32| match r {
        Ok(b) => format!("{} count={}", b.errno.map_or("OK".into(), |e| e.to_string()), b.count),
        Err(e) => format!("{e} count={asked}"),
    };
    let map = &case.map;
    let check = |what: &str, got: String| assert_eq!(got, want[what], "{} {what}", t.name());
    check("update_batch 3", count(map.update_batch(RW, &all(3), &values(3), 3, 0), 3));
    check("update_batch count=0", count(map.update_batch(RW, &[], &[], 0, 0), 0));
    let twice = map.update_batch(RW, &all(3), &values(3), 3, 1);
    check("update_batch NOEXIST existing", count(twice, 3));
    if t == MapType::LruHash || t == MapType::LruPercpuHash {
        // The recorded run held three elements here.
        drop(case.delete(0));
    }
    check("lookup_batch 16", count(map.lookup_batch(RW, None, 16, false, 0), 16));
    let whole = map.lookup_batch(RW, None, 16, true, 0);
    check("lookup_and_delete_batch 16", count(whole, 16));
    full();
    check("delete_batch 3", count(map.delete_batch(RW, &all(3), 3, 0), 3));
    check("delete_batch 3 again", count(map.delete_batch(RW, &all(3), 3, 0), 3));
}

#[test]
fn the_oldest_elements_give_way() {
    let special = facts()["special_cases"].clone();
    let fill = |entries: u32, inserted: u32| {
        let map = create(&MapDef::new(MapType::LruHash, 4, 8, entries)).unwrap();
        for n in 0..inserted {
            map.update(RW, &n.to_ne_bytes(), &[0; 8], 0).unwrap();
        }
        let all = map.lookup_batch(RW, None, u32::MAX, false, 0).unwrap();
        let keys = all.keys.as_chunks::<4>().0.iter();
        let mut keys: Vec<u32> = keys.map(|k| u32::from_ne_bytes(*k)).collect();
        keys.sort_unstable();
        keys
    };
    let left = fill(4, 64);
    assert_eq!(serde_json::json!(left), special["LRU me=4 after inserting 0..63: keys left"]);
    let left = fill(100, 1000);
    let shown = serde_json::json!([left.len(), left[0], left[99]]);
    assert_eq!(shown, special["LRU me=100 after inserting 0..999: count,min,max"]);
}

#[test]
fn a_used_element_outlives_an_unused_one() {
    let map = create(&MapDef::new(MapType::LruHash, 4, 8, 4)).unwrap();
    let put = |n: u32| map.update(RW, &n.to_ne_bytes(), &[0; 8], 0).unwrap();
    (0..4).for_each(put);
    // A program looks at 0.
    assert!(map.ops().lookup((&[0; 4][..]).into(), 0).is_some());
    put(4);
    let there = |n: u32| map.lookup(RW, &n.to_ne_bytes(), &mut [0; 8], 0).is_ok();
    assert_eq!([0, 1, 2, 3, 4].map(there), [true, false, true, true, true]);
}
