//! `prog load` and `prog loadall`.

use std::path::Path;

use ring3::{Kernel, Object};
use runtime::door::Fd;
use uapi::{Errno, ProgType};

use crate::answer::{Answer, Done};
use crate::fail::{Fail, strerror};
use crate::session::Ctx;
use crate::words::Words;
use crate::{handle, iter, pins};

/// `prog load OBJECT PATH …`: the first program is pinned.
pub(crate) fn load(ctx: &Ctx<'_>, words: Words<'_>) -> Done {
    load_with(ctx, words, false)
}

/// `prog loadall OBJECT DIR …`: every program is pinned under its name.
pub(crate) fn loadall(ctx: &Ctx<'_>, words: Words<'_>) -> Done {
    load_with(ctx, words, true)
}

/// How an object is loaded.
#[derive(Default)]
pub(crate) struct Load<'a> {
    /// Type and attach type of all programs.
    prog_type: Option<(ProgType, u32)>,
    /// Maps to use in place of the object's own.
    reuse: Vec<(Reused<'a>, Fd)>,
    pin_maps: Option<&'a str>,
    kernel_btf: Option<&'a str>,
    attach: bool,
}

enum Reused<'a> {
    Index(usize),
    Name(&'a str),
}

fn load_with(ctx: &Ctx<'_>, mut words: Words<'_>, all: bool) -> Done {
    words.need(2)?;
    let file = words.take()?;
    let path = words.take()?;
    let asked = asked(ctx, &mut words)?;
    let loaded = load_object(ctx, file, &asked)?;
    let door = ctx.door()?;
    let fds = &loaded.fds;
    let done = (|| {
        let spec = loaded.object.spec();
        let mut programs = spec.programs.iter().zip(&fds.programs);
        let pin = |program: &ring3::ProgramSpec, fd, path: &str| match asked.attach {
            true => iter::pin_attached(ctx, program, fd, path),
            false if all => pins::pin_in_new_dir(ctx, fd, path),
            false => pins::pin(ctx, fd, path),
        };
        if all {
            for (program, fd) in programs {
                let Some(fd) = fd else { continue };
                let path = format!("{path}/{}", program.name.replace('.', "_"));
                pin(program, *fd, &path)?;
            }
        } else {
            let first = programs.find_map(|(program, fd)| fd.map(|fd| (program, fd)));
            let none = || Fail::new("object file doesn't contain any bpf program");
            let (program, fd) = first.ok_or_else(none)?;
            pin(program, fd, path)?;
        }
        if let Some(dir) = asked.pin_maps {
            for (map, fd) in spec.maps.iter().zip(&fds.maps) {
                if fd.0 >= 0 {
                    let name = pin_name(map);
                    pins::pin_in_new_dir(ctx, *fd, &format!("{dir}/{name}"))?;
                }
            }
        }
        Ok(Answer::null())
    })();
    ring3::load::close(door, fds);
    done
}

/// The name that libbpf pins a map under.
fn pin_name(map: &loader::MapSpec) -> String {
    map.name.replace('.', "_")
}

/// An object whose maps and programs are behind the door.
pub(crate) struct LoadedObject {
    pub(crate) object: Object,
    pub(crate) fds: ring3::load::Fds,
}

/// Opens `file` and loads it.
pub(crate) fn load_object(
    ctx: &Ctx<'_>,
    file: &str,
    asked: &Load<'_>,
) -> Result<LoadedObject, Fail> {
    let mut object = open(ctx, file)?;
    let named = |reused: &Reused<'_>| match reused {
        Reused::Index(index) => Some(*index),
        Reused::Name(name) => object.spec().maps.iter().position(|map| map.name == *name),
    };
    let mut reuse = Vec::new();
    for (which, fd) in &asked.reuse {
        match named(which) {
            Some(index) if index < object.spec().maps.len() => reuse.push((index, *fd)),
            _ => return Err(Fail::new("one or more provided maps could not be found")),
        }
    }
    if let Some((prog_type, attach)) = asked.prog_type {
        object.set_type(prog_type, attach);
    }
    let own;
    let kernel = match asked.kernel_btf {
        Some(file) => {
            own = Kernel::at(file);
            &own
        }
        None => ctx.kernel(),
    };
    let failed = "failed to load object file";
    let say = |text: String| Fail::new(failed).after(text);
    let closing = format!("libbpf: failed to load object '{file}'\n");
    object.resolve(kernel).map_err(|error| say(format!("libbpf: {}\n{closing}", said(&error))))?;
    let loaded = ring3::load::load_with(ctx.door()?, &object, None, &reuse);
    match loaded {
        Ok(fds) => Ok(LoadedObject { object, fds }),
        Err(error) => Err(say(explain(&error) + &closing)),
    }
}

