//! What was recorded of Linux, row by row, asked of a door: how many rows it answers alike.
//!
//! A table's rows come from `facts/`; [`TABLES`] names the tables, each with the document that it
//! keeps. `cargo xtask parity` writes the documents, a test sees that they are true.

pub mod availability;
pub mod bodies;
pub mod contexts;
mod kernel_types;
pub mod maps;
pub mod programs;
mod variant;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use btf::Btf;
use runtime::door::Bpf;
use runtime::{Config, Deterministic, Runtime};
use serde::Serialize;

/// One question and both answers.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Case {
    /// What it is about: a map type, say.
    pub subject: String,
    /// The column it counts in.
    pub group: &'static str,
    /// What was done.
    pub what: String,
    /// Linux's answer, as recorded.
    pub want: String,
    /// The door's.
    pub got: String,
}

impl Case {
    /// Both answers are the same.
    pub fn passes(&self) -> bool {
        self.want == self.got
    }
}

/// Whom a table asks.
pub struct Asked<'a> {
    /// Its door.
    pub bpf: &'a dyn Bpf,
    /// The types that its programs attach to.
    pub types: Arc<Btf>,
    /// It is ring3: rows that cannot be asked of a kernel as it runs count too.
    pub ours: bool,
    /// Of the longest tables only each so-many-th row is asked.
    pub every: usize,
}

impl<'a> Asked<'a> {
    /// ring3, as [`ours`] makes it.
    pub fn ring3(runtime: &'a Runtime) -> Result<Asked<'a>, String> {
        Ok(Asked { bpf: runtime, types: kernel_types::model()?, ours: true, every: 1 })
    }

    /// The running kernel and its own types.
    pub fn linux(bpf: &'a dyn Bpf) -> Result<Asked<'a>, String> {
        let path = "/sys/kernel/btf/vmlinux";
        let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
        let types = Btf::parse(&bytes).map_err(|e| format!("{path}: {e}"))?;
        Ok(Asked { bpf, types: Arc::new(types), ours: false, every: 1 })
    }
}

/// A table of recorded answers.
pub struct Table {
    /// Its name on the command line and of its document.
    pub name: &'static str,
    /// Asks a door all of it.
    pub replay: fn(&Asked<'_>) -> Result<Vec<Case>, String>,
    /// Its rows hold on any Linux 6.18 with the rights to ask.
    pub on_kernel: bool,
    /// The text above the table.
    pub head: &'static str,
    /// What stands below it instead of the rows that differ.
    pub detail: Option<fn() -> Result<String, String>>,
}

/// All tables.
pub const TABLES: &[Table] = &[
    maps::TABLE,
    programs::TABLE,
    contexts::TABLE,
    availability::TABLE,
    bodies::HELPERS,
    bodies::KFUNCS,
];

/// ring3 as the tables ask it: the same answers each time.
pub fn ours() -> Runtime {
    Runtime::new(config())
}

fn config() -> Config {
    let deterministic = Some(Deterministic { now_ns: 1 << 40, seed: 7 });
    let kernel_btf = kernel_types::model().ok();
    Config { cpus: 2, map_memory: 24 << 30, deterministic, kernel_btf, ..Config::default() }
}

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of recorded answers.
pub fn facts(name: &str) -> Result<serde_json::Value, String> {
    let path = root().join("facts").join(name);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Where a table's document is.
pub fn document(root: &Path, table: &Table) -> PathBuf {
    root.join("docs/parity").join(format!("{}.md", table.name))
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    passing: usize,
    known: usize,
}

impl Count {
    fn add(&mut self, case: &Case) {
        self.known += 1;
        self.passing += usize::from(case.passes());
    }

    fn cell(self) -> String {
        match self.known {
            0 => String::new(),
            _ => format!("{} / {}", self.passing, self.known),
        }
    }
}

/// The figures as JSON: rows passing and known in all and by subject, and the rows that fail.
pub fn json(table: &Table, cases: &[Case]) -> serde_json::Value {
    let mut subjects: BTreeMap<&str, Count> = BTreeMap::new();
    let mut all = Count::default();
    for case in cases {
        subjects.entry(&case.subject).or_default().add(case);
        all.add(case);
    }
    let failing: Vec<&Case> = cases.iter().filter(|case| !case.passes()).collect();
    let subjects: serde_json::Map<String, serde_json::Value> = subjects
        .iter()
        .map(|(name, c)| {
            let count = serde_json::json!({ "passing": c.passing, "known": c.known });
            ((*name).to_owned(), count)
        })
        .collect();
    serde_json::json!({
        "name": table.name,
        "passing": all.passing,
        "known": all.known,
        "subjects": subjects,
        "failing": failing,
    })
}

/// The document of a table: figures by subject, then every row that differs.
pub fn markdown(table: &Table, cases: &[Case]) -> String {
    let (mut groups, mut subjects) = (Vec::new(), Vec::new());
    for case in cases {
        if !groups.contains(&case.group) {
            groups.push(case.group);
        }
        if !subjects.contains(&&case.subject) {
            subjects.push(&case.subject);
        }
    }
    let mut all = Count::default();
    cases.iter().for_each(|case| all.add(case));
    let mut text = format!("{}\n\nRows passing / rows known: **{}**\n\n", table.head, all.cell());
    text += &format!("| | {} |\n|---|{}\n", groups.join(" | "), "---|".repeat(groups.len()));
    for subject in subjects {
        let cell = |group: &&str| {
            let mut count = Count::default();
            let of = |case: &&Case| case.subject == *subject && case.group == *group;
            cases.iter().filter(of).for_each(|case| count.add(case));
            count.cell()
        };
        let cells: Vec<String> = groups.iter().map(cell).collect();
        text += &format!("| {subject} | {} |\n", cells.join(" | "));
    }
    if let Some(detail) = table.detail {
        return text + &detail().unwrap_or_else(|why| why);
    }
    let failing: Vec<&Case> = cases.iter().filter(|case| !case.passes()).collect();
    if failing.is_empty() {
        return text;
    }
    text += "\n## Rows that differ\n\n| | row | Linux | ring3 |\n|---|---|---|---|\n";
    let plain = |s: &str| s.replace('|', "\\|").replace('\n', " ");
    for case in failing {
        let (what, want, got) = (plain(&case.what), plain(&case.want), plain(&case.got));
        text += &format!("| {} | {what} | {want} | {got} |\n", case.subject);
    }
    text
}
