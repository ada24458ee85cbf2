//! Through a socket every command answers what it answers directly: descriptors, ids, logs, errors.

mod common;

use common::{COUNT, map, runtime, xdp};
use daemon::{COMMANDS, Server};
use runtime::Limits;
use runtime::door::{
    AttachTo, Bpf, BtfLoad, Counted, DeviceAdd, Fd, LinkCreate, LogRequest, MapCreate, NetUp,
    ObjKind, Outside, ProgAttach, ProgInfo, ProgLoad, ProgQuery, TcFilter, TestRun,
};
use uapi::{MapDef, MapType};

/// What was asked, and the answer.
struct Answers(Vec<String>);

impl Answers {
    fn say<T: std::fmt::Debug>(&mut self, what: &str, answer: T) -> T {
        self.0.push(format!("{what}: {answer:?}"));
        answer
    }
}

fn maps(door: &dyn Bpf, a: &mut Answers) {
    let array = a.say("array", door.map_create(&map(MapType::Array, 4))).expect("array");
    let hash = a.say("hash", door.map_create(&map(MapType::Hash, 4))).expect("hash");
    let percpu = a.say("percpu", door.map_create(&map(MapType::PercpuHash, 4))).expect("percpu");
    let queue = MapDef::new(MapType::Queue, 0, 8, 2);
    let queue = a.say("queue", door.map_create(&queue.into())).expect("queue");
    a.say("bad", door.map_create(&MapDef::new(MapType::Hash, 0, 8, 1).into())).expect_err("bad");
    for flags in [0, 1, 2, 4, 99] {
        for key in [0_u32, 3, 9] {
            let (key, value) = (key.to_ne_bytes(), [flags as u8; 16]);
            for (name, fd) in [("array", array), ("hash", hash)] {
                let done = door.map_update(fd, &key, &value[..8], flags);
                let _ = a.say(&format!("update {name} {key:?} {flags}"), done);
            }
            let _ = a.say("update percpu", door.map_update(percpu, &key, &value, flags));
        }
    }
    for fd in [array, hash, percpu, queue, Fd(-1), Fd(0), Fd(999)] {
        let mut value = [0xAA; 16];
        let size = if fd == percpu { 16 } else { 8 };
        let found = door.map_lookup(fd, &[0; 4], &mut value[..size], 0);
        let _ = a.say("lookup", found.map(|()| value));
        let _ = a.say("short key", door.map_lookup(fd, &[0; 2], &mut value[..size], 0));
        let _ = a.say("short value", door.map_lookup(fd, &[0; 4], &mut value[..3], 0));
        let mut next = [0xAA; 4];
        let _ = a.say("first key", door.map_next_key(fd, None, &mut next).map(|()| next));
        let _ = a.say("next key", door.map_next_key(fd, Some(&[0; 4]), &mut next).map(|()| next));
        let _ = a.say("map info", door.map_info(fd));
        let _ = a.say("kind", door.kind(fd));
        let _ = a.say("owner", door.map_owner(fd));
        let _ = a.say("perf", door.take_perf_records(fd));
        let batch = door.map_lookup_batch(fd, None, 10, false, 0);
        let _ = a.say("lookup batch", batch);
    }
    batches(door, a, hash);
    let _ = a.say("push", door.map_update(queue, &[], &[7; 8], 0));
    let mut value = [0; 8];
    let _ = a.say("pop", door.map_take(queue, &[], &mut value, 0).map(|()| value));
    let _ = a.say("pop", door.map_take(queue, &[], &mut value, 0).map(|()| value));
    let _ = a.say("delete", door.map_delete(hash, &[0; 4]));
    let _ = a.say("delete", door.map_delete(array, &[0; 4]));
    let _ = a.say("freeze", door.map_freeze(array));
    let _ = a.say("frozen", door.map_update(array, &[0; 4], &[0; 8], 0));
    for model in [None, Some(hash), Some(Fd(77))] {
        let def = MapDef::new(MapType::HashOfMaps, 4, 4, 2);
        let outer = MapCreate { inner_map: model, ..def.into() };
        let made = a.say("outer", door.map_create(&outer));
        if let Ok(outer) = made {
            let inner = hash.0.to_ne_bytes();
            let _ = a.say("outer update", door.map_update(outer, &[1; 4], &inner, 0));
            let _ = a.say("outer info", door.map_info(outer));
        }
    }
}

