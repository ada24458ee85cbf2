//! Clients that create, load, update and die: nothing leaks, what is pinned stays.

mod common;

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{COUNT, map, runtime, xdp};
use daemon::{Client, Server, user_limits};
use runtime::door::{
    AttachTo, Bpf, DeviceAdd, Fd, LinkCreate, ObjKind, ProgLoad, ProgQuery, TestRun,
};
use uapi::{MapType, ProgType, map_flags};

const CLIENTS: u64 = 8;
/// `BPF_XDP`, `BPF_CGROUP_INET_EGRESS`.
const XDP: u32 = 37;
const CGROUP_INET_EGRESS: u32 = 1;
const KINDS: [ObjKind; 4] = [ObjKind::Prog, ObjKind::Map, ObjKind::Btf, ObjKind::Link];

/// `RING3_LOAD_SECONDS`, otherwise three.
fn time() -> Duration {
    let seconds = std::env::var("RING3_LOAD_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// One life: a few objects, some work, a death at a random moment; how many objects it made.
fn live(stream: UnixStream, random: &mut u64) -> u64 {
    let mut next = |n: u64| {
        *random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*random >> 33) % n
    };
    let mut spare = stream.try_clone().expect("a second hand on the socket");
    let client = Client::new(stream).expect("a welcome");
    let (mut made, mut held) = (0, Vec::new());
    for _ in 0..1 + next(4) {
        let kind = [MapType::Array, MapType::Hash, MapType::LruHash][next(3) as usize];
        let mut request = map(kind, 1 + next(100) as u32);
        request.def.flags = if kind == MapType::Array { map_flags::MMAPABLE } else { 0 };
        let counts = client.map_create(&request).expect("a map");
        let prog = client.prog_load(&xdp(COUNT, Some(counts))).expect("a program").fd;
        made += 2;
        for key in 0..next(50) as u32 {
            // A full hash map refuses some.
            let _ = client.map_update(counts, &key.to_ne_bytes(), &[1; 8], 0);
        }
        let data_in = Some(vec![0; 64]);
        client.test_run(prog, &TestRun { data_in, ..TestRun::default() }).expect("a run");
        made += link(&client, prog, &mut next);
        if kind == MapType::Array && next(2) == 0 {
            let memory = client.map_mmap(counts, 0, 4096, true).expect("mapped");
            memory.write(0, &[1; 8]).expect("written");
            // Some die with it.
            if next(2) == 0 {
                held.push(memory);
            }
        }
        if next(3) == 0 {
            client.close(counts).expect("closed");
        }
    }
    if next(2) == 0 {
        // Killed in the middle of a request.
        let _ = spare.write_all(&[200, 1, 0, 0, 3, 7]);
    }
    let _ = spare.shutdown(std::net::Shutdown::Both);
    made
}

/// Links the program to the interface or to a group, here and there with a pin that is taken away
/// again; how many links came of it.
fn link(client: &Client, prog: Fd, next: &mut impl FnMut(u64) -> u64) -> u64 {
    let device = client.devices().expect("interfaces")[0].made.name.clone();
    assert_eq!(device, "r0");
    let ifindex = client.devices().expect("interfaces")[0].ifindex;
    let onto_device = LinkCreate {
        prog,
        attach_type: XDP,
        to: AttachTo::Device { ifindex },
        ..LinkCreate::default()
    };
    // One program at a time: others may be there.
    let xdp = client.link_create(&onto_device);
    let filter = ProgLoad { prog_type: Some(ProgType::CgroupSkb), ..xdp_text("r0 = 1\nexit") };
    let filter = client.prog_load(&filter).expect("a program").fd;
    let path = format!("/sys/fs/cgroup/g{}", next(3));
    let onto_group = LinkCreate {
        prog: filter,
        attach_type: CGROUP_INET_EGRESS,
        to: AttachTo::Cgroup { path },
        ..LinkCreate::default()
    };
    // A group takes 64.
    let group = client.link_create(&onto_group);
    for link in [xdp, group].into_iter().flatten() {
        let path = format!("/sys/fs/bpf/l{}", next(1 << 30));
        match next(4) {
            0 => client.close(link).expect("closed"),
            1 => client.link_detach(link).expect("detached"),
            2 => {
                client.obj_pin(link, &path).expect("pinned");
                client.fs_unlink(&path).expect("unpinned");
            }
            _ => {}
        }
    }
    1 + u64::from(xdp.is_ok()) + u64::from(group.is_ok())
}

fn xdp_text(text: &str) -> ProgLoad {
    xdp(text, None)
}

fn ids(door: &dyn Bpf, kind: ObjKind) -> Vec<u32> {
    let next = |id: &u32| door.next_id(kind, *id).ok();
    std::iter::successors(next(&0), next).collect()
}

#[test]
fn the_dying_leave_nothing_and_pins_stay() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let server = Server::new(runtime(user_limits()));
    let serving = std::thread::spawn({
        let server = server.clone();
        move || server.serve(&listener)
    });
    let connect = || UnixStream::connect(&path).expect("connected");

    let survivor = Client::new(connect()).expect("a welcome");
    let kept = survivor.map_create(&map(MapType::Array, 1)).expect("a map");
    survivor.map_update(kept, &[0; 4], &[42; 8], 0).expect("written");
    survivor.obj_pin(kept, "/sys/fs/bpf/kept").expect("pinned");
    let prog = survivor.prog_load(&xdp(COUNT, Some(kept))).expect("a program").fd;
    survivor.obj_pin(prog, "/sys/fs/bpf/prog").expect("pinned");
    let interface = DeviceAdd { name: "r0".into(), ..DeviceAdd::default() };
    survivor.device_add(&interface).expect("an interface");
    let filter = survivor
        .prog_load(&ProgLoad { prog_type: Some(ProgType::CgroupSkb), ..xdp_text("r0 = 1\nexit") });
    let group = AttachTo::Cgroup { path: "/sys/fs/cgroup/kept".into() };
    let link = survivor.link_create(&LinkCreate {
        prog: filter.expect("a program").fd,
        attach_type: CGROUP_INET_EGRESS,
        to: group.clone(),
        ..LinkCreate::default()
    });
    survivor.obj_pin(link.expect("a link"), "/sys/fs/bpf/link").expect("pinned");
    let pinned = survivor.pins().expect("pins");
    let wanted = KINDS.map(|kind| ids(&survivor, kind));

    let seed = Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id());
    println!("seed {seed}");
    let (lives, made) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (lives, made, connect) = (&lives, &made, &connect);
            scope.spawn(move || {
                let (mut random, start) = (seed + number, Instant::now());
                while start.elapsed() < time() {
                    made.fetch_add(live(connect(), &mut random), Relaxed);
                    lives.fetch_add(1, Relaxed);
                }
            });
        }
    });
    let files = || std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
    println!("{} lives, {} objects", lives.into_inner(), made.into_inner());

    let end = Instant::now() + Duration::from_secs(5);
    while survivor.status().expect("alive").clients > 1 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(survivor.status().expect("alive").clients, 1);
    assert_eq!(KINDS.map(|kind| ids(&survivor, kind)), wanted);
    // This test's own, the server's, and those of tests beside it: not one for each life.
    assert!(files() < 100, "{} descriptors", files());
    assert!(survivor.devices().expect("interfaces")[0].xdp_prog == 0);
    drop(survivor);

    let after = Client::new(connect()).expect("a welcome");
    assert_eq!(after.pins().expect("pins"), pinned);
    let map = after.obj_get("/sys/fs/bpf/kept", 0).expect("the pin");
    let mut value = [0; 8];
    after.map_lookup(map, &[0; 4], &mut value, 0).expect("the value");
    assert_eq!(value, [42; 8]);
    let query = ProgQuery { attach_type: CGROUP_INET_EGRESS, to: group, ..ProgQuery::default() };
    assert_eq!(after.prog_query(&query).expect("a list").progs.len(), 1);
    after.fs_unlink("/sys/fs/bpf/link").expect("unlinked");
    assert_eq!(after.prog_query(&query).expect("a list").progs.len(), 0);
    after.fs_unlink("/sys/fs/bpf/prog").expect("unlinked");
    assert!(ids(&after, ObjKind::Prog).is_empty());
    drop(serving);
}

