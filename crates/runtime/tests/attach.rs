//! Links and lists of attached programs: the same steps on the running kernel, in namespaces and
//! groups of their own, and here.

use std::process::Command;

use isa::Insn;
use runtime::door::{AttachTo, DeviceAdd, LinkCreate, ProgAttach, ProgQuery};
use runtime::{Bpf, Fd, ProgLoad, Runtime};
use uapi::{Errno, ProgType};

/// `enum bpf_attach_type`.
const INGRESS: u32 = 0;
const EGRESS: u32 = 1;
const FLOW_DISSECTOR: u32 = 17;
const SK_LOOKUP: u32 = 36;
const XDP: u32 = 37;
const NETFILTER: u32 = 45;
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;

const BEFORE: u32 = 8;
const AFTER: u32 = 16;
const BY_ID: u32 = 32;
const REPLACE: u32 = 4;

fn program(door: &dyn Bpf, prog_type: ProgType, attach: u32, value: i32) -> Fd {
    let insns = vec![Insn::new(0xb7, 0, 0, 0, value), Insn::new(0x95, 0, 0, 0, 0)];
    let req = ProgLoad {
        name: "attached".into(),
        prog_type: Some(prog_type),
        expected_attach_type: attach,
        license: "GPL".into(),
        insns,
        ..ProgLoad::default()
    };
    door.prog_load(&req).expect("two instructions").fd
}

