//! `net …` and `perf …`: what is attached to interfaces and perf events.

mod dev;
mod live;

use std::fs;

use btf::print::JsonText;
use runtime::door::{
    AttachTo, Bpf, Fd, LinkInfo, LinkTarget, NetInfo, ObjKind, ProgAttach, ProgQuery,
};
use uapi::Errno;

use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, strerror};
use crate::options::Target;
use crate::prog::{number, string};
use crate::session::Ctx;
use crate::words::Words;
use crate::{handle, link};

pub(crate) use dev::dev;
pub(crate) use live::{down, exec, up};

/// `enum bpf_attach_type`.
const FLOW_DISSECTOR: u32 = 17;
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;

/// `XDP_FLAGS_*`.
const UPDATE_IF_NOEXIST: u32 = 1;
const XDP_SKB: u32 = 2;
const XDP_DRV: u32 = 4;
const XDP_HW: u32 = 8;
/// BPF_F_BEFORE.
const BEFORE: u32 = 8;

/// The name of a network interface of the target.
pub(crate) fn device_name(ctx: &Ctx<'_>, ifindex: u32) -> Option<String> {
    if ctx.target() != Target::Linux {
        let devices = ctx.door().ok()?.devices().ok()?;
        return devices.into_iter().find(|d| d.ifindex == ifindex).map(|d| d.made.name);
    }
    let entries = fs::read_dir("/sys/class/net").ok()?;
    entries.flatten().find_map(|entry| {
        let index = fs::read_to_string(entry.path().join("ifindex")).ok()?;
        (index.trim() == ifindex.to_string()).then(|| entry.file_name().to_string_lossy().into())
    })
}

/// The index of an interface; bpftool's error if there is none.
fn device(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<u32, Fail> {
    let name = words.next().unwrap_or_default();
    let index = if ctx.target() == Target::Linux {
        let plain = !name.is_empty() && !name.contains('/');
        let read = || fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok();
        plain.then(read).flatten().and_then(|text| text.trim().parse().ok())
    } else {
        let devices = ctx.door()?.devices().unwrap_or_default();
        devices.into_iter().find(|device| device.made.name == name).map(|device| device.ifindex)
    };
    index.ok_or_else(|| Fail::new(format!("invalid devname {name}")))
}

/// `net show [dev NAME]`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let mut only = None;
    if !words.is_empty() {
        if words.len() != 2 || !words.eat("dev") {
            return Err(crate::select::wrong_use("net"));
        }
        only = Some(device(ctx, &mut words)?);
    }
    in_kernel(ctx, "network interfaces")?;
    Ok(Answer::data(attached(ctx, only)?))
}

/// Interfaces and perf events of the kernel are asked about over other system calls than bpf(2).
fn in_kernel(ctx: &Ctx<'_>, what: &str) -> Result<(), Fail> {
    if ctx.target() != Target::Linux {
        return Ok(());
    }
    Err(Fail::of(format!("what is attached to the kernel's {what}"), Errno::EOPNOTSUPP))
}

/// Ways to attach: name, flags of XDP or attach type of tcx.
const ATTACH_TYPES: [(&str, Way); 6] = [
    ("xdp", Way::Xdp(0)),
    ("xdpgeneric", Way::Xdp(XDP_SKB)),
    ("xdpdrv", Way::Xdp(XDP_DRV)),
    ("xdpoffload", Way::Xdp(XDP_HW)),
    ("tcx_ingress", Way::Tcx(TCX_INGRESS)),
    ("tcx_egress", Way::Tcx(TCX_EGRESS)),
];

#[derive(Clone, Copy)]
enum Way {
    Xdp(u32),
    Tcx(u32),
}

/// `net attach TYPE PROG dev NAME [overwrite | prepend]`.
pub(crate) fn attach(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(5).map_err(invalid)?;
    let (kind, way) = attach_type(&mut words)?;
    let prog = handle::prog(ctx, &mut words).map_err(invalid)?;
    let ifindex = device_argument(ctx, &mut words)?;
    let (mut overwrite, mut prepend) = (false, false);
    if !words.is_empty() {
        match way {
            Way::Xdp(_) if words.eat("overwrite") => overwrite = true,
            Way::Tcx(_) if words.eat("prepend") => prepend = true,
            _ => {
                let got = words.peek().unwrap_or_default();
                let what = format!("expected 'overwrite' or 'prepend', got: '{got}'?");
                return Err(invalid(Fail::new(what)));
            }
        }
    }
    let door = ctx.door()?;
    let done = match way {
        Way::Xdp(mode) => {
            let flags = if overwrite { mode } else { mode | UPDATE_IF_NOEXIST };
            door.xdp_set(ifindex, Some(prog), flags)
        }
        Way::Tcx(attach_type) => {
            let flags = if prepend { BEFORE } else { 0 };
            door.prog_attach(&tcx(Some(prog), attach_type, flags, ifindex))
        }
    };
    done.map_err(|errno| {
        let fail = failed(kind, "attach", errno);
        let busy = errno == Errno::EBUSY && matches!(way, Way::Xdp(_)) && !overwrite;
        let message = "libbpf: Kernel error message: XDP program already attached\n";
        if busy { fail.after(message.into()) } else { fail }
    })?;
    Ok(Answer::null())
}

