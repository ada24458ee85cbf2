//! `ring3 verify`.

use std::path::Path;
use std::time::Duration;

use ring3::{Kernel, Object, Verifier};

use crate::failure::{Failure, REFUSED, UNUSABLE};
use crate::plan::VerifyPlan;

/// What is said of one program, or of a file that has none to speak of.
#[derive(Debug)]
pub(crate) struct ProgramReport {
    pub(crate) file: String,
    /// Name, section and type; empty if the file could not be read.
    pub(crate) program: String,
    pub(crate) section: String,
    pub(crate) prog_type: Option<String>,
    pub(crate) verdict: Verdict,
    pub(crate) errno: Option<String>,
    pub(crate) message: String,
    pub(crate) insn: Option<usize>,
    /// `text @ file:line`
    pub(crate) source: Option<String>,
    pub(crate) processed_insns: u32,
    pub(crate) peak_states: u32,
    pub(crate) time: Duration,
    pub(crate) log: String,
    /// Why it is rejected, unless Linux's log was asked for instead.
    pub(crate) explanation: Option<ring3::Explanation>,
}

/// The three answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Reject,
    /// No verdict: the file cannot be read.
    Error,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Accept => "accept",
            Verdict::Reject => "reject",
            Verdict::Error => "error",
        }
    }

    fn status(self) -> u8 {
        match self {
            Verdict::Accept => 0,
            Verdict::Reject => REFUSED,
            Verdict::Error => UNUSABLE,
        }
    }
}

/// Verifies every program of every file and hands each report on; the exit status.
pub(crate) fn verify(
    plan: &VerifyPlan,
    each: &mut dyn FnMut(ProgramReport) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let kernel = plan.kernel.open();
    let mut status = 0;
    for file in &plan.files {
        let mut report = |report: ProgramReport| {
            status = status.max(report.verdict.status());
            each(report)
        };
        match open(file, &kernel) {
            Ok(object) => verify_object(plan, &kernel, &object, &mut report)?,
            Err(error) => report(unreadable(file, &error))?,
        }
    }
    Ok(status)
}

fn open(file: &Path, kernel: &Kernel) -> Result<Object, ring3::Error> {
    let mut object = Object::open_for(file, kernel)?;
    object.resolve(kernel)?;
    Ok(object)
}

fn verify_object(
    plan: &VerifyPlan,
    kernel: &Kernel,
    object: &Object,
    report: &mut dyn FnMut(ProgramReport) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let refused_map = ring3::map_error(object);
    let verifier = Verifier { kernel_btf: kernel.types().ok(), ..Verifier::default() };
    for program in &object.spec().programs {
        let mut row = ProgramReport {
            program: program.name.clone(),
            section: program.section.clone(),
            prog_type: program.prog_type.map(ring3::prog_type_name),
            ..blank(object.file(), Verdict::Accept)
        };
        match &refused_map {
            Some((map, errno)) => {
                row.verdict = Verdict::Reject;
                row.errno = Some(errno.to_string());
                row.message = format!("map '{map}' cannot be created");
            }
            None => judge(plan, &verifier, object, program, &mut row),
        }
        report(row)?;
    }
    if object.spec().programs.is_empty() {
        report(ProgramReport {
            message: "the object has no program".into(),
            ..blank(object.file(), Verdict::Error)
        })?;
    }
    Ok(())
}

fn judge(
    plan: &VerifyPlan,
    verifier: &Verifier,
    object: &Object,
    program: &ring3::ProgramSpec,
    row: &mut ProgramReport,
) {
    /// `BPF_LOG_STATS`: the line of statistics at the end.
    const STATS: u32 = 4;
    let verdict = verifier.verdict(object, program, 0);
    row.processed_insns = verdict.outcome.stats.processed_insns;
    row.peak_states = verdict.outcome.stats.peak_states;
    row.time = verdict.time;
    row.source = verdict.source.map(|line| line.to_string());
    if let Err(rejection) = verdict.outcome.verdict {
        row.verdict = Verdict::Reject;
        row.errno = Some(rejection.errno.to_string());
        row.message = match rejection.needs {
            Some(feature) => format!("not modelled: {feature}"),
            None => ring3::load::headline(program, &rejection),
        };
        row.insn = rejection.insn;
    }
    if row.verdict == Verdict::Reject && (plan.json || plan.log == 0) {
        row.explanation = verifier.explain(object, program);
    }
    // A second run for the log, so that the time above is the verifier's alone.
    let level = if plan.json { plan.log.max(1) } else { plan.log };
    if level > 0 {
        row.log = verifier.verdict(object, program, level | STATS).outcome.log;
    }
}

fn blank(file: &str, verdict: Verdict) -> ProgramReport {
    ProgramReport {
        file: file.to_owned(),
        program: String::new(),
        section: String::new(),
        prog_type: None,
        verdict,
        errno: None,
        message: String::new(),
        insn: None,
        source: None,
        processed_insns: 0,
        peak_states: 0,
        time: Duration::ZERO,
        log: String::new(),
        explanation: None,
    }
}

fn unreadable(file: &Path, error: &ring3::Error) -> ProgramReport {
    let file = file.display().to_string();
    let text = error.to_string();
    // The file has its own column.
    let message = text.strip_prefix(&format!("{file}: ")).unwrap_or(&text).to_owned();
    ProgramReport { message, ..blank(&file, Verdict::Error) }
}
