//! Writes the generated tables of `crates/uapi` from `facts/`; `--check` fails on drift.

mod helpers;
mod hooks;
mod kfuncs;
mod maps;
mod progs;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Kernel enum, Rust name, prefix that the variants lose, doc sentence.
const ENUMS: &[(&str, &str, &str, &str)] = &[
    ("bpf_cmd", "Cmd", "BPF_", "A command of bpf(2)."),
    ("bpf_map_type", "MapType", "BPF_MAP_TYPE_", "A type of map."),
    ("bpf_prog_type", "ProgType", "BPF_PROG_TYPE_", "A type of program."),
    ("bpf_attach_type", "AttachType", "BPF_", "Where a program attaches."),
    ("bpf_link_type", "LinkType", "BPF_LINK_TYPE_", "A type of link."),
    ("xdp_action", "XdpAction", "XDP_", "Verdict of an XDP program."),
];

/// Names of the kernel's enum that only count, repeat another value or stand for none.
fn is_alias(name: &str) -> bool {
    name.starts_with("__MAX")
        || name.ends_with("_UNSPEC")
        || name.ends_with("_DEPRECATED")
        || name == "BPF_PROG_RUN"
}

/// Generates every table; the error says which file differs or cannot be used.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    let out = root.join("crates/uapi/src/generated");
    write(&out.join("enums.rs"), &enums(&load(root, "uapi")?)?, check)?;
    let progs = load(root, "prog_types")?;
    let variants = progs::Variants::new(&progs)?;
    write(&out.join("progs.rs"), &progs::table(&progs, &load(root, "uapi")?, &variants)?, check)?;
    write(
        &out.join("hooks.rs"),
        &hooks::table(&load(root, "btf_hooks")?, &load(root, "tp_btf_args")?)?,
        check,
    )?;
    write(&out.join("kfuncs.rs"), &kfuncs::table(&load(root, "kfuncs")?)?, check)?;
    write(&out.join("helpers.rs"), &helpers::table(&load(root, "helpers")?, &variants)?, check)?;
    write(
        &out.join("maps.rs"),
        &maps::table(&load(root, "map_types")?, &load(root, "helpers")?)?,
        check,
    )
}

/// Head of a generated file: its doc line and what it came from.
fn head(what: &str, from: &str) -> String {
    format!("//! {what} Made by `cargo xtask generate` from facts/{from}.json.\n\n")
}

/// The field as text, or an error that names it.
fn text<'a>(row: &'a Value, field: &str) -> Result<&'a str, String> {
    row[field].as_str().ok_or_else(|| format!("no text in `{field}` of {}", row["name"]))
}

/// The field as a list; missing is empty.
fn list<'a>(row: &'a Value, field: &str) -> &'a [Value] {
    row[field].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn load(root: &Path, table: &str) -> Result<Value, String> {
    let path = root.join("facts").join(format!("{table}.json"));
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

pub(crate) fn write(path: &Path, text: &str, check: bool) -> Result<(), String> {
    let old = fs::read_to_string(path).unwrap_or_default();
    if old == text {
        return Ok(());
    }
    if check {
        return Err(format!("{} is not what `cargo xtask generate` writes", path.display()));
    }
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

fn enums(facts: &Value) -> Result<String, String> {
    let mut out = String::from(
        "//! Enumerations of Linux's UAPI. Made by `cargo xtask generate` from facts/uapi.json.\n\n\
         macro_rules! uapi_enum {\n    ($(#[$doc:meta])* $name:ident { $($variant:ident = $value:literal, $text:literal;)* }) => {\n        \
         $(#[$doc])*\n        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]\n        #[repr(u32)]\n        \
         #[allow(missing_docs, reason = \"the names are Linux's\")]\n        pub enum $name { $($variant = $value,)* }\n\n        \
         impl $name {\n            /// Every value, in Linux's order.\n            pub const ALL: &[$name] = &[$($name::$variant,)*];\n\n            \
         /// The value with this number.\n            pub const fn from_raw(raw: u32) -> Option<$name> {\n                match raw { $($value => Some($name::$variant),)* _ => None }\n            }\n\n            \
         /// Linux's number.\n            pub const fn raw(self) -> u32 { self as u32 }\n\n            \
         /// Linux's name.\n            pub const fn name(self) -> &'static str {\n                match self { $($name::$variant => $text,)* }\n            }\n        }\n    };\n}\n",
    );
    for (kernel, rust, prefix, doc) in ENUMS {
        let rows =
            facts["enums"][kernel].as_array().ok_or(format!("uapi.json: no enum {kernel}"))?;
        let _ = write!(out, "\nuapi_enum! {{\n    /// {doc}\n    {rust} {{\n");
        let mut seen = Vec::new();
        for row in rows {
            let (Some(name), Some(value)) = (row[0].as_str(), row[1].as_u64()) else { continue };
            if is_alias(name) || seen.contains(&value) {
                continue;
            }
            seen.push(value);
            let variant = camel(name.strip_prefix(prefix).unwrap_or(name));
            let _ = writeln!(out, "        {variant} = {value}, \"{name}\";");
        }
        out.push_str("    }\n}\n");
    }
    Ok(out)
}

/// `LRU_PERCPU_HASH` to `LruPercpuHash`.
pub(crate) fn camel(upper: &str) -> String {
    let mut out = String::new();
    for word in upper.split('_').filter(|w| !w.is_empty()) {
        let (head, tail) = word.split_at(1);
        out.push_str(&head.to_uppercase());
        out.push_str(&tail.to_lowercase());
    }
    out
}
