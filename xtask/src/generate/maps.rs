//! `maps.rs`: map types, and the helpers that take each.

use std::fmt::Write as _;

use serde_json::Value;

use super::{camel, head, list, text};

/// Flags of creation by the name that map_types.json uses, with their bit.
const FLAGS: &[(&str, u32)] = &[
    ("NO_PREALLOC", 0),
    ("NO_COMMON_LRU", 1),
    ("NUMA_NODE", 2),
    ("RDONLY", 3),
    ("WRONLY", 4),
    ("STACK_BUILD_ID", 5),
    ("ZERO_SEED", 6),
    ("RDONLY_PROG", 7),
    ("WRONLY_PROG", 8),
    ("CLONE", 9),
    ("MMAPABLE", 10),
    ("PRESERVE_ELEMS", 11),
    ("INNER_MAP", 12),
    ("LINK", 13),
    ("SEGV_ON_FAULT", 17),
    ("NO_USER_CONV", 18),
];

pub(super) fn table(facts: &Value, helpers: &Value) -> Result<String, String> {
    let mut out = head("Map types.", "map_types");
    out.push_str("use crate::{MapType, MapTypeFacts};\n\n/// Every map type, by number.\npub static MAP_TYPES: &[MapTypeFacts] = &[\n");
    for (n, row) in list(facts, "maps").iter().enumerate() {
        if row["id"].as_u64() != Some(n as u64 + 1) {
            return Err(format!("map_types.json: row {n} is out of order"));
        }
        out.push_str(&map(row, helpers)?);
    }
    out.push_str("];\n");
    Ok(out)
}

fn map(row: &Value, helpers: &Value) -> Result<String, String> {
    let mut ids = Vec::new();
    for name in list(row, "prog_helpers").iter().filter_map(Value::as_str) {
        let word = name.split(' ').next().unwrap_or(name);
        match list(helpers, "helpers").iter().find(|h| h["name"] == word) {
            Some(h) => ids.push(h["id"].to_string()),
            None if name.starts_with("kfunc") => {}
            None => return Err(format!("map_types.json: no helper {name}")),
        }
    }
    let direct = row["direct_value_ldimm64"].as_str().is_some_and(|t| t.starts_with("ok"));
    let flags = create_flags(row)?;
    let fields: Vec<String> = list(row, "special_fields").iter().map(Value::to_string).collect();
    let mut out = String::new();
    let _ = writeln!(
        out,
        "    MapTypeFacts {{\n        map_type: MapType::{},\n        since: \"{}\",\n        sleepable: {},\n        direct_value: {direct},\n        helpers: &[{}],\n        special_fields: &[{}],\n        create_flags: {flags:#x},\n    }},",
        camel(text(row, "name")?),
        text(row, "since")?,
        row["usable_in_sleepable"].as_bool().unwrap_or(false),
        ids.join(", "),
        fields.join(", "),
    );
    Ok(out)
}

fn create_flags(row: &Value) -> Result<u32, String> {
    let mut bits = 0;
    for name in list(&row["create"]["flags"], "OK").iter().filter_map(Value::as_str) {
        let (_, bit) = FLAGS.iter().find(|(n, _)| *n == name).ok_or(format!("no flag {name}"))?;
        bits |= 1 << bit;
    }
    if let Some(base) = row["create"]["base"]["params"]["flags"].as_u64() {
        bits |= u32::try_from(base).unwrap_or(0);
    }
    Ok(bits)
}
