//! `link …` and `iter …`.

use btf::print::JsonText;
use runtime::door::{Fd, LinkInfo, LinkTarget, ObjKind};

use crate::answer::{Answer, Done};
use crate::fail::{Fail, strerror};
use crate::feature::attach_type_name;
use crate::list::{self, List, Row};
use crate::net::device_name;
use crate::prog::{number, string};
use crate::refs::{Ref, Refs};
use crate::session::Ctx;
use crate::words::{Words, number as parse};
use crate::{handle, pins};

/// `enum bpf_link_type`, by number.
pub(crate) const TYPES: [&str; 16] = [
    "unspec",
    "raw_tracepoint",
    "tracing",
    "cgroup",
    "iter",
    "netns",
    "xdp",
    "perf_event",
    "kprobe_multi",
    "struct_ops",
    "netfilter",
    "tcx",
    "uprobe_multi",
    "netkit",
    "sockmap",
    "tracing_multi",
];

/// `link show [LINK]`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let refs = Refs::find(ctx, ObjKind::Link)?;
    if words.len() == 2 {
        let fd = link(ctx, &mut words)?;
        let rows = vec![row(ctx, fd, &refs)?];
        // bpftool gives 255 here although all went well; scripts know it so.
        let status = Some(Fail::silent(-1));
        return Ok(Answer::data(List { rows, array: false }).ends(status));
    }
    words.end()?;
    let rows = list::every(ctx, ObjKind::Link, &refs, row)?;
    Ok(Answer::data(List { rows, array: true }))
}

/// `link pin LINK PATH`.
pub(crate) fn pin(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    pins::pin_named(ctx, &mut words, link)?;
    Ok(Answer::null())
}

/// `link detach LINK`.
pub(crate) fn detach(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() != 2 {
        return Err(Fail::new("link specifier is invalid or missing"));
    }
    let fd = link(ctx, &mut words)?;
    let done = ctx.door()?.link_detach(fd);
    // bpftool gives 1 here, whatever the error.
    done.map_err(|errno| {
        let text = strerror(errno);
        Fail::new(format!("failed link detach: {text}")).code(1)
    })?;
    Ok(Answer::null())
}

fn link(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<Fd, Fail> {
    if words.eat("id") {
        let word = words.next().unwrap_or_default();
        let id = parse(word, 0).ok_or_else(|| Fail::new(format!("can't parse {word} as ID")))?;
        let fd = ctx.door()?.fd_by_id(ObjKind::Link, id as u32, 0);
        let what = format!("failed to get link with ID {id}");
        return Ok(ctx.keep(fd.map_err(|errno| Fail::errno(what, errno))?));
    }
    if words.eat("pinned") {
        return handle::pinned(ctx, words.next().unwrap_or_default(), ObjKind::Link);
    }
    let got = words.peek().unwrap_or("(null)");
    Err(Fail::new(format!("expected 'id' or 'pinned', got: '{got}'?")))
}

fn row(ctx: &Ctx<'_>, fd: Fd, refs: &Refs) -> Result<LinkRow, Fail> {
    let info = ctx.door()?.link_info(fd);
    let info = info.map_err(|errno| Fail::of("can't get link info", errno))?;
    let device = match info.target {
        LinkTarget::Xdp { ifindex } | LinkTarget::Device { ifindex, .. } => {
            device_name(ctx, ifindex)
        }
        _ => None,
    };
    Ok(LinkRow { refs: refs.of(info.id), info, device })
}

struct LinkRow {
    info: LinkInfo,
    /// The name of the interface, where the link is of one that is there.
    device: Option<String>,
    refs: Ref,
}

/// The hook's name of an IP netfilter link, as it is shown before its priority.
fn netfilter_place(pf: u32, hook: u32) -> String {
    const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];
    let family = match pf {
        2 => "ip".to_owned(),
        10 => "ip6".to_owned(),
        other => format!("pf: {other}"),
    };
    match HOOKS.get(hook as usize) {
        Some(name) => format!("{family} {name}"),
        None => format!("{family} hook {hook}"),
    }
}

/// `ip prerouting prio -128`.
pub(crate) fn netfilter_text(target: &LinkTarget) -> String {
    let LinkTarget::Netfilter { pf, hook, priority, flags } = target else { return String::new() };
    let defrag = if flags & 1 != 0 { " defrag" } else { "" };
    format!("{} prio {priority}{defrag}", netfilter_place(*pf, *hook))
}

impl LinkRow {
    /// `eth0(2)`.
    fn device(&self, ifindex: u32) -> String {
        match &self.device {
            _ if ifindex == 0 => "(detached)".into(),
            Some(name) => format!("{name}({ifindex})"),
            None => format!("(unknown)({ifindex})"),
        }
    }

