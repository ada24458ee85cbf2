//! Maps through the door: random commands, each answered as the running Linux answers it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{EXIT, add, agree, both, call, i, ld_map, load, mov, mov_reg, ours, same};
use runtime::door::{Bpf, BtfLoad, Fd, MapCreate, TestRun};
use uapi::{Errno, MapDef, MapType, ProgType, map_flags};

/// A small generator of repeatable choices (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn map(bpf: &dyn Bpf, def: &MapDef) -> Fd {
    bpf.map_create(&def.clone().into()).unwrap()
}

/// One random command; its answer as text.
fn step(bpf: &dyn Bpf, fd: Fd, def: &MapDef, dice: &mut Dice) -> String {
    let key = key(def, dice);
    let size = maps::user_value_size(def, bpf.possible_cpus());
    let mut value: Vec<u8> = (0..size).map(|_| dice.roll(256) as u8).collect();
    let flags = [0, 0, 0, 0, 1, 2, 3, 4][dice.roll(8) as usize];
    let said = |r: Result<(), Errno>, bytes: &[u8]| match r {
        Ok(()) => format!("{bytes:02x?}"),
        Err(errno) => errno.to_string(),
    };
    match dice.roll(10) {
        0..=3 => format!("update {key:?} {flags}: {:?}", bpf.map_update(fd, &key, &value, flags)),
        4 => {
            let r = bpf.map_lookup(fd, &key, &mut value, 0);
            format!("lookup {key:?}: {}", said(r, &value))
        }
        5 | 6 => format!("delete {key:?}: {:?}", bpf.map_delete(fd, &key)),
        7 => {
            let mut next = vec![0; def.key_size as usize];
            let r = bpf.map_next_key(fd, Some(&key), &mut next);
            format!("next {key:?}: {}", said(r, &next))
        }
        8 => {
            let r = bpf.map_take(fd, &key, &mut value, 0);
            format!("take {key:?}: {}", said(r, &value))
        }
        _ => {
            let r = bpf.map_lookup_batch(fd, None, 3, false, 0).map(|b| (b.count, b.errno));
            format!("batch: {r:?} {:?}", walk(bpf, fd, def))
        }
    }
}

fn key(def: &MapDef, dice: &mut Dice) -> Vec<u8> {
    if def.map_type == MapType::LpmTrie {
        // Few prefixes that often contain each other.
        let bits = dice.roll(35) as u32;
        let data = [10, dice.roll(3) as u8, dice.roll(3) as u8 * 85, dice.roll(256) as u8];
        return [bits.to_ne_bytes(), data].concat();
    }
    let n = dice.roll(u64::from(def.max_entries) + 4) as u32;
    let mut key = vec![0; def.key_size as usize];
    let len = key.len().min(4);
    key[..len].copy_from_slice(&n.to_ne_bytes()[..len]);
    if let Some(last) = key.last_mut()
        && len == 4
        && def.key_size > 4
    {
        *last = n as u8;
    }
    key
}

fn walk(bpf: &dyn Bpf, fd: Fd, def: &MapDef) -> Vec<Vec<u8>> {
    let (mut keys, mut next) = (Vec::<Vec<u8>>::new(), vec![0; def.key_size as usize]);
    while keys.len() < 100
        && bpf.map_next_key(fd, keys.last().map(Vec::as_slice), &mut next).is_ok()
    {
        keys.push(next.clone());
    }
    keys
}

#[test]
fn random_commands_are_answered_as_by_linux() {
    let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed_1234);
    eprintln!("seed {seed}");
    // With the seed of the hash at zero, even the order of keys is Linux's.
    let zero = map_flags::ZERO_SEED;
    let shapes = [
        (MapType::Hash, 4, 8, 5, zero),
        (MapType::Hash, 1, 1, 3, zero),
        (MapType::Hash, 12, 5, 7, zero | map_flags::NO_PREALLOC),
        (MapType::Hash, 13, 24, 20, zero),
        (MapType::PercpuHash, 4, 8, 5, zero),
        (MapType::PercpuHash, 7, 3, 6, zero),
        (MapType::Array, 4, 8, 5, 0),
        (MapType::Array, 4, 3, 4, 0),
        (MapType::PercpuArray, 4, 12, 4, 0),
        (MapType::Queue, 0, 8, 3, 0),
        (MapType::Stack, 0, 6, 3, 0),
        (MapType::LpmTrie, 8, 8, 12, map_flags::NO_PREALLOC),
        (MapType::LpmTrie, 8, 4, 4, map_flags::NO_PREALLOC),
    ];
    for (t, keys, values, entries, flags) in shapes {
        let mut def = MapDef::new(t, keys, values, entries);
        def.flags = flags;
        let Some(linux) = common::linux() else { return };
        let ours = ours();
        let (a, b) = (map(&ours, &def), map(&linux, &def));
        let (mut one, mut two) = (Dice(seed), Dice(seed));
        for n in 0..600 {
            let (x, y) = (step(&ours, a, &def, &mut one), step(&linux, b, &def, &mut two));
            assert_eq!(x, y, "seed {seed}, {} of {keys}+{values}, command {n}", t.name());
        }
    }
}

