//! Names in the BPF file system.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use runtime::door::{Fd, ObjKind};
use uapi::Errno;

use crate::fail::{Fail, strerror};
use crate::options::Target;
use crate::session::Ctx;
use crate::words::Words;

/// Folders deep that pins are looked for.
const MAX_DEPTH: usize = 32;

/// Why nothing can be opened at `path`.
pub(crate) fn open_error(ctx: &Ctx<'_>, path: &str, errno: Errno) -> Fail {
    let dir = Path::new(path).parent().map_or(".".into(), |dir| dir.display().to_string());
    if errno == Errno::EACCES && ctx.target() == Target::Linux && !is_bpffs(&dir) {
        let what = "directory not in bpf file system (bpffs)";
        return Fail::new(format!("bpf obj get ({dir}): {what}"));
    }
    Fail::of(format!("bpf obj get ({path})"), errno)
}

/// Pins `fd`.
pub(crate) fn pin(ctx: &Ctx<'_>, fd: Fd, path: &str) -> Result<(), Fail> {
    ctx.door()?.obj_pin(fd, path).map_err(|errno| match errno {
        Errno::EEXIST => Fail::new(format!("can't pin BPF object: path '{path}' already exists")),
        _ => Fail::new(format!("can't pin the object ({path}): {}", strerror(errno))),
    })
}

/// Pins `fd` as libbpf does: the last folder above it is made if it is not there.
pub(crate) fn pin_in_new_dir(ctx: &Ctx<'_>, fd: Fd, path: &str) -> Result<(), Fail> {
    let above = path.rsplit_once('/').map(|(above, _)| above).filter(|above| !above.is_empty());
    let made = match (above, ctx.target()) {
        (None, _) => Ok(()),
        (Some(above), Target::Linux) => fs::DirBuilder::new()
            .mode(0o700)
            .create(above)
            .map_err(|error| crate::fail::io_errno(&error)),
        (Some(above), _) => ctx.door()?.fs_mkdir(above),
    };
    match made {
        Ok(()) | Err(Errno::EEXIST) => pin(ctx, fd, path),
        Err(errno) => Err(Fail::new(format!("can't pin the object ({path}): {}", strerror(errno)))),
    }
}

/// `OBJECT FILE`: pins what the words name.
pub(crate) fn pin_named(
    ctx: &Ctx<'_>,
    words: &mut Words<'_>,
    named: impl Fn(&Ctx<'_>, &mut Words<'_>) -> Result<Fd, Fail>,
) -> Result<(), Fail> {
    words.need(3).map_err(|fail| fail.code(-Errno::EINVAL.0))?;
    let fd = named(ctx, words)?;
    let path = words.take()?;
    pin(ctx, fd, path)
}

/// Every pin of a kind: path and object's id.
pub(crate) fn all(ctx: &Ctx<'_>, kind: ObjKind) -> Result<Vec<(String, u32)>, Fail> {
    let door = ctx.door()?;
    match door.pins() {
        Ok(pins) => {
            let of_kind = |(path, found, id)| (found == kind).then_some((path, id));
            Ok(pins.into_iter().filter_map(of_kind).collect())
        }
        Err(_) if ctx.target() == Target::Linux => {
            let mut found = Vec::new();
            for mount in bpffs_mounts() {
                walk(ctx, Path::new(&mount), kind, 0, &mut found)?;
            }
            Ok(found)
        }
        Err(_) => Ok(Vec::new()),
    }
}

fn walk(
    ctx: &Ctx<'_>,
    dir: &Path,
    kind: ObjKind,
    depth: usize,
    found: &mut Vec<(String, u32)>,
) -> Result<(), Fail> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_symlink() => continue,
            Ok(is) if is.is_dir() && depth < MAX_DEPTH => {
                walk(ctx, &path, kind, depth + 1, found)?;
            }
            _ => {
                let path = path.display().to_string();
                found.extend(id_at(ctx, &path, kind)?.map(|id| (path, id)));
            }
        }
    }
    Ok(())
}

fn id_at(ctx: &Ctx<'_>, path: &str, kind: ObjKind) -> Result<Option<u32>, Fail> {
    let door = ctx.door()?;
    let Ok(fd) = door.obj_get(path, 0) else { return Ok(None) };
    let id = match (door.kind(fd), kind) {
        (Ok(ObjKind::Prog), ObjKind::Prog) => door.prog_info(fd).ok().map(|info| info.id),
        (Ok(ObjKind::Map), ObjKind::Map) => door.map_info(fd).ok().map(|info| info.id),
        (Ok(ObjKind::Link), ObjKind::Link) => door.link_info(fd).ok().map(|info| info.id),
        _ => None,
    };
    let _ = door.close(fd);
    Ok(id)
}

fn is_bpffs(dir: &str) -> bool {
    let Ok(dir) = fs::canonicalize(dir) else { return false };
    bpffs_mounts().iter().any(|mount| dir.starts_with(mount))
}

fn bpffs_mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = text.lines().filter_map(|line| {
        let mut columns = line.split(' ');
        let (_, dir, kind) = (columns.next()?, columns.next()?, columns.next()?);
        (kind == "bpf").then(|| dir.replace("\\040", " "))
    });
    mounts.collect()
}
