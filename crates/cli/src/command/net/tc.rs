//! `ring3 tc`: classifiers of clsact at interfaces of ring3's own, in the words of tc(8).

use std::fmt::Write;

use ring3::net::{Bpf, Errno, Fd, ObjKind, TcFilter};
use ring3::{Kernel, Object};

use crate::failure::Failure;

/// What of tc(8) is understood.
pub(crate) const USAGE: &str = "\
Usage: ring3 tc qdisc { add | del | show } dev DEV clsact
       ring3 tc filter add dev DEV { ingress | egress } [prio N] [handle N] bpf da
                       { obj FILE [sec SECTION | program NAME] | pinned PATH }
       ring3 tc filter del dev DEV { ingress | egress } [prio N] [handle N]
       ring3 tc filter show dev DEV [ingress | egress]";

/// What is left of the words.
struct Words<'a>(&'a [String]);

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.0.first().map(String::as_str)
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// Takes the next word if it is one of these.
    fn eat(&mut self, any: &[&str]) -> bool {
        let found = self.peek().is_some_and(|word| any.contains(&word));
        if found {
            self.next();
        }
        found
    }

    /// The word behind one that needs it.
    fn value(&mut self, of: &str) -> Result<&'a str, Failure> {
        self.next().ok_or_else(|| usage(&format!("'{of}' needs a value")))
    }

    fn number(&mut self, of: &str) -> Result<u32, Failure> {
        let word = self.value(of)?;
        let parsed = match word.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => word.parse(),
        };
        parsed.map_err(|_| usage(&format!("'{of}': '{word}' is no number")))
    }
}

fn usage(what: &str) -> Failure {
    Failure::unusable(format!("tc: {what}\n{USAGE}"))
}

/// Does it; what to print.
pub(crate) fn tc(words: &[String]) -> Result<String, Failure> {
    let mut words = Words(words);
    match words.next() {
        Some("qdisc") => qdisc(words),
        Some("filter") => filter(words),
        Some(other) => Err(usage(&format!("'{other}' is neither qdisc nor filter"))),
        None => Err(usage("what is to be done?")),
    }
}

enum What {
    Add,
    Del,
    Show,
}

fn what(words: &mut Words<'_>) -> Result<What, Failure> {
    let what = match words.next() {
        Some("add" | "replace") => What::Add,
        Some("del" | "delete") => What::Del,
        Some("show" | "list" | "ls") => What::Show,
        Some(other) => {
            return Err(usage(&format!("'{other}' is neither add, del nor show")));
        }
        None => return Err(usage("add, del or show?")),
    };
    Ok(what)
}

/// An interface and its name.
struct Dev {
    name: String,
    ifindex: u32,
}

fn dev(client: &dyn Bpf, words: &mut Words<'_>) -> Result<Dev, Failure> {
    if !words.eat(&["dev"]) {
        return Err(usage("no interface: dev DEV"));
    }
    let name = words.value("dev")?;
    let devices = client.devices().map_err(|errno| failed("the interfaces", errno))?;
    let found = devices.iter().find(|device| device.made.name == name);
    let found = found.ok_or_else(|| {
        let known: Vec<_> = devices.iter().map(|device| &*device.made.name).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        Failure::unusable(format!("tc: no interface '{name}' here; there are: {known}"))
    })?;
    Ok(Dev { name: name.into(), ifindex: found.ifindex })
}

fn failed(what: &str, errno: impl std::fmt::Display) -> Failure {
    Failure::refused(format!("tc: {what}: {errno}"))
}

/// Every interface has clsact; taking it away takes its filters.
fn qdisc(mut words: Words<'_>) -> Result<String, Failure> {
    let what = what(&mut words)?;
    let client = super::super::connect()?;
    let dev = dev(&client, &mut words)?;
    let shown = matches!(what, What::Show);
    if !words.eat(&["clsact"]) && !shown {
        return Err(usage("only clsact is known"));
    }
    if let Some(word) = words.peek() {
        return Err(usage(&format!("what is '{word}'?")));
    }
    match what {
        What::Add => Ok(String::new()),
        What::Show => Ok(format!("qdisc clsact ffff: dev {} parent ffff:fff1\n", dev.name)),
        What::Del => {
            for egress in [false, true] {
                let all = TcFilter { ifindex: dev.ifindex, egress, ..TcFilter::default() };
                match client.tc_filter_del(&all) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(errno) => return Err(failed("removing filters", errno)),
                }
            }
            Ok(String::new())
        }
    }
}

fn filter(mut words: Words<'_>) -> Result<String, Failure> {
    let what = what(&mut words)?;
    let client = super::super::connect()?;
    let dev = dev(&client, &mut words)?;
    let mut req = TcFilter { ifindex: dev.ifindex, ..TcFilter::default() };
    let mut side = None;
    loop {
        if words.eat(&["ingress"]) {
            side = Some(false);
        } else if words.eat(&["egress"]) {
            side = Some(true);
        } else if words.eat(&["prio", "pref", "preference"]) {
            req.priority = words.number("prio")?;
        } else if words.eat(&["handle"]) {
            req.handle = words.number("handle")?;
        } else if words.eat(&["protocol"]) {
            if words.value("protocol")? != "all" {
                return Err(usage("only protocol all: the program sees every packet"));
            }
        } else {
            break;
        }
    }
    if let What::Show = what {
        return show(&client, &dev, side);
    }
    req.egress = side.ok_or_else(|| usage("ingress or egress?"))?;
    match what {
        What::Add => add(&client, words, req).map(|()| String::new()),
        _ => {
            words.eat(&["bpf"]);
            if let Some(word) = words.peek() {
                return Err(usage(&format!("what is '{word}'?")));
            }
            let done = client.tc_filter_del(&req);
            done.map(|()| String::new()).map_err(|errno| failed("no such filter", errno))
        }
    }
}

