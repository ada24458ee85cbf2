//! `struct_ops …` and `token …`.

mod dump;

use btf::TypeId;
use runtime::door::{Bpf, Fd, LinkCreate, MapInfo, ObjKind};
use uapi::{Errno, MapType, map_flags};

use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, strerror};
use crate::handle;
use crate::net::Nothing;
use crate::prog::{Load, load_object, number, string};
use crate::session::Ctx;
use crate::words::{Words, number as parse};

/// `struct_ops show [id N | name NAME]`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let wanted = wanted(&mut words)?;
    words.end()?;
    let mut rows = Vec::new();
    search(ctx, wanted.as_ref(), |_, _, info| {
        let structure = structure(ctx, info);
        rows.push(Row { id: info.id, name: info.def.name.clone(), structure });
    })?;
    let missing = wanted.filter(|_| rows.is_empty());
    let json = ctx.options.json;
    let end = missing.map(|wanted| match json {
        true => Fail::silent(-1),
        false => Fail::new(format!("no struct_ops found for {}", wanted.text)),
    });
    Ok(Answer::data(Rows(rows)).ends(end))
}

struct Wanted {
    id: Option<u32>,
    text: String,
}

fn wanted(words: &mut Words<'_>) -> Result<Option<Wanted>, Fail> {
    if words.is_empty() {
        return Ok(None);
    }
    if words.eat("id") {
        let word = words.next().unwrap_or_default();
        let id = parse(word, 0).filter(|id| *id != 0);
        let id = id.ok_or_else(|| Fail::new(format!("invalid id {word}")))? as u32;
        return Ok(Some(Wanted { id: Some(id), text: word.to_owned() }));
    }
    if words.eat("name") {
        let text = words.next().unwrap_or_default().to_owned();
        return Ok(Some(Wanted { id: None, text }));
    }
    let got = words.peek().unwrap_or_default();
    Err(Fail::new(format!("expected 'id' or 'name', got: '{got}'?")))
}

struct Row {
    id: u32,
    name: String,
    structure: String,
}

struct Rows(Vec<Row>);

