//! `prog run`: BPF_PROG_TEST_RUN.

mod context;

use std::fmt::Write;

use btf::print::JsonText;
use runtime::door::{TestRun, TestRunOut};

use super::show::number;
use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, io_errno};
use crate::handle;
use crate::session::Ctx;
use crate::words::{Words, is_prefix, number as parse};

/// Room for output that is not told.
const DEFAULT_OUT: u32 = 32 * 1024;
/// Largest input, as in bpftool.
const MAX_INPUT: u64 = u32::MAX as u64;

#[derive(Default)]
struct Asked<'a> {
    data_in: Option<&'a str>,
    data_out: Option<&'a str>,
    ctx_in: Option<&'a str>,
    /// A context by names, which bpftool does not have.
    ctx_json: Option<&'a str>,
    ctx_out: Option<&'a str>,
    data_size: Option<u32>,
    ctx_size: Option<u32>,
    repeat: u32,
}

/// `prog run PROG data_in PATH …`.
pub(crate) fn run(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(4)?;
    let prog = handle::prog(ctx, &mut words)?;
    let asked = asked(&mut words)?;
    let input = |what: &str, file: Option<&str>| match file {
        None => Ok(None),
        Some(file) => {
            super::read(ctx, &format!("failed to read {what}"), file, MAX_INPUT).map(Some)
        }
    };
    let data_in = input("data_in", asked.data_in)?;
    if let Some(file) = asked.ctx_json {
        let json = input("ctx_json", Some(file))?.unwrap_or_default();
        return context::on_json(ctx, prog, &asked, data_in, &json);
    }
    let ctx_in = input("ctx_in", asked.ctx_in)?;
    let room = |input: &Option<Vec<u8>>, output: Option<&str>, asked: Option<u32>| {
        input.as_ref()?;
        output.map(|_| asked.unwrap_or(DEFAULT_OUT))
    };
    let request = TestRun {
        data_out: room(&data_in, asked.data_out, asked.data_size),
        ctx_out: room(&ctx_in, asked.ctx_out, asked.ctx_size),
        data_in,
        ctx_in,
        repeat: asked.repeat,
        ..TestRun::default()
    };
    if request.ctx_in.is_some() && context::beyond_linux(ctx, prog)? {
        return context::on_bytes(ctx, prog, &asked, request.ctx_in.as_deref().unwrap_or_default());
    }
    let ran = ctx.door()?.test_run(prog, &request);
    let ran = ran.map_err(|errno| Fail::errno("failed to run program", errno))?;
    if ran.truncated {
        let data = format!("data_size_out {}", ran.data_size_out);
        return Err(Fail::errno(format!("failed to run program ({data})"), uapi::Errno::ENOSPC));
    }
    let data =
        output("data_out", asked.data_out.filter(|_| request.data_in.is_some()), &ran.data_out)?;
    let ctx_out =
        output("ctx_out", asked.ctx_out.filter(|_| request.ctx_in.is_some()), &ran.ctx_out)?;
    let average = asked.repeat > 1;
    Ok(Answer::data(Ran { data, ctx: ctx_out, changed: None, average, out: ran }))
}

fn asked<'a>(words: &mut Words<'a>) -> Result<Asked<'a>, Fail> {
    let mut asked = Asked { repeat: 1, ..Asked::default() };
    while let Some(word) = words.peek() {
        const WORDS: [&str; 8] = [
            "data_in",
            "data_out",
            "data_size_out",
            "ctx_in",
            "ctx_out",
            "ctx_size_out",
            "repeat",
            "ctx_json",
        ];
        let Some(option) = WORDS.iter().find(|option| is_prefix(word, option)) else {
            return Err(Fail::new(format!(
                "expected no more arguments, 'data_in', 'data_out', 'data_size_out', 'ctx_in', \
                 'ctx_out', 'ctx_size_out' or 'repeat', got: '{word}'?"
            )));
        };
        words.next();
        words.need(1)?;
        let value = words.take()?;
        match *option {
            "data_in" => asked.data_in = Some(value),
            "data_out" => asked.data_out = Some(value),
            "ctx_json" => asked.ctx_json = Some(value),
            "ctx_in" => asked.ctx_in = Some(value),
            "ctx_out" => asked.ctx_out = Some(value),
            "data_size_out" => asked.data_size = Some(size(value, "output data size")?),
            "ctx_size_out" => asked.ctx_size = Some(size(value, "output context size")?),
            _ => asked.repeat = size(value, "repeat number")?,
        }
    }
    Ok(asked)
}

