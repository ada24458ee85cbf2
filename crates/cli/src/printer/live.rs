//! What programs on a command tell while it runs: columns, or a JSON document a line.

use std::io::Write;

use ring3::net::{Report, Verdicts};
use serde_json::{Map, Value, json};

use super::{json, plain};
use crate::command::MapReport;
use crate::failure::Failure;

/// The printer of `ring3 run ... -- COMMAND`.
pub(crate) struct Live<'a> {
    out: &'a mut dyn Write,
    json: bool,
    /// The structure whose names head the columns, and their widths.
    columns: Option<(String, Vec<usize>)>,
}

/// Least widths of columns.
const NUMBER: usize = 7;
const TEXT: usize = 16;

impl<'a> Live<'a> {
    pub(crate) fn new(json: bool, out: &'a mut dyn Write) -> Live<'a> {
        Live { out, json, columns: None }
    }

    /// A record of a structure.
    pub(crate) fn typed(
        &mut self,
        map: &str,
        structure: &str,
        fields: Map<String, Value>,
    ) -> Result<(), Failure> {
        if self.json {
            let mut line = Map::from_iter([("map".into(), map.into())]);
            line.insert("type".into(), structure.into());
            line.insert("record".into(), fields.into());
            return Ok(writeln!(self.out, "{}", Value::Object(line))?);
        }
        if self.columns.as_ref().is_none_or(|(known, _)| known != structure) {
            self.head(structure, &fields)?;
        }
        let Some((_, widths)) = &mut self.columns else { return Ok(()) };
        let last = fields.len().saturating_sub(1);
        for (at, (value, width)) in fields.values().zip(widths).enumerate() {
            let text = cell(value);
            *width = (*width).max(text.chars().count());
            let end = if at == last { "\n" } else { " " };
            if is_number(value) {
                write!(self.out, "{text:>0$}{end}", *width)?;
            } else if at == last {
                writeln!(self.out, "{text}")?;
            } else {
                write!(self.out, "{text:<0$}{end}", *width)?;
            }
        }
        Ok(())
    }

    fn head(&mut self, structure: &str, fields: &Map<String, Value>) -> Result<(), Failure> {
        if self.columns.is_some() {
            writeln!(self.out)?;
        }
        let mut widths = Vec::new();
        let last = fields.len().saturating_sub(1);
        for (at, (name, value)) in fields.iter().enumerate() {
            let name = name.to_uppercase();
            let least = if is_number(value) { NUMBER } else { TEXT };
            let width = least.max(name.chars().count());
            let end = if at == last { "\n" } else { " " };
            if is_number(value) {
                write!(self.out, "{name:>width$}{end}")?;
            } else if at == last {
                writeln!(self.out, "{name}")?;
            } else {
                write!(self.out, "{name:<width$}{end}")?;
            }
            widths.push(width);
        }
        self.columns = Some((structure.to_owned(), widths));
        Ok(())
    }

    /// A record whose structure is not known.
    pub(crate) fn bytes(&mut self, map: &str, data: &[u8]) -> Result<(), Failure> {
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.json {
            return Ok(writeln!(self.out, "{}", json!({ "map": map, "bytes": hex }))?);
        }
        Ok(writeln!(self.out, "{map}: {hex}")?)
    }

    /// Lines of the trace pipe.
    pub(crate) fn trace(&mut self, lines: &str) -> Result<(), Failure> {
        if !self.json {
            return Ok(self.out.write_all(lines.as_bytes())?);
        }
        for line in lines.lines() {
            writeln!(self.out, "{}", json!({ "trace": line }))?;
        }
        Ok(())
    }

    /// What programs said of packets, at the end.
    pub(crate) fn verdicts(&mut self, rows: &[Verdicts], report: &Report) -> Result<(), Failure> {
        for row in rows {
            if self.json {
                let verdicts: Map<String, Value> =
                    row.verdicts.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
                let row = json!({
                    "dev": row.dev, "hook": row.hook, "program": row.program,
                    "verdicts": verdicts, "stopped": row.stopped,
                });
                writeln!(self.out, "{row}")?;
                continue;
            }
            write!(self.out, "{} {} {}:", row.dev, row.hook, row.program)?;
            for (name, count) in &row.verdicts {
                write!(self.out, "  {name} {count}")?;
            }
            if row.verdicts.is_empty() && row.stopped == 0 {
                write!(self.out, "  no packets")?;
            }
            if row.stopped > 0 {
                write!(self.out, "  stopped {}", row.stopped)?;
            }
            writeln!(self.out)?;
        }
        if self.json {
            let end = json!({ "frames": report.frames, "lost": report.lost });
            return Ok(writeln!(self.out, "{end}")?);
        }
        let lost = if report.lost > 0 { format!(", {} lost", report.lost) } else { String::new() };
        Ok(writeln!(self.out, "{} frames{lost}", report.frames)?)
    }

    /// Maps at the end.
    pub(crate) fn maps(&mut self, maps: &[MapReport]) -> Result<(), Failure> {
        if self.json {
            return Ok(writeln!(self.out, "{}", json!({ "maps": json::maps(maps) }))?);
        }
        plain::Run::new(self.out).maps(maps)
    }

    /// Shows what was said so far.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

fn is_number(value: &Value) -> bool {
    value.is_number() || value.is_boolean()
}

fn cell(value: &Value) -> String {
    match value {
        // What a command names may hold anything; a record stays a line.
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        other => other.to_string(),
    }
}
