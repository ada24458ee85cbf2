//! Which crate may use which: ARCHITECTURE.md's table, checked against `cargo metadata`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A crate of ours and the crates of ours that it may use, directly; in the order of a program's
/// journey, so that a row names only rows above it.
const LAYERS: &[(&str, &[&str])] = &[
    ("ring3-isa", &[]),
    ("ring3-uapi", &[]),
    ("ring3-btf", &[]),
    ("ring3-loader", &["ring3-isa", "ring3-uapi", "ring3-btf"]),
    ("ring3-verifier", &["ring3-isa", "ring3-uapi", "ring3-btf"]),
    ("ring3-translate", &["ring3-isa", "ring3-uapi", "ring3-verifier"]),
    ("ring3-interp", &["ring3-isa"]),
    ("ring3-jit", &["ring3-isa"]),
    ("ring3-maps", &["ring3-uapi"]),
    (
        "ring3-runtime",
        &[
            "ring3-isa",
            "ring3-uapi",
            "ring3-btf",
            "ring3-loader",
            "ring3-verifier",
            "ring3-translate",
            "ring3-interp",
            "ring3-jit",
            "ring3-maps",
        ],
    ),
    ("ring3-agent", &[]),
    ("ring3-hooks", &["ring3-agent", "ring3-uapi", "ring3-btf", "ring3-maps", "ring3-runtime"]),
    ("ring3-syscall", &["ring3-isa", "ring3-uapi", "ring3-verifier", "ring3-runtime"]),
    (
        "ring3-daemon",
        &["ring3-isa", "ring3-uapi", "ring3-btf", "ring3-verifier", "ring3-runtime", "ring3-hooks"],
    ),
    (
        "ring3",
        &[
            "ring3-isa",
            "ring3-uapi",
            "ring3-btf",
            "ring3-loader",
            "ring3-verifier",
            "ring3-translate",
            "ring3-interp",
            "ring3-jit",
            "ring3-maps",
            "ring3-runtime",
            "ring3-hooks",
            "ring3-syscall",
        ],
    ),
    (
        "ring3-bpftool",
        &[
            "ring3-isa",
            "ring3-uapi",
            "ring3-btf",
            "ring3-loader",
            "ring3-verifier",
            "ring3-runtime",
            "ring3-syscall",
            "ring3",
        ],
    ),
    ("ring3-cli", &["ring3", "ring3-bpftool", "ring3-daemon"]),
];

/// For tests and tools: may use everything, and only tests may use them.
const TOOLS: &[&str] = &["ring3-testkit", "xtask"];

pub(crate) fn run(root: &Path, _args: &[String]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    let wrong: Vec<String> =
        metadata["packages"].as_array().into_iter().flatten().flat_map(violations).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// What one package uses and must not.
fn violations(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    if TOOLS.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = LAYERS.iter().find(|l| l.0 == name) else {
        return vec![format!("{name} has no row in xtask/src/layers.rs and ARCHITECTURE.md")];
    };
    let is_ours = |dep: &str| LAYERS.iter().any(|l| l.0 == dep) || TOOLS.contains(&dep);
    let deps = package["dependencies"].as_array().into_iter().flatten();
    deps.filter(|d| d["kind"].as_str() != Some("dev"))
        .filter_map(|d| d["name"].as_str())
        .filter(|d| is_ours(d) && !allowed.contains(d))
        .map(|d| format!("{name} must not use {d} (ARCHITECTURE.md, the table of crates)"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_only_rows_above() {
        for (at, (name, uses)) in LAYERS.iter().enumerate() {
            for used in *uses {
                assert!(LAYERS[..at].iter().any(|l| l.0 == *used), "{name} uses {used}");
            }
        }
    }

    #[test]
    fn finds_a_forbidden_dependency() {
        let package = serde_json::json!({"name": "ring3-isa", "dependencies": [
            {"name": "ring3-btf", "kind": null}, {"name": "ring3-testkit", "kind": "dev"}]});
        assert_eq!(violations(&package).len(), 1);
    }
}
