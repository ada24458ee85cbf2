//! The lines that an explanation shows: from the source file, else as recorded in the object,
//! else instructions.

use std::ops::Range;
use std::path::Path;

use ring3::{Explanation, Place};

use super::places;
use crate::command::ProgramReport;

/// Stands for lines whose text is not known.
const UNKNOWN: &str = "...";

/// A run of lines of one file, or of a program's instructions.
pub(super) struct Lines {
    /// As shown above the lines.
    pub(super) path: String,
    /// C source; else instructions.
    pub(super) is_source: bool,
    /// Number of the first line.
    pub(super) first: usize,
    /// The lines.
    pub(super) text: String,
    /// The file as line information names it.
    file: String,
}

/// The lines of each file that the explanation touches, the fault's first.
pub(super) fn of(report: &ProgramReport, explanation: &Explanation) -> Vec<Lines> {
    let mut files: Vec<Option<&str>> = Vec::new();
    for place in places(explanation) {
        let file = place.source.as_ref().map(|source| source.file.as_str());
        if !files.contains(&file) {
            files.push(file);
        }
    }
    let lines = files.into_iter().filter_map(|file| match file {
        Some(file) => source(report, explanation, file),
        None => instructions(report, explanation),
    });
    lines.collect()
}

fn source(report: &ProgramReport, explanation: &Explanation, file: &str) -> Option<Lines> {
    let known: Vec<(usize, &str)> = places(explanation)
        .filter_map(|place| place.source.as_ref())
        .filter(|source| source.file == file)
        .map(|source| (source.line as usize, source.text.as_str()))
        .collect();
    let (line, text) = *known.first()?;
    let whole = ring3::source_text(Path::new(&report.file), file, line as u32, text);
    let all: Option<Vec<&str>> = whole.as_deref().map(|text| text.lines().collect());
    let from_file = |n: usize| all.as_ref().and_then(|all| all.get(n - 1)).copied();
    let path = file.rsplit('/').next().unwrap_or(file).to_owned();
    Some(Lines { path, is_source: true, file: file.to_owned(), ..between(&known, from_file)? })
}

fn instructions(report: &ProgramReport, explanation: &Explanation) -> Option<Lines> {
    let known: Vec<(usize, &str)> = places(explanation)
        .filter(|place| place.source.is_none())
        .map(|place| (place.insn, place.text.as_str()))
        .collect();
    let path = format!("{} (instructions)", report.program);
    Some(Lines { path, ..between(&known, |_| None)? })
}

/// All lines from the first to the last known one.
fn between<'t>(
    known: &[(usize, &'t str)],
    more: impl Fn(usize) -> Option<&'t str>,
) -> Option<Lines> {
    /// Files may claim any line numbers.
    const MOST: usize = 1 << 20;
    let first = known.iter().map(|(n, _)| *n).min()?;
    let last = known.iter().map(|(n, _)| *n).max()?.min(first + MOST);
    let mut lines: Vec<&str> = (first..=last).map(|n| more(n).unwrap_or(UNKNOWN)).collect();
    for (n, text) in known.iter().filter(|(n, _)| *n <= last) {
        lines[n - first] = text;
    }
    Some(Lines {
        path: String::new(),
        is_source: false,
        first,
        text: lines.join("\n"),
        file: String::new(),
    })
}

impl Lines {
    /// What to mark of the line that `place` comes from, in bytes of the text; `None` if that line
    /// is not among these.
    pub(super) fn span(&self, place: &Place) -> Option<Range<usize>> {
        let (line, column) = match (&place.source, self.is_source) {
            (Some(source), true) if source.file == self.file => {
                (source.line as usize, source.column as usize)
            }
            (None, false) => (place.insn, 0),
            _ => return None,
        };
        let text = self.text.split('\n').nth(line.checked_sub(self.first)?)?;
        let start = text.as_ptr() as usize - self.text.as_ptr() as usize;
        let Range { start: from, end: to } = word(text, column);
        Some(start + from..start + to)
    }
}

/// The word at a column (from 1) of a line; all of it for column 0 or one outside.
fn word(line: &str, column: usize) -> Range<usize> {
    let indent = line.len() - line.trim_start().len();
    let whole = indent..line.trim_end().len().max(indent);
    let Some(at) = column.checked_sub(1).filter(|&at| at < line.len() && line.is_char_boundary(at))
    else {
        return whole;
    };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let len: usize = line[at..].chars().take_while(|&c| is_word(c)).map(char::len_utf8).sum();
    match len {
        0 => at..at + line[at..].chars().next().map_or(0, char::len_utf8),
        _ => at..at + len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_at_the_column_is_marked() {
        let line = "\tif (eth->h_proto)";
        assert_eq!(&line[word(line, 6)], "eth");
        assert_eq!(&line[word(line, 9)], "-");
        assert_eq!(&line[word(line, 0)], "if (eth->h_proto)");
        assert_eq!(&line[word(line, 99)], "if (eth->h_proto)");
        assert_eq!(word("", 1), 0..0);
    }
}
