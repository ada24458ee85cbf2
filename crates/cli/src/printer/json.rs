//! JSON, one document a command.

use std::io::Write;

use serde_json::{Value, json};

use super::{RunPrinter, VerdictPrinter, explain};
use crate::command::{Events, MapReport, ProgramReport, RunReport, TestReport};
use crate::failure::Failure;

/// `ring3 run --json`: trace lines are written as they come, into an array.
pub(crate) struct Run<'a> {
    out: &'a mut dyn Write,
    lines: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Run<'a> {
        Run { out, lines: 0 }
    }

    /// Ends the document with these members.
    fn finish(&mut self, members: Value) -> Result<(), Failure> {
        let open = if self.lines == 0 { "{\"trace\":[]" } else { "]" };
        let rest = members.to_string();
        let rest = rest.strip_prefix('{').unwrap_or(&rest);
        Ok(writeln!(self.out, "{open},{rest}")?)
    }
}

impl Events for Run<'_> {
    fn trace(&mut self, lines: &str, _: bool) -> Result<(), Failure> {
        for line in lines.lines() {
            let before = if self.lines == 0 { "{\"trace\":[" } else { "," };
            self.lines += 1;
            write!(self.out, "{before}{}", Value::from(line))?;
        }
        Ok(())
    }
}

impl RunPrinter for Run<'_> {
    fn report(&mut self, report: &RunReport) -> Result<(), Failure> {
        let verdicts: serde_json::Map<String, Value> =
            report.verdicts.iter().map(|(name, count)| (name.clone(), (*count).into())).collect();
        self.finish(json!({
            "program": report.program,
            "type": report.prog_type,
            "packets": report.packets,
            "bytes": report.bytes,
            "verdicts": verdicts,
            "written": report.written,
            "duration_ns": report.time.as_nanos() as u64,
            "maps": maps(&report.maps),
        }))
    }

    fn test(&mut self, report: &TestReport) -> Result<(), Failure> {
        let members = json!({
            "retval": report.retval,
            "meaning": report.meaning,
            "duration_ns": report.duration_ns,
            "data_out": hex(&report.data_out),
            "ctx_out": match &report.changed {
                Some(changed) => changed.clone(),
                None => report.ctx_out.as_deref().map(hex).into(),
            },
            "maps": maps(&report.maps),
        });
        // The three that BPF_PROG_TEST_RUN answers come first.
        let mut members = members;
        if self.lines == 0 {
            if let Some(members) = members.as_object_mut() {
                members.insert("trace".into(), Value::Array(Vec::new()));
            }
            return Ok(writeln!(self.out, "{members}")?);
        }
        self.finish(members)
    }
}

pub(super) fn maps(maps: &[MapReport]) -> Value {
    let maps = maps.iter().map(|map| {
        let def = &map.contents.def;
        json!({
            "name": map.name,
            "type": map.kind,
            "key_size": def.key_size,
            "value_size": def.value_size,
            "max_entries": def.max_entries,
            "flags": def.flags,
            "total": map.contents.total,
            "elements": map.json,
        })
    });
    Value::Array(maps.collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `ring3 verify --json`.
pub(crate) struct Verdicts<'a> {
    out: &'a mut dyn Write,
    rows: usize,
}

impl<'a> Verdicts<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Verdicts<'a> {
        Verdicts { out, rows: 0 }
    }
}

impl VerdictPrinter for Verdicts<'_> {
    fn program(&mut self, report: ProgramReport) -> Result<(), Failure> {
        let before = if self.rows == 0 { "[" } else { ",\n" };
        self.rows += 1;
        let row = json!({
            "file": report.file,
            "program": report.program,
            "section": report.section,
            "type": report.prog_type,
            "verdict": report.verdict.word(),
            "errno": report.errno,
            "message": report.message,
            "insn": report.insn,
            "source": report.source,
            "processed_insns": report.processed_insns,
            "peak_states": report.peak_states,
            "time_us": report.time.as_micros() as u64,
            "log": report.log,
            "explanation": report.explanation.as_ref().map(explain::json),
        });
        Ok(write!(self.out, "{before}{row}")?)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let end = if self.rows == 0 { "[]" } else { "]" };
        Ok(writeln!(self.out, "{end}")?)
    }
}
