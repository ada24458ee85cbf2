//! What is shown: plain text or JSON, each a printer of the same data.

mod explain;
mod json;
mod live;
mod plain;

use std::io::{self, IsTerminal, Write};

use crate::command::{Events, ProgramReport, RunReport, TestReport};
use crate::failure::Failure;

pub(crate) use live::Live;

/// Shows a run.
pub(crate) trait RunPrinter: Events {
    /// What a capture came to.
    fn report(&mut self, report: &RunReport) -> Result<(), Failure>;
    /// What a test run came to.
    fn test(&mut self, report: &TestReport) -> Result<(), Failure>;
}

/// Shows verdicts as they come.
pub(crate) trait VerdictPrinter {
    fn program(&mut self, report: ProgramReport) -> Result<(), Failure>;
    fn finish(&mut self) -> Result<(), Failure>;
}

/// The printer of `ring3 run`.
pub(crate) fn run<'a>(json: bool, out: &'a mut dyn Write) -> Box<dyn RunPrinter + 'a> {
    if json { Box::new(json::Run::new(out)) } else { Box::new(plain::Run::new(out)) }
}

/// The printer of `ring3 verify`.
pub(crate) fn verdicts<'a>(
    json: bool,
    log: u32,
    out: &'a mut dyn Write,
) -> Box<dyn VerdictPrinter + 'a> {
    if json {
        Box::new(json::Verdicts::new(out))
    } else {
        Box::new(plain::Verdicts::new(out, log > 0, io::stdout().is_terminal()))
    }
}

/// Warnings, which are no result: to standard error.
pub(crate) fn warnings(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = io::stderr().write_all(text.as_bytes());
}