fn batches(door: &dyn Bpf, a: &mut Answers, hash: Fd) {
    let (keys, values) = ([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0], [9; 24]);
    let _ = a.say("update batch", door.map_update_batch(hash, &keys, &values, 3, 0));
    let _ = a.say("short batch", door.map_update_batch(hash, &keys, &values, 4, 0));
    let from = a.say("batch", door.map_lookup_batch(hash, None, 2, false, 0)).map(|b| b.next);
    if let Ok(from) = from {
        let _ = a.say("on", door.map_lookup_batch(hash, Some(&from), 100, false, 0));
    }
    let _ = a.say("delete batch", door.map_delete_batch(hash, &keys, 2, 0));
    let _ = a.say("take batch", door.map_lookup_batch(hash, None, u32::MAX, true, 0));
}

/// Machine code holds addresses, which differ between two runtimes.
fn without_addresses(info: ProgInfo) -> ProgInfo {
    ProgInfo {
        jited: vec![0; info.jited.len()],
        jited_ksyms: vec![0; info.jited_ksyms.len()],
        jited_lines: vec![0; info.jited_lines.len()],
        ..info
    }
}

/// Takes the line that tells how long it took out of a log.
fn timeless(log: &mut String, size: &mut u32) {
    let Some(at) = log.find("verification time ") else { return };
    let end = log[at..].find('\n').map_or(log.len(), |end| at + end + 1);
    log.replace_range(at..end, "");
    *size -= (end - at) as u32;
}

/// Links, lists and interfaces.
fn attached(door: &dyn Bpf, a: &mut Answers, prog: Fd) {
    let dev = |name: &str| DeviceAdd { name: name.into(), ..DeviceAdd::default() };
    let ifindex = a.say("device", door.device_add(&dev("d0"))).expect("a device");
    let _ = a.say("device again", door.device_add(&dev("d0")));
    let _ = a.say("xdp", door.xdp_set(ifindex, Some(prog), 0));
    let _ = a.say("devices", door.devices());
    let _ = a.say("xdp off", door.xdp_set(ifindex, None, 0));
    let to = AttachTo::Device { ifindex };
    let req = LinkCreate { prog, attach_type: 37, to: to.clone(), ..LinkCreate::default() };
    let link = a.say("link", door.link_create(&req)).expect("a link");
    let _ = a.say("link again", door.link_create(&req));
    let _ = a.say("link info", (door.link_info(link), door.kind(link)));
    let _ = a.say("link id", (door.next_id(ObjKind::Link, 0), door.next_id(ObjKind::Link, 1)));
    let _ = a.say("link update", door.link_update(link, prog, None, 0));
    let _ = a.say("link update", door.link_update(link, prog, None, 64));
    let _ = a.say("link detach", (door.link_detach(link), door.link_info(link)));
    let query = ProgQuery { attach_type: 46, flags: 0, to };
    let _ = a.say("query", (door.prog_query(&query), door.prog_query(&ProgQuery::default())));
    let _ = a.say("tracepoint", door.raw_tracepoint_open(Some("sys_enter"), prog));
    let _ = a.say("iterator", door.iter_read(link));
    let detach = ProgAttach { prog: Some(prog), attach_type: 46, ..ProgAttach::default() };
    let _ = a.say("detach", door.prog_detach(&detach));
    let _ = a.say("groups", door.cgroups());
    let filter = TcFilter { ifindex, prog: Some(prog), ..TcFilter::default() };
    let _ = a.say("filter", (door.tc_filter_add(&filter), door.tc_filter_del(&filter)));
    let _ = a.say("filters", (door.tc_filters(ifindex), door.tc_filters(99)));
    // Nobody makes networks here.
    let net = NetUp { name: "n".into(), hosts: vec!["h".into()], ..NetUp::default() };
    let _ = a.say("net", (door.net_up(&net), door.nets(), door.net_down("n")));
    let _ = a.say("stream", door.stream_read(prog, 1, 16));
    let _ = a.say("device gone", (door.device_del("d0"), door.device_del("d0")));
}

