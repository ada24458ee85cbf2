//! `iter pin`, and what `autoattach` makes of programs: links in the place of pinned programs.

use runtime::door::{AttachTo, Bpf, Fd, LinkCreate};
use uapi::{Errno, ProgType};

use crate::answer::{Answer, Done};
use crate::fail::{Fail, strerror};
use crate::prog::{Load, load_object};
use crate::session::Ctx;
use crate::words::Words;
use crate::{handle, pins, select};

/// `enum bpf_attach_type`.
const TRACE_RAW_TP: u32 = 23;
const TRACE_ITER: u32 = 28;

/// `iter pin OBJECT PATH [map MAP]`.
pub(crate) fn pin(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(2).map_err(|fail| {
        let usage = select::wrong_use("iter").usage;
        Fail { usage, ..fail }
    })?;
    let file = words.take()?;
    let path = words.take()?;
    let mut to = AttachTo::Nothing;
    if !words.is_empty() && words.eat("map") {
        words.need(2)?;
        to = AttachTo::Map { map: handle::map(ctx, &mut words)? };
    }
    let loaded = load_object(ctx, file, &Load::default())?;
    let door = ctx.door()?;
    let done = (|| {
        let first = loaded.fds.programs.iter().find_map(|fd| *fd);
        let prog = first.ok_or_else(|| Fail::new("can't find bpf program in object"))?;
        let req = LinkCreate { prog, attach_type: TRACE_ITER, to, ..LinkCreate::default() };
        let name = loaded.object.spec().programs.first().map(|p| p.name.as_str());
        let link = door.link_create(&req).map_err(|errno| {
            let name = name.unwrap_or_default();
            Fail::of(format!("attach_iter failed for program {name}"), errno)
        })?;
        pins::pin_in_new_dir(ctx, ctx.keep(link), path)
    })();
    ring3::load::close(door, &loaded.fds);
    done.map(|()| Answer::null())
}

/// The link that libbpf makes of a program by its section; `None` for programs that it attaches
/// to nothing of itself.
pub(crate) fn auto_attach(
    door: &dyn Bpf,
    program: &ring3::ProgramSpec,
    prog: Fd,
) -> Option<Result<Fd, Errno>> {
    let name = program.section.split_once('/').map(|(_, rest)| rest);
    let link = |attach_type| {
        let req = LinkCreate { prog, attach_type, ..LinkCreate::default() };
        door.link_create(&req)
    };
    match program.prog_type? {
        ProgType::RawTracepoint | ProgType::RawTracepointWritable => {
            name.map(|name| door.raw_tracepoint_open(Some(name), prog))
        }
        ProgType::Tracing if program.expected_attach_type == TRACE_RAW_TP => {
            Some(door.raw_tracepoint_open(None, prog))
        }
        ProgType::Tracing | ProgType::Lsm | ProgType::Ext => {
            Some(link(program.expected_attach_type))
        }
        _ => None,
    }
}

/// Pins what a program was attached by, or the program where nothing attaches it.
pub(crate) fn pin_attached(
    ctx: &Ctx<'_>,
    program: &ring3::ProgramSpec,
    prog: Fd,
    path: &str,
) -> Result<(), Fail> {
    match auto_attach(ctx.door()?, program, prog) {
        Some(Ok(link)) => pins::pin_in_new_dir(ctx, ctx.keep(link), path),
        Some(Err(errno)) => {
            let text = strerror(errno);
            Err(Fail::new(format!("failed to auto-attach program {}: {text}", program.name)))
        }
        None => pins::pin_in_new_dir(ctx, prog, path),
    }
}
