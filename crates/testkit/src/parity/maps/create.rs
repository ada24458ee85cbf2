//! BPF_MAP_CREATE with the recorded base parameters and one of them changed.

use runtime::door::MapCreate;
use serde_json::Value;
use uapi::{MapType, map_flags};

use super::{Ask, text};

const GROUP: &str = "creation";
const KEY_SIZES: &[u32] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    12,
    15,
    16,
    17,
    20,
    24,
    32,
    64,
    255,
    256,
    260,
    264,
    265,
    511,
    512,
    513,
    1024,
    4096,
    65536,
    1 << 20,
];
const VALUE_SIZES: &[u32] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    12,
    15,
    16,
    24,
    64,
    1016,
    1017,
    1024,
    4096,
    32768,
    32769,
    40000,
    65536,
    1 << 20,
    (4 << 20) - 1000,
    4 << 20,
    8 << 20,
    1 << 31,
    u32::MAX,
];
const ENTRIES: &[u32] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    100,
    1000,
    4095,
    4096,
    4097,
    8192,
    12288,
    16384,
    65535,
    65536,
    100_000,
    u32::MAX,
];

fn made(ask: &Ask<'_>, req: &MapCreate) -> String {
    let made = ask.world.door.map_create(req);
    let answer = text(made);
    if let Ok(fd) = made {
        let _ = ask.world.door.close(fd);
    }
    answer
}

pub(super) fn ask(ask: &mut Ask<'_>, flag_names: &Value) {
    let Some(recorded) = ask.row["create"].as_object() else { return };
    for (what, want) in recorded {
        match what.as_str() {
            "base" => one(ask, what, &want["result"], |_| {}),
            "key_size" => sizes(ask, what, want, KEY_SIZES, |req, n| req.def.key_size = n),
            "value_size" => sizes(ask, what, want, VALUE_SIZES, |req, n| req.def.value_size = n),
            "max_entries" => sizes(ask, what, want, ENTRIES, |req, n| req.def.max_entries = n),
            "map_extra" => sizes(ask, what, want, &[], |req, n| req.def.extra = n.into()),
            "flags" => flags(ask, want, flag_names),
            _ => named(ask, what, want),
        }
    }
}

fn one(ask: &mut Ask<'_>, what: &str, want: &Value, change: impl FnOnce(&mut MapCreate)) {
    let mut req = ask.world.base(ask.t, ask.row);
    change(&mut req);
    let got = made(ask, &req);
    ask.case(GROUP, what, want.as_str().unwrap_or_default(), got);
}

/// Each listed value, and the tried ones under "otherwise".
fn sizes(
    ask: &mut Ask<'_>,
    what: &str,
    rule: &Value,
    tried: &[u32],
    set: impl Fn(&mut MapCreate, u32),
) {
    let mut listed = Vec::new();
    for (want, values) in rule.as_object().into_iter().flatten() {
        for value in values.as_array().into_iter().flatten().filter_map(Value::as_u64) {
            listed.push(value as u32);
            let want = Value::from(want.as_str());
            one(ask, &format!("{what} {value}"), &want, |req| set(req, value as u32));
        }
    }
    // The record's rule of arrays does not hold for what no memory could hold.
    let known = |v: u32| ask.t != MapType::Array || v < 1 << 31 || what != "value_size";
    let others = tried.iter().filter(|v| !listed.contains(v) && known(**v));
    let others: Vec<_> = others.collect();
    for &value in others.into_iter().filter(|_| rule["otherwise"].is_string()) {
        one(ask, &format!("{what} {value}"), &rule["otherwise"], |req| set(req, value));
    }
}

fn flags(ask: &mut Ask<'_>, rule: &Value, names: &Value) {
    for (bit, name) in names.as_array().into_iter().flatten().enumerate() {
        let base = ask.world.base(ask.t, ask.row).def.flags;
        if base & (1 << bit) != 0 {
            // The base's own flag taken away: the record lists flags added.
            continue;
        }
        let rules = rule.as_object().into_iter().flatten();
        let listed = rules.filter(|(_, v)| v.as_array().is_some_and(|all| all.contains(name)));
        let want = listed.map(|(want, _)| Value::from(want.as_str())).next();
        let want = want.unwrap_or_else(|| rule["otherwise"].clone());
        let what = format!("flag {}", name.as_str().unwrap_or_default());
        one(ask, &what, &want, |req| req.def.flags |= 1 << bit);
    }
}

fn named(ask: &mut Ask<'_>, what: &str, want: &Value) {
    let (btf, inner) = (ask.world.btf, ask.world.inner);
    let name = |name: &'static str| move |req: &mut MapCreate| req.def.name = name.into();
    let add = |flags: u32| move |req: &mut MapCreate| req.def.flags |= flags;
    match what {
        "map_extra=1" => one(ask, what, want, |req| req.def.extra = 1),
        "numa_node without flag" => one(ask, what, want, |req| req.def.numa_node = 1),
        "numa=0 with flag" => one(ask, what, want, add(map_flags::NUMA_NODE)),
        "numa=99 with flag" => one(ask, what, want, |req| {
            req.def.flags |= map_flags::NUMA_NODE;
            req.def.numa_node = 99;
        }),
        "RDONLY|WRONLY" => one(ask, what, want, add(map_flags::RDONLY | map_flags::WRONLY)),
        "RDONLY_PROG|WRONLY_PROG" => {
            one(ask, what, want, add(map_flags::RDONLY_PROG | map_flags::WRONLY_PROG));
        }
        "flags NO_PREALLOC|NO_COMMON_LRU" => {
            one(ask, what, want, add(map_flags::NO_PREALLOC | map_flags::NO_COMMON_LRU));
        }
        "with_btf_key_value(int,int; sizes 4/4)" => one(ask, what, want, |req| {
            req.btf = Some(btf);
            (req.def.btf_key_type_id, req.def.btf_value_type_id) = (1, 1);
            let keyless = matches!(req.def.map_type, MapType::Queue | MapType::Stack);
            if !keyless && req.def.key_size != 0 && req.def.map_type != MapType::LpmTrie {
                req.def.key_size = 4;
            }
            if req.def.value_size != 0 && req.def.map_type != MapType::StackTrace {
                req.def.value_size = 4;
            }
        }),
        "without_btf" => one(ask, what, want, |req| {
            req.btf = None;
            (req.def.btf_key_type_id, req.def.btf_value_type_id) = (0, 0);
            req.def.btf_vmlinux_value_type_id = 0;
        }),
        "name_bad_chars" => one(ask, what, want, name("a-b")),
        "name_dots_underscore" => one(ask, what, want, name("a.b_c")),
        "inner_map_fd=valid" => one(ask, what, want, |req| req.inner_map = Some(inner)),
        "inner_map_fd=0" => one(ask, what, want, |req| req.inner_map = None),
        _ => ask.case(GROUP, what, &want.to_string(), "a row that is not known here".into()),
    }
}
