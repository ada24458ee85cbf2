//! Maps under threads: no torn values, no lost updates, no growth.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use maps::{Env, Map, Perms, View};
use uapi::{Errno, MapDef, MapType, map_flags};

const BOTH: Perms = Perms { read: true, write: true };
const THREADS: u32 = 4;
const ROUNDS: u64 = 4000;

fn map(t: MapType, key: u32, value: u32, max: u32) -> Map {
    let mut def = MapDef::new(t, key, value, max);
    if t == MapType::LpmTrie {
        def.flags = map_flags::NO_PREALLOC;
    }
    Map::create(&def, &Env::new(THREADS, 99)).unwrap()
}

/// A value of 40 bytes that shows where it was torn.
fn whole(n: u64) -> [u8; 40] {
    let mut value = [0; 40];
    value.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&n.to_ne_bytes()));
    value
}

fn is_whole(value: &[u8]) -> bool {
    value.chunks(8).all(|chunk| chunk == &value[..8])
}

/// `work` on each of the threads, with its number.
fn at_once(work: impl Fn(u32) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(thread));
        }
    });
}

#[test]
fn user_lookups_are_never_torn() {
    for t in [MapType::Hash, MapType::LruHash, MapType::LpmTrie, MapType::Queue, MapType::Stack] {
        let queue = matches!(t, MapType::Queue | MapType::Stack);
        let key_size = if queue { 0 } else { 8 };
        let map = map(t, key_size, 40, 64);
        let key = |n: u64| match t {
            MapType::LpmTrie => {
                [&32_u32.to_ne_bytes()[..], &(n as u32 % 48).to_be_bytes()].concat()
            }
            _ if queue => Vec::new(),
            _ => (n % 48).to_ne_bytes().to_vec(),
        };
        at_once(|thread| {
            let mut out = [0; 40];
            for n in 0..ROUNDS {
                let key = key(n * 7 + u64::from(thread));
                let value = whole(n << 8 | u64::from(thread));
                match (n + u64::from(thread)) % 4 {
                    0 | 1 => {
                        let flags = if queue { 2 } else { 0 };
                        map.update(BOTH, &key, &value, flags).unwrap();
                    }
                    2 if queue => drop(map.take(BOTH, &key, &mut out, 0)),
                    2 if n.is_multiple_of(3) => drop(map.delete(BOTH, &key)),
                    _ => {
                        if map.lookup(BOTH, &key, &mut out, 0).is_ok() {
                            assert!(is_whole(&out), "{t:?}: {out:x?}");
                        }
                    }
                }
            }
        });
    }
}

/// Programs on several CPUs, each adding to its own copy of what the others add to as well.
#[test]
fn per_cpu_copies_lose_nothing() {
    for t in [MapType::PercpuArray, MapType::PercpuHash, MapType::LruPercpuHash] {
        let map = map(t, 4, 8, 8);
        let keys: Vec<[u8; 4]> = (0..4_u32).map(u32::to_ne_bytes).collect();
        let zeroes = vec![0; map.user_value_size()];
        keys.iter().for_each(|key| map.update(BOTH, key, &zeroes, 0).unwrap());
        let ops = map.ops();
        at_once(|cpu| {
            for n in 0..ROUNDS {
                let key = View::from(&keys[n as usize % 4][..]);
                let at = ops.lookup(key, cpu).unwrap();
                // As a program does: plain loads and stores of its own copy.
                let (start, end) = ops.value_at(at).unwrap();
                assert_eq!((start, end), (at, at + 8));
                // SAFETY: an aligned word of the map, touched as an atomic by all.
                let cell = unsafe { AtomicU64::from_ptr(at as *mut u64) };
                cell.store(cell.load(Relaxed) + 1, Relaxed);
            }
        });
        for key in &keys {
            let mut out = zeroes.clone();
            map.lookup(BOTH, key, &mut out, 0).unwrap();
            let copies = out.chunks(8).map(|c| u64::from_ne_bytes(*c.first_chunk().unwrap()));
            assert!(copies.eq((0..THREADS).map(|_| ROUNDS / 4)), "{t:?}: {out:x?}");
        }
    }
}

/// Elements that come and go leave room for others, for ever.
#[test]
fn nothing_grows_or_leaks_away() {
    for t in [MapType::Hash, MapType::LruHash, MapType::PercpuHash, MapType::LruPercpuHash] {
        let map = map(t, 8, 8, 256);
        let value = vec![7; map.user_value_size()];
        at_once(|thread| {
            for n in 0..ROUNDS {
                let key = (n % 40 * 100 + u64::from(thread)).to_ne_bytes();
                let at = View::from(&value[..8]);
                map.ops().update(View::from(&key[..]), at, 0, thread).unwrap();
                if n % 3 != 0 {
                    let _ = map.delete(BOTH, &key);
                }
            }
        });
        for n in 0..5000_u64 {
            let _ = map.delete(BOTH, &n.to_ne_bytes());
        }
        assert_eq!(map.ops().live(), 0, "{t:?}");
        let room = 256_u64;
        for n in 0..room {
            map.update(BOTH, &(n + (1 << 40)).to_ne_bytes(), &value, 0).unwrap();
        }
        let full = map.update(BOTH, &[0xff; 8], &value, 0);
        let lru = matches!(t, MapType::LruHash | MapType::LruPercpuHash);
        assert_eq!(full, if lru { Ok(()) } else { Err(Errno::E2BIG) }, "{t:?}");
    }
}

