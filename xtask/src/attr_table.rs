//! Writes `crates/uapi/src/attr/generated.rs`: offsets of `union bpf_attr` and the info structs.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::generate::{load, write};

/// Names for the members of `union bpf_attr`, in Linux's order: some have none there.
const ATTRS: &[&str] = &[
    "map_create",
    "map_elem",
    "map_batch",
    "prog_load",
    "obj",
    "prog_attach",
    "test_run",
    "get_id",
    "info",
    "prog_query",
    "raw_tracepoint",
    "btf_load",
    "task_fd_query",
    "link_create",
    "link_update",
    "link_detach",
    "enable_stats",
    "iter_create",
    "prog_bind_map",
    "token_create",
    "prog_stream_read",
];

/// Structs that BPF_OBJ_GET_INFO_BY_FD fills.
const INFOS: &[&str] = &["bpf_prog_info", "bpf_map_info", "bpf_btf_info", "bpf_link_info"];

pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    let facts = load(root, "uapi")?;
    let attrs = facts["bpf_attr"].as_array().ok_or("uapi.json: no bpf_attr")?;
    if attrs.len() != ATTRS.len() {
        return Err(format!(
            "uapi.json: bpf_attr has {} members, {} expected",
            attrs.len(),
            ATTRS.len()
        ));
    }
    let mut out = String::from(
        "//! Offsets in UAPI structs. Made by `cargo xtask generate` from facts/uapi.json.\n\
         #![allow(missing_docs, reason = \"the names are Linux's\")]\n\n\
         /// Bytes of `union bpf_attr`.\n",
    );
    let _ = writeln!(out, "pub const ATTR_SIZE: usize = {};", facts["bpf_attr_size"]);
    for (name, attr) in ATTRS.iter().zip(attrs) {
        module(&mut out, name, attr);
    }
    for name in INFOS {
        module(&mut out, name.trim_start_matches("bpf_"), &facts["structs"][name]);
    }
    write(&root.join("crates/uapi/src/attr/generated.rs"), &out, check)
}

fn module(out: &mut String, name: &str, layout: &Value) {
    let _ = writeln!(
        out,
        "\npub mod {name} {{\n    use crate::attr::Field;\n\n    pub const SIZE: usize = {};",
        layout["size"]
    );
    for field in layout["fields"].as_array().into_iter().flatten() {
        let Some(field_name) = field[0].as_str().filter(|n| !n.is_empty()) else { continue };
        let _ = writeln!(
            out,
            "    pub const {}: Field = Field {{ offset: {}, size: {} }};",
            field_name.to_uppercase(),
            field[1],
            field[2]
        );
    }
    out.push_str("}\n");
}