fn size(word: &str, what: &str) -> Result<u32, Fail> {
    let value = parse(word, 0).ok_or_else(|| Fail::new(format!("can't parse {word} as {what}")))?;
    Ok(value as u32)
}

/// Bytes for standard output; those of files are written.
fn output(what: &str, file: Option<&str>, bytes: &[u8]) -> Result<Option<Vec<u8>>, Fail> {
    match file {
        None => Ok(None),
        Some("-") => Ok(Some(bytes.to_vec())),
        Some(file) => {
            let written = std::fs::write(file, bytes);
            written
                .map_err(|error| Fail::of(format!("failed to write {what}"), io_errno(&error)))?;
            Ok(None)
        }
    }
}

struct Ran {
    data: Option<Vec<u8>>,
    ctx: Option<Vec<u8>>,
    /// Fields that changed of a context by names, and what the value means.
    changed: Option<(serde_json::Value, Option<String>)>,
    average: bool,
    out: TestRunOut,
}

/// Sixteen bytes a line: offset, pairs, text.
fn hex_dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        // Writing to a string does not fail.
        let _ = write!(out, "{:07x}\t", line * 16);
        for at in 0..16 {
            match chunk.get(at) {
                Some(byte) => {
                    let _ = write!(out, "{byte:02x}");
                }
                None => out.push_str("  "),
            }
            if at % 2 == 1 {
                out.push(' ');
            }
        }
        out.push_str("| ");
        for (at, byte) in chunk.iter().enumerate() {
            if at == 8 {
                out.push(' ');
            }
            let shown = byte.is_ascii_graphic() || *byte == b' ';
            out.push(if shown { char::from(*byte) } else { '.' });
        }
        out.push('\n');
    }
    out
}

impl Show for Ran {
    fn plain(&self, out: &mut Vec<u8>) {
        for bytes in [&self.data, &self.ctx].into_iter().flatten() {
            out.extend_from_slice(hex_dump(bytes).as_bytes());
        }
        let average = if self.average { " (average)" } else { "" };
        let (retval, ns) = (self.out.retval, self.out.duration_ns);
        let meaning = self.changed.as_ref().and_then(|(_, meaning)| meaning.as_ref());
        let meaning = meaning.map_or(String::new(), |meaning| format!(" ({meaning})"));
        let line = format!("Return value: {retval}{meaning}, duration{average}: {ns}ns\n");
        out.extend_from_slice(line.as_bytes());
        if let Some((changed, _)) = &self.changed {
            out.extend_from_slice(format!("Changed: {changed}\n").as_bytes());
        }
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_object();
        for (name, bytes) in [("data_out", &self.data), ("ctx_out", &self.ctx)] {
            let Some(bytes) = bytes else { continue };
            out.name(name);
            out.begin_array();
            bytes.iter().for_each(|byte| out.raw(format_args!("{byte}")));
            out.end_array();
        }
        number(out, "retval", self.out.retval);
        number(out, "duration", self.out.duration_ns);
        if let Some((changed, meaning)) = &self.changed {
            if let Some(meaning) = meaning {
                out.name("meaning");
                out.string(meaning);
            }
            out.name("ctx_out");
            out.raw(format_args!("{changed}"));
        }
        out.end_object();
    }
}
