//! `progs.rs`: program variants, contexts, return ranges, section names.

use std::fmt::Write as _;

use serde_json::Value;

use super::{camel, head, list, text};

/// Return ranges that no load could show on the machine of the facts, from Linux's sources.
const UNPROBED_RET: &[(&str, &str)] =
    &[("TRACING/FENTRY", "Some((0, 0))"), ("TRACING/FEXIT", "Some((0, 0))")];

/// Contexts that are plain bytes: the first byte readable, and the end, where the probes
/// stopped before Linux's own limit.
const PLAIN_ENDS: &[(&str, u32)] = &[("TRACEPOINT", 8192), ("SYSCALL", 65535)];

/// The labels of prog_types.json in order, with their type.
pub(super) struct Variants {
    rows: Vec<(String, String, Value)>,
}

impl Variants {
    pub(super) fn new(facts: &Value) -> Result<Variants, String> {
        let mut rows = Vec::new();
        for prog in list(facts, "progs") {
            let name = text(prog, "name")?;
            let own = list(prog, "variants");
            for v in own {
                rows.push((text(v, "label")?.to_string(), name.to_string(), v.clone()));
            }
            if own.is_empty() {
                rows.push((name.to_string(), name.to_string(), Value::Null));
            }
        }
        if rows.len() > 128 {
            return Err("prog_types.json: more variants than a set holds".into());
        }
        Ok(Variants { rows })
    }

    /// The variants that these words name: a type, a label, or a type and attach type.
    pub(super) fn bits(&self, words: &[&str]) -> Result<u128, String> {
        let mut bits = 0;
        for word in words {
            let mut hit = 0;
            for (n, (label, prog, _)) in self.rows.iter().enumerate() {
                let sleepable_too = label.strip_suffix("(sleepable)") == Some(word);
                if label == word || prog == word || (sleepable_too && word.contains('/')) {
                    hit |= 1 << n;
                }
            }
            if hit == 0 {
                return Err(format!("no program variant {word}"));
            }
            bits |= hit;
        }
        Ok(bits)
    }

    /// Those that Linux was seen to judge.
    pub(super) fn probed(&self) -> u128 {
        let ok = |v: &Value| v["load"] == "OK";
        self.rows.iter().enumerate().filter(|(_, r)| ok(&r.2)).fold(0, |b, (n, _)| b | (1 << n))
    }
}

pub(super) fn table(facts: &Value, uapi: &Value, variants: &Variants) -> Result<String, String> {
    let mut out = head("Program types.", "prog_types");
    out.push_str("use crate::ProgType as P;\nuse crate::{CtxClass as C, CtxField, CtxTable, PointeeTable, ProgTypeFacts, ProgVariant, SectionDef};\n\n");
    let tables = facts["ctx_tables"].as_object().ok_or("prog_types.json: no ctx_tables")?;
    for (name, t) in tables {
        if t["rows"].is_array() {
            continue;
        }
        out.push_str(&ctx_table(facts, name, t)?);
    }
    out.push_str("\n/// Every program variant; bit `n` of a set of variants is entry `n`.\npub static PROG_VARIANTS: &[ProgVariant] = &[\n");
    for (n, (label, prog, v)) in variants.rows.iter().enumerate() {
        out.push_str(&variant(facts, n, label, prog, v)?);
    }
    out.push_str(
        "];\n\n/// Every program type, by number.\npub static PROG_TYPES: &[ProgTypeFacts] = &[\n",
    );
    for prog in list(facts, "progs") {
        let attach: Vec<String> = list(prog, "expected_attach_type_accepted_at_load")
            .iter()
            .map(Value::to_string)
            .collect();
        let _ = writeln!(
            out,
            "    ProgTypeFacts {{ prog_type: P::{}, since: \"{}\", attach_types: &[{}] }},",
            camel(text(prog, "name")?),
            text(prog, "since")?,
            attach.join(", ")
        );
    }
    out.push_str("];\n\n");
    out.push_str(&sections(facts, uapi)?);
    out.push_str(&pointees(facts)?);
    let gpl: Vec<String> = list(facts, "gpl_compatible_strings")
        .iter()
        .filter(|row| row[1] == true)
        .map(|row| row[0].to_string())
        .collect();
    let _ = writeln!(
        out,
        "/// Licences that open GPL-only helpers.\npub static GPL_LICENSES: &[&str] = &[{}];",
        gpl.join(", ")
    );
    Ok(out)
}