fn programs(door: &dyn Bpf, a: &mut Answers) {
    let counts = door.map_create(&map(MapType::Array, 1)).expect("map");
    let load = |req: &ProgLoad| {
        let mut loaded = door.prog_load(req);
        match &mut loaded {
            Ok(loaded) => {
                if let Some(stats) = &mut loaded.stats {
                    stats.time = Default::default();
                }
                timeless(&mut loaded.log, &mut loaded.log_true_size);
            }
            Err(error) => timeless(&mut error.log, &mut error.log_true_size),
        }
        loaded
    };
    let log = LogRequest { level: 7, size: 0 };
    let wrong = ["r0 = r1\nr0 = *(u64 *)(r0 + 4096)\nexit", "exit", "r0 = 0", "call 9999\nexit"];
    for text in wrong {
        for log in [LogRequest::default(), log, LogRequest { level: 1, size: 20 }] {
            let _ = a.say(text, load(&ProgLoad { log, ..xdp(text, None) }));
        }
    }
    let req = ProgLoad { log, ..xdp(COUNT, Some(counts)) };
    let _ = a.say("no type", load(&ProgLoad { prog_type: None, ..req.clone() }));
    let prog = a.say("load", load(&req)).expect("a program").fd;
    for (data_in, data_out) in [
        (Some(vec![1; 64]), Some(32)),
        (Some(vec![1; 64]), None),
        (None, None),
        (Some(vec![]), Some(0)),
    ] {
        let req = TestRun { data_in, data_out, ctx_out: Some(24), repeat: 3, ..TestRun::default() };
        let mut ran = door.test_run(prog, &req);
        if let Ok(ran) = &mut ran {
            ran.duration_ns = 0;
        }
        let _ = a.say("run", ran);
    }
    let mut value = [0; 8];
    let _ = a.say("count", door.map_lookup(counts, &[0; 4], &mut value, 0).map(|()| value));
    let _ = a.say("prog info", door.prog_info(prog).map(without_addresses));
    let _ = a.say("no prog info", door.prog_info(counts));
    let other = door.map_create(&map(MapType::Hash, 1)).expect("map");
    let _ = a.say("bind", door.bind_map(prog, other));
    let _ = a.say("bound", door.prog_info(prog).map(|info| info.map_ids));
    let _ = a.say("bad btf", door.btf_load(&BtfLoad { data: vec![1; 30], log }));
    // A header and an empty string section.
    let blob = [&[0x9f, 0xeb, 1, 0, 24, 0, 0, 0][..], &[0; 12], &[1, 0, 0, 0, 0]].concat();
    let btf = a.say("btf", door.btf_load(&BtfLoad { data: blob, log: LogRequest::default() }));
    if let Ok(btf) = btf {
        let _ = a.say("btf info", door.btf_info(btf.fd));
    }
    counted(door, a, prog);
    let _ = a.say("holders", door.holders().map(|all| all.iter().any(|held| held.id == 0)));
    let _ = a.say("trace", (door.take_trace(), door.wait_trace(1)));
    let _ = a
        .say("attach", door.prog_attach(&ProgAttach { prog: Some(prog), ..ProgAttach::default() }));
    let _ = a.say("link", (door.link_info(prog), door.link_detach(prog)));
    attached(door, a, prog);
    for path in ["/sys/fs/bpf/p", "/sys/fs/bpf/p", "/sys/fs/bpf/p/q", "", "/sys/fs/bpf/d/e/p"] {
        let _ = a.say(path, door.obj_pin(prog, path));
    }
    let _ = a.say("pin map", door.obj_pin(other, "/sys/fs/bpf/m"));
    let _ = a.say("mkdir", (door.fs_mkdir("/sys/fs/bpf/n"), door.fs_mkdir("/sys/fs/bpf/n")));
    for path in ["/", "/sys/fs/bpf", "/sys/fs/bpf/d", "/sys/fs/bpf/p", "/none"] {
        let _ = a.say(path, (door.fs_list(path), door.obj_get(path, 0)));
    }
    let _ = a.say("rename", door.fs_rename("/sys/fs/bpf/m", "/sys/fs/bpf/n/m"));
    let _ = a.say("rename back", door.fs_rename("/sys/fs/bpf/n/m", "/sys/fs/bpf/m"));
    for path in ["/sys/fs/bpf/m", "/sys/fs/bpf/p", "/sys/fs/bpf", "/sys/fs/bpf/none"] {
        let _ = a.say("read", door.fs_read(path));
    }
    let _ = a.say("get to read", door.obj_get("/sys/fs/bpf/m", 8));
    let outside = [Outside::File("/none".into()), Outside::Task(0), Outside::Cgroup("/g".into())];
    for what in outside {
        let _ = a.say("outside", door.open_outside(&what).map(|fd| door.kind(fd)));
    }
    let _ = a.say("unlink", (door.fs_unlink("/sys/fs/bpf/p"), door.fs_unlink("/sys/fs/bpf/d")));
    let _ = a.say("rmdir", (door.fs_rmdir("/sys/fs/bpf/n"), door.fs_rmdir("/sys/fs/bpf/d")));
    let _ = a.say("pins", door.pins());
}

fn ids(door: &dyn Bpf, a: &mut Answers) {
    for kind in [ObjKind::Prog, ObjKind::Map, ObjKind::Btf, ObjKind::Link] {
        for id in [0, 1, 3, 99, u32::MAX] {
            let _ = a.say("next id", (kind, id, door.next_id(kind, id)));
            for flags in [0, 8, 1 << 31] {
                let _ = a.say("fd by id", (kind, id, door.fd_by_id(kind, id, flags)));
            }
        }
    }
    for fd in 0..12 {
        let _ = a.say("close", (fd, door.close(Fd(fd)), door.close(Fd(fd))));
    }
    let _ = a.say("reused", door.map_create(&map(MapType::Array, 1)));
}

