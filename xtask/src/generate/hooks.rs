//! `hooks.rs`: kernel iterators.

use std::fmt::Write as _;

use serde_json::Value;

use super::{head, list};

pub(super) fn table(facts: &Value, tracepoints: &Value) -> Result<String, String> {
    let mut out = head("Kernel iterators, tracepoints' arguments.", "btf_hooks and tp_btf_args");
    out.push_str("use crate::{CtxClass as C, Iterator};\n\n/// Kernel iterators, by name.\npub static ITERATORS: &[Iterator] = &[\n");
    let rows = facts["iterators"].as_object().ok_or("btf_hooks.json: no iterators")?;
    for (name, row) in rows {
        let slots: Vec<String> = list(row, "slots")
            .iter()
            .filter_map(Value::as_str)
            .map(slot)
            .collect::<Result<_, _>>()?;
        let _ = writeln!(
            out,
            "    Iterator {{ name: \"{name}\", slots: &[{}], sleepable: {} }},",
            slots.join(", "),
            row["sleepable"] == true
        );
    }
    out.push_str("];\n\n");
    out.push_str(&arguments(tracepoints)?);
    Ok(out)
}

fn arguments(facts: &Value) -> Result<String, String> {
    let mut rows = Vec::new();
    for (name, args) in facts["args"].as_object().ok_or("tp_btf_args.json: no args")? {
        for (index, what) in args.as_object().ok_or("tp_btf_args.json: no arguments")? {
            rows.push(format!("    (\"{name}\", {index}, {}),", what == "error"));
        }
    }
    rows.sort();
    Ok(format!(
        "/// Tracepoint, argument, and whether it may be an error; otherwise it may be null.\npub static TRACEPOINT_ARGS: &[(&str, u32, bool)] = &[\n{}\n];\n",
        rows.join("\n")
    ))
}

/// The register class that the verifier printed.
fn slot(text: &str) -> Result<String, String> {
    let class = text.split('(').next().unwrap_or(text);
    Ok(match class {
        "scalar" => "C::Scalar".into(),
        "rdonly_buf_or_null" => "C::RdonlyBufOrNull".into(),
        "buf_or_null" => "C::BufOrNull".into(),
        _ => {
            let prefixes = [
                ("trusted_ptr_or_null_", "TrustedBtfOrNull"),
                ("trusted_ptr_", "TrustedBtf"),
                ("ptr_or_null_", "BtfOrNull"),
            ];
            prefixes
                .iter()
                .find_map(|(p, kind)| class.strip_prefix(p).map(|n| format!("C::{kind}(\"{n}\")")))
                .ok_or(format!("btf_hooks.json: slot {text}"))?
        }
    })
}