fn run(bpf: &dyn Bpf, prog: Fd) -> u32 {
    let run = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
    bpf.test_run(prog, &run).unwrap().retval
}

/// r0 = bpf_tail_call(ctx, array, index), or 100 where it comes back.
fn tail_caller(bpf: &dyn Bpf, array: Fd, index: i32) -> Fd {
    let mut insns = Vec::from(ld_map(2, array));
    insns.extend([mov(3, index), call(12), mov(0, 100), EXIT]);
    load(bpf, ProgType::Xdp, &insns)
}

#[test]
fn tail_calls_go_where_the_array_says() {
    let answers = agree("tail calls", |bpf| {
        let array = map(bpf, &MapDef::new(MapType::ProgArray, 4, 4, 4));
        let target = load(bpf, ProgType::Xdp, &[mov(0, 7), EXIT]);
        let filter = load(bpf, ProgType::SocketFilter, &[mov(0, 7), EXIT]);
        let set =
            |key: u32, fd: Fd| bpf.map_update(array, &key.to_ne_bytes(), &fd.0.to_ne_bytes(), 0);
        let caller = tail_caller(bpf, array, 1);
        let empty = run(bpf, caller);
        let put = [set(1, target), set(9, target), set(2, array), set(2, Fd(-1)), set(2, filter)];
        let full = run(bpf, caller);
        let past = run(bpf, tail_caller(bpf, array, 9));
        // A program that calls itself: 33 times, then it comes back.
        let looping = tail_caller(bpf, array, 3);
        set(3, looping).unwrap();
        let back = run(bpf, looping);
        (empty, put, full, past, back)
    });
    let (inval, toobig, badf) = (Err(Errno::EINVAL), Err(Errno::E2BIG), Err(Errno::EBADF));
    assert_eq!(answers, (100, [Ok(()), toobig, inval, badf, inval], 7, 100, 100));
}

#[test]
fn a_program_array_and_its_program_do_not_keep_each_other() {
    let bpf = ours();
    let array = map(&bpf, &MapDef::new(MapType::ProgArray, 4, 4, 4));
    let prog = tail_caller(&bpf, array, 0);
    bpf.map_update(array, &[0; 4], &prog.0.to_ne_bytes(), 0).unwrap();
    bpf.close(prog).unwrap();
    assert!(bpf.next_id(runtime::ObjKind::Prog, 0).is_ok());
    bpf.close(array).unwrap();
    assert_eq!(bpf.next_id(runtime::ObjKind::Prog, 0), Err(Errno::ENOENT));
    assert_eq!(bpf.next_id(runtime::ObjKind::Map, 0), Err(Errno::ENOENT));
}

