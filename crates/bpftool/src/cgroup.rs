//! `cgroup …`: programs of control groups.
//!
//! Linux's groups are folders. The other targets have groups by name, below where Linux mounts its
//! own: a group is there as soon as something is attached to it.

use std::fs;

use btf::print::JsonText;
use runtime::door::{AttachTo, Bpf, Fd, ObjKind, ProgAttach, ProgQuery};
use uapi::Errno;

use crate::answer::{Answer, Done, Show};
use crate::fail::Fail;
use crate::feature::attach_type_name;
use crate::handle;
use crate::options::Target;
use crate::prog::{number, string};
use crate::select;
use crate::session::Ctx;
use crate::words::{Words, is_prefix};

/// Short names that programs' attach types had first.
const SHORT: [(&str, u32); 4] = [("ingress", 0), ("egress", 1), ("sock_ops", 3), ("device", 6)];
/// Attach types of other hooks begin at this number, but for a few.
const LAST: u32 = 53;
/// Where groups are.
const MOUNT: &str = "/sys/fs/cgroup";

const OVERRIDE: u32 = 1;
const MULTI: u32 = 2;
/// Of a query.
const EFFECTIVE: u32 = 1;

/// `cgroup show CGROUP [effective]`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(1)?;
    let group = words.take()?;
    open(ctx, group)?;
    let flags = effective(&mut words)?;
    let progs = programs(ctx, group, flags)?;
    let head = !progs.is_empty();
    Ok(Answer::data(Programs { progs, effective: flags != 0, head }))
}

/// `cgroup tree [CGROUP] [effective]`.
pub(crate) fn tree(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let mut root = MOUNT;
    if let Some(group) = words.peek().filter(|word| !is_prefix(word, "effective")) {
        words.next();
        open(ctx, group)?;
        root = group;
    }
    let flags = effective(&mut words)?;
    let root = root.trim_end_matches('/');
    let mut groups = Vec::new();
    for path in below(ctx, root)? {
        let progs = programs(ctx, &path, flags)?;
        let level = path[root.len()..].matches('/').count();
        if !progs.is_empty() {
            groups.push(Group { path, level, progs });
        }
    }
    Ok(Answer::data(Tree { groups, effective: flags != 0 }))
}

/// `cgroup attach CGROUP TYPE PROG [multi | override]`.
pub(crate) fn attach(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() < 4 {
        return Err(Fail::new("too few parameters for cgroup attach"));
    }
    let (group, attach_type, prog) = change(ctx, &mut words, true)?;
    let mut flags = 0;
    while !words.is_empty() {
        if words.eat("multi") {
            flags |= MULTI;
        } else if words.eat("override") {
            flags |= OVERRIDE;
        } else {
            let got = words.peek().unwrap_or_default();
            return Err(Fail::new(format!("unknown option: {got}")));
        }
    }
    let done = ctx.door()?.prog_attach(&request(group, attach_type, prog, flags));
    done.map_err(|_| Fail::new("failed to attach program"))?;
    Ok(Answer::null())
}

/// `cgroup detach CGROUP TYPE PROG`.
pub(crate) fn detach(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() < 4 {
        return Err(Fail::new("too few parameters for cgroup detach"));
    }
    let (group, attach_type, prog) = change(ctx, &mut words, false)?;
    let done = ctx.door()?.prog_detach(&request(group, attach_type, prog, 0));
    done.map_err(|_| Fail::new("failed to detach program"))?;
    Ok(Answer::null())
}

fn request(path: String, attach_type: u32, prog: Fd, flags: u32) -> ProgAttach {
    let to = AttachTo::Cgroup { path };
    ProgAttach { prog: Some(prog), attach_type, flags, to, ..ProgAttach::default() }
}

fn change(ctx: &Ctx<'_>, words: &mut Words<'_>, makes: bool) -> Result<(String, u32, Fd), Fail> {
    let group = words.take()?;
    if !(makes && is_name(ctx, group)) {
        open(ctx, group)?;
    }
    let word = words.take()?;
    let of_group = |number: &u32| {
        attach_type_name(*number).is_some_and(|name| name.starts_with("cgroup_") && name == word)
    };
    let short = SHORT.iter().find(|row| row.0 == word).map(|row| row.1);
    let attach_type = short.or_else(|| (0..=LAST).find(of_group));
    let attach_type = attach_type.ok_or_else(|| Fail::new("invalid attach type"))?;
    Ok((group.to_owned(), attach_type, handle::prog(ctx, words)?))
}

/// A name that a group of the target can have.
fn is_name(ctx: &Ctx<'_>, group: &str) -> bool {
    let below = group.strip_prefix(MOUNT).is_some_and(|r| r.is_empty() || r.starts_with('/'));
    ctx.target() != Target::Linux && below
}

