//! Values of kernel types as text, and system calls of programs, against the running Linux.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use btf::{Btf, Kind};
use common::{EXIT, add, call, i, ld_map, ld64, linux, load, mov, mov_reg, on_stack, request};
use isa::Insn;
use runtime::door::{Bpf, Fd, ProgLoad, TestRun};
use runtime::{Config, Runtime};
use uapi::{MapDef, MapType, ProgType};

fn kernel_btf() -> Option<Arc<Btf>> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Btf::parse(&bytes).ok().map(Arc::new)
}

/// Both doors with the same kernel's types.
fn doors() -> Option<(Runtime, syscall::Linux, Arc<Btf>)> {
    let (Some(linux), Some(btf)) = (linux(), kernel_btf()) else {
        eprintln!("skipped: no kernel BTF here");
        return None;
    };
    let config = Config { kernel_btf: Some(btf.clone()), ..Config::default() };
    Some((Runtime::new(config), linux, btf))
}

const ROOM: usize = 1 << 16;

/// `bpf_snprintf_btf` of `data` as type `id`, with this much room: the answer and the text.
fn shown(bpf: &dyn Bpf, id: u32, data: &[u8], flags: i32, room: usize) -> (i32, Vec<u8>) {
    let value = |bytes: &[u8]| {
        let map = MapDef::new(MapType::Array, 4, bytes.len() as u32, 1);
        let map = bpf.map_create(&map.into()).unwrap();
        bpf.map_update(map, &[0; 4], bytes, 0).unwrap();
        map
    };
    let (from, to) = (value(data), value(&vec![b'~'; ROOM]));
    let found = |map| {
        let mut insns = vec![i(0x62, 10, 0, -4, 0), mov_reg(2, 10), add(2, -4)];
        insns.extend(ld_map(1, map));
        insns.extend([call(1), i(0x55, 0, 0, 2, 0), mov(0, -1), EXIT]);
        insns
    };
    let mut insns = found(from);
    insns.extend([i(0x7b, 10, 0, -24, 0), i(0x7a, 10, 0, -16, 0)]);
    insns.push(i(0x62, 10, 0, -16, id as i32));
    insns.extend(found(to));
    insns.extend([mov_reg(1, 0), mov(2, room as i32), mov_reg(3, 10), add(3, -24), mov(4, 16)]);
    insns.extend([mov(5, flags), call(149), EXIT]);
    let prog = load(bpf, ProgType::Xdp, &insns);
    let run = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
    let answer = bpf.test_run(prog, &run).unwrap().retval as i32;
    let mut text = vec![0; ROOM];
    bpf.map_lookup(to, &[0; 4], &mut text, 0).unwrap();
    for fd in [prog, from, to] {
        bpf.close(fd).unwrap();
    }
    (answer, text)
}

const RAW: i32 = 4;

