//! Lookups in machine code: what the interpreter and the running Linux find, while others change
//! the map.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{EXIT, add, call, i, ld_map, load, mov, mov_reg};
use isa::Insn;
use runtime::door::{Bpf, Fd, TestRun};
use runtime::{Config, Engine, Runtime};
use uapi::{MapDef, MapType, ProgType, map_flags};

const ABSENT: u32 = 0xffff_fff0;

/// Looks up the key that the packet starts with: the value's first half, or [`ABSENT`].
fn program(bpf: &dyn Bpf, map: Fd, key_size: u32) -> Fd {
    let mut insns = vec![i(0x61, 6, 1, 0, 0), i(0x61, 3, 1, 4, 0), mov_reg(2, 6), add(2, 16)];
    insns.extend([i(0xbd, 2, 3, 2, 0), mov(0, -1), EXIT]);
    let word: (u8, u8, i16) = if key_size == 4 { (0x61, 0x63, 4) } else { (0x79, 0x7b, 8) };
    for at in (0..key_size as i16).step_by(word.2 as usize) {
        insns.extend([i(word.0, 1, 6, at, 0), i(word.1, 10, 1, at - 16, 0)]);
    }
    insns.extend([mov_reg(2, 10), add(2, -16)]);
    insns.extend(ld_map(1, map));
    insns.extend([call(1), i(0x55, 0, 0, 2, 0), mov(0, ABSENT as i32), EXIT]);
    insns.extend::<[Insn; 2]>([i(0x61, 0, 0, 0, 0), EXIT]);
    load(bpf, ProgType::Xdp, &insns)
}

/// Key `n` of this size; the bytes in between differ too.
fn key(n: u32, size: u32) -> Vec<u8> {
    let mut key: Vec<u8> = n.to_ne_bytes().repeat(4);
    key.truncate(size as usize);
    key
}

fn ask(bpf: &dyn Bpf, prog: Fd, key: &[u8]) -> u32 {
    let mut packet = key.to_vec();
    packet.resize(64, 0);
    let data_out = Some(512);
    let request = TestRun { data_in: Some(packet), data_out, ..TestRun::default() };
    bpf.test_run(prog, &request).unwrap().retval
}

fn put(bpf: &dyn Bpf, map: Fd, def: &MapDef, n: u32, value: u32) {
    let mut bytes = vec![0; maps::user_value_size(def, bpf.possible_cpus())];
    bytes.chunks_mut(8).for_each(|copy| copy[..4].copy_from_slice(&value.to_ne_bytes()));
    bpf.map_update(map, &key(n, def.key_size), &bytes, 0).unwrap();
}

const HASHES: [MapType; 4] =
    [MapType::Hash, MapType::PercpuHash, MapType::LruHash, MapType::LruPercpuHash];

/// Elements come and go; after each change all keys are asked for.
fn answers(bpf: &dyn Bpf, def: &MapDef) -> Vec<u32> {
    let map = bpf.map_create(&def.clone().into()).unwrap();
    let prog = program(bpf, map, def.key_size);
    let mut answers = Vec::new();
    for step in 0..24_u32 {
        let n = step * 7 % 13;
        if step % 3 == 2 {
            let _ = bpf.map_delete(map, &key(n, def.key_size));
        } else {
            put(bpf, map, def, n, 1000 * step + n);
        }
        answers.extend((0..15).map(|n| ask(bpf, prog, &key(n, def.key_size))));
    }
    answers
}

#[test]
fn every_engine_finds_what_linux_finds() {
    let linux = common::linux();
    for map_type in HASHES {
        for key_size in [4, 8, 12, 16] {
            for flags in [0, map_flags::ZERO_SEED] {
                // Room for all: which element an LRU map gives up is its own affair.
                let def = MapDef { flags, ..MapDef::new(map_type, key_size, 8, 4096) };
                let [jit, interp] = [Engine::Jit, Engine::Interp].map(|engine| {
                    answers(&Runtime::new(Config { engine, ..Config::default() }), &def)
                });
                assert_eq!(jit, interp, "{def:?}");
                if let Some(linux) = &linux {
                    assert_eq!(jit, answers(linux, &def), "{def:?}: Linux");
                }
            }
        }
    }
}

/// Slots are recycled from chain to chain under a reader, who always finds what stays.
#[test]
fn lookups_survive_changes_by_others() {
    for map_type in [MapType::Hash, MapType::PercpuHash] {
        for key_size in [4, 8, 16] {
            let bpf = Runtime::new(Config { engine: Engine::Jit, ..Config::default() });
            let def = MapDef::new(map_type, key_size, 8, 16);
            let map = bpf.map_create(&def.clone().into()).unwrap();
            let prog = program(&bpf, map, key_size);
            (0..8).for_each(|n| put(&bpf, map, &def, n, 500 + n));
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                for writer in 0..2 {
                    let (bpf, def, done) = (&bpf, &def, &done);
                    scope.spawn(move || {
                        let mut n = 0;
                        while !done.load(Ordering::Relaxed) {
                            n = (n + 1) % 29;
                            let other = 100 + 1000 * writer + n;
                            put(bpf, map, def, other, 1);
                            bpf.map_delete(map, &key(other, def.key_size)).unwrap();
                        }
                    });
                }
                let found: Vec<u32> =
                    (0..16_000).map(|turn| ask(&bpf, prog, &key(turn % 8, key_size))).collect();
                done.store(true, Ordering::Relaxed);
                for (turn, found) in found.into_iter().enumerate() {
                    assert_eq!(found, 500 + turn as u32 % 8, "{map_type:?} {key_size}");
                }
            });
        }
    }
}
