//! The instruction facts recorded on Linux 6.18, and the names that occur in them.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod random;

use std::borrow::Cow;
use std::collections::HashMap;

use isa::Insn;
use isa::disasm::Names;
use serde_json::Value;

pub(crate) fn facts(file: &str) -> Value {
    let path = format!("{}/../../facts/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("facts are in the repository");
    serde_json::from_str(&text).expect("facts are JSON")
}

/// One instruction form of facts/insns.json.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) slots: Vec<Insn>,
    /// Without the `(07) ` in front.
    pub(crate) kernel: Option<String>,
    pub(crate) llvm: String,
    pub(crate) raw: Value,
}

impl Row {
    /// A form that only Linux itself makes, in translated programs.
    pub(crate) fn is_internal(&self) -> bool {
        self.name == "mov64_percpu_reg"
    }

    /// `(07) `.
    pub(crate) fn prefix(&self) -> String {
        format!("({:02x}) ", self.slots[0].code)
    }

    /// The kernel's text shows an address that the kernel put there.
    pub(crate) fn shows_address(&self) -> bool {
        self.slots[0].is_ld_imm64() && self.slots[0].src().0 != 0
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let facts = facts("insns.json");
    let rows = facts["insns"].as_array().expect("a list");
    rows.iter().map(row).collect()
}

fn row(raw: &Value) -> Row {
    let text = |key: &str| raw[key].as_str().map(str::to_owned);
    Row {
        name: text("name").expect("name"),
        group: text("group").expect("group"),
        slots: slots(raw["bytes"].as_str().expect("bytes")),
        kernel: text("verifier_text").map(|t| t[5..].to_owned()),
        llvm: text("llvm_objdump").expect("llvm"),
        raw: raw.clone(),
    }
}

pub(crate) fn slots(hex: &str) -> Vec<Insn> {
    let digit = |i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex");
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
    Insn::slots(&bytes).expect("whole slots")
}

/// Helper names of facts/helpers.json, and the one kernel function of the facts.
pub(crate) struct KernelNames(HashMap<i32, String>);

impl KernelNames {
    pub(crate) fn load() -> KernelNames {
        let facts = facts("helpers.json");
        let list = facts["helpers"].as_array().expect("a list");
        let pair = |h: &Value| Some((h["id"].as_i64()? as i32, h["name"].as_str()?.to_owned()));
        KernelNames(list.iter().filter_map(pair).collect())
    }
}

impl Names for KernelNames {
    fn helper(&self, id: i32) -> Option<&str> {
        self.0.get(&id).map(String::as_str)
    }

    fn callee(&self, insn: &Insn) -> Option<Cow<'_, str>> {
        (insn.src().0 == 2 && insn.imm == 65472).then_some(Cow::Borrowed("bpf_rcu_read_lock"))
    }
}
