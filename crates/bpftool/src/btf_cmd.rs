//! `btf …`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use btf::print::JsonText;
use btf::{Btf, TypeId, c, raw};
use runtime::door::{BtfInfo, Fd, ObjKind};
use uapi::Errno;

use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, io_errno, strerror};
use crate::handle;
use crate::prog::{number, string};
use crate::refs::{Ref, Refs};
use crate::session::Ctx;
use crate::words::{Words, number as parse};

/// `btf show [id N]`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let mut only = None;
    if words.len() == 2 {
        if !words.eat("id") {
            let got = words.peek().unwrap_or_default();
            return Err(Fail::new(format!("expected 'id', got: '{got}'?")));
        }
        let word = words.take()?;
        let id = parse(word, 0).ok_or_else(|| Fail::new(format!("can't parse {word} as ID")))?;
        let id = id as u32;
        let fd = ctx.door()?.fd_by_id(ObjKind::Btf, id, 0);
        let what = format!("can't get BTF object by id ({id})");
        only = Some((ctx.keep(fd.map_err(|errno| Fail::errno(what, errno))?), id));
    }
    words.end()?;
    let users = Users::find(ctx)?;
    let refs = Refs::find(ctx, ObjKind::Btf)?;
    let mut rows = Vec::new();
    match only {
        Some((fd, _)) => rows.push(row(ctx, fd, &users, &refs)?),
        None => handle::every(ctx, ObjKind::Btf, |_, fd| {
            rows.push(row(ctx, fd, &users, &refs)?);
            Ok(())
        })?,
    }
    Ok(Answer::data(Blobs { rows, array: only.is_none() }))
}

/// Programs and maps by the BTF they refer to.
#[derive(Default)]
struct Users {
    progs: BTreeMap<u32, Vec<u32>>,
    maps: BTreeMap<u32, Vec<u32>>,
}

impl Users {
    fn find(ctx: &Ctx<'_>) -> Result<Users, Fail> {
        let mut users = Users::default();
        handle::every(ctx, ObjKind::Prog, |_, fd| {
            let info = handle::prog_info(ctx, fd)?;
            if info.btf_id != 0 {
                users.progs.entry(info.btf_id).or_default().push(info.id);
            }
            Ok(())
        })?;
        handle::every(ctx, ObjKind::Map, |_, fd| {
            // A type of map that is not known here uses nothing that is.
            let Ok(info) = handle::map_info(ctx, fd) else { return Ok(()) };
            if info.btf_id != 0 {
                users.maps.entry(info.btf_id).or_default().push(info.id);
            }
            Ok(())
        })?;
        Ok(users)
    }
}

fn row(ctx: &Ctx<'_>, fd: Fd, users: &Users, refs: &Refs) -> Result<Row, Fail> {
    let info = ctx.door()?.btf_info(fd);
    let info = info.map_err(|errno| Fail::of("can't get BTF object info", errno))?;
    let of = |map: &BTreeMap<u32, Vec<u32>>| map.get(&info.id).cloned().unwrap_or_default();
    Ok(Row { progs: of(&users.progs), maps: of(&users.maps), refs: refs.of(info.id), info })
}

struct Blobs {
    rows: Vec<Row>,
    array: bool,
}

struct Row {
    info: BtfInfo,
    progs: Vec<u32>,
    maps: Vec<u32>,
    refs: Ref,
}