/// `net detach TYPE dev NAME`.
pub(crate) fn detach(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(3).map_err(invalid)?;
    let (kind, way) = attach_type(&mut words)?;
    let ifindex = device_argument(ctx, &mut words)?;
    let door = ctx.door()?;
    let done = match way {
        Way::Xdp(mode) => door.xdp_set(ifindex, None, mode),
        Way::Tcx(attach_type) => door.prog_detach(&tcx(None, attach_type, 0, ifindex)),
    };
    done.map_err(|errno| failed(kind, "detach", errno))?;
    Ok(Answer::null())
}

fn tcx(prog: Option<Fd>, attach_type: u32, flags: u32, ifindex: u32) -> ProgAttach {
    let to = AttachTo::Device { ifindex };
    ProgAttach { prog, attach_type, flags, to, ..ProgAttach::default() }
}

fn device_argument(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<u32, Fail> {
    if !words.eat("dev") {
        return Err(invalid(crate::select::wrong_use("net")));
    }
    device(ctx, words).map_err(invalid)
}

fn failed(kind: &str, what: &str, errno: Errno) -> Fail {
    let text = strerror(errno);
    Fail::new(format!("interface {kind} {what} failed: {text}")).code(-errno.0)
}

fn invalid(fail: Fail) -> Fail {
    fail.code(-Errno::EINVAL.0)
}

fn attach_type(words: &mut Words<'_>) -> Result<(&'static str, Way), Fail> {
    ATTACH_TYPES.into_iter().find(|(kind, _)| words.eat(kind)).ok_or_else(|| {
        let got = words.peek().unwrap_or_default();
        invalid(Fail::new(format!("invalid net attach/detach type: {got}")))
    })
}

/// What is attached to the network.
#[derive(Default)]
struct Hooks {
    xdp: Vec<Xdp>,
    tcx: Vec<Tcx>,
    clsact: Vec<Clsact>,
    flow_dissector: Vec<u32>,
    netfilter: Vec<LinkInfo>,
    networks: Vec<NetInfo>,
}

struct Xdp {
    device: String,
    ifindex: u32,
    mode: &'static str,
    prog: u32,
}

struct Tcx {
    device: String,
    ifindex: u32,
    kind: &'static str,
    name: String,
    prog: u32,
    link: u32,
}

struct Clsact {
    device: String,
    ifindex: u32,
    kind: &'static str,
    name: String,
    prog: u32,
}

fn attached(ctx: &Ctx<'_>, only: Option<u32>) -> Result<Hooks, Fail> {
    let door = ctx.door()?;
    let mut hooks = Hooks::default();
    let devices = door.devices().map_err(|errno| Fail::of("can't list interfaces", errno))?;
    for device in devices.iter().filter(|d| only.is_none_or(|only| only == d.ifindex)) {
        let (name, ifindex) = (&device.made.name, device.ifindex);
        if device.xdp_prog != 0 {
            let mode = if device.xdp_mode & XDP_SKB != 0 { "generic" } else { "driver" };
            hooks.xdp.push(Xdp { device: name.clone(), ifindex, mode, prog: device.xdp_prog });
        }
        for (attach_type, kind) in [(TCX_INGRESS, "tcx/ingress"), (TCX_EGRESS, "tcx/egress")] {
            let to = AttachTo::Device { ifindex };
            let queried = door.prog_query(&ProgQuery { attach_type, flags: 0, to });
            for prog in queried.map(|queried| queried.progs).unwrap_or_default() {
                let row = Tcx {
                    device: name.clone(),
                    ifindex,
                    kind,
                    name: prog_name(door, prog.id),
                    prog: prog.id,
                    link: prog.link,
                };
                hooks.tcx.push(row);
            }
        }
        hooks.clsact.extend(door.tc_filters(ifindex).unwrap_or_default().iter().map(|row| {
            Clsact {
                device: name.clone(),
                ifindex,
                kind: if row.egress { "clsact/egress" } else { "clsact/ingress" },
                name: row.label.clone(),
                prog: row.prog_id,
            }
        }));
    }
    hooks.networks = door.nets().unwrap_or_default();
    let to = AttachTo::Netns {};
    let queried = door.prog_query(&ProgQuery { attach_type: FLOW_DISSECTOR, flags: 0, to });
    let progs = queried.map(|queried| queried.progs).unwrap_or_default();
    hooks.flow_dissector = progs.iter().map(|prog| prog.id).collect();
    handle::every(ctx, ObjKind::Link, |door, fd| {
        let netfilter = |info: &LinkInfo| matches!(info.target, LinkTarget::Netfilter { .. });
        hooks.netfilter.extend(door.link_info(fd).ok().filter(netfilter));
        Ok(())
    })?;
    hooks.netfilter.sort_by_key(|info| match info.target {
        LinkTarget::Netfilter { pf, hook, priority, .. } => (pf, hook, priority),
        _ => (0, 0, 0),
    });
    Ok(hooks)
}

fn prog_name(door: &dyn Bpf, id: u32) -> String {
    let Ok(fd) = door.fd_by_id(ObjKind::Prog, id, 0) else { return String::new() };
    let info = door.prog_info(fd);
    // Nothing is lost if it is gone.
    let _ = door.close(fd);
    info.map(|info| crate::proto::full_name(door, &info)).unwrap_or_default()
}

impl Show for Hooks {
    fn plain(&self, out: &mut Vec<u8>) {
        let mut text = String::from("xdp:\n");
        for Xdp { device, ifindex, mode, prog } in &self.xdp {
            text += &format!("{device}({ifindex}) {mode} id {prog}\n");
        }
        text += "\ntc:\n";
        for Tcx { device, ifindex, kind, name, prog, link } in &self.tcx {
            text += &format!("{device}({ifindex}) {kind} {name} prog_id {prog} ");
            if *link != 0 {
                text += &format!("link_id {link} ");
            }
            text.push('\n');
        }
        for Clsact { device, ifindex, kind, name, prog } in &self.clsact {
            text += &format!("{device}({ifindex}) {kind} {name} id {prog}\n");
        }
        text += "\nflow_dissector:\n";
        for prog in &self.flow_dissector {
            text += &format!("id {prog}");
        }
        text += "\nnetfilter:\n";
        for info in &self.netfilter {
            let place = link::netfilter_text(&info.target);
            text += &format!("\n\t{place} prog_id {}", info.prog_id);
        }
        text.push('\n');
        if !self.networks.is_empty() {
            text += "\nnetworks:\n";
            text += &live::text(&self.networks);
        }
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        out.begin_object();
        list(out, "xdp", &self.xdp, |out, row| {
            string(out, "devname", &row.device);
            number(out, "ifindex", row.ifindex);
            string(out, "mode", row.mode);
            number(out, "id", row.prog);
        });
        out.name("tc");
        out.begin_array();
        self.tcx.iter().for_each(|row| row.json(out));
        self.clsact.iter().for_each(|row| row.json(out));
        out.end_array();
        list(out, "flow_dissector", &self.flow_dissector, |out, prog| number(out, "id", *prog));
        list(out, "netfilter", &self.netfilter, |out, info| {
            if let LinkTarget::Netfilter { pf, hook, priority, flags } = &info.target {
                number(out, "pf", pf);
                number(out, "hook", hook);
                number(out, "prio", priority);
                number(out, "flags", flags);
            }
            number(out, "id", info.prog_id);
        });
        if !self.networks.is_empty() {
            list(out, "networks", &self.networks, |out, net| {
                string(out, "name", &net.name);
                number(out, "pid", net.pid);
                list(out, "hosts", &net.hosts, |out, host| {
                    string(out, "name", &host.name);
                    string(out, "devname", &format!("{}/eth0", host.name));
                    number(out, "ifindex", host.ifindex);
                    string(out, "address", &host.address);
                    string(out, "mac", &host.mac);
                });
            });
        }
        out.end_object();
        out.end_array();
    }
}

impl Tcx {
    fn json(&self, out: &mut JsonText) {
        out.begin_object();
        string(out, "devname", &self.device);
        number(out, "ifindex", self.ifindex);
        string(out, "kind", self.kind);
        string(out, "name", &self.name);
        number(out, "prog_id", self.prog);
        list(out, "prog_flags", &[], |_, _: &()| {});
        number(out, "link_id", self.link);
        list(out, "link_flags", &[], |_, _: &()| {});
        out.end_object();
    }
}

impl Clsact {
    fn json(&self, out: &mut JsonText) {
        out.begin_object();
        string(out, "devname", &self.device);
        number(out, "ifindex", self.ifindex);
        string(out, "kind", self.kind);
        string(out, "name", &self.name);
        number(out, "id", self.prog);
        out.end_object();
    }
}

fn list<T>(out: &mut JsonText, name: &str, rows: &[T], fields: impl Fn(&mut JsonText, &T)) {
    out.name(name);
    out.begin_array();
    for row in rows {
        out.begin_object();
        fields(out, row);
        out.end_object();
    }
    out.end_array();
}

/// `perf show`.
pub(crate) fn perf(ctx: &Ctx<'_>, words: Words<'_>) -> Done {
    words.end()?;
    in_kernel(ctx, "perf events")?;
    Ok(Answer::data(Nothing))
}

/// A list without elements.
pub(crate) struct Nothing;

impl Show for Nothing {
    fn plain(&self, _: &mut Vec<u8>) {}

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        out.end_array();
    }
}