#[test]
fn values_of_kernel_types_print_as_on_linux() {
    let Some((ours, linux, btf)) = doors() else { return };
    let types = [
        ("iphdr", Kind::Struct),
        ("tcphdr", Kind::Struct),
        ("in6_addr", Kind::Struct),
        ("sockaddr_in", Kind::Struct),
        ("sk_buff", Kind::Struct),
        ("list_head", Kind::Struct),
        ("bpf_insn", Kind::Struct),
        ("task_struct", Kind::Struct),
        ("file", Kind::Struct),
        ("net_device", Kind::Struct),
        ("bpf_attr", Kind::Union),
        ("perf_event_attr", Kind::Struct),
        ("seq_operations", Kind::Struct),
        ("cpumask", Kind::Struct),
        ("nf_conntrack_tuple", Kind::Struct),
        ("bpf_map_type", Kind::Enum),
        ("pid_type", Kind::Enum),
        ("int", Kind::Int),
        ("unsigned char", Kind::Int),
        ("pid_t", Kind::Typedef),
        ("atomic64_t", Kind::Typedef),
        ("gfp_t", Kind::Typedef),
    ];
    let seed = 0x1234_5678_9abc_def0_u64;
    eprintln!("seed {seed:#x}");
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for (name, kind) in types {
        let Some(id) = btf.find_by_name(name, kind) else { continue };
        let size = btf.size_of(id).unwrap() as usize;
        let zeroes = vec![0; size];
        let sparse: Vec<u8> =
            (0..size).map(|_| if next() % 16 == 0 { next() as u8 } else { 0 }).collect();
        let letters: Vec<u8> = (0..size).map(|_| b'A' + (next() % 40) as u8).collect();
        let full: Vec<u8> = (0..size).map(|_| next() as u8).collect();
        for data in [zeroes, sparse, letters, full] {
            for flags in [RAW, RAW | 1, RAW | 2, RAW | 3, RAW | 8, 15, 16] {
                let theirs = shown(&linux, id.0, &data, flags, ROOM);
                let here = shown(&ours, id.0, &data, flags, ROOM);
                if theirs != here {
                    let text = |shown: &(i32, Vec<u8>)| {
                        let end = shown.1.iter().position(|b| *b == 0).unwrap_or(0);
                        String::from_utf8_lossy(&shown.1[..end]).into_owned()
                    };
                    let (a, b) = (text(&theirs), text(&here));
                    let at = a.lines().zip(b.lines()).position(|(a, b)| a != b).unwrap_or(0);
                    let line = |text: &str| text.lines().nth(at).unwrap_or("").to_owned();
                    panic!(
                        "{name}, flags {flags}: Linux {} {:?}, ring3 {} {:?} (line {at})",
                        theirs.0,
                        line(&a),
                        here.0,
                        line(&b)
                    );
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_printed_is_refused_as_on_linux() {
    let Some((ours, linux, btf)) = doors() else { return };
    let id = btf.find_by_name("iphdr", Kind::Struct).unwrap().0;
    for (id, flags) in [(0, 0), (i32::MAX as u32, 0), (id, 32), (id, 1)] {
        for room in [1, 2, 17, 100] {
            let data = [7; 64];
            let theirs = shown(&linux, id, &data, flags, room);
            assert_eq!(shown(&ours, id, &data, flags, room), theirs, "{id} {flags} {room}");
        }
    }
}

fn syscall_program(bpf: &dyn Bpf, insns: &[Insn]) -> i32 {
    let sleepable = ProgLoad { flags: 1 << 4, ..request(ProgType::Syscall, insns) };
    let prog = match bpf.prog_load(&sleepable) {
        Ok(loaded) => loaded.fd,
        Err(error) => panic!("{error}\n{}", error.log),
    };
    bpf.test_run(prog, &TestRun::default()).unwrap().retval as i32
}

/// `bpf_sys_bpf(cmd, attr, size)`.
fn sys_bpf(cmd: i32, attr: &[u8], size: i32) -> Vec<Insn> {
    let (mut insns, at) = on_stack(attr, 0);
    insns.extend([mov(1, cmd), mov_reg(2, 10), add(2, at.into()), mov(3, size), call(166)]);
    insns
}

#[test]
fn programs_make_system_calls() {
    let Some((ours, linux, btf)) = doors() else { return };
    let task = btf.find_by_name("task_struct", Kind::Struct).unwrap().0;
    for bpf in [&ours as &dyn Bpf, &linux] {
        // Types by name.
        for (name, size, kind, flags, want) in [
            ("task_struct\0", 12, 4, 0, task as i32),
            ("task_struct\0", 12, 5, 0, -2),
            ("no such type\0", 13, 4, 0, -2),
            ("task_struct\0", 11, 4, 0, -22),
            ("task_struct\0", 12, 4, 1, -22),
            ("\0", 1, 4, 0, -22),
        ] {
            let (mut insns, at) = on_stack(name.as_bytes(), 0);
            insns.extend([mov_reg(1, 10), add(1, at.into()), mov(2, size), mov(3, kind)]);
            insns.extend([mov(4, flags), call(167), EXIT]);
            assert_eq!(syscall_program(bpf, &insns), want, "{name:?} {size} {kind} {flags}");
        }
        // A map of 4 and 8 bytes, made and closed; a second time there is nothing to close.
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<_>>();
        let mut insns = sys_bpf(0, &words(&[2, 4, 8, 1]), 16);
        insns.extend([i(0xbf, 6, 0, 0, 0), i(0x65, 6, 0, 1, 0), EXIT]);
        insns.extend([mov_reg(1, 6), call(168), i(0x15, 0, 0, 1, 0), EXIT]);
        insns.extend([mov_reg(1, 6), call(168), EXIT]);
        assert_eq!(syscall_program(bpf, &insns), -9);
        // What the attribute may not hold, and commands that programs may not give.
        for (cmd, attr, size) in [
            (0, words(&[2, 4, 8, 0]), 16),
            (0, words(&[99, 4, 8, 1]), 16),
            (1, words(&[3, 0]), 8),
            (22, words(&[0, 0, 0, 7]), 16),
            (22, words(&[77, 0, 0, 0]), 16),
            (14, words(&[i32::MAX as u32, 0, 0, 0]), 16),
            (4, words(&[0, 0]), 8),
            (7, words(&[0, 0]), 8),
            (77, words(&[0, 0]), 8),
        ] {
            let mut insns = sys_bpf(cmd, &attr, size);
            insns.push(EXIT);
            let here = syscall_program(&ours, &insns);
            assert_eq!(here, syscall_program(&linux, &insns), "{cmd} {attr:?}");
        }
    }
}

/// The light skeleton's way: a map is filled from the program's memory.
#[test]
fn programs_fill_maps_by_system_call() {
    let Some((ours, linux, _)) = doors() else { return };
    for bpf in [&ours as &dyn Bpf, &linux] {
        let map = bpf.map_create(&MapDef::new(MapType::Array, 4, 8, 1).into()).unwrap();
        let Fd(fd) = map;
        // Key at -8, value at -16, the attribute at -48.
        let mut insns = vec![i(0x7a, 10, 0, -8, 0), i(0x7a, 10, 0, -16, 4711)];
        insns.extend([i(0x7a, 10, 0, -24, 0), i(0x7a, 10, 0, -48, fd)]);
        insns.extend([mov_reg(1, 10), add(1, -8), i(0x7b, 10, 1, -40, 0)]);
        insns.extend([mov_reg(1, 10), add(1, -16), i(0x7b, 10, 1, -32, 0)]);
        insns.extend([mov(1, 2), mov_reg(2, 10), add(2, -48), mov(3, 32), call(166), EXIT]);
        assert_eq!(syscall_program(bpf, &insns), 0);
        let mut value = [0; 8];
        bpf.map_lookup(map, &[0; 4], &mut value, 0).unwrap();
        assert_eq!(u64::from_ne_bytes(value), 4711);
        // A value that is nowhere.
        let at = insns.iter().position(|insn| insn.off == -32).unwrap();
        insns[at - 2] = mov(1, 64);
        insns[at - 1] = mov(1, 64);
        assert_eq!(syscall_program(bpf, &insns), -14);
        let _ = ld64(0, 0);
    }
}