/// What each step answered, in words without ids.
fn steps(door: &dyn Bpf, ifindex: u32, group: &str) -> Vec<String> {
    let mut said = Vec::new();
    let errno =
        |r: Result<(), Errno>| r.map_or_else(|e| format!("errno {}", e.0), |()| "ok".into());
    let device = AttachTo::Device { ifindex };
    let xdp = program(door, ProgType::Xdp, XDP, 2);
    let other = program(door, ProgType::Xdp, XDP, 1);
    let [tc, tc2, tc3] = [0, 1, 2].map(|value| program(door, ProgType::SchedCls, 0, value));
    let skb = program(door, ProgType::CgroupSkb, INGRESS, 1);
    let skb2 = program(door, ProgType::CgroupSkb, INGRESS, 0);
    let dissector = program(door, ProgType::FlowDissector, FLOW_DISSECTOR, 129);
    let lookup = program(door, ProgType::SkLookup, SK_LOOKUP, 1);
    let filter = program(door, ProgType::Netfilter, NETFILTER, 1);
    let link = |prog, attach_type, flags, to: &AttachTo| {
        let to = to.clone();
        door.link_create(&LinkCreate { prog, attach_type, flags, to, ..LinkCreate::default() })
    };
    let mut links = Vec::new();
    let mut try_link = |said: &mut Vec<String>, what: &str, made: Result<Fd, Errno>| {
        said.push(format!("{what}: {}", errno(made.map(drop))));
        links.extend(made.ok());
        made.unwrap_or_default()
    };
    let generic = 2;
    for (what, prog, attach_type, flags) in [
        ("xdp with a wrong type", tc, XDP, generic),
        ("xdp with two modes", xdp, XDP, 6),
        ("xdp with UPDATE_IF_NOEXIST", xdp, XDP, 1 | generic),
        ("tcx with a program of xdp", xdp, TCX_INGRESS, 0),
        ("tcx with unknown flags", tc, TCX_INGRESS, 1 << 9),
        ("an attach type too high", xdp, 58, 0),
    ] {
        try_link(&mut said, what, link(prog, attach_type, flags, &device));
    }
    let nowhere = AttachTo::Device { ifindex: 9999 };
    try_link(&mut said, "xdp nowhere", link(xdp, XDP, generic, &nowhere));
    try_link(&mut said, "tcx nowhere", link(tc, TCX_INGRESS, 0, &nowhere));
    let l = try_link(&mut said, "xdp", link(xdp, XDP, generic, &device));
    try_link(&mut said, "xdp again", link(other, XDP, generic, &device));
    said.push(format!(
        "update, wrong old: {}",
        errno(door.link_update(l, other, Some(other), REPLACE))
    ));
    said.push(format!(
        "update, old without flag: {}",
        errno(door.link_update(l, other, Some(xdp), 0))
    ));
    said.push(format!(
        "update, flag without old: {}",
        errno(door.link_update(l, other, None, REPLACE))
    ));
    said.push(format!("update, other type: {}", errno(door.link_update(l, tc, None, 0))));
    said.push(format!("update: {}", errno(door.link_update(l, other, Some(xdp), REPLACE))));
    said.push(format!("info: {:?}", door.link_info(l).map(|i| (i.link_type, i.target))));
    said.push(format!("detach: {}", errno(door.link_detach(l))));
    said.push(format!("detach twice: {}", errno(door.link_detach(l))));
    said.push(format!("info then: {:?}", door.link_info(l).map(|i| i.target)));
    said.push(format!("update then: {}", errno(door.link_update(l, xdp, None, 0))));
    said.push(format!("detach of a program: {}", errno(door.link_detach(xdp))));

    let id = |prog| door.prog_info(prog).expect("its own").id;
    let list = |said: &mut Vec<String>, attach_type, to: &AttachTo, flags| {
        let queried = door.prog_query(&ProgQuery { attach_type, flags, to: to.clone() });
        let names = [
            (id(tc), "tc"),
            (id(tc2), "tc2"),
            (id(tc3), "tc3"),
            (id(skb), "skb"),
            (id(skb2), "skb2"),
        ];
        let name = |id: u32| names.iter().find(|row| row.0 == id).map_or("other", |row| row.1);
        let text = queried.map(|queried| {
            let progs: Vec<_> = queried.progs.iter().map(|p| (name(p.id), p.link != 0)).collect();
            (queried.flags, progs, queried.revision)
        });
        said.push(format!("list: {text:?}"));
    };
    let base = |prog: Option<Fd>, attach_type, flags, to: &AttachTo| ProgAttach {
        prog,
        attach_type,
        flags,
        to: to.clone(),
        ..ProgAttach::default()
    };
    let tcx = |prog, flags| base(prog, TCX_INGRESS, flags, &device);
    list(&mut said, TCX_INGRESS, &device, 0);
    for (what, req) in [
        ("tcx", tcx(Some(tc), 0)),
        ("tcx again", tcx(Some(tc), 0)),
        ("tcx before all", tcx(Some(tc2), BEFORE)),
        ("tcx after the first", ProgAttach { relative: id(tc2), ..tcx(Some(tc3), AFTER | BY_ID) }),
        ("tcx old revision", ProgAttach { revision: 1, ..tcx(Some(tc3), 0) }),
        ("tcx beside none", ProgAttach { relative: 999_999, ..tcx(Some(tc3), AFTER | BY_ID) }),
        ("tcx replaces nothing", ProgAttach { replace: Some(tc3), ..tcx(Some(xdp), REPLACE) }),
        ("tcx with xdp", tcx(Some(xdp), 0)),
    ] {
        said.push(format!("{what}: {}", errno(door.prog_attach(&req))));
        list(&mut said, TCX_INGRESS, &device, 0);
    }
    let t = try_link(&mut said, "tcx link", link(tc, TCX_EGRESS, 0, &device));
    try_link(&mut said, "tcx link again", link(tc, TCX_EGRESS, 0, &device));
    said.push(format!(
        "detach what a link holds: {}",
        errno(door.prog_detach(&base(Some(tc), TCX_EGRESS, 0, &device)))
    ));
    said.push(format!("info: {:?}", door.link_info(t).map(|i| (i.link_type, i.target))));
    for (what, req) in [
        ("detach", tcx(Some(tc3), 0)),
        ("detach again", tcx(Some(tc3), 0)),
        ("detach any", tcx(None, 0)),
        ("detach the last", tcx(None, 0)),
        ("detach from nothing", tcx(None, 0)),
    ] {
        said.push(format!("{what}: {}", errno(door.prog_detach(&req))));
        list(&mut said, TCX_INGRESS, &device, 0);
    }

    let netns = AttachTo::Netns {};
    try_link(&mut said, "flow dissector with flags", link(dissector, FLOW_DISSECTOR, 1, &netns));
    try_link(&mut said, "flow dissector", link(dissector, FLOW_DISSECTOR, 0, &netns));
    try_link(&mut said, "flow dissector again", link(dissector, FLOW_DISSECTOR, 0, &netns));
    try_link(&mut said, "sk_lookup", link(lookup, SK_LOOKUP, 0, &netns));
    try_link(&mut said, "sk_lookup again", link(lookup, SK_LOOKUP, 0, &netns));
    let direct = base(Some(dissector), FLOW_DISSECTOR, 0, &AttachTo::Nothing);
    said.push(format!("beside a link: {}", errno(door.prog_attach(&direct))));
    for (pf, hook, priority, flags) in [
        (2, 0, -128, 0),
        (2, 0, -128, 0),
        (2, 0, 5, 0),
        (2, 9, 0, 0),
        (7, 0, 0, 0),
        (2, 1, i32::MIN, 0),
        (2, 1, 0, 8),
    ] {
        let to = AttachTo::Netfilter { pf, hook, priority, flags };
        let what = format!("netfilter {pf} {hook} {priority} {flags}");
        let made = try_link(&mut said, &what, link(filter, NETFILTER, 0, &to));
        said.push(format!("{:?}", door.link_info(made).map(|i| (i.link_type, i.target)).ok()));
    }

    let top = AttachTo::Cgroup { path: group.into() };
    let sub = AttachTo::Cgroup { path: format!("{group}/sub") };
    for (what, prog, flags, to) in [
        ("group, both flags", skb, 3, &top),
        ("group", skb, 0, &top),
        ("group, other flags", skb, 2, &top),
        ("below, not allowed", skb2, 0, &sub),
        ("group replaced", skb2, 0, &top),
    ] {
        said.push(format!(
            "{what}: {}",
            errno(door.prog_attach(&base(Some(prog), INGRESS, flags, to)))
        ));
        list(&mut said, INGRESS, to, 0);
    }
    said.push(format!("detach: {}", errno(door.prog_detach(&base(Some(skb2), INGRESS, 0, &top)))));
    for (what, prog, flags, to) in [("override", skb, 1, &top), ("below", skb2, 0, &sub)] {
        said.push(format!(
            "{what}: {}",
            errno(door.prog_attach(&base(Some(prog), INGRESS, flags, to)))
        ));
        list(&mut said, INGRESS, &sub, 1);
    }
    for (prog, to) in [(skb, &top), (skb2, &sub), (skb2, &sub)] {
        said.push(format!(
            "detach: {}",
            errno(door.prog_detach(&base(Some(prog), INGRESS, 0, to)))
        ));
    }
    for (what, prog, flags, to) in [
        ("multi", skb, 2, &top),
        ("multi twice", skb, 2, &top),
        ("multi below", skb2, 2, &sub),
        ("second", skb2, 2, &top),
    ] {
        said.push(format!(
            "{what}: {}",
            errno(door.prog_attach(&base(Some(prog), INGRESS, flags, to)))
        ));
        list(&mut said, INGRESS, &sub, 1);
        list(&mut said, INGRESS, &top, 0);
    }
    let replace = ProgAttach { replace: Some(skb2), ..base(Some(skb), INGRESS, 2 | REPLACE, &top) };
    said.push(format!("replace: {}", errno(door.prog_attach(&replace))));
    let g = try_link(&mut said, "group link", link(skb2, INGRESS, 0, &top));
    try_link(&mut said, "group link, flags", link(skb2, INGRESS, 2, &top));
    list(&mut said, INGRESS, &top, 0);
    said.push(format!(
        "detach: {}",
        errno(door.prog_detach(&base(Some(lookup), INGRESS, 0, &top)))
    ));
    said.push(format!("link: {:?}", door.link_info(g).map(|i| i.link_type)));
    try_link(
        &mut said,
        "no group",
        link(skb, EGRESS, 0, &AttachTo::Cgroup { path: "/proc".into() }),
    );
    for fd in links {
        door.close(fd).expect("open");
    }
    list(&mut said, TCX_EGRESS, &device, 0);
    congestion(door, group, &mut said);
    said
}

