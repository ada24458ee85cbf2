//! What the verbs do: plans in, data out.

mod capture_out;
mod compile;
mod daemon;
mod disasm;
mod fs;
mod live;
pub(crate) mod net;
mod run;
mod trace;
mod verify;

use std::io::{self, BufWriter, Write};

use crate::args::{LowArgs, Verb};
use crate::docs;
use crate::failure::Failure;
use crate::plan;
use crate::printer;

pub(crate) use daemon::connect;
pub(crate) use run::{Events, MapReport, RunReport, TestReport};
pub(crate) use verify::{ProgramReport, Verdict};

/// Does what was typed; the exit status.
pub(crate) fn dispatch(low: LowArgs) -> Result<u8, Failure> {
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let status = match low.verb {
        Verb::Run(args) => run_verb(*args, &mut out)?,
        Verb::Trace(args) => trace::trace(*args, &mut out)?,
        Verb::Compile(args) => {
            let warnings = compile::compile(&plan::compile(args))?;
            printer::warnings(&warnings);
            0
        }
        Verb::Verify(args) => {
            let plan = plan::verify(args)?;
            let mut printer = printer::verdicts(plan.json, plan.log, &mut out);
            let status = verify::verify(&plan, &mut |report| printer.program(report))?;
            printer.finish()?;
            status
        }
        Verb::Disasm(args) => {
            let text = disasm::disasm(&plan::disasm(args))?;
            out.write_all(text.as_bytes())?;
            0
        }
        Verb::Daemon(args) => {
            let (text, status) = daemon::daemon(&args.verb)?;
            out.write_all(text.as_bytes())?;
            status
        }
        Verb::Tc { words } => {
            out.write_all(net::tc(&words)?.as_bytes())?;
            0
        }
        Verb::Fs(args) => {
            fs::fs(&args.verb, &mut out)?;
            0
        }
        Verb::Completions { shell } => {
            docs::completions(shell, &mut out)?;
            0
        }
        Verb::Man { dir } => {
            docs::man_pages(&dir)?;
            0
        }
    };
    out.flush()?;
    Ok(status)
}

fn run_verb(args: crate::args::RunArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    let plan = plan::run(args)?;
    let mut err = io::stderr();
    // Bytes on standard output leave no room for text there.
    let out: &mut dyn Write = if plan.bytes_to_stdout() { &mut err } else { out };
    match &plan.work {
        plan::Work::Capture(work) => {
            let mut printer = printer::run(plan.json, out);
            let (report, cut) = run::capture(&plan, work, &mut *printer)?;
            printer.report(&report)?;
            // What came before the damage was still run and shown.
            cut.map_or(Ok(0), Err)
        }
        plan::Work::Once(work) => {
            let mut printer = printer::run(plan.json, out);
            let report = run::once(&plan, work, &mut *printer)?;
            printer.test(&report)?;
            Ok(0)
        }
        plan::Work::Net(work) => net::run(&plan, work, out),
        plan::Work::Live(work) => live::live(&plan, work, out, &live::maps),
    }
}
