//! Which line of the source an instruction comes from.

use std::borrow::Cow;
use std::fmt;

use btf::Btf;
use loader::{LineInfo, ProgramSpec};

/// A line of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The file as the compiler was told, without its folders.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
    /// The line, with the white space before it.
    pub text: String,
}

impl fmt::Display for SourceLine {
    /// As Linux's verifier log has it: `text @ file:line`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} @ {}:{}", self.text.trim_start(), self.file, self.line)
    }
}

/// The line that slot `insn` comes from, if the object has line information.
pub fn source_line(btf: &Btf, program: &ProgramSpec, insn: usize) -> Option<SourceLine> {
    let lines = &program.line_info;
    let next = lines.partition_point(|line| line.insn_off as usize <= insn);
    line_of(btf, lines.get(next.checked_sub(1)?)?)
}

/// The line of one record.
pub(crate) fn line_of(btf: &Btf, info: &LineInfo) -> Option<SourceLine> {
    let path = text(btf, info.file_name_off);
    let file = path.rsplit('/').next().unwrap_or(&path).to_owned();
    let text = text(btf, info.line_off).trim_end().to_owned();
    let (line, column) = (info.line_col >> 10, info.line_col & 0x3ff);
    Some(SourceLine { file, line, column, text }).filter(|at| !at.text.is_empty())
}

fn text(btf: &Btf, offset: u32) -> Cow<'_, str> {
    btf.string_bytes(offset).map_or(Cow::Borrowed(""), String::from_utf8_lossy)
}