/// Results 2 and 3 are for the way out only: a program that can give nothing else stays there.
fn congestion(door: &dyn Bpf, group: &str, said: &mut Vec<String>) {
    let to = AttachTo::Cgroup { path: format!("{group}/sub") };
    for (loaded_for, value) in [(EGRESS, 1), (EGRESS, 2), (EGRESS, 3), (INGRESS, 1)] {
        let prog = program(door, ProgType::CgroupSkb, loaded_for, value);
        for attach_type in [INGRESS, EGRESS] {
            let req = LinkCreate { prog, attach_type, to: to.clone(), ..LinkCreate::default() };
            let linked = door.link_create(&req);
            let text = match linked {
                Ok(link) => format!("{:?}", door.close(link)),
                Err(errno) => errno.0.to_string(),
            };
            said.push(format!("result {value} loaded for {loaded_for} at {attach_type}: {text}"));
        }
    }
}

/// This test again in a network namespace of its own; `false` inside it.
fn outside() -> bool {
    std::env::var_os("RING3_ATTACH_INSIDE").is_none()
}

#[test]
fn links_and_lists_are_linux_s() {
    if syscall::Linux::probe().is_err() {
        eprintln!("skipped: bpf(2) is not allowed here");
        return;
    }
    if outside() {
        let exe = std::env::current_exe().expect("this test");
        let mut command = Command::new("unshare");
        command.arg("-n").arg(exe).args(["links_and_lists", "--nocapture"]);
        assert!(ran_inside(&mut command), "what differs is printed above");
        return;
    }
    let Some(group) = Group::new() else {
        eprintln!("skipped: control groups cannot be made here");
        return;
    };
    let linux = syscall::Linux::probe().expect("as before");
    let kernel = steps(&linux, 1, &group.path);
    let runtime = Runtime::default();
    let index = runtime.device_add(&DeviceAdd { name: "d".into(), ..DeviceAdd::default() });
    let ours = steps(&runtime, index.expect("a device"), "/sys/fs/cgroup/g");
    let scrub = |line: &str| line.replace("ifindex: 2", "ifindex: 1");
    let mut wrong = 0;
    for (kernel, ours) in kernel.iter().zip(&ours) {
        if scrub(kernel) != scrub(ours) {
            wrong += 1;
            eprintln!("kernel {kernel}\nours   {ours}\n");
        }
    }
    assert_eq!((wrong, kernel.len()), (0, ours.len()), "steps that differ");
}