#[test]
fn runs_end_with_the_client_that_asked_for_them() {
    let server = Server::new(runtime(user_limits()));
    let (stream, thread) = common::raw(&server);
    let other_hand = stream.try_clone().expect("a second hand on the socket");
    let client = Client::new(stream).expect("a welcome");
    let counts = client.map_create(&map(MapType::Array, 1)).expect("a map");
    client.obj_pin(counts, "/counts").expect("pinned");
    let prog = client.prog_load(&xdp(COUNT, Some(counts))).expect("a program").fd;
    let endless = std::thread::spawn(move || {
        let data_in = Some(vec![0; 64]);
        client.test_run(prog, &TestRun { data_in, repeat: u32::MAX, ..TestRun::default() })
    });

    let (watcher, _) = common::connect(&server);
    let counts = watcher.obj_get("/counts", 0).expect("the map");
    let count = || {
        let mut value = [0; 8];
        watcher.map_lookup(counts, &[0; 4], &mut value, 0).expect("the count");
        u64::from_ne_bytes(value)
    };
    while count() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let start = Instant::now();
    other_hand.shutdown(std::net::Shutdown::Both).expect("hung up");
    assert_eq!(thread.join().ok(), Some(false));
    assert!(start.elapsed() < Duration::from_secs(5), "the run went on");
    assert!(count() < u64::from(u32::MAX));
    endless.join().expect("ended").expect_err("no answer");
}
