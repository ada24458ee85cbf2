//! Which elements an LRU map keeps: scripted uses, the same on ring3 and the running Linux.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{EXIT, add, call, i, ld_map, linux, load, mov, mov_reg};
use runtime::door::{Bpf, Fd, TestRun};
use runtime::{Config, Runtime};
use uapi::{MapDef, MapType, ProgType, map_flags};

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;

/// What is done with a range of keys: each `step`-th is updated from user space, updated by the
/// program, or looked up by it.
#[derive(Clone, Copy, Debug)]
enum Do {
    Write(u32, u32),
    Update(u32, u32),
    Use(u32, u32, usize),
}

/// A program that calls a helper on the map with the key in the packet's first four bytes.
fn caller(bpf: &dyn Bpf, map: Fd, helper: i32) -> Fd {
    let mut insns = vec![
        i(0x61, 2, 1, 4, 0),
        i(0x61, 1, 1, 0, 0),
        mov_reg(3, 1),
        add(3, 4),
        i(0x2d, 3, 2, 12, 0),
        i(0x61, 3, 1, 0, 0),
        i(0x63, 10, 3, -4, 0),
        i(0x7a, 10, 0, -16, 7),
    ];
    insns.extend(ld_map(1, map));
    insns.extend([mov_reg(2, 10), add(2, -4), mov_reg(3, 10), add(3, -16), mov(4, 0)]);
    insns.extend([call(helper), mov(0, 2), EXIT]);
    insns[4].off = (insns.len() - 7) as i16;
    load(bpf, ProgType::Xdp, &insns)
}

fn survivors(bpf: &dyn Bpf, def: &MapDef, script: &[Do]) -> Vec<u32> {
    let map = bpf.map_create(&def.clone().into()).unwrap();
    let programs = [caller(bpf, map, LOOKUP), caller(bpf, map, UPDATE)];
    let run = |prog: Fd, key: u32| {
        let mut packet = vec![0; 64];
        packet[..4].copy_from_slice(&key.to_ne_bytes());
        let req = TestRun { data_in: Some(packet), ..TestRun::default() };
        bpf.test_run(prog, &req).unwrap();
    };
    let size = maps::user_value_size(def, bpf.possible_cpus());
    for what in script {
        match *what {
            Do::Write(from, to) => (from..to).for_each(|key| {
                bpf.map_update(map, &key.to_ne_bytes(), &vec![1; size], 0).unwrap();
            }),
            Do::Update(from, to) => (from..to).for_each(|key| run(programs[1], key)),
            Do::Use(from, to, step) => {
                (from..to).step_by(step).for_each(|key| run(programs[0], key));
            }
        }
    }
    let (mut key, mut keys) = (None::<Vec<u8>>, Vec::new());
    let mut next = vec![0; 4];
    while bpf.map_next_key(map, key.as_deref(), &mut next).is_ok() {
        keys.push(u32::from_ne_bytes(*next.first_chunk().unwrap()));
        key = Some(next.clone());
    }
    keys.sort_unstable();
    for fd in [map, programs[0], programs[1]] {
        bpf.close(fd).unwrap();
    }
    keys
}

/// One CPU for this thread, so that each command meets the same CPU's list.
fn on_one_cpu() {
    let mut set = rustix::thread::CpuSet::new();
    set.set(0);
    rustix::thread::sched_setaffinity(None, &set).unwrap();
}

/// A runtime of so many CPUs: they share the elements.
fn ours(cpus: u32) -> Runtime {
    Runtime::new(Config { cpus, ..Config::default() })
}

fn scripts() -> Vec<Vec<Do>> {
    use Do::{Update, Use, Write};
    vec![
        vec![Write(0, 100)],
        vec![Write(0, 1000)],
        vec![Update(0, 400), Use(0, 400, 3), Update(400, 500)],
        vec![Write(0, 200), Use(0, 100, 1), Write(200, 300), Use(0, 50, 2), Update(300, 420)],
        vec![Write(0, 300), Write(250, 300), Write(0, 50), Update(300, 350), Use(0, 20, 1)],
        vec![Update(0, 150), Use(0, 30, 1), Update(150, 260), Use(0, 30, 1), Update(260, 900)],
    ]
}

#[test]
fn used_elements_survive_as_in_linux() {
    on_one_cpu();
    let linux = linux();
    let cpus = linux.as_ref().map_or(2, |linux| linux.possible_cpus());
    for (map_type, max) in [
        (MapType::LruHash, 4),
        (MapType::LruHash, 100),
        (MapType::LruHash, 256),
        (MapType::LruPercpuHash, 100),
        (MapType::LruPercpuHash, 333),
    ] {
        for flags in [0, map_flags::NO_COMMON_LRU] {
            let mut def = MapDef::new(map_type, 4, 8, max);
            def.flags = flags;
            for script in scripts() {
                let mine = survivors(&ours(cpus), &def, &script);
                assert!(mine.len() <= max as usize + 1, "{def:?} holds {}", mine.len());
                let Some(linux) = &linux else { continue };
                let theirs = survivors(linux, &def, &script);
                assert_eq!(mine, theirs, "{map_type:?} of {max}, flags {flags}, after {script:?}");
            }
        }
    }
}

/// Whatever is used between the writes of others stays, on any CPU's list.
#[test]
fn what_is_always_in_use_stays() {
    let bpf = ours(2);
    let def = MapDef::new(MapType::LruHash, 4, 8, 512);
    let mut script = vec![Do::Update(0, 32)];
    for round in 0..200 {
        script.push(Do::Use(0, 32, 1));
        script.push(Do::Update(1000 + round * 40, 1040 + round * 40));
    }
    let kept = survivors(&bpf, &def, &script);
    assert!((0..32).all(|key| kept.contains(&key)), "{kept:?}");
}