impl Show for Blobs {
    fn plain(&self, out: &mut Vec<u8>) {
        for row in &self.rows {
            let info = &row.info;
            let name = match (info.kernel_btf, info.name.as_str()) {
                (true, name) => format!("[{name}]"),
                (false, "") => "<anon>".to_owned(),
                (false, name) => name.to_owned(),
            };
            let mut text = format!("{}: name {name}  size {}B", info.id, info.data.len());
            for (label, ids) in [("prog_ids", &row.progs), ("map_ids", &row.maps)] {
                if !ids.is_empty() {
                    let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
                    text += &format!("  {label} {}", ids.join(","));
                }
            }
            text += &row.refs.pids_text();
            text.push('\n');
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn json(&self, out: &mut JsonText) {
        if self.array {
            out.begin_array();
        }
        for row in &self.rows {
            out.begin_object();
            number(out, "id", row.info.id);
            number(out, "size", row.info.data.len());
            for (label, ids) in [("prog_ids", &row.progs), ("map_ids", &row.maps)] {
                out.name(label);
                out.begin_array();
                ids.iter().for_each(|id| out.raw(format_args!("{id}")));
                out.end_array();
            }
            number(out, "kernel", row.info.kernel_btf);
            if !row.info.name.is_empty() {
                string(out, "name", &row.info.name);
            }
            row.refs.pids_json(out);
            out.end_object();
        }
        if self.array {
            out.end_array();
        }
    }
}

/// Largest file that types are read from.
const MAX_FILE: u64 = 256 << 20;

/// `btf dump SOURCE [format FORMAT] [root_id N]`.
pub(crate) fn dump(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(2)?;
    let Source { btf, mut roots } = source(ctx, &mut words)?;
    let mut as_c = false;
    let mut options = c::Options::CURRENT;
    let mut named = Vec::new();
    while !words.is_empty() {
        if words.eat("format") {
            words.need(1).map_err(|_| Fail::new("expecting value for 'format' option"))?;
            if words.eat("c") {
                as_c = true;
            } else if !words.eat("raw") {
                let got = words.peek().unwrap_or_default();
                let what =
                    format!("unrecognized format specifier: '{got}', possible values: raw, c");
                return Err(Fail::new(what).code(-Errno::EINVAL.0));
            }
        } else if words.eat("unsorted") {
            options.sorted = false;
        } else if words.eat("root_id") {
            let word = words.next().ok_or(Fail::new("expecting value for 'root_id' option"))?;
            let id = parse(word, 0);
            let id = id.ok_or_else(|| Fail::new(format!("can't parse {word} as root ID")))?;
            if btf.ty(TypeId(id as u32)).is_none() {
                return Err(Fail::new(format!("invalid root ID: {id}")).code(-Errno::EINVAL.0));
            }
            named.push(TypeId(id as u32));
        } else {
            let got = words.peek().unwrap_or_default();
            return Err(Fail::new(format!("unrecognized option: '{got}'")).code(-Errno::EINVAL.0));
        }
    }
    if !named.is_empty() {
        if roots.is_some() {
            return Err(Fail::new("multiple roots are not supported: use either a map or root_id"));
        }
        roots = Some(named);
    }
    if as_c {
        if ctx.options.json {
            return Err(Fail::new("JSON output for C-syntax dump is not supported")
                .code(-Errno::EOPNOTSUPP.0));
        }
        let text = c::header(&btf, roots.as_deref(), options);
        let text = text.map_err(|error| Fail::new(format!("types as C: {error}")))?;
        return Ok(Answer::data(crate::answer::Raw(text.into_bytes())));
    }
    Ok(Answer::data(Types { btf, roots }))
}

struct Source {
    btf: Arc<Btf>,
    roots: Option<Vec<TypeId>>,
}

fn source(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<Source, Fail> {
    if words.eat("map") {
        words.need(2)?;
        let (_, info) = handle::map_and_info(ctx, words)?;
        let (key, value) = (info.def.btf_key_type_id, info.def.btf_value_type_id);
        let both = vec![TypeId(key), TypeId(value)];
        let roots = if words.eat("key") {
            Some(vec![TypeId(key)])
        } else if words.eat("value") {
            Some(vec![TypeId(value)])
        } else if words.eat("all") {
            None
        } else {
            words.eat("kv");
            Some(both)
        };
        let roots = roots.map(|ids| ids.into_iter().filter(|id| id.0 != 0).collect());
        return Ok(Source { btf: by_id(ctx, info.btf_id)?, roots });
    }
    if words.eat("prog") {
        words.need(2)?;
        let fd = handle::prog(ctx, words)?;
        let info = handle::prog_info(ctx, fd)?;
        return Ok(Source { btf: by_id(ctx, info.btf_id)?, roots: None });
    }
    if words.eat("id") {
        let word = words.take()?;
        let id = parse(word, 0).ok_or_else(|| Fail::new(format!("can't parse {word} as ID")))?;
        // Formats are judged before there is any such BTF.
        check_format(words)?;
        return Ok(Source { btf: by_id(ctx, id as u32)?, roots: None });
    }
    if words.eat("file") {
        let file = words.take()?;
        return Ok(Source { btf: from_file(ctx, file)?, roots: None });
    }
    let got = words.peek().unwrap_or_default();
    Err(Fail::new(format!("unrecognized BTF source specifier: '{got}'")))
}

fn check_format(words: &Words<'_>) -> Result<(), Fail> {
    let mut rest = words.clone();
    if !rest.eat("format") || rest.is_empty() || rest.eat("c") || rest.eat("raw") {
        return Ok(());
    }
    let got = rest.peek().unwrap_or_default();
    let what = format!("unrecognized format specifier: '{got}', possible values: raw, c");
    Err(Fail::new(what).code(-Errno::EINVAL.0))
}

/// Types that are loaded.
pub(crate) fn by_id(ctx: &Ctx<'_>, id: u32) -> Result<Arc<Btf>, Fail> {
    let door = ctx.door()?;
    let refused = |errno: Errno| {
        let text = strerror(errno);
        Fail::new(format!("can't get BTF object by id ({id}): {text}"))
            .and(format!("get btf by id ({id}): {text}"))
            .code(-errno.0)
    };
    if id == 0 {
        return Err(refused(Errno::ENOENT));
    }
    let fd = ctx.keep(door.fd_by_id(ObjKind::Btf, id, 0).map_err(refused)?);
    let info = door.btf_info(fd).map_err(refused)?;
    let parsed = if info.kernel_btf && info.name != "vmlinux" {
        Btf::parse_split(&info.data, base(ctx)?)
    } else {
        Btf::parse(&info.data)
    };
    parsed.map(Arc::new).map_err(|error| Fail::new(format!("get btf by id ({id}): {error}")))
}

fn base(ctx: &Ctx<'_>) -> Result<Arc<Btf>, Fail> {
    match &ctx.options.base_btf {
        Some(file) => from_file_alone(ctx, &file.display().to_string(), None),
        None => ctx.kernel().types().map_err(|error| Fail::new(error.to_string())),
    }
}

/// Types of an ELF object, or of a file that is BTF and nothing else.
pub(crate) fn from_file(ctx: &Ctx<'_>, file: &str) -> Result<Arc<Btf>, Fail> {
    let module = Path::new(file).starts_with("/sys/kernel/btf") && !file.ends_with("/vmlinux");
    let split = ctx.options.base_btf.is_some() || module;
    let base = if split { Some(base(ctx)?) } else { None };
    from_file_alone(ctx, file, base)
}

fn from_file_alone(ctx: &Ctx<'_>, file: &str, base: Option<Arc<Btf>>) -> Result<Arc<Btf>, Fail> {
    let what = format!("failed to load BTF from {file}");
    let bytes = ctx.read(file, MAX_FILE);
    let bytes = bytes.map_err(|error| Fail::errno(&what, io_errno(&error)))?;
    let data = match bytes.starts_with(b"\x7fELF") {
        true => crate::elf::section(&bytes, ".BTF").ok_or(Fail::errno(&what, Errno::ENODATA))?,
        false => bytes,
    };
    let parsed = match base {
        Some(base) => Btf::parse_split(&data, base),
        None => Btf::parse(&data),
    };
    parsed.map(Arc::new).map_err(|_| Fail::errno(&what, Errno::EINVAL))
}

/// Types line by line.
struct Types {
    btf: Arc<Btf>,
    roots: Option<Vec<TypeId>>,
}

impl Show for Types {
    fn plain(&self, out: &mut Vec<u8>) {
        let text = match &self.roots {
            None => raw::dump(&self.btf),
            Some(roots) => {
                let types = roots.iter().filter_map(|id| self.btf.ty(*id));
                types.map(|ty| raw::text(&ty)).collect()
            }
        };
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        let Some(roots) = &self.roots else { return raw::dump_json(&self.btf, out) };
        out.begin_object();
        out.name("types");
        out.begin_array();
        for ty in roots.iter().filter_map(|id| self.btf.ty(*id)) {
            raw::json(&ty, out);
        }
        out.end_array();
        out.end_object();
    }
}