#[test]
fn maps_of_maps_lead_to_their_maps() {
    for outer in [MapType::ArrayOfMaps, MapType::HashOfMaps] {
        let answers = agree(outer.name(), |bpf| {
            let inner = map(bpf, &MapDef::new(MapType::Array, 4, 8, 1));
            let request =
                MapCreate { def: MapDef::new(outer, 4, 4, 2), btf: None, inner_map: Some(inner) };
            let maps = bpf.map_create(&request).unwrap();
            let set =
                |key: u32, fd: Fd| bpf.map_update(maps, &key.to_ne_bytes(), &fd.0.to_ne_bytes(), 0);
            let larger = map(bpf, &MapDef::new(MapType::Array, 4, 8, 2));
            let hash = map(bpf, &MapDef::new(MapType::Hash, 4, 8, 1));
            let put = [set(1, inner), set(1, larger), set(1, hash), set(1, Fd(-1))];
            bpf.map_update(inner, &[0; 4], &5u64.to_ne_bytes(), 0).unwrap();
            // inner = lookup(maps, 1); *lookup(inner, 0) += 1; return it
            let mut insns = vec![i(0x62, 10, 0, -4, 1), mov_reg(2, 10), add(2, -4)];
            insns.extend(ld_map(1, maps));
            insns.extend([call(1), i(0x15, 0, 0, 8, 0), i(0x62, 10, 0, -4, 0), mov_reg(1, 0)]);
            insns.extend([mov_reg(2, 10), add(2, -4), call(1), i(0x15, 0, 0, 2, 0)]);
            insns.extend([i(0x79, 1, 0, 0, 0), add(1, 1), i(0x7b, 0, 1, 0, 0), mov(0, 2), EXIT]);
            // Both jumps lead to the end: the first over nine, the second over three.
            insns[6].off = 9;
            insns[12].off = 3;
            let prog = load(bpf, ProgType::Xdp, &insns);
            let verdict = run(bpf, prog);
            let mut value = [0; 8];
            bpf.map_lookup(inner, &[0; 4], &mut value, 0).unwrap();
            (put, verdict, u64::from_ne_bytes(value))
        });
        let inval = Err(Errno::EINVAL);
        assert_eq!(answers, ([Ok(()), inval, inval, Err(Errno::EBADF)], 2, 6));
    }
}

#[test]
fn ring_buffers_carry_records() {
    // r6 = reserve(16); r6[0] = 42; submit or discard; then output 8 bytes; query positions.
    let program = |bpf: &dyn Bpf, ring: Fd, end: i32| {
        let mut insns = Vec::from(ld_map(1, ring));
        insns.extend([mov(2, 16), mov(3, 0), call(131), i(0x15, 0, 0, 4, 0)]);
        insns.extend([i(0x7a, 0, 0, 0, 42), mov_reg(1, 0), mov(2, 0), call(end)]);
        insns.extend([i(0x7a, 10, 0, -8, 7), mov_reg(2, 10), add(2, -8), mov(3, 8), mov(4, 0)]);
        insns.extend(ld_map(1, ring));
        insns.extend([call(130)]);
        insns.extend(ld_map(1, ring));
        insns.extend([mov(2, 3), call(134), EXIT]);
        load(bpf, ProgType::Xdp, &insns)
    };
    // What Linux's positions are after each run.
    for end in [132, 133] {
        same("producer position", |bpf| {
            let ring = map(bpf, &MapDef::new(MapType::Ringbuf, 0, 0, 4096));
            let prog = program(bpf, ring, end);
            // 40 bytes a run: the hundred and third finds too little room for both.
            (0..110).map(|_| run(bpf, prog)).collect::<Vec<_>>()
        });
    }
    let bpf = ours();
    let ring = map(&bpf, &MapDef::new(MapType::Ringbuf, 0, 0, 4096));
    let (submit, discard) = (program(&bpf, ring, 132), program(&bpf, ring, 133));
    let mut records = Vec::new();
    for round in 0..300 {
        run(&bpf, if round % 2 == 0 { submit } else { discard });
        bpf.ringbuf_consume(ring, &mut |r| {
            records.push(r.to_vec());
            true
        })
        .unwrap();
    }
    assert_eq!(records.len(), 150 * 2 + 150);
    assert_eq!(records[0][..8], 42u64.to_ne_bytes());
    assert_eq!((records[0].len(), records[1].len()), (16, 8));
    assert_eq!(records[2], 7u64.to_ne_bytes());
}

#[test]
fn pins_and_ids_find_objects_again() {
    let bpf = ours();
    let fd = map(&bpf, &MapDef::new(MapType::Array, 4, 8, 1));
    let id = bpf.map_info(fd).unwrap().id;
    bpf.obj_pin(fd, "/sys/fs/bpf/a").unwrap();
    assert_eq!(bpf.obj_pin(fd, "/sys/fs/bpf/a"), Err(Errno::EEXIST));
    bpf.close(fd).unwrap();
    assert_eq!(bpf.map_info(fd), Err(Errno::EBADF));
    let again = bpf.obj_get("/sys/fs/bpf/a", map_flags::RDONLY).unwrap();
    assert_eq!(bpf.map_info(again).unwrap().id, id);
    assert_eq!(bpf.map_update(again, &[0; 4], &[0; 8], 0), Err(Errno::EPERM));
    let third = bpf.fd_by_id(runtime::ObjKind::Map, id, 0).unwrap();
    bpf.map_update(third, &[0; 4], &[1; 8], 0).unwrap();
    assert_eq!(bpf.obj_get("/sys/fs/bpf/b", 0), Err(Errno::ENOENT));
    assert_eq!(bpf.pins(), ["/sys/fs/bpf/a"]);
    assert_eq!(
        (bpf.unpin("/sys/fs/bpf/a"), bpf.unpin("/sys/fs/bpf/a")),
        (Ok(()), Err(Errno::ENOENT))
    );
}

