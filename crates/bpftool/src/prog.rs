//! `prog …`.

mod dump;
mod graph;
mod jited;
mod load;
mod profile;
mod run;
mod show;

pub(crate) use dump::dump;
pub(crate) use load::{Load, load, load_object, loadall};
pub(crate) use profile::profile;
pub(crate) use run::run;
pub(crate) use show::{number, show, string, strings, type_name};

use std::fs::File;
use std::io::Cursor;

use runtime::door::{AttachTo, Fd, ProgAttach};
use uapi::Errno;

use crate::answer::{Answer, Done};
use crate::fail::{Fail, io_errno};
use crate::options::Target;
use crate::session::Ctx;
use crate::words::Words;
use crate::{handle, pins};

/// `prog pin PROG PATH`.
pub(crate) fn pin(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    pins::pin_named(ctx, &mut words, handle::prog)?;
    Ok(Answer::null())
}

/// Attach types of maps of sockets, and the flow dissector.
const ATTACH_TYPES: [(&str, u32, bool); 6] = [
    ("sk_msg_verdict", 7, true),
    ("msg_verdict", 7, true),
    ("sk_skb_stream_parser", 4, true),
    ("sk_skb_stream_verdict", 5, true),
    ("sk_skb_verdict", 38, true),
    ("flow_dissector", 17, false),
];

/// `prog attach PROG TYPE [MAP]`.
pub(crate) fn attach(ctx: &Ctx<'_>, words: Words<'_>) -> Done {
    change(ctx, words, true)
}

/// `prog detach PROG TYPE [MAP]`.
pub(crate) fn detach(ctx: &Ctx<'_>, words: Words<'_>) -> Done {
    change(ctx, words, false)
}

fn change(ctx: &Ctx<'_>, mut words: Words<'_>, attach: bool) -> Done {
    let invalid = -Errno::EINVAL.0;
    words.need(3).map_err(|fail| fail.code(invalid))?;
    let prog = handle::prog(ctx, &mut words)?;
    let word = words.next().unwrap_or_default();
    let Some((_, attach_type, needs_map)) = ATTACH_TYPES.iter().find(|row| row.0 == word) else {
        return Err(Fail::new("invalid attach/detach type").code(invalid));
    };
    let map = if *needs_map {
        words.need(2).map_err(|fail| fail.code(invalid))?;
        Some(handle::map(ctx, &mut words)?)
    } else {
        None
    };
    let to = map.map_or(AttachTo::Nothing, |map| AttachTo::Map { map });
    let (prog, attach_type) = (Some(prog), *attach_type);
    let req = ProgAttach { prog, attach_type, to, ..ProgAttach::default() };
    let done = match attach {
        true => ctx.door()?.prog_attach(&req),
        false => ctx.door()?.prog_detach(&req),
    };
    match done {
        Ok(()) => Ok(Answer::null()),
        Err(_) if attach => Err(Fail::new("failed prog attach to map").code(invalid)),
        Err(_) => Err(Fail::new("failed prog detach from map").code(invalid)),
    }
}

/// Where Linux shows what programs print.
const TRACE_PIPES: [&str; 2] =
    ["/sys/kernel/tracing/trace_pipe", "/sys/kernel/debug/tracing/trace_pipe"];

/// `prog tracelog`.
pub(crate) fn tracelog(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if let Some(stream) = words.peek().and_then(|word| STREAMS.iter().find(|s| s.0 == word)) {
        words.next();
        let prog = handle::prog(ctx, &mut words)?;
        words.end()?;
        return printed(ctx, prog, stream.1);
    }
    words.end()?;
    if ctx.target() == Target::Linux {
        let opened = TRACE_PIPES.iter().find_map(|path| File::open(path).ok());
        return match opened {
            Some(mut pipe) => ctx.stream(&mut pipe),
            None => Err(Fail::new("could not open trace pipe (is tracefs mounted?)")),
        };
    }
    if ctx.target() == Target::Daemon && ctx.is_live() {
        return follow(ctx);
    }
    let lines = ctx.door()?.take_trace();
    let lines = lines.map_err(|errno| Fail::of("could not open trace pipe", errno))?;
    let text: String = lines.into_iter().flat_map(|line| [line, "\n".into()]).collect();
    ctx.stream(&mut Cursor::new(text))
}

/// A program's own streams.
const STREAMS: [(&str, u32); 2] = [("stdout", 1), ("stderr", 2)];

/// What a program has printed into a stream of its own since it was last asked.
fn printed(ctx: &Ctx<'_>, prog: Fd, stream: u32) -> Done {
    const CHUNK: u32 = 4096;
    let mut text = Vec::new();
    loop {
        let part = ctx.door()?.stream_read(prog, stream, CHUNK);
        let part = part.map_err(|errno| Fail::of("failed to read from stream", errno))?;
        if part.is_empty() {
            return ctx.stream(&mut Cursor::new(text));
        }
        text.extend(part);
    }
}

/// Time that a daemon waits for a line before it says that there is none.
const WAIT_MS: u32 = 250;

/// Lines of others' programs as they come, until somebody interrupts.
fn follow(ctx: &Ctx<'_>) -> Done {
    loop {
        let lines = ctx.door()?.wait_trace(WAIT_MS);
        let lines = lines.map_err(|errno| Fail::of("failed to read from trace pipe", errno))?;
        let text: String = lines.into_iter().flat_map(|line| [line, "\n".into()]).collect();
        if !text.is_empty() && !ctx.pass_on(text.as_bytes())? {
            return Ok(Answer::none());
        }
    }
}

/// Reads a file in full.
pub(crate) fn read(ctx: &Ctx<'_>, what: &str, file: &str, limit: u64) -> Result<Vec<u8>, Fail> {
    ctx.read(file, limit).map_err(|error| Fail::of(what, io_errno(&error)))
}
