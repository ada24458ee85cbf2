//! `kfuncs.rs`: kernel functions, their flags and the sets they are in.

use std::fmt::Write as _;

use serde_json::Value;

use super::{head, list, text};

/// Functions that a filter of their set keeps for some programs: kfuncs.json tells the filters,
/// and for whom each function was seen to be allowed.
const ONLY: &[(&str, &str)] = &[
    ("bpf_get_dentry_xattr", "Lsm"),
    ("bpf_get_file_xattr", "Lsm"),
    ("bpf_get_task_exe_file", "Lsm"),
    ("bpf_path_d_path", "Lsm"),
    ("bpf_put_file", "Lsm"),
    ("bpf_remove_dentry_xattr", "Lsm"),
    ("bpf_set_dentry_xattr", "Lsm"),
    ("bpf_sock_destroy", "Iterator"),
    ("bpf_session_cookie", "Session"),
    ("bpf_session_is_return", "Session"),
    ("bpf_xdp_metadata_rx_hash", "Device"),
    ("bpf_xdp_metadata_rx_timestamp", "Device"),
    ("bpf_xdp_metadata_rx_vlan_tag", "Device"),
];

pub(super) fn table(facts: &Value) -> Result<String, String> {
    let mut out = head("Kernel functions.", "kfuncs");
    out.push_str("use crate::kfunc_flags as f;\nuse crate::kfunc_hooks as h;\nuse crate::{Kfunc, KfuncOnly as O};\n\n");
    out.push_str("/// Kernel functions, by name.\npub static KFUNCS: &[Kfunc] = &[\n");
    let mut rows: Vec<&Value> = list(facts, "kfuncs").iter().collect();
    rows.sort_by_key(|row| row["name"].as_str());
    for row in rows {
        let name = text(row, "name")?;
        let flags = union(row, "flags", "f", "KF_");
        let hooks = union(row, "hooks", "h", "");
        let only = ONLY.iter().find(|(n, _)| *n == name).map_or("Any", |(_, only)| only);
        let _ = writeln!(
            out,
            "    Kfunc {{ name: \"{name}\", flags: {flags}, hooks: {hooks}, only: O::{only} }},"
        );
    }
    out.push_str("];\n");
    Ok(out)
}

/// `f::ACQUIRE | f::RET_NULL`, or 0.
fn union(row: &Value, field: &str, module: &str, prefix: &str) -> String {
    let words: Vec<String> = list(row, field)
        .iter()
        .filter_map(Value::as_str)
        .map(|word| format!("{module}::{}", word.strip_prefix(prefix).unwrap_or(word)))
        .collect();
    if words.is_empty() { "0".into() } else { words.join(" | ") }
}