/// A walk over the keys ends although others are deleted and inserted meanwhile, and sees those
/// that stay.
#[test]
fn walks_end_while_keys_go() {
    let map = map(MapType::Hash, 8, 8, 512);
    let stays = 0..100_u64;
    for n in stays.clone() {
        map.update(BOTH, &n.to_ne_bytes(), &[1; 8], 0).unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0_u64;
            while !done.load(Relaxed) {
                let key = (1000 + n % 300).to_ne_bytes();
                map.update(BOTH, &key, &[2; 8], 0).unwrap();
                let _ = map.delete(BOTH, &(1000 + (n + 150) % 300).to_ne_bytes());
                n += 1;
            }
        });
        for _ in 0..20 {
            let visited = map.ops().for_each(0, &mut |_, _| true).unwrap();
            assert!((100..=512).contains(&visited), "{visited}");
            let mut seen = HashSet::new();
            let mut batch = map.lookup_batch(BOTH, None, 64, false, 0).unwrap();
            let mut calls = 0;
            loop {
                seen.extend(batch.keys.chunks(8).map(<[u8]>::to_vec));
                calls += 1;
                assert!(calls < 1000, "a walk without an end");
                if batch.errno.is_some() {
                    break;
                }
                batch = map.lookup_batch(BOTH, Some(&batch.next), 64, false, 0).unwrap();
            }
            assert!(stays.clone().all(|n| seen.contains(&n.to_ne_bytes()[..])));
        }
        done.store(true, Relaxed);
    });
}

/// Deleting each key as it is met, by the order of keys, ends with an empty map.
#[test]
fn deleting_while_walking_empties_the_map() {
    for t in [MapType::Hash, MapType::LruHash, MapType::PercpuHash] {
        let map = map(t, 8, 8, 1000);
        let value = vec![1; map.user_value_size()];
        (0..1000_u64).for_each(|n| map.update(BOTH, &n.to_ne_bytes(), &value, 0).unwrap());
        let (mut next, mut key) = ([0; 8], None::<[u8; 8]>);
        let mut steps = 0;
        while map.next_key(BOTH, key.as_ref().map(|k| &k[..]), &mut next).is_ok() {
            map.delete(BOTH, &next).unwrap();
            key = Some(next);
            steps += 1;
            assert!(steps <= 1000, "{t:?}: a walk without an end");
        }
        assert_eq!((steps, map.ops().live()), (1000, 0), "{t:?}");
    }
}

#[test]
fn tries_answer_while_routes_come_and_go() {
    let map = map(MapType::LpmTrie, 8, 8, 4096);
    let key = |bits: u32, address: u32| [bits.to_ne_bytes(), address.to_be_bytes()].concat();
    // What contains everything is always there, and one network that never changes.
    map.update(BOTH, &key(0, 0), &1_u64.to_ne_bytes(), 0).unwrap();
    map.update(BOTH, &key(24, 0x0a01_0100), &2_u64.to_ne_bytes(), 0).unwrap();
    at_once(|thread| {
        for n in 0..ROUNDS as u32 {
            let random = n.wrapping_mul(0x9e37_79b1).wrapping_add(thread);
            if thread < 2 {
                let route = key(8 + random % 25, random);
                if !route.ends_with(&[0, 1]) {
                    let _ = map.update(BOTH, &route, &3_u64.to_ne_bytes(), 0);
                    let _ = map.delete(BOTH, &route);
                }
                continue;
            }
            let mut out = [0; 8];
            map.lookup(BOTH, &key(32, random), &mut out, 0).unwrap();
            assert!([1, 2, 3].contains(&u64::from_ne_bytes(out)));
            let found = map.ops().lookup(View::from(&key(32, random)[..]), 0);
            assert!(found.is_some(), "the route to everything was not found");
        }
    });
}

#[test]
fn rings_carry_each_record_once() {
    let map = map(MapType::Ringbuf, 0, 0, 1 << 14);
    let ring = map.ops().ringbuf().unwrap();
    let done = AtomicU64::new(0);
    let mut seen = vec![0_u64; THREADS as usize];
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let done = &done;
            scope.spawn(move || {
                for n in 0..ROUNDS {
                    let record = whole(n << 8 | u64::from(thread));
                    let len = 8 + 8 * (n as usize % 5);
                    while ring.output(View::from(&record[..len]), 0) == Err(Errno::EAGAIN) {
                        std::thread::yield_now();
                    }
                }
                done.fetch_add(1, Relaxed);
            });
        }
        loop {
            let over = done.load(Relaxed) == u64::from(THREADS);
            let count = ring.consume(&mut |record| {
                assert!(is_whole(record), "{record:x?}");
                let word = u64::from_ne_bytes(*record.first_chunk().unwrap());
                let (thread, n) = ((word & 0xff) as usize, word >> 8);
                // In the order of each writer, none missing.
                assert_eq!(seen[thread], n);
                seen[thread] += 1;
                true
            });
            if over && count == 0 {
                break;
            }
            std::thread::yield_now();
        }
    });
    assert_eq!(seen, vec![ROUNDS; THREADS as usize]);
}
