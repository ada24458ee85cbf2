//! Instructions and the source lines they come from.

use std::borrow::Cow;

use super::data::{Place, Source};
use crate::env::Env;

/// The instruction at slot `insn`, which must exist.
pub(super) fn place(env: &Env<'_>, insn: usize) -> Place {
    let listed = env.insn_text(insn);
    // The opcode before it says nothing to people.
    let text = match listed.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((_, text)) => text.to_owned(),
        None => listed,
    };
    Place { insn, text, source: source(env, insn) }
}

fn source(env: &Env<'_>, insn: usize) -> Option<Source> {
    let lines = &env.prog.line_info;
    let info = lines.get(lines.partition_point(|l| l.insn_off as usize <= insn).checked_sub(1)?)?;
    let btf = env.prog.btf.as_deref()?;
    let text = |off| btf.string_bytes(off).map_or(Cow::Borrowed(""), String::from_utf8_lossy);
    let (file, line_text) = (text(info.file_name_off), text(info.line_off));
    let (line, column) = (info.line_col >> 10, info.line_col & 0x3ff);
    let known = line > 0 && !line_text.trim().is_empty();
    known.then(|| Source {
        file: file.into_owned(),
        line,
        column,
        text: line_text.trim_end().to_owned(),
    })
}