fn script(door: &dyn Bpf) -> Vec<String> {
    let mut answers = Answers(Vec::new());
    answers.say("cpus", door.possible_cpus());
    maps(door, &mut answers);
    programs(door, &mut answers);
    ids(door, &mut answers);
    answers.0
}

#[test]
fn answers_are_those_of_direct_calls() {
    let direct = script(&runtime(Limits::default()));
    let server = Server::new(runtime(Limits::default()));
    let (client, _) = common::connect(&server);
    let through = script(&client);
    for (direct, through) in direct.iter().zip(&through) {
        assert_eq!(direct, through);
    }
    assert_eq!(direct.len(), through.len());
    assert!(direct.iter().filter(|line| line.contains("Ok(")).count() > 60, "{direct:#?}");
    assert!(!client.is_lost());
}

#[test]
fn limits_are_answered_as_linux_does() {
    let limits = Limits { fds: 3, objects: 5, pins: 1, map_memory: 1 << 20 };
    let script = |door: &dyn Bpf, other: &dyn Bpf| {
        let mut a = Answers(Vec::new());
        let _ = a.say("memory", door.map_create(&map(MapType::Array, 1 << 20)));
        let made: Vec<_> = (0..4).map(|_| door.map_create(&map(MapType::Array, 1))).collect();
        let _ = a.say("descriptors", made);
        let _ = a.say("pin", door.obj_pin(Fd(3), "/a"));
        let _ = a.say("pins", door.obj_pin(Fd(4), "/b"));
        let made: Vec<_> = (0..3).map(|_| other.map_create(&map(MapType::Array, 1))).collect();
        let _ = a.say("objects", made);
        let _ = a.say("close", other.close(Fd(3)));
        let _ = a.say("again", other.map_create(&map(MapType::Array, 1)));
        a.0
    };
    let whole = runtime(limits);
    let direct = script(&whole.process(), &whole.process());
    let server = Server::new(runtime(limits));
    let (one, two) = (common::connect(&server).0, common::connect(&server).0);
    assert_eq!(direct, script(&one, &two));
    let want = [
        "memory: Err(EPERM)",
        "descriptors: [Ok(Fd(3)), Ok(Fd(4)), Ok(Fd(5)), Err(EMFILE)]",
        "pin: Ok(())",
        "pins: Err(ENOSPC)",
        "objects: [Ok(Fd(3)), Ok(Fd(4)), Err(ENOSPC)]",
        "close: Ok(())",
        "again: Ok(Fd(3))",
    ];
    assert_eq!(direct, want);
}

/// Runs are counted while a descriptor asks for it, and no longer.
fn counted(door: &dyn Bpf, a: &mut Answers, prog: Fd) {
    let run = TestRun { data_in: Some(vec![0; 64]), repeat: 3, ..TestRun::default() };
    for what in [Counted::RunTime, Counted::Insns] {
        let Ok(stats) = a.say("stats", door.enable_stats(what)) else { continue };
        let _ = a.say("kind", door.kind(stats));
        let _ = door.test_run(prog, &run);
        let _ = a.say("close", door.close(stats));
        let _ = door.test_run(prog, &run);
        let _ = a.say("counts", door.prog_info(prog).map(|info| (info.run_cnt, info.run_insns)));
    }
}

/// Processors are told at the start; mapped.rs tries memory.
const IN_PROCESS: [&str; 2] = ["possible_cpus", "map_mmap"];

#[test]
fn every_command_of_the_door_is_in_the_table_and_tried_here() {
    let door = include_str!("../../runtime/src/door.rs");
    let (_, body) = door.split_once("pub trait Bpf").expect("the trait");
    let (body, _) = body.split_once("\n}").expect("its end");
    let methods: Vec<_> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    fn "))
        .filter_map(|line| line.split('(').next())
        .filter(|name| !IN_PROCESS.contains(name))
        .collect();
    let mut table: Vec<_> = COMMANDS.iter().map(|(_, name)| *name).collect();
    assert!(methods.len() > 30);
    for method in &methods {
        assert!(table.contains(method), "the table of commands lacks {method}");
        let call = format!("door.{method}(");
        assert!(include_str!("same.rs").contains(&call), "{method} is not tried");
    }
    assert_eq!(table.len(), methods.len());
    let mut numbers: Vec<_> = COMMANDS.iter().map(|(number, _)| *number).collect();
    table.sort();
    table.dedup();
    numbers.dedup();
    assert_eq!((table.len(), numbers.len()), (methods.len(), methods.len()));
}