fn open(ctx: &Ctx<'_>, group: &str) -> Result<(), Fail> {
    let path = group.trim_end_matches('/');
    let is_above = |known: &String| {
        known.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let named =
        is_name(ctx, group) && ctx.door()?.cgroups().is_ok_and(|known| known.iter().any(is_above));
    let there = named || fs::metadata(group).is_ok();
    if there { Ok(()) } else { Err(Fail::new(format!("can't open cgroup {group}"))) }
}

/// The flags of the query.
fn effective(words: &mut Words<'_>) -> Result<u32, Fail> {
    let flags = if words.eat("effective") { EFFECTIVE } else { 0 };
    if words.is_empty() { Ok(flags) } else { Err(select::wrong_use("cgroup")) }
}

/// A group and the groups below it, in the order of their paths.
fn below(ctx: &Ctx<'_>, root: &str) -> Result<Vec<String>, Fail> {
    if ctx.target() == Target::Linux {
        let mut found = Vec::new();
        walk(root, 0, &mut found);
        return Ok(found);
    }
    if !is_name(ctx, root) {
        return Err(not_queried(root, Errno::EBADF));
    }
    let mut known = ctx.door()?.cgroups().map_err(|errno| not_queried(root, errno))?;
    known.retain(|path| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    Ok(known)
}

/// Folders deep that groups are looked for.
const MAX_DEPTH: usize = 64;

fn walk(dir: &str, depth: usize, found: &mut Vec<String>) {
    found.push(dir.to_owned());
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if depth < MAX_DEPTH && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path().display().to_string(), depth + 1, found);
        }
    }
}

fn not_queried(group: &str, errno: Errno) -> Fail {
    Fail::of(format!("can't query bpf programs attached to {group}"), errno)
}

/// What is attached to a group.
fn programs(ctx: &Ctx<'_>, group: &str, flags: u32) -> Result<Vec<Program>, Fail> {
    let door = ctx.door()?;
    let mut programs = Vec::new();
    let mut failed = None;
    let mut asked = false;
    let of_group =
        |number: &u32| attach_type_name(*number).is_some_and(|n| n.starts_with("cgroup_"));
    for attach_type in (0..=LAST).filter(of_group) {
        let to = AttachTo::Cgroup { path: group.to_owned() };
        let queried = match door.prog_query(&ProgQuery { attach_type, flags, to }) {
            Ok(queried) => queried,
            Err(errno) => {
                failed = failed.or(Some(errno));
                continue;
            }
        };
        asked = true;
        for prog in queried.progs {
            programs.push(Program {
                id: prog.id,
                attach_type,
                flags: queried.flags,
                name: name(door, prog.id),
            });
        }
    }
    match failed {
        // Linux does not know every type.
        Some(errno) if !asked => Err(not_queried(group, errno)),
        _ => Ok(programs),
    }
}

fn name(door: &dyn Bpf, id: u32) -> String {
    let Ok(fd) = door.fd_by_id(ObjKind::Prog, id, 0) else { return String::new() };
    let info = door.prog_info(fd);
    // Nothing is lost if it is gone.
    let _ = door.close(fd);
    info.map(|info| crate::proto::full_name(door, &info)).unwrap_or_default()
}

struct Program {
    id: u32,
    attach_type: u32,
    /// Of the group's list.
    flags: u32,
    name: String,
}

impl Program {
    fn flags(&self) -> String {
        match self.flags {
            0 => String::new(),
            OVERRIDE => "override".into(),
            MULTI => "multi".into(),
            other => format!("unknown({other:x})"),
        }
    }

    fn text(&self, effective: bool, indent: &str) -> String {
        let kind = attach_type_name(self.attach_type).unwrap_or_default();
        let mut out = format!("{indent}{:<8} {kind:<15} ", self.id);
        if !effective {
            out += &format!("{:<15} ", self.flags());
        }
        out + &format!("{:<15} {:<15}\n", self.name, "")
    }

    fn fields(&self, effective: bool, out: &mut JsonText) {
        out.begin_object();
        number(out, "id", self.id);
        string(out, "attach_type", attach_type_name(self.attach_type).unwrap_or_default());
        if !effective {
            string(out, "attach_flags", &self.flags());
        }
        string(out, "name", &self.name);
        string(out, "attach_btf_name", "");
        number(out, "attach_btf_obj_id", 0);
        number(out, "attach_btf_id", 0);
        out.end_object();
    }
}

fn head(effective: bool) -> String {
    let flags = if effective { String::new() } else { format!("{:<15} ", "AttachFlags") };
    format!("{:<8} {:<15} {flags}{:<15}\n", "ID", "AttachType", "Name")
}

/// The programs of one group.
struct Programs {
    progs: Vec<Program>,
    effective: bool,
    head: bool,
}

impl Show for Programs {
    fn plain(&self, out: &mut Vec<u8>) {
        if self.head {
            out.extend_from_slice(head(self.effective).as_bytes());
        }
        for prog in &self.progs {
            out.extend_from_slice(prog.text(self.effective, "").as_bytes());
        }
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        self.progs.iter().for_each(|prog| prog.fields(self.effective, out));
        out.end_array();
    }
}

struct Group {
    path: String,
    level: usize,
    progs: Vec<Program>,
}

/// The programs of many groups.
struct Tree {
    groups: Vec<Group>,
    effective: bool,
}

impl Show for Tree {
    fn plain(&self, out: &mut Vec<u8>) {
        let mut text = format!("CgroupPath\n{}", head(self.effective));
        for group in &self.groups {
            text += &format!("{}\n", group.path);
            let indent = if group.level > 0 { "    " } else { "" };
            group.progs.iter().for_each(|prog| text += &prog.text(self.effective, indent));
        }
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        for group in &self.groups {
            out.begin_object();
            string(out, "cgroup", &group.path);
            out.name("programs");
            out.begin_array();
            group.progs.iter().for_each(|prog| prog.fields(self.effective, out));
            out.end_array();
            out.end_object();
        }
        out.end_array();
    }
}
