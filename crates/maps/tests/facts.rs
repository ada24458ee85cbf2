//! Recorded answers of Linux 6.18 about special cases; those about each type and command are asked
//! by `cargo xtask parity`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use maps::{Env, Map, Perms};
use serde_json::Value;
use uapi::{Errno, MapDef, MapType};

const RW: Perms = Perms { read: true, write: true };

fn facts() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../facts/map_types.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The recording machine: 2 CPUs, 24 GiB.
fn create(def: &MapDef) -> Result<Map, Errno> {
    Map::create(def, &Env { cpus: 2, mem_limit: 24105 << 20, seed: 7, region: None })
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