/// What libbpf says of a refused map or program.
fn explain(error: &ring3::Error) -> String {
    match error {
        ring3::Error::Rejected(rejected) => {
            let (name, errno) = (&rejected.program, rejected.errno);
            let mut out = format!("libbpf: prog '{name}': BPF program load failed: -{errno}\n");
            if !rejected.log.is_empty() {
                out += &format!("libbpf: prog '{name}': -- BEGIN PROG LOAD LOG --\n");
                out += &rejected.log;
                if !rejected.log.ends_with('\n') {
                    out.push('\n');
                }
                out += "-- END PROG LOAD LOG --\n";
            }
            out + &format!("libbpf: prog '{name}': failed to load: -{errno}\n")
        }
        ring3::Error::Map { map, errno, .. } => {
            format!("libbpf: map '{map}': failed to create: -{errno}\n")
        }
        other => format!("libbpf: {other}\n"),
    }
}

/// Reads an object as libbpf would open it. C source, which libbpf knows nothing of, is compiled,
/// unless we stand in for bpftool.
pub(crate) fn open(ctx: &Ctx<'_>, file: &str) -> Result<Object, Fail> {
    let failed = || Fail::new("failed to open object file");
    let path = Path::new(file);
    let bytes = if ring3::is_source(path) && ctx.options.name != "bpftool" {
        let compiled = ring3::compile(path, ctx.kernel());
        compiled.map_err(|error| failed().after(format!("{error}\n")))?.object
    } else {
        std::fs::read(path).map_err(|error| {
            let errno = crate::fail::io_errno(&error);
            failed().after(format!("libbpf: elf: failed to open {file}: -{errno}\n"))
        })?
    };
    if !bytes.starts_with(b"\x7fELF") {
        let text = format!("libbpf: elf: '{file}' is not a proper ELF object\n");
        return Err(failed().after(text));
    }
    let name = path.file_name().map_or(file.into(), |name| name.to_string_lossy());
    Object::parse(&name, &bytes)
        .map_err(|error| failed().after(format!("libbpf: {}\n", said(&error))))
}

/// The loader's words, which are libbpf's where it has some; libbpf does not name the file.
fn said(error: &ring3::Error) -> String {
    match error {
        ring3::Error::Object { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

fn asked<'a>(ctx: &Ctx<'_>, words: &mut Words<'a>) -> Result<Load<'a>, Fail> {
    let mut asked = Load::default();
    while !words.is_empty() {
        if words.eat("type") {
            if asked.prog_type.is_some() {
                return Err(Fail::new("program type already specified"));
            }
            words.need(1)?;
            asked.prog_type = Some(section_type(words.take()?)?);
        } else if words.eat("map") {
            words.need(4)?;
            asked.reuse.push(reused(ctx, words)?);
        } else if words.eat("pinmaps") {
            words.need(1)?;
            asked.pin_maps = Some(words.take()?);
        } else if words.eat("kernel_btf") {
            words.need(1)?;
            asked.kernel_btf = Some(words.take()?);
        } else if words.eat("autoattach") {
            asked.attach = true;
        } else if words.eat("offload_dev") || words.eat("xdpmeta_dev") || words.eat("dev") {
            let name = words.next().unwrap_or_default();
            let errno = strerror(Errno::EOPNOTSUPP);
            return Err(Fail::new(format!("programs on a device ({name}): {errno}")));
        } else {
            let word = words.peek().unwrap_or_default();
            return Err(Fail::new(format!(
                "expected no more arguments, 'type', 'map', 'dev', 'offload_dev', 'xdpmeta_dev', \
                 'pinmaps', 'autoattach', or 'kernel_btf', got: '{word}'?"
            )));
        }
    }
    Ok(asked)
}

/// `idx N MAP` or `name NAME MAP`.
fn reused<'a>(ctx: &Ctx<'_>, words: &mut Words<'a>) -> Result<(Reused<'a>, Fd), Fail> {
    let which = if words.eat("idx") {
        let word = words.take()?;
        let index = crate::words::number(word, 0).and_then(|index| usize::try_from(index).ok());
        Reused::Index(index.ok_or_else(|| Fail::new(format!("can't parse {word} as IDX")))?)
    } else if words.eat("name") {
        Reused::Name(words.take()?)
    } else {
        let got = words.peek().unwrap_or_default();
        return Err(Fail::new(format!("expected 'idx' or 'name', got: '{got}'?")));
    };
    Ok((which, handle::map(ctx, words)?))
}

/// A type by the name of a section, with or without its slash.
fn section_type(word: &str) -> Result<(ProgType, u32), Fail> {
    let with_slash = format!("{word}/");
    let found = uapi::section(&with_slash).or_else(|| uapi::section(word));
    match found {
        Some((def, _)) => Ok((def.prog_type, def.attach)),
        None => Err(Fail::silent(-1)
            .after(format!("libbpf: failed to guess program type from ELF section '{word}/'\n"))),
    }
}
