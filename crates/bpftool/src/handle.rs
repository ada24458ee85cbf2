//! Objects named by id, tag, name or pin.

use runtime::door::{Bpf, Fd, MapInfo, ObjKind, ProgInfo};
use uapi::Errno;

use crate::fail::Fail;
use crate::session::Ctx;
use crate::words::{Words, number};

/// Longest name of a program that is looked for, as in bpftool.
const MAX_PROG_NAME: usize = 127;
/// Longest name of a map.
const MAX_MAP_NAME: usize = 15;

/// Calls `each` with every object of a kind until it fails.
pub(crate) fn every(
    ctx: &Ctx<'_>,
    kind: ObjKind,
    mut each: impl FnMut(&dyn Bpf, Fd) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let door = ctx.door()?;
    let mut id = 0;
    loop {
        id = match door.next_id(kind, id) {
            Ok(next) => next,
            Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EINVAL) => {
                let hint = " -- kernel too old?";
                let what = format!("can't get next {}", kind_name(kind));
                return Err(Fail::new(format!(
                    "{what}: {}{hint}",
                    crate::fail::strerror(Errno::EINVAL)
                )));
            }
            Err(errno) => {
                return Err(Fail::of(format!("can't get next {}", kind_name(kind)), errno));
            }
        };
        let fd = match door.fd_by_id(kind, id, 0) {
            Ok(fd) => fd,
            // It went away between two calls.
            Err(Errno::ENOENT) => continue,
            Err(errno) => {
                let what = format!("can't get {} by id ({id})", kind_name(kind));
                return Err(Fail::of(what, errno));
            }
        };
        let done = each(door, fd);
        let _ = door.close(fd);
        done?;
    }
}

fn kind_name(kind: ObjKind) -> &'static str {
    match kind {
        ObjKind::Prog => "program",
        ObjKind::Map => "map",
        ObjKind::Btf => "BTF object",
        ObjKind::Link => "link",
    }
}