impl Show for Rows {
    fn plain(&self, out: &mut Vec<u8>) {
        for row in &self.0 {
            let text = format!("{}: {:<15} {:<32}\n", row.id, row.name, row.structure);
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn json(&self, out: &mut btf::print::JsonText) {
        out.begin_array();
        for row in &self.0 {
            out.begin_object();
            number(out, "id", row.id);
            string(out, "name", &row.name);
            string(out, "kernel_struct_ops", &row.structure);
            out.end_object();
        }
        out.end_array();
    }
}

/// `struct_ops register OBJECT [DIR]`.
pub(crate) fn register(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(1)?;
    let file = words.take()?;
    let dir = words.next();
    words.end()?;
    let loaded = load_object(ctx, file, &Load::default())?;
    let maps = loaded.object.spec().maps.iter().zip(&loaded.fds.maps);
    let (mut said, mut errors, mut count) = (String::new(), Vec::new(), 0);
    for (map, &fd) in maps.filter(|(map, fd)| map.def.map_type == MapType::StructOps && fd.0 >= 0) {
        let value = ring3::load::struct_ops_value(map, &loaded.fds).unwrap_or_default();
        match attach(ctx, fd, map.def.flags & map_flags::LINK != 0, &value) {
            Ok(link) => {
                count += 1;
                match registered(ctx, fd, link, dir) {
                    Ok(text) => said += &text,
                    Err(fail) => errors.extend(fail.errors),
                }
            }
            Err(errno) => {
                let why = strerror(errno);
                errors.push(format!("can't register struct_ops {}: {why}", map.name));
            }
        }
    }
    ring3::load::close(ctx.door()?, &loaded.fds);
    let silent = ctx.options.json;
    let before = if silent { String::new() } else { said };
    if errors.is_empty() && count == 0 {
        errors.push(format!("no struct_ops found in {file}"));
    }
    let code = if errors.is_empty() { 0 } else { -1 };
    let end = Some(Fail { code, before, errors, ..Fail::default() });
    Ok(if code == 0 { Answer::null().ends(end) } else { Answer::none().ends(end) })
}

/// Registers a map's structure, by a link where the map wants one.
fn attach(ctx: &Ctx<'_>, map: Fd, by_link: bool, value: &[u8]) -> Result<Option<Fd>, Errno> {
    const STRUCT_OPS: u32 = 44;
    let door = ctx.door().map_err(|_| Errno::EBADF)?;
    match door.map_update(map, &[0; 4], value, 0) {
        // It is ready from an earlier time.
        Err(Errno::EBUSY) if by_link => {}
        done => done?,
    }
    if !by_link {
        return Ok(None);
    }
    let req = LinkCreate { prog: map, attach_type: STRUCT_OPS, ..LinkCreate::default() };
    door.link_create(&req).map(|link| Some(ctx.keep(link)))
}

/// What there is to say of a registered structure, its link pinned in `dir`.
fn registered(ctx: &Ctx<'_>, map: Fd, link: Option<Fd>, dir: Option<&str>) -> Result<String, Fail> {
    let door = ctx.door()?;
    let info = door.map_info(map).map_err(|errno| Fail::of("can't get map info", errno))?;
    let (structure, name) = (structure(ctx, &info), &info.def.name);
    let Some(link) = link else {
        return Ok(format!("Registered {structure} {name} id {}\n", info.id));
    };
    let id = door
        .link_info(link)
        .map_err(|errno| Fail::of(format!("Registered {name} but can't find link id"), errno))?;
    let id = id.id;
    if let Some(dir) = dir {
        door.obj_pin(link, &format!("{dir}/{name}"))
            .map_err(|errno| Fail::of(format!("can't pin link {id} for {name}"), errno))?;
    }
    Ok(format!("Registered {structure} {name} map id {} link id {id}\n", info.id))
}

/// `struct_ops unregister id N|name NAME`.
pub(crate) fn unregister(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(2)?;
    let wanted = wanted(&mut words)?;
    words.end()?;
    let mut said = String::new();
    let mut errors = Vec::new();
    let found = search(ctx, wanted.as_ref(), |door, fd, info| {
        let (structure, name) = (structure(ctx, info), &info.def.name);
        match door.map_delete(fd, &[0; 4]) {
            Ok(()) => said += &format!("Unregistered {structure} {name} id {}\n", info.id),
            Err(errno) => {
                let (id, why) = (info.id, strerror(errno));
                errors.push(format!("can't unload {structure} {name} id {id}: {why}"));
            }
        }
    })?;
    if found == 0 && errors.is_empty() {
        let text = wanted.map(|wanted| wanted.text).unwrap_or_default();
        return Err(Fail::new(format!("no struct_ops found for {text}")));
    }
    let before = if ctx.options.json { String::new() } else { said };
    let code = if errors.is_empty() { 0 } else { -1 };
    let end = Some(Fail { code, before, errors, ..Fail::default() });
    Ok(if code == 0 { Answer::null().ends(end) } else { Answer::none().ends(end) })
}

/// `struct_ops dump [id N|name NAME]`.
pub(crate) fn dump(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let wanted = wanted(&mut words)?;
    words.end()?;
    let types = ctx.kernel().types().map_err(|error| Fail::new(error.to_string()))?;
    let (mut maps, mut errors) = (Vec::new(), Vec::new());
    let found = search(ctx, wanted.as_ref(), |door, fd, info| {
        match dump::Structure::read(door, fd, info, &types) {
            Ok(read) => maps.push(read),
            Err(_) => {
                let (name, id) = (&info.def.name, info.id);
                errors.push(format!("can't lookup struct_ops map {name} id {id}"));
            }
        }
    })?;
    let missing = found == 0 && wanted.is_some();
    let code = if errors.is_empty() && !missing { 0 } else { -1 };
    let end = Some(Fail { code, errors, ..Fail::default() });
    Ok(Answer::data(dump::Dump(maps)).ends(end))
}

/// Does something with each map of struct_ops that is wanted; how many there are.
fn search(
    ctx: &Ctx<'_>,
    wanted: Option<&Wanted>,
    mut each: impl FnMut(&dyn Bpf, Fd, &MapInfo),
) -> Result<usize, Fail> {
    let mut found = 0;
    if let Some((id, text)) = wanted.and_then(|wanted| Some((wanted.id?, &wanted.text))) {
        let door = ctx.door()?;
        let fd = door.fd_by_id(ObjKind::Map, id, 0);
        let what = format!("can't get map by id ({text})");
        let fd = ctx.keep(fd.map_err(|errno| Fail::of(what, errno))?);
        let info = door.map_info(fd).map_err(|errno| Fail::of("can't get map info", errno))?;
        if info.def.map_type != MapType::StructOps {
            let name = &info.def.name;
            return Err(Fail::new(format!("{name} id {id} is not a struct_ops map")));
        }
        each(door, fd, &info);
        return Ok(1);
    }
    handle::every(ctx, ObjKind::Map, |door, fd| {
        let Ok(info) = door.map_info(fd) else { return Ok(()) };
        let named = wanted.is_none_or(|wanted| wanted.text == info.def.name);
        if info.def.map_type == MapType::StructOps && named {
            found += 1;
            each(door, fd, &info);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The name of the kernel's structure.
fn structure(ctx: &Ctx<'_>, info: &MapInfo) -> String {
    let types = ctx.kernel().types().ok();
    let ty = types.as_ref().and_then(|types| types.ty(TypeId(info.def.btf_vmlinux_value_type_id)));
    let name = ty.map_or("", |ty| ty.name);
    name.strip_prefix("bpf_struct_ops_").unwrap_or(name).to_owned()
}

/// `token show`: tokens belong to mounted file systems, and nothing is mounted here.
pub(crate) fn token(_: &Ctx<'_>, words: Words<'_>) -> Done {
    words.end()?;
    Ok(Answer::data(Nothing))
}
