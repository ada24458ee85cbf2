//! Clients that create, load, update and die: nothing leaks, what is pinned stays.

mod common;

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{COUNT, map, runtime, xdp};
use daemon::{Client, Server, user_limits};
use runtime::door::{Bpf, ObjKind, TestRun};
use uapi::MapType;

const CLIENTS: u64 = 8;

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
    let mut made = 0;
    for _ in 0..1 + next(4) {
        let kind = [MapType::Array, MapType::Hash, MapType::LruHash][next(3) as usize];
        let counts = client.map_create(&map(kind, 1 + next(100) as u32)).expect("a map");
        let prog = client.prog_load(&xdp(COUNT, Some(counts))).expect("a program").fd;
        made += 2;
        for key in 0..next(50) as u32 {
            // A full hash map refuses some.
            let _ = client.map_update(counts, &key.to_ne_bytes(), &[1; 8], 0);
        }
        let data_in = Some(vec![0; 64]);
        client.test_run(prog, &TestRun { data_in, ..TestRun::default() }).expect("a run");
        if next(3) == 0 {
            client.close(counts).expect("closed");
        }
    }
    if next(2) == 0 {
        // Killed in the middle of a request.
        let _ = spare.write_all(&[200, 1, 0, 0, 3, 7]);
    }
    made
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
    let pinned = survivor.pins().expect("pins");
    let wanted = [ObjKind::Prog, ObjKind::Map].map(|kind| ids(&survivor, kind));

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
    println!("{} lives, {} objects", lives.into_inner(), made.into_inner());

    let end = Instant::now() + Duration::from_secs(5);
    while survivor.status().expect("alive").clients > 1 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(survivor.status().expect("alive").clients, 1);
    assert_eq!([ObjKind::Prog, ObjKind::Map].map(|kind| ids(&survivor, kind)), wanted);
    drop(survivor);

    let after = Client::new(connect()).expect("a welcome");
    assert_eq!(after.pins().expect("pins"), pinned);
    let map = after.obj_get("/sys/fs/bpf/kept", 0).expect("the pin");
    let mut value = [0; 8];
    after.map_lookup(map, &[0; 4], &mut value, 0).expect("the value");
    assert_eq!(value, [42; 8]);
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