fn variant(facts: &Value, n: usize, label: &str, prog: &str, v: &Value) -> Result<String, String> {
    let sleepable = label.ends_with("(sleepable)") || label.ends_with("_sleepable");
    let attach = match (&v["eat"], label.split_once('/')) {
        (Value::Number(eat), Some(_)) if prog != "STRUCT_OPS" => format!("Some({eat})"),
        _ => "None".into(),
    };
    let known = |t: &&str| !facts["ctx_tables"][*t]["rows"].is_array();
    let ctx = v["ctx_table"].as_str().filter(known);
    let ctx = ctx.map_or("None".into(), |t| format!("Some(&{t})"));
    let hand = UNPROBED_RET.iter().find(|(l, _)| label.trim_end_matches("(sleepable)") == *l);
    let ret = match v["ret"].as_str().and_then(|r| r.strip_prefix('[')?.strip_suffix(']')) {
        Some(range) => format!("Some(({range}))"),
        None => hand.map_or("None", |(_, r)| r).into(),
    };
    let tested = list(facts, "progs")
        .iter()
        .flat_map(|p| list(p, "test_run"))
        .any(|t| list(t, "variants").iter().any(|l| l == label) && t["result"].is_object());
    Ok(format!(
        "    ProgVariant {{ index: {n}, label: \"{label}\", prog_type: P::{}, attach: {attach}, sleepable: {sleepable}, ctx: {ctx}, ret: {ret}, probed: {}, test_run: {tested} }},\n",
        camel(prog),
        v["load"] == "OK",
    ))
}

/// Members, and for each byte the sizes that may be read and written there.
fn ctx_table(facts: &Value, name: &str, t: &Value) -> Result<String, String> {
    let (mut read, mut write) = (Vec::new(), Vec::new());
    let mut fields = Vec::new();
    for f in list(t, "fields") {
        let (Some(member), Some(off), Some(size)) = (f[0].as_str(), f[1].as_u64(), f[2].as_u64())
        else {
            return Err(format!("prog_types.json: {name}: bad field {f}"));
        };
        let class = f[4].as_str().map(class).transpose()?;
        if let Some(how) = f[5].as_str() {
            mark(&mut read, off, size, how, "read@")?;
        }
        if let Some(how) = f[6].as_str() {
            mark(&mut write, off, size, how, "write@")?;
        }
        let class = class.map_or("None".into(), |c| format!("Some({c})"));
        fields.push(format!(
            "CtxField {{ name: \"{member}\", off: {off}, size: {size}, class: {class} }}"
        ));
    }
    let mut plain = (0, 0, false);
    for row in list(t, "pattern_by_off_mod8") {
        let span = row[4].as_str().and_then(|s| s.split_once("..")).ok_or("bad pattern")?;
        if row[3] == "tp_buffer" {
            mark(&mut read, 0, 8, "full", "read@")?;
            fields.push(
                "CtxField { name: \"buffer\", off: 0, size: 8, class: Some(C::TpBuffer) }".into(),
            );
            continue;
        }
        let end: u32 = span.1.parse().map_err(|_| "bad pattern")?;
        let start: u32 = span.0.parse().map_err(|_| "bad pattern")?;
        if row[0] == 0 {
            plain = (start, end + 8, !list(row, "").is_empty() || row[2][0].is_number());
        }
    }
    let label = t["used_by"][0].as_str().unwrap_or("");
    if let Some((_, end)) = PLAIN_ENDS.iter().find(|(l, _)| *l == label) {
        plain.1 = *end;
    }
    if plain.0 == 8 && label.starts_with("RAW") {
        // The first word is the buffer as a whole, its other bytes are numbers.
        plain.0 = 1;
    }
    let _ = facts;
    Ok(format!(
        "static {name}: CtxTable = CtxTable {{ structure: \"{}\", read: &{read:?}, write: &{write:?}, fields: &[{}], plain_from: {}, plain_end: {}, plain_write: {} }};\n",
        t["struct"].as_str().unwrap_or(""),
        fields.join(", "),
        plain.0,
        plain.1,
        plain.2,
    ))
}

