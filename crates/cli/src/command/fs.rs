//! `ring3 fs`: the names of pinned objects.

use std::io::Write;
use std::path::Path;

use daemon::{Bpf, Errno, FsEntry, ObjKind};

use super::daemon::connect;
use crate::args::FsVerb;
use crate::failure::Failure;

/// Where paths begin that do not begin with a slash.
const MOUNT: &str = "/sys/fs/bpf";
/// The names of what programs print.
const TRACE_PIPES: [&str; 3] =
    ["trace_pipe", "/sys/kernel/tracing/trace_pipe", "/sys/kernel/debug/tracing/trace_pipe"];
/// Time that the daemon waits for a line before it says that there is none.
const WAIT_MS: u32 = 250;

pub(crate) fn fs(verb: &FsVerb, out: &mut dyn Write) -> Result<(), Failure> {
    let door = connect()?;
    match verb {
        FsVerb::Ls { paths, long } => paths.iter().try_for_each(|path| {
            let several = paths.len() > 1;
            list(&door, &absolute(path), Look { several, long: *long }, out)
        }),
        FsVerb::Rm { paths, recursive } => each(paths, |path| remove(&door, path, *recursive)),
        FsVerb::Mkdir { paths, parents } => each(paths, |path| mkdir(&door, path, *parents)),
        FsVerb::Rmdir { paths } => each(paths, |path| door.fs_rmdir(path)),
        FsVerb::Mount { dir } => door.mount(&folder(dir)?).map_err(Failure::refused),
        FsVerb::Umount { dir } => door.unmount(&folder(dir)?).map_err(Failure::refused),
        FsVerb::Cat { file, now } if TRACE_PIPES.contains(&&**file) => {
            follow(&door, file, *now, out)
        }
        FsVerb::Cat { file, .. } => {
            let path = absolute(file);
            let text = door.fs_read(&path).map_err(|errno| failure(&path, errno))?;
            Ok(out.write_all(&text)?)
        }
    }
}

/// How a listing looks.
#[derive(Clone, Copy)]
struct Look {
    several: bool,
    long: bool,
}

fn list(door: &dyn Bpf, path: &str, look: Look, out: &mut dyn Write) -> Result<(), Failure> {
    let entries = match door.fs_list(path) {
        Ok(entries) => entries,
        Err(Errno::ENOTDIR) => return single(door, path, look, out),
        Err(errno) => return Err(failure(path, errno)),
    };
    if look.several {
        writeln!(out, "{path}:")?;
    }
    entries.iter().try_for_each(|entry| line(entry, look.long, out))
}

fn single(door: &dyn Bpf, path: &str, look: Look, out: &mut dyn Write) -> Result<(), Failure> {
    let pins = door.pins().map_err(|errno| failure(path, errno))?;
    let found = pins.into_iter().find(|pin| pin.0 == path.trim_end_matches('/'));
    let (name, kind, id) = found.ok_or_else(|| failure(path, Errno::ENOTDIR))?;
    line(&FsEntry { name, object: Some((kind, id)) }, look.long, out)
}

fn line(entry: &FsEntry, long: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let name = &entry.name;
    match entry.object {
        Some((kind, id)) if long => writeln!(out, "{:<5}{id:>6}  {name}", kind_name(kind))?,
        Some(_) => writeln!(out, "{name}")?,
        None if long => writeln!(out, "{:<5}{:>6}  {name}/", "dir", "")?,
        None => writeln!(out, "{name}/")?,
    }
    Ok(())
}

fn kind_name(kind: ObjKind) -> &'static str {
    match kind {
        ObjKind::Prog => "prog",
        ObjKind::Map => "map",
        ObjKind::Btf => "btf",
        ObjKind::Link => "link",
    }
}

fn each(paths: &[String], act: impl Fn(&str) -> Result<(), Errno>) -> Result<(), Failure> {
    paths.iter().try_for_each(|path| {
        let path = absolute(path);
        act(&path).map_err(|errno| failure(&path, errno))
    })
}

fn mkdir(door: &dyn Bpf, path: &str, parents: bool) -> Result<(), Errno> {
    if !parents {
        return door.fs_mkdir(path);
    }
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
    for end in ends {
        match door.fs_mkdir(&path[..end]) {
            // A pin there is one.
            Err(Errno::EEXIST) if door.fs_list(&path[..end]).is_ok() => {}
            done => done?,
        }
    }
    Ok(())
}

fn remove(door: &dyn Bpf, path: &str, recursive: bool) -> Result<(), Errno> {
    match door.fs_unlink(path) {
        Err(Errno::EISDIR) if recursive => {
            for entry in door.fs_list(path)? {
                remove(door, &format!("{path}/{}", entry.name), true)?;
            }
            door.fs_rmdir(path)
        }
        result => result,
    }
}

fn follow(door: &dyn Bpf, file: &str, now: bool, out: &mut dyn Write) -> Result<(), Failure> {
    loop {
        let lines = if now { door.take_trace() } else { door.wait_trace(WAIT_MS) };
        let lines = lines.map_err(|errno| failure(file, errno))?;
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        if now {
            return Ok(());
        }
    }
}

/// The daemon works in another folder.
fn folder(dir: &Path) -> Result<String, Failure> {
    let found = dir.canonicalize().or_else(|error| match (dir.parent(), dir.file_name()) {
        // What a killed daemon left does not answer: the folder above it says where it is.
        (Some(above), Some(name)) if error.raw_os_error() == Some(ENOTCONN) => {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            above.canonicalize().map(|above| above.join(name))
        }
        _ => Err(error),
    });
    let found = found.map_err(|error| {
        failure(&dir.display().to_string(), Errno(error.raw_os_error().unwrap_or(0)))
    })?;
    let bad = || Failure::refused(format!("{}: not UTF-8", dir.display()));
    found.into_os_string().into_string().map_err(|_| bad())
}

const ENOTCONN: i32 = 107;

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{MOUNT}/{path}") }
}

/// `PATH: No such file or directory`.
fn failure(path: &str, errno: Errno) -> Failure {
    let text = std::io::Error::from_raw_os_error(errno.0).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    Failure::refused(format!("{path}: {text}"))
}
