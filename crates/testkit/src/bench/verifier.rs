//! The verifier beside the kernel's, on recorded programs.

use serde::Serialize;
use std::path::Path;
use std::time::Instant;

use runtime::door::Bpf;
use verifier::LogOptions;

use super::clock::geomean;
use crate::verdicts::{Case, Corpus, Replay};

/// One program's figures; times are the least of several rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Source file.
    pub file: String,
    /// Program in it.
    pub program: String,
    /// Instructions that the kernel walked.
    pub processed: u32,
    /// Microseconds.
    pub ring3_us: f64,
    /// The kernel's `verification time`, in microseconds.
    pub kernel_us: f64,
    /// ring3's time over the kernel's.
    pub ratio: f64,
    /// Million instructions a second that ring3 walks.
    pub million_per_second: f64,
}

/// Figures of all programs.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// The largest programs, then small ones.
    pub programs: Vec<Row>,
    /// Geometric mean of the ratios.
    pub geomean_vs_kernel: f64,
    /// The worst ratio.
    pub worst: f64,
}

const LARGEST: usize = 14;
const SMALL: usize = 200;
const NAMED: &[&str] = &["loop1", "test_cls_redirect", "strobemeta"];
const ROUNDS: u32 = 7;
/// Log level that prints statistics and nothing else.
const STATISTICS: u32 = 4;

/// Measures the largest accepted programs, those that the figures name, and small ones.
pub fn run(dir: &Path, kernel: &dyn Bpf) -> Result<Figures, String> {
    let corpus = Corpus::open(dir).map_err(|e| e.to_string())?;
    let mut cases: Vec<&Case> =
        corpus.cases.iter().filter(|c| c.verdict == "accept" && c.caps == "all").collect();
    cases.sort_by_key(|c| std::cmp::Reverse(c.processed_insns));
    let large = |at: usize, c: &Case| at < LARGEST || NAMED.contains(&c.file.as_str());
    let (mut rows, mut small) = (Vec::new(), 0);
    for (at, case) in cases.iter().enumerate() {
        if !large(at, case) && (small >= SMALL || at % 4 != 0) {
            continue;
        }
        if let Some(row) = measure(&corpus, case, kernel) {
            small += usize::from(!large(at, case));
            rows.push(row);
        }
    }
    let ratios: Vec<f64> = rows.iter().map(|r| r.ratio).collect();
    let worst = ratios.iter().copied().fold(0.0, f64::max);
    Ok(Figures { programs: rows, geomean_vs_kernel: geomean(&ratios), worst })
}

/// `None` where either of the two does not take the program.
fn measure(corpus: &Corpus, case: &Case, kernel: &dyn Bpf) -> Option<Row> {
    let (program, world) = (corpus.program(case)?, corpus.world(case)?);
    let replay = Replay::new(kernel, corpus, case)?;
    let policy = corpus.policy(case);
    let (mut ours, mut theirs) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let outcome = verifier::verify(&program, &world, &policy, &LogOptions::default());
        ours = ours.min(start.elapsed().as_secs_f64() * 1e6);
        outcome.verdict.ok()?;
        theirs = theirs.min(verification_time(&replay.load(STATISTICS).ok()?.log)?);
    }
    let processed = u32::try_from(case.processed_insns?).ok()?;
    Some(Row {
        file: case.file.clone(),
        program: case.program.clone(),
        processed,
        ring3_us: ours,
        kernel_us: theirs,
        ratio: ours / theirs,
        million_per_second: f64::from(processed) / ours,
    })
}

/// What the kernel says of its own work; at least one microsecond, its resolution.
fn verification_time(log: &str) -> Option<f64> {
    let line = log.lines().find_map(|l| l.strip_prefix("verification time "))?;
    let us: f64 = line.strip_suffix(" usec")?.parse().ok()?;
    Some(us.max(1.0))
}
