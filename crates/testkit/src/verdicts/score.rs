//! How far ring3's answers agree with the recorded ones.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use verifier::{LogOptions, Outcome};

use super::corpus::{Case, Corpus};

/// Sums over all cases, or over those of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Loads compared.
    pub cases: u32,
    /// Accepted by both or rejected by both.
    pub same_verdict: u32,
    /// Accepted by ring3 alone: a security bug each.
    pub false_accept: u32,
    /// Rejected by ring3 alone, by a rule that it models.
    pub false_reject: u32,
    /// Rejected for a feature that ring3 does not model.
    pub needs: u32,
    /// Rejected by both.
    pub both_reject: u32,
    /// Rejected by both with the same errno.
    pub same_errno: u32,
    /// Rejected by both with the same last message line.
    pub same_last_line: u32,
    /// Accepted by both.
    pub both_accept: u32,
    /// Accepted by both, with instructions walked within 10 % of the kernel's.
    pub processed_within_10pct: u32,
}

impl Totals {
    /// Adds a row.
    pub fn add(&mut self, row: &Row) {
        let accepts = row.ours == "accept";
        self.cases += 1;
        match (row.kernel == "accept", accepts) {
            (true, true) => self.both_accept += 1,
            (false, true) => self.false_accept += 1,
            (_, false) if row.needs.is_some() => self.needs += 1,
            (true, false) => self.false_reject += 1,
            (false, false) => self.both_reject += 1,
        }
        let same = row.needs.is_none() && (row.kernel == "accept") == accepts;
        self.same_verdict += same as u32;
        self.same_errno += (same && !accepts && row.same_errno) as u32;
        self.same_last_line += (same && !accepts && row.same_last_line) as u32;
        self.processed_within_10pct += (same && accepts && row.processed_close) as u32;
    }
}

/// One case, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Collection.
    pub set: String,
    /// Source file.
    pub file: String,
    /// Program in it.
    pub program: String,
    /// Capabilities of the load.
    pub caps: String,
    /// The kernel's verdict.
    pub kernel: String,
    /// ring3's verdict.
    pub ours: &'static str,
    /// The feature that ring3 does not model.
    pub needs: Option<&'static str>,
    /// Both errno are the same.
    pub same_errno: bool,
    /// Both last message lines are the same.
    pub same_last_line: bool,
    /// Instructions walked lie within 10 % of the kernel's.
    pub processed_close: bool,
    /// ring3's last message line.
    pub our_line: String,
    /// The kernel's.
    pub kernel_line: String,
    /// Instructions that ring3 walked.
    pub our_processed: u32,
    /// Instructions that the kernel walked.
    pub kernel_processed: u32,
    /// Microseconds that ring3 took.
    pub our_time_us: u64,
}

/// Verifies one case and compares; `None` if the case cannot be built (unknown map type).
pub fn judge(corpus: &Corpus, case: &Case) -> Option<Row> {
    let (program, world) = (corpus.program(case)?, corpus.world(case)?);
    let started = Instant::now();
    let log = LogOptions { level: 0, ..LogOptions::default() };
    let outcome = verifier::verify(&program, &world, &corpus.policy(case), &log);
    let our_time_us = started.elapsed().as_micros() as u64;
    Some(compare(case, &outcome, our_time_us))
}

fn compare(case: &Case, outcome: &Outcome, our_time_us: u64) -> Row {
    let rejection = outcome.verdict.as_ref().err();
    let our_line = rejection.map_or(String::new(), |r| r.message.trim_end().to_owned());
    let kernel_line = case.last_line().unwrap_or_default().to_owned();
    let kernel_processed = u32::try_from(case.processed_insns.unwrap_or(0)).unwrap_or(0);
    let our_processed = outcome.stats.processed_insns;
    let distance = u64::from(our_processed.abs_diff(kernel_processed));
    Row {
        set: case.set.clone(),
        file: case.file.clone(),
        program: case.program.clone(),
        caps: case.caps.clone(),
        kernel: case.verdict.clone(),
        ours: if rejection.is_some() { "reject" } else { "accept" },
        needs: rejection.and_then(|r| r.needs),
        same_errno: rejection.is_some_and(|r| r.errno.0 == case.errno),
        same_last_line: same_message(&our_line, &kernel_line),
        processed_close: distance * 10 <= u64::from(kernel_processed),
        our_line,
        kernel_line,
        our_processed,
        kernel_processed,
        our_time_us,
    }
}

/// libbpf rewrote the tail of some recorded logs: those say nothing of the kernel's line.
fn same_message(ours: &str, kernel: &str) -> bool {
    let rewritten =
        kernel.ends_with("wasn't resolved") || kernel.contains("failed to resolve CO-RE");
    ours == kernel || rewritten
}
