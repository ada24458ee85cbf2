//! Values with special fields: BPF_F_LOCK and what commands leave alone, on ring3 and on Linux.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use common::{EXIT, add, agree, call, i, ld_map, load, mov, mov_reg, ours};
use runtime::door::{Bpf, BtfLoad, Fd, MapCreate, TestRun};
use uapi::{Errno, MapDef, MapType, ProgType};

const LOCK: u64 = 4;
/// Bytes of `struct { struct bpf_spin_lock; int; long; long; }`, and of the one with a timer.
const LOCKED: u32 = 24;
const TIMED: u32 = 24;

/// 1 int, 2 long, 3 the lock, 4 values with a lock, 5 the timer, 6 values with a timer.
fn types(bpf: &dyn Bpf) -> Fd {
    let strings = b"\0i\0bpf_spin_lock\0bpf_timer\0";
    let (lock, timer) = (3, 17);
    let types: [&[u32]; 6] = [
        &[1, 1 << 24, 4, 32],
        &[1, 1 << 24, 8, 64],
        &[lock, 4 << 24 | 1, 4, 1, 1, 0],
        &[0, 4 << 24 | 4, LOCKED, 1, 3, 0, 1, 1, 32, 1, 2, 64, 1, 2, 128],
        &[timer, 4 << 24 | 2, 16, 1, 2, 0, 1, 2, 64],
        &[0, 4 << 24 | 2, TIMED, 1, 2, 0, 1, 5, 64],
    ];
    let types = types.concat();
    let size = types.len() as u32 * 4;
    let words = [24, 0, size, size, strings.len() as u32];
    let mut data = vec![0x9f, 0xeb, 1, 0];
    data.extend(words.iter().chain(&types).flat_map(|w: &u32| w.to_le_bytes()));
    data.extend(strings);
    bpf.btf_load(&BtfLoad { data, ..BtfLoad::default() }).unwrap().fd
}

fn map(bpf: &dyn Bpf, t: MapType, size: u32, value: u32) -> Result<Fd, Errno> {
    let mut def = MapDef::new(t, 4, size, 4);
    (def.btf_key_type_id, def.btf_value_type_id) = (1, value);
    bpf.map_create(&MapCreate { btf: Some(types(bpf)), ..def.into() })
}

fn key(n: u32) -> [u8; 4] {
    n.to_ne_bytes()
}

/// The answers to each command with BPF_F_LOCK and without.
fn commands(bpf: &dyn Bpf, t: MapType, size: u32, value: u32) -> Vec<String> {
    let map = match map(bpf, t, size, value) {
        Ok(map) => map,
        Err(errno) => return vec![errno.to_string()],
    };
    let bytes = |byte: u8| vec![byte; size as usize];
    let mut said = Vec::new();
    let look = |n: u32, flags: u64, said: &mut Vec<String>| {
        let mut out = bytes(0xee);
        let r = bpf.map_lookup(map, &key(n), &mut out, flags);
        said.push(format!(
            "lookup {n} {flags}: {r:?} {}",
            if r.is_ok() { format!("{out:x?}") } else { String::new() }
        ));
    };
    for (n, flags) in [(0, 0), (0, LOCK), (1, LOCK), (1, LOCK | 1), (2, LOCK | 2), (0, LOCK | 8)] {
        let r = bpf.map_update(map, &key(n), &bytes(0x11 + n as u8), flags);
        said.push(format!("update {n} {flags}: {r:?}"));
        look(n, 0, &mut said);
        look(n, LOCK, &mut said);
    }
    let keys = [key(0), key(1)].concat();
    for flags in [0, LOCK, LOCK | 1] {
        let r = bpf.map_update_batch(map, &keys, &bytes(0x77).repeat(2), 2, flags);
        said.push(format!("update batch {flags}: {:?}", r.map(|b| (b.count, b.errno))));
        let r = bpf.map_lookup_batch(map, None, 8, false, flags);
        let shown = r.map(|b| {
            let size = size as usize;
            let mut values: Vec<_> = b.values.chunks(size).map(<[u8]>::to_vec).collect();
            values.sort();
            (b.count, b.errno, values)
        });
        said.push(format!("lookup batch {flags}: {shown:x?}"));
    }
    for flags in [0, LOCK] {
        let mut out = bytes(0xee);
        let r = bpf.map_take(map, &key(0), &mut out, flags);
        said.push(format!("take {flags}: {r:?}"));
        let _ = bpf.map_update(map, &key(0), &bytes(3), 0);
    }
    let r = bpf.map_lookup_batch(map, None, 8, true, LOCK).map(|b| (b.count, b.errno));
    said.push(format!("take batch: {r:?}"));
    let r = bpf.map_delete_batch(map, &keys, 2, LOCK).map(|b| (b.count, b.errno));
    said.push(format!("delete batch: {r:?}"));
    said.push(format!("freeze: {:?}", bpf.map_freeze(map)));
    said
}

#[test]
fn commands_with_a_lock_answer_as_linux() {
    for t in [MapType::Hash, MapType::Array, MapType::LruHash, MapType::PercpuArray] {
        for (size, value) in [(LOCKED, 4), (TIMED, 6)] {
            let said =
                agree(&format!("{t:?} of type {value}"), |bpf| commands(bpf, t, size, value));
            assert!(!said.is_empty());
        }
    }
}

/// Updates by user space under the lock and a program's under it: neither sees half of the other.
#[test]
fn a_program_under_the_lock_sees_whole_values() {
    for t in [MapType::Hash, MapType::Array] {
        let bpf = ours();
        let map = map(&bpf, t, LOCKED, 4).unwrap();
        bpf.map_update(map, &key(0), &[0; LOCKED as usize], 0).unwrap();
        // r6 = lookup(0); under the lock both words go up by one; r0 = they were the same.
        let mut insns = vec![i(0x62, 10, 0, -4, 0)];
        insns.extend(ld_map(1, map));
        insns.extend([mov_reg(2, 10), add(2, -4), call(1), i(0x55, 0, 0, 1, 0), EXIT]);
        insns.extend([mov_reg(6, 0), mov_reg(1, 6), call(93)]);
        insns.extend([i(0x79, 7, 6, 8, 0), i(0x79, 8, 6, 16, 0)]);
        insns.extend([i(0x7b, 6, 8, 8, 0), i(0x7b, 6, 7, 16, 0)]);
        insns.extend([mov_reg(1, 6), call(94), mov(0, 1), i(0x1d, 7, 8, 1, 0), mov(0, 9), EXIT]);
        let prog = load(&bpf, ProgType::Xdp, &insns);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..3000_u64 {
                    let mut value = [0; LOCKED as usize];
                    value[8..16].copy_from_slice(&n.to_ne_bytes());
                    value[16..].copy_from_slice(&n.to_ne_bytes());
                    bpf.map_update(map, &key(0), &value, LOCK).unwrap();
                    bpf.map_lookup(map, &key(0), &mut value, LOCK).unwrap();
                    assert_eq!(value[8..16], value[16..], "{t:?}: torn");
                }
                done.store(true, Relaxed);
            });
            while !done.load(Relaxed) {
                let req = TestRun { data_in: Some(vec![0; 64]), repeat: 50, ..TestRun::default() };
                assert_eq!(bpf.test_run(prog, &req).unwrap().retval, 1, "{t:?}: torn");
            }
        });
    }
}