#[test]
fn huge_maps_cost_nothing_or_are_refused() {
    both(|bpf, door| {
        for (t, keys, values, entries) in [
            (MapType::Array, 4, i32::MAX as u32, u32::MAX),
            (MapType::Hash, 512, 1 << 21, 1 << 27),
            (MapType::PercpuArray, 4, 32768, u32::MAX),
        ] {
            let made = bpf.map_create(&MapDef::new(t, keys, values, entries).into());
            assert_eq!(made, Err(Errno::ENOMEM), "{door}: {}", t.name());
        }
    });
    let bpf = ours();
    let big = map(&bpf, &MapDef::new(MapType::Hash, 4, 8, 1 << 24));
    bpf.map_update(big, &[1; 4], &[1; 8], 0).unwrap();
    let everything = bpf.map_lookup_batch(big, None, u32::MAX, false, 0).unwrap();
    assert_eq!((everything.count, everything.errno), (1, Some(Errno::ENOENT)));
}

#[test]
fn btf_is_refused_as_by_linux() {
    let header = |types: u32, strings: u32| {
        let words = [24, 0, types, types, strings];
        let mut data = vec![0x9f, 0xeb, 1, 0];
        data.extend(words.iter().flat_map(|w: &u32| w.to_le_bytes()));
        data
    };
    let with = |types: &[u32], strings: &[u8]| {
        let mut data = header(types.len() as u32 * 4, strings.len() as u32);
        data.extend(types.iter().flat_map(|w| w.to_le_bytes()));
        data.extend(strings);
        data
    };
    for data in [
        vec![],
        vec![0; 24],
        with(&[], b"\0"),
        with(&[1, 1 << 24, 4, 32], b"\0int\0"),
        with(&[0, 1 << 24, 4, 32], b"\0int\0"),
        with(&[1, 1 << 24, 4, 33], b"\0int\0"),
        with(&[1, 2 << 24, 9], b"\0int\0"),
        with(&[1, 1 << 24, 4], b"\0int\0"),
    ] {
        let length = data.len();
        common::same(&format!("BTF of {length} bytes {data:02x?}"), |bpf| {
            let load = BtfLoad { data: data.clone(), ..BtfLoad::default() };
            bpf.btf_load(&load).map(|_| ()).map_err(|e| e.errno)
        });
    }
}

#[test]
fn threads_do_not_lose_elements() {
    // Four threads work on one map, each on keys of its own, through programs' and users' sides.
    for t in [MapType::Hash, MapType::LruHash, MapType::PercpuHash] {
        let bpf = ours();
        let mut def = MapDef::new(t, 4, 8, 4096);
        def.flags = 0;
        let fd = map(&bpf, &def);
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let bpf = &bpf;
                scope.spawn(move || {
                    let size = 8 * if t == MapType::PercpuHash { bpf.possible_cpus() } else { 1 };
                    let mut value = vec![0; size as usize];
                    for round in 0..200u64 {
                        for n in 0..64u32 {
                            let key = (n * 4 + thread).to_ne_bytes();
                            let written = round.to_ne_bytes().repeat(size as usize / 8);
                            bpf.map_update(fd, &key, &written, 0).unwrap();
                            bpf.map_lookup(fd, &key, &mut value, 0).unwrap();
                            assert_eq!(value, written);
                            if n % 3 == 0 {
                                bpf.map_delete(fd, &key).unwrap();
                            }
                        }
                    }
                });
            }
        });
        let left = bpf.map_lookup_batch(fd, None, u32::MAX, false, 0).unwrap();
        // 64 keys a thread, of which each third is gone.
        assert_eq!(left.count, 4 * (64 - 22), "{}", t.name());
    }
}