/// As tc(8) prints them; with the direction where none was asked for.
fn show(client: &dyn Bpf, dev: &Dev, side: Option<bool>) -> Result<String, Failure> {
    let rows = client.tc_filters(dev.ifindex).map_err(|errno| failed("the filters", errno))?;
    let (mut text, mut before) = (String::new(), None);
    for row in rows.iter().filter(|row| side.is_none_or(|egress| egress == row.egress)) {
        let at = match (side, row.egress) {
            (Some(_), _) => String::new(),
            (None, true) => format!(" dev {} egress", dev.name),
            (None, false) => format!(" dev {} ingress", dev.name),
        };
        let head = format!("filter{at} protocol all pref {} bpf chain 0 ", row.priority);
        // Writing to a string does not fail.
        if before.replace((row.egress, row.priority)) != Some((row.egress, row.priority)) {
            let _ = writeln!(text, "{head}");
        }
        let _ =
            write!(text, "{head}handle {:#x} {} direct-action not_in_hw ", row.handle, row.label);
        let _ = writeln!(text, "id {}{} ", row.prog_id, program(client, row.prog_id));
    }
    Ok(text)
}

/// Name and tag of a program; nothing if it is gone.
fn program(client: &dyn Bpf, id: u32) -> String {
    let Ok(fd) = client.fd_by_id(ObjKind::Prog, id, 0) else { return String::new() };
    let info = client.prog_info(fd);
    // Nothing is lost if it is gone.
    let _ = client.close(fd);
    let Ok(info) = info else { return String::new() };
    let tag: String = info.tag.iter().map(|byte| format!("{byte:02x}")).collect();
    let jited = if info.jited.is_empty() { "" } else { " jited" };
    format!(" name {} tag {tag}{jited}", info.name)
}

/// Where the program is.
#[derive(Default)]
struct From<'a> {
    file: Option<&'a str>,
    section: Option<&'a str>,
    program: Option<&'a str>,
    pinned: Option<&'a str>,
    direct: bool,
}

fn add(client: &dyn Bpf, mut words: Words<'_>, req: TcFilter) -> Result<(), Failure> {
    if !words.eat(&["bpf"]) {
        return Err(usage("only filters of bpf are known"));
    }
    let mut from = From::default();
    while let Some(word) = words.next() {
        match word {
            "da" | "direct-action" => from.direct = true,
            "obj" | "object-file" => from.file = Some(words.value(word)?),
            "sec" | "section" => from.section = Some(words.value(word)?),
            "program" => from.program = Some(words.value(word)?),
            "pinned" | "object-pinned" => from.pinned = Some(words.value(word)?),
            other => return Err(usage(&format!("what is '{other}'?"))),
        }
    }
    if !from.direct {
        return Err(usage("only direct action: bpf da …"));
    }
    match (from.file, from.pinned) {
        (Some(file), None) => with_object(client, file, &from, req),
        (None, Some(path)) => {
            let prog = client.obj_get(path, 0).map_err(|errno| failed(path, errno))?;
            let label = format!("{}:[*fsobj]", last(path));
            attach(client, prog, TcFilter { label, ..req })
        }
        _ => Err(usage("obj FILE or pinned PATH")),
    }
}

fn attach(client: &dyn Bpf, prog: Fd, req: TcFilter) -> Result<(), Failure> {
    let done = client.tc_filter_add(&TcFilter { prog: Some(prog), ..req });
    done.map_err(|errno| match errno {
        Errno::EINVAL => failed("the program is none of type sched_cls", errno),
        Errno::EEXIST => failed("there is a filter of this priority and handle", errno),
        errno => failed("adding the filter", errno),
    })
}

/// The last part of a path.
fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Loads the object's program of a section or name, its only one without either.
fn with_object(
    client: &dyn Bpf,
    file: &str,
    from: &From<'_>,
    req: TcFilter,
) -> Result<(), Failure> {
    let kernel = Kernel::running();
    let mut object = Object::open_for(std::path::Path::new(file), &kernel)?;
    let programs = &object.spec().programs;
    let meant = |program: &&ring3::ProgramSpec| {
        from.section.is_none_or(|section| *program.section == *section)
            && from.program.is_none_or(|name| *program.name == *name)
    };
    let found: Vec<_> = programs.iter().filter(meant).map(|p| p.name.clone()).collect();
    let [name] = &found[..] else {
        let known: Vec<_> =
            programs.iter().map(|p| format!("{} (sec {})", p.name, p.section)).collect();
        let message = format!("{file}: which program? There are {}", known.join(", "));
        return Err(usage(&message));
    };
    object.keep_programs(std::slice::from_ref(name))?;
    object.resolve(&kernel)?;
    let fds = ring3::load::load(client, &object, Some(name))?;
    let prog = fds.programs.iter().flatten().next().copied();
    let done = match prog {
        Some(prog) => {
            let label = format!("{}:[{}]", last(file), from.section.unwrap_or(name));
            attach(client, prog, TcFilter { label, ..req })
        }
        None => Err(Failure::refused(format!("{file}: '{name}' was not loaded"))),
    };
    ring3::load::close(client, &fds);
    done
}