/// `full` or `read@+0:1,2,4;+1:1` into sizes by byte.
fn mark(sizes: &mut Vec<u8>, off: u64, size: u64, how: &str, prefix: &str) -> Result<(), String> {
    let mut set = |at: u64, size: u64| {
        let at = at as usize;
        if sizes.len() <= at {
            sizes.resize(at + 1, 0);
        }
        sizes[at] |= size as u8;
    };
    if how == "full" {
        set(off, size);
        return Ok(());
    }
    for item in how.strip_prefix(prefix).unwrap_or(how).split(';').filter(|s| !s.is_empty()) {
        let (sub, list) = item
            .strip_prefix('+')
            .and_then(|i| i.split_once(':'))
            .ok_or(format!("bad access {how}"))?;
        let sub: u64 = sub.parse().map_err(|_| format!("bad access {how}"))?;
        for size in list.split(',') {
            set(off + sub, size.parse().map_err(|_| format!("bad access {how}"))?);
        }
    }
    Ok(())
}

fn class(word: &str) -> Result<String, String> {
    Ok(match word {
        "scalar"
        | "pkt"
        | "pkt_end"
        | "pkt_meta"
        | "sock"
        | "sock_or_null"
        | "flow_keys"
        | "sock_common_or_null" => format!("C::{}", camel(&word.to_uppercase())),
        other => match other.strip_prefix("trusted_ptr_") {
            Some(name) => format!("C::TrustedBtf(\"{name}\")"),
            None => return Err(format!("prog_types.json: value class {word}")),
        },
    })
}

fn sections(facts: &Value, uapi: &Value) -> Result<String, String> {
    let mut rows = Vec::new();
    for prog in list(facts, "progs") {
        for s in list(prog, "sections") {
            let name = text(s, "sec")?;
            let attach = match s["eat"].as_str() {
                None => "0".into(),
                Some(eat) => match number(uapi, eat) {
                    Some(n) => n.to_string(),
                    None => continue, // libbpf is newer than this Linux
                },
            };
            let frags = if name.starts_with("xdp.frags") { 0x20 } else { 0 };
            let sleepable = if s["sleepable"] == true { 0x10 } else { 0 };
            rows.push((name.to_string(), format!(
                "    SectionDef {{ name: \"{name}\", slash: {}, prog_type: P::{}, attach: {attach}, flags: {:#x} }},",
                s["form"] == "exact_or_slash",
                camel(text(prog, "name")?),
                frags | sleepable,
            )));
        }
    }
    rows.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.0.cmp(&b.0)));
    let lines: Vec<String> = rows.into_iter().map(|r| r.1).collect();
    Ok(format!(
        "/// Section names of libbpf, the longest first.\npub static SECTIONS: &[SectionDef] = &[\n{}\n];\n\n",
        lines.join("\n")
    ))
}

/// The number of an attach type named without its prefix.
fn number(uapi: &Value, name: &str) -> Option<u64> {
    let rows = list(&uapi["enums"], "bpf_attach_type");
    rows.iter().find(|r| r[0].as_str() == Some(&format!("BPF_{name}")))?[1].as_u64()
}

fn pointees(facts: &Value) -> Result<String, String> {
    let mut out = String::from(
        "/// Structures behind pointers that the context or helpers give.\npub static POINTEES: &[PointeeTable] = &[\n",
    );
    let tables = facts["pointee_tables"].as_object().ok_or("prog_types.json: no pointee_tables")?;
    for (name, t) in tables {
        let mut read = Vec::new();
        for (off, sizes) in t["read"].as_object().ok_or("bad pointee table")? {
            for size in sizes.as_array().into_iter().flatten().filter_map(Value::as_u64) {
                mark(&mut read, off.parse().map_err(|_| "bad offset")?, size, "full", "")?;
            }
        }
        let _ = writeln!(
            out,
            "    PointeeTable {{ kind: \"{}\", structure: \"{}\", read: &{read:?}, writable: {} }},",
            name.split(' ').next().unwrap_or(name),
            text(t, "struct")?,
            t["write"] == "same as read"
        );
    }
    out.push_str("];\n\n");
    Ok(out)
}