#[test]
fn map_types_are_checked_as_by_linux() {
    use MapType::*;
    // 1 int, 2 long, 3 struct { long }, 4 void *, 5 int[2].
    let types: [&[u32]; 5] = [
        &[1, 1 << 24, 4, 32],
        &[1, 1 << 24, 8, 64],
        &[0, 4 << 24 | 1, 8, 1, 2, 0],
        &[0, 2 << 24, 0],
        &[0, 3 << 24, 0, 1, 1, 2],
    ];
    let types = types.concat();
    let (strings, size) = (b"\0i\0", types.len() as u32 * 4);
    let words = [24, 0, size, size, strings.len() as u32];
    let mut data = vec![0x9f, 0xeb, 1, 0];
    data.extend(words.iter().chain(&types).flat_map(|w: &u32| w.to_le_bytes()));
    data.extend(strings);
    for (t, keys, values, entries, flags) in [
        (Hash, 4, 4, 4, 0),
        (Array, 4, 4, 1, 0),
        (PercpuArray, 4, 8, 4, 0),
        (LpmTrie, 8, 4, 4, 1),
        (ProgArray, 4, 4, 4, 0),
        (Queue, 0, 4, 4, 0),
        (Ringbuf, 0, 0, 4096, 0),
        (BloomFilter, 0, 4, 4, 0),
        (StackTrace, 4, 8, 4, 0),
        (Devmap, 4, 4, 4, 0),
        (Sockhash, 4, 4, 4, 0),
        (PerfEventArray, 4, 4, 4, 0),
        (SkStorage, 4, 4, 0, 1),
    ] {
        for key in 0..6 {
            for value in 0..6 {
                let what = format!("{} with types {key} and {value}", t.name());
                common::same(&what, |bpf| {
                    let btf = bpf
                        .btf_load(&BtfLoad { data: data.clone(), ..BtfLoad::default() })
                        .map_err(|e| e.errno)?
                        .fd;
                    let mut def = MapDef::new(t, keys, values, entries);
                    def.flags = flags;
                    (def.btf_key_type_id, def.btf_value_type_id) = (key, value);
                    bpf.map_create(&MapCreate { def, btf: Some(btf), inner_map: None }).map(|_| ())
                });
            }
        }
    }
}

#[test]
fn maps_are_charged_as_by_linux() {
    use MapType::*;
    let no_prealloc = map_flags::NO_PREALLOC;
    let shapes = [
        (Array, 4, 12, map_flags::MMAPABLE),
        (Array, 4, 12, 0),
        (PercpuArray, 4, 12, 0),
        (Hash, 13, 24, 0),
        (Hash, 4, 8, no_prealloc),
        (PercpuHash, 13, 24, 0),
        (PercpuHash, 4, 8, no_prealloc),
        (LruHash, 4, 8, 0),
        (LruPercpuHash, 4, 3, 0),
        (ProgArray, 4, 4, 0),
        (PerfEventArray, 4, 4, 0),
        (CgroupArray, 4, 4, 0),
        (Devmap, 4, 8, 0),
        (DevmapHash, 4, 4, 0),
        (Sockmap, 4, 8, 0),
        (Sockhash, 9, 4, 0),
        (Cpumap, 4, 4, 0),
        (Xskmap, 4, 4, 0),
        (ReuseportSockarray, 4, 8, 0),
        (StackTrace, 4, 80, 0),
        (Queue, 0, 5, 0),
        (Stack, 0, 12, 0),
        (LpmTrie, 8, 5, no_prealloc),
        (BloomFilter, 0, 5, 0),
    ];
    for (t, keys, values, flags) in shapes {
        for entries in [1, 3, 200] {
            common::same(&format!("{} of {entries}", t.name()), |bpf| {
                let mut def = MapDef::new(t, keys, values, entries);
                def.flags = flags;
                let fd = map(bpf, &def);
                let value = vec![0; maps::user_value_size(&def, bpf.possible_cpus())];
                let empty = bpf.map_info(fd).unwrap().memlock;
                if flags == no_prealloc {
                    bpf.map_update(fd, &vec![1; keys as usize], &value, 0).ok();
                }
                (empty, bpf.map_info(fd).unwrap().memlock)
            });
        }
    }
    for pages in [1, 2, 64] {
        common::same(&format!("ring buffer of {pages} pages"), |bpf| {
            let fd = map(bpf, &MapDef::new(Ringbuf, 0, 0, pages * 4096));
            bpf.map_info(fd).unwrap().memlock
        });
    }
}