fn ran_inside(command: &mut Command) -> bool {
    match command.env("RING3_ATTACH_INSIDE", "1").status() {
        Ok(status) => status.success(),
        Err(_) => {
            eprintln!("skipped: unshare(1) is not here");
            true
        }
    }
}

/// A control group with one below.
struct Group {
    path: String,
}

impl Group {
    fn new() -> Option<Group> {
        let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
        let mount = mounts.lines().find_map(|line| {
            let mut columns = line.split(' ');
            let (_, dir, kind) = (columns.next()?, columns.next()?, columns.next()?);
            (kind == "cgroup2").then(|| dir.to_owned())
        })?;
        let path = format!("{mount}/ring3-attach-{}", std::process::id());
        std::fs::create_dir(&path).ok()?;
        std::fs::create_dir(format!("{path}/sub")).ok()?;
        Some(Group { path })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for path in [format!("{}/sub", self.path), self.path.clone()] {
            let _ = std::fs::remove_dir(path);
        }
    }
}

#[test]
fn a_link_goes_with_its_last_holder() {
    let door = Runtime::default();
    let index = door.device_add(&DeviceAdd { name: "d0".into(), ..DeviceAdd::default() });
    let to = AttachTo::Device { ifindex: index.expect("a device") };
    let prog = program(&door, ProgType::Xdp, XDP, 2);
    let req = LinkCreate { prog, attach_type: XDP, to, ..LinkCreate::default() };
    let other = door.process();
    let theirs = program(&other, ProgType::Xdp, XDP, 2);
    let dies = other.link_create(&LinkCreate { prog: theirs, ..req.clone() });
    dies.expect("nothing is there");
    assert_eq!(door.link_create(&req), Err(Errno::EBUSY));
    // The process ends without closing anything.
    drop(other);
    assert_eq!(door.next_id(runtime::ObjKind::Link, 0), Err(Errno::ENOENT));
    let link = door.link_create(&req).expect("free again");
    door.obj_pin(link, "/sys/fs/bpf/l").expect("a free name");
    door.close(link).expect("open");
    door.close(prog).expect("open");
    assert_eq!(door.devices().map(|d| d[0].xdp_prog != 0), Ok(true), "the pin holds it");
    // The interface goes: the link stays, detached.
    door.device_del("d0").expect("it is there");
    let link = door.obj_get("/sys/fs/bpf/l", 0).expect("the pin");
    let info = door.link_info(link).expect("a link");
    assert_eq!(info.target, runtime::door::LinkTarget::Xdp { ifindex: 0 });
    door.close(link).expect("open");
    door.fs_unlink("/sys/fs/bpf/l").expect("the pin");
    assert_eq!(door.next_id(runtime::ObjKind::Link, 0), Err(Errno::ENOENT));
    assert_eq!(door.next_id(runtime::ObjKind::Prog, 0), Err(Errno::ENOENT));
}