    fn type_name(&self) -> Option<&'static str> {
        TYPES.get(self.info.link_type as usize).copied()
    }
}

impl Row for LinkRow {
    fn text(&self) -> String {
        let info = &self.info;
        let mut out = match self.type_name() {
            Some(name) => format!("{}: {name}  ", info.id),
            None => format!("{}: type {}  ", info.id, info.link_type),
        };
        if info.prog_id != 0 {
            out += &format!("prog {}  ", info.prog_id);
        }
        let attach = |number| match attach_type_name(number) {
            Some(name) => format!("attach_type {name}  "),
            None => format!("attach_type {number}  "),
        };
        out += &match &info.target {
            LinkTarget::None => String::new(),
            LinkTarget::RawTracepoint { name } => format!("\n\ttp '{name}'  "),
            LinkTarget::Tracing { attach_type, obj_id, btf_id } => format!(
                "\n\t{}\n\ttarget_obj_id {obj_id}  target_btf_id {btf_id}  ",
                attach(*attach_type).trim_end()
            ),
            LinkTarget::Cgroup { cgroup_id, attach_type } => {
                format!("\n\tcgroup_id {cgroup_id}  {}", attach(*attach_type))
            }
            LinkTarget::Iter { target, map_id } => {
                let map = if *map_id != 0 { format!("map_id {map_id}  ") } else { String::new() };
                format!("target_name {target}  {map}")
            }
            LinkTarget::Netns { inode, attach_type } => {
                format!("\n\tnetns_ino {inode}  {}", attach(*attach_type))
            }
            LinkTarget::Xdp { ifindex } => format!("\n\tifindex {}  ", self.device(*ifindex)),
            LinkTarget::Device { ifindex, attach_type } => {
                format!("\n\tifindex {}  {}", self.device(*ifindex), attach(*attach_type))
            }
            target @ LinkTarget::Netfilter { .. } => format!("\n\t{}", netfilter_text(target)),
            LinkTarget::StructOps { map_id } => format!("\n\tmap {map_id}  "),
        };
        out += &self.refs.pins_text();
        out += &self.refs.pids_text();
        out + "\n"
    }

    fn fields(&self, out: &mut JsonText) {
        let info = &self.info;
        out.begin_object();
        number(out, "id", info.id);
        match self.type_name() {
            Some(name) => string(out, "type", name),
            None => number(out, "type", info.link_type),
        }
        if info.prog_id != 0 {
            number(out, "prog_id", info.prog_id);
        }
        self.target(out);
        self.refs.pins_json(out);
        self.refs.pids_json(out);
        out.end_object();
    }
}

impl LinkRow {
    fn target(&self, out: &mut JsonText) {
        let attach = |out: &mut JsonText, raw: u32| match attach_type_name(raw) {
            Some(name) => string(out, "attach_type", name),
            None => number(out, "attach_type", raw),
        };
        let device = |out: &mut JsonText, ifindex: u32| {
            let unknown = if ifindex == 0 { "(detached)" } else { "(unknown)" };
            string(out, "devname", self.device.as_deref().unwrap_or(unknown));
            number(out, "ifindex", ifindex);
        };
        match &self.info.target {
            LinkTarget::None => {}
            LinkTarget::RawTracepoint { name } => string(out, "tp_name", name),
            LinkTarget::Tracing { attach_type, obj_id, btf_id } => {
                attach(out, *attach_type);
                number(out, "target_obj_id", obj_id);
                number(out, "target_btf_id", btf_id);
            }
            LinkTarget::Cgroup { cgroup_id, attach_type } => {
                number(out, "cgroup_id", cgroup_id);
                attach(out, *attach_type);
            }
            LinkTarget::Iter { target, map_id } => {
                string(out, "target_name", target);
                if *map_id != 0 {
                    number(out, "map_id", map_id);
                }
            }
            LinkTarget::Netns { inode, attach_type } => {
                number(out, "netns_ino", inode);
                attach(out, *attach_type);
            }
            LinkTarget::Xdp { ifindex } => device(out, *ifindex),
            LinkTarget::Device { ifindex, attach_type } => {
                device(out, *ifindex);
                attach(out, *attach_type);
            }
            LinkTarget::Netfilter { pf, hook, priority, flags } => {
                number(out, "pf", pf);
                number(out, "hook", hook);
                number(out, "prio", priority);
                number(out, "flags", flags);
            }
            LinkTarget::StructOps { map_id } => number(out, "map_id", map_id),
        }
    }
}