/// The programs that the next words name.
pub(crate) fn progs(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<Vec<Fd>, Fail> {
    let door = ctx.door()?;
    if words.eat("id") {
        let id = id(words)?;
        let fd = door.fd_by_id(ObjKind::Prog, id, 0);
        return Ok(vec![ctx.keep(fd.map_err(|e| Fail::of(format!("get by id ({id})"), e))?)]);
    }
    if words.eat("tag") {
        let tag = parse_tag(words.next().unwrap_or("")).ok_or(Fail::new("can't parse tag"))?;
        return matching_progs(ctx, |info, _| info.tag == tag);
    }
    if words.eat("name") {
        let name = words.next().unwrap_or("");
        if name.len() > MAX_PROG_NAME {
            return Err(Fail::new("can't parse name"));
        }
        return matching_progs(ctx, |info, full| info.name == name || full == name);
    }
    if words.eat("pinned") {
        return Ok(vec![pinned(ctx, words.next().unwrap_or(""), ObjKind::Prog)?]);
    }
    let got = words.peek().unwrap_or("(null)");
    Err(Fail::new(format!("expected 'id', 'tag', 'name' or 'pinned', got: '{got}'?")))
}

/// The one program that the next words name.
pub(crate) fn prog(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<Fd, Fail> {
    one(progs(ctx, words)?, "programs")
}

/// The maps that the next words name.
pub(crate) fn maps(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<Vec<Fd>, Fail> {
    let door = ctx.door()?;
    if words.eat("id") {
        let id = id(words)?;
        let fd = door.fd_by_id(ObjKind::Map, id, 0);
        return Ok(vec![ctx.keep(fd.map_err(|e| Fail::of(format!("get map by id ({id})"), e))?)]);
    }
    if words.eat("name") {
        let name = words.next().unwrap_or("");
        if name.len() > MAX_MAP_NAME {
            return Err(Fail::new("can't parse name"));
        }
        let mut found = Vec::new();
        every(ctx, ObjKind::Map, |door, fd| {
            if door.map_info(fd).is_ok_and(|info| info.def.name == name) {
                found.extend(door.map_info(fd).map(|info| info.id));
            }
            Ok(())
        })?;
        return reopen(ctx, ObjKind::Map, &found);
    }
    if words.eat("pinned") {
        return Ok(vec![pinned(ctx, words.next().unwrap_or(""), ObjKind::Map)?]);
    }
    let got = words.peek().unwrap_or("(null)");
    Err(Fail::new(format!("expected 'id', 'name' or 'pinned', got: '{got}'?")))
}

/// The one map that the next words name.
pub(crate) fn map(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<Fd, Fail> {
    one(maps(ctx, words)?, "maps")
}

/// The one map that the next words name, with its attributes.
pub(crate) fn map_and_info(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<(Fd, MapInfo), Fail> {
    let fd = map(ctx, words)?;
    Ok((fd, map_info(ctx, fd)?))
}

/// What the door says of a map.
pub(crate) fn map_info(ctx: &Ctx<'_>, fd: Fd) -> Result<MapInfo, Fail> {
    ctx.door()?.map_info(fd).map_err(|errno| Fail::of("can't get map info", errno))
}

/// What the door says of a program.
pub(crate) fn prog_info(ctx: &Ctx<'_>, fd: Fd) -> Result<ProgInfo, Fail> {
    ctx.door()?.prog_info(fd).map_err(|errno| Fail::of("can't get prog info", errno))
}

fn one(mut fds: Vec<Fd>, what: &str) -> Result<Fd, Fail> {
    match (fds.pop(), fds.is_empty()) {
        (Some(fd), true) => Ok(fd),
        (Some(_), false) => Err(Fail::new(format!("several {what} match this handle"))),
        (None, _) => Err(Fail::silent(-1)),
    }
}

fn id(words: &mut Words<'_>) -> Result<u32, Fail> {
    let word = words.next().unwrap_or("");
    number(word, 0)
        .map(|id| id as u32)
        .ok_or_else(|| Fail::new(format!("can't parse {word} as ID")))
}

fn parse_tag(text: &str) -> Option<[u8; 8]> {
    let mut tag = [0; 8];
    for (at, byte) in tag.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(tag)
}

fn matching_progs(
    ctx: &Ctx<'_>,
    wanted: impl Fn(&ProgInfo, &str) -> bool,
) -> Result<Vec<Fd>, Fail> {
    let mut found = Vec::new();
    every(ctx, ObjKind::Prog, |door, fd| {
        let info = prog_info(ctx, fd)?;
        let full = crate::proto::full_name(door, &info);
        if wanted(&info, &full) {
            found.push(info.id);
        }
        Ok(())
    })?;
    reopen(ctx, ObjKind::Prog, &found)
}

fn reopen(ctx: &Ctx<'_>, kind: ObjKind, ids: &[u32]) -> Result<Vec<Fd>, Fail> {
    let door = ctx.door()?;
    // One that has gone since is not found.
    let open = |id: &u32| door.fd_by_id(kind, *id, 0).ok().map(|fd| ctx.keep(fd));
    Ok(ids.iter().filter_map(open).collect())
}

/// The object pinned at `path`, if it is of this kind.
pub(crate) fn pinned(ctx: &Ctx<'_>, path: &str, kind: ObjKind) -> Result<Fd, Fail> {
    let fd = ctx.door()?.obj_get(path, 0);
    let fd = fd.map_err(|errno| crate::pins::open_error(ctx, path, errno))?;
    let fd = ctx.keep(fd);
    let found = ctx.door()?.kind(fd);
    match found {
        Ok(found) if found == kind => Ok(fd),
        Ok(found) => {
            let name = match found {
                ObjKind::Prog => "prog",
                ObjKind::Map => "map",
                ObjKind::Btf => "btf",
                ObjKind::Link => "link",
            };
            Err(Fail::new(format!("incorrect object type: {name}")))
        }
        Err(_) => Err(Fail::new("unknown object type")),
    }
}
