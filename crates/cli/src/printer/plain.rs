//! Plain text.

use std::io::Write;

use super::{RunPrinter, VerdictPrinter, explain};
use crate::command::{Events, MapReport, ProgramReport, RunReport, TestReport, Verdict};
use crate::failure::Failure;

/// `ring3 run`.
pub(crate) struct Run<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Run<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Run<'a> {
        Run { out }
    }

    pub(super) fn maps(&mut self, maps: &[MapReport]) -> Result<(), Failure> {
        for map in maps {
            let def = &map.contents.def;
            write!(self.out, "\n{}  name {}  flags {:#x}", map.kind, map.name, def.flags)?;
            writeln!(
                self.out,
                "\n\tkey {}B  value {}B  max_entries {}",
                def.key_size, def.value_size, def.max_entries
            )?;
            self.out.write_all(map.text.as_bytes())?;
            let hidden = map.contents.total - map.contents.elements.len();
            if hidden > 0 {
                writeln!(self.out, "{hidden} more elements; --maps shows all")?;
            }
        }
        Ok(())
    }
}

impl Events for Run<'_> {
    fn trace(&mut self, lines: &str, now: bool) -> Result<(), Failure> {
        self.out.write_all(lines.as_bytes())?;
        if now {
            self.out.flush()?;
        }
        Ok(())
    }
}

impl RunPrinter for Run<'_> {
    fn report(&mut self, report: &RunReport) -> Result<(), Failure> {
        if report.traced {
            writeln!(self.out)?;
        }
        for (verdict, count) in &report.verdicts {
            writeln!(self.out, "{verdict:<16}{count:>12}")?;
        }
        writeln!(self.out, "{:<16}{:>12}", "packets", report.packets)?;
        self.maps(&report.maps)
    }

    fn test(&mut self, report: &TestReport) -> Result<(), Failure> {
        let average = if report.repeat > 1 { " (average)" } else { "" };
        writeln!(
            self.out,
            "Return value: {}{}, duration{average}: {}ns",
            report.retval,
            report.meaning.as_ref().map_or(String::new(), |meaning| format!(" ({meaning})")),
            report.duration_ns
        )?;
        if let Some(changed) = &report.changed {
            writeln!(self.out, "Changed: {changed}")?;
        }
        self.maps(&report.maps)
    }
}

/// `ring3 verify`.
pub(crate) struct Verdicts<'a> {
    out: &'a mut dyn Write,
    log: bool,
    colour: bool,
}

impl<'a> Verdicts<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, log: bool, colour: bool) -> Verdicts<'a> {
        Verdicts { out, log, colour }
    }

    fn word(&self, verdict: Verdict) -> String {
        let colour = match verdict {
            Verdict::Accept => 32,
            Verdict::Reject => 31,
            Verdict::Error => 33,
        };
        let word = verdict.word();
        if self.colour { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() }
    }
}

impl VerdictPrinter for Verdicts<'_> {
    fn program(&mut self, report: ProgramReport) -> Result<(), Failure> {
        let word = self.word(report.verdict);
        // One line a program, whatever a message holds.
        let message = report.message.replace('\n', " ");
        if report.program.is_empty() {
            writeln!(self.out, "{word}  {}: {message}", report.file)?;
            return Ok(());
        }
        write!(self.out, "{word}  {}: {}", report.file, report.program)?;
        if let Some(errno) = &report.errno {
            write!(self.out, ": {errno}")?;
        }
        if let Some(insn) = report.insn {
            write!(self.out, " at instruction {insn}")?;
        }
        if !message.is_empty() {
            write!(self.out, ": {message}")?;
        }
        if let Some(source) = &report.source {
            write!(self.out, "; {source}")?;
        }
        if report.verdict == Verdict::Accept {
            write!(
                self.out,
                " ({} instructions processed, {} us)",
                report.processed_insns,
                report.time.as_micros()
            )?;
        }
        writeln!(self.out)?;
        if self.log && !report.log.is_empty() {
            writeln!(self.out, "{}", report.log.trim_end())?;
        }
        if let Some(explanation) = report.explanation.as_ref().filter(|_| !self.log) {
            writeln!(self.out, "{}\n", explain::text(&report, explanation, self.colour))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
