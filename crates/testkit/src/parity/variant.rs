//! The variants of program types that Linux was asked about, and loads of them.

use std::sync::Arc;

use btf::{Btf, Kind};
use isa::Insn;
use runtime::door::{Bpf, LoadError, Loaded, LogRequest, ProgLoad};
use serde_json::Value;
use uapi::ProgType;

const SLEEPABLE: u32 = 1 << 4;

/// A variant: its label, and how it is loaded.
#[derive(Clone)]
pub(super) struct Variant {
    pub(super) label: String,
    pub(super) name: String,
    pub(super) prog_type: ProgType,
    pub(super) attach: u32,
    pub(super) sleepable: bool,
    /// Its type or function in the kernel's BTF; 0 for none.
    pub(super) target: u32,
    /// A value that it may return.
    pub(super) returns: i32,
}

impl Variant {
    /// The variants of `facts/prog_types.json` whose programs Linux judged.
    pub(super) fn all(facts: &Value, types: &Btf) -> Result<Vec<Variant>, String> {
        let mut all = Vec::new();
        for prog in rows(&facts["progs"]) {
            for row in rows(&prog["variants"]).filter(|row| row["load"] == "OK") {
                all.push(Variant::of(prog, row, types)?);
            }
        }
        Ok(all)
    }

    /// The variant of this row of facts.
    pub(super) fn of(prog: &Value, row: &Value, types: &Btf) -> Result<Variant, String> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let label = text(&row["label"]);
        let id = prog["id"].as_u64().unwrap_or(0) as u32;
        let prog_type = ProgType::from_raw(id).ok_or_else(|| format!("{label}: no such type"))?;
        let recorded = row["eat"].as_u64().unwrap_or(0) as u32;
        let (target, attach) = target(prog_type, &label, types).unwrap_or((0, recorded));
        let allowed = rows(&row["ret_const_ok"]).filter_map(Value::as_i64);
        Ok(Variant {
            name: text(&prog["name"]),
            prog_type,
            attach,
            sleepable: label.ends_with("(sleepable)") || prog_type == ProgType::Syscall,
            target,
            returns: allowed.filter(|v| *v >= 0).min().unwrap_or(0) as i32,
            label,
        })
    }

    /// A load of these slots.
    pub(super) fn request(&self, insns: &[Insn]) -> ProgLoad {
        ProgLoad {
            prog_type: Some(self.prog_type),
            expected_attach_type: self.attach,
            flags: if self.sleepable { SLEEPABLE } else { 0 },
            license: "GPL".into(),
            insns: insns.to_vec(),
            attach_btf_id: self.target,
            log: LogRequest { level: 1, size: 0 },
            ..ProgLoad::default()
        }
    }

    /// Slots that return what they may.
    pub(super) fn done(&self) -> [Insn; 2] {
        [mov(0, self.returns), EXIT]
    }
}

/// `attach_btf_id` and `expected_attach_type` of programs that are typed by the kernel's BTF.
fn target(prog_type: ProgType, label: &str, types: &Btf) -> Option<(u32, u32)> {
    const RAW_TP: u32 = 23;
    const ITER: u32 = 28;
    match prog_type {
        ProgType::Tracing if label == "TRACING/RAW_TP" => {
            let id = types.find_by_name("btf_trace_sched_switch", Kind::Typedef)?;
            Some((id.0, RAW_TP))
        }
        ProgType::Tracing => Some((types.find_by_name("bpf_iter_task", Kind::Func)?.0, ITER)),
        ProgType::StructOps => {
            let (structure, member) = label.strip_prefix("STRUCT_OPS/")?.split_once('.')?;
            let id = types.find_by_name(structure, Kind::Struct)?;
            let index = types.ty(id)?.members().position(|m| m.name == member)?;
            Some((id.0, index as u32))
        }
        _ => None,
    }
}

/// Loads; an accepted program is closed again.
pub(super) fn load(bpf: &dyn Bpf, request: &ProgLoad) -> Result<Loaded, LoadError> {
    let loaded = bpf.prog_load(request)?;
    let _ = bpf.close(loaded.fd);
    Ok(loaded)
}

/// The last message of a log, without the line of statistics.
pub(super) fn last_line(log: &str) -> &str {
    let said = |line: &&str| !line.starts_with("processed ") && !line.is_empty();
    log.lines().rfind(said).unwrap_or("")
}

/// `OK`, or the number and what was said last.
pub(super) fn verdict(answer: &Result<Loaded, LoadError>) -> String {
    match answer {
        Ok(_) => "OK".into(),
        Err(e) if last_line(&e.log).is_empty() => e.errno.to_string(),
        Err(e) => format!("{}: {}", e.errno, last_line(&e.log)),
    }
}

/// The elements of a list, none of anything else.
pub(super) fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub(super) const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

pub(super) fn mov(dst: u8, imm: i32) -> Insn {
    Insn::new(0xb7, dst, 0, 0, imm)
}

/// The variants with what is asked again and again.
pub(super) struct Variants {
    pub(super) facts: Value,
    pub(super) all: Vec<Variant>,
}

impl Variants {
    pub(super) fn read(types: &Arc<Btf>) -> Result<Variants, String> {
        let facts = super::facts("prog_types.json")?;
        let all = Variant::all(&facts, types)?;
        Ok(Variants { facts, all })
    }
}
