//! `net …` and `perf …`: what is attached to interfaces and perf events.

use std::fs;

use btf::print::JsonText;
use uapi::Errno;

use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, strerror};
use crate::handle;
use crate::options::Target;
use crate::session::Ctx;
use crate::words::Words;

/// The name of a network interface of this machine.
pub(crate) fn device_name(ifindex: u32) -> Option<String> {
    let entries = fs::read_dir("/sys/class/net").ok()?;
    entries.flatten().find_map(|entry| {
        let index = fs::read_to_string(entry.path().join("ifindex")).ok()?;
        (index.trim() == ifindex.to_string()).then(|| entry.file_name().to_string_lossy().into())
    })
}

/// The index of an interface; bpftool's error if there is none.
fn device(words: &mut Words<'_>) -> Result<u32, Fail> {
    let name = words.next().unwrap_or_default();
    let plain = !name.is_empty() && !name.contains('/');
    let index = plain.then(|| fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok());
    let index = index.flatten().and_then(|text| text.trim().parse().ok());
    index.ok_or_else(|| Fail::new(format!("invalid devname {name}")))
}

/// `net show [dev NAME]`.
pub(crate) fn show(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if !words.is_empty() {
        if words.len() != 2 || !words.eat("dev") {
            return Err(crate::table::wrong_use("net"));
        }
        device(&mut words)?;
    }
    in_kernel(ctx, "network interfaces")?;
    Ok(Answer::data(Hooks))
}

/// Interfaces and perf events of the kernel are asked about over other system calls than bpf(2).
fn in_kernel(ctx: &Ctx<'_>, what: &str) -> Result<(), Fail> {
    if ctx.target() != Target::Linux {
        return Ok(());
    }
    Err(Fail::of(format!("what is attached to the kernel's {what}"), Errno::EOPNOTSUPP))
}

/// `net attach TYPE PROG dev NAME [overwrite | prepend]`.
pub(crate) fn attach(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(5).map_err(invalid)?;
    let kind = attach_type(&mut words)?;
    handle::prog(ctx, &mut words).map_err(invalid)?;
    if !words.eat("dev") {
        return Err(invalid(crate::table::wrong_use("net")));
    }
    device(&mut words).map_err(invalid)?;
    let text = strerror(Errno::EOPNOTSUPP);
    Err(Fail::new(format!("interface {kind} attach failed: {text}")).code(-Errno::EOPNOTSUPP.0))
}

/// `net detach TYPE dev NAME`.
pub(crate) fn detach(_: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(3).map_err(invalid)?;
    let kind = attach_type(&mut words)?;
    if !words.eat("dev") {
        return Err(invalid(crate::table::wrong_use("net")));
    }
    device(&mut words).map_err(invalid)?;
    let text = strerror(Errno::EOPNOTSUPP);
    Err(Fail::new(format!("interface {kind} detach failed: {text}")).code(-Errno::EOPNOTSUPP.0))
}

fn invalid(fail: Fail) -> Fail {
    fail.code(-Errno::EINVAL.0)
}

const ATTACH_TYPES: [&str; 6] =
    ["xdp", "xdpgeneric", "xdpdrv", "xdpoffload", "tcx_ingress", "tcx_egress"];

fn attach_type(words: &mut Words<'_>) -> Result<&'static str, Fail> {
    ATTACH_TYPES.into_iter().find(|kind| words.eat(kind)).ok_or_else(|| {
        let got = words.peek().unwrap_or_default();
        invalid(Fail::new(format!("invalid net attach/detach type: {got}")))
    })
}

/// Hooks of the network, to which nothing is attached.
struct Hooks;

const HOOKS: [&str; 4] = ["xdp", "tc", "flow_dissector", "netfilter"];

impl Show for Hooks {
    fn plain(&self, out: &mut Vec<u8>) {
        for hook in HOOKS {
            out.extend_from_slice(format!("{hook}:\n\n").as_bytes());
        }
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        out.begin_object();
        for hook in HOOKS {
            out.name(hook);
            out.begin_array();
            out.end_array();
        }
        out.end_object();
        out.end_array();
    }
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
