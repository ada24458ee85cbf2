//! Results of helpers, against the running Linux.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{EXIT, add, call, i, ld_map, ld64, load, mov, mov_reg, on_stack, ours, same};
use isa::Insn;
use runtime::door::{Bpf, BtfLoad, ProgLoad, TestRun};
use uapi::{Errno, MapDef, MapType, ProgType};
use verifier::FuncInfo;

fn run(bpf: &dyn Bpf, insns: &[Insn]) -> u32 {
    let prog = load(bpf, ProgType::Xdp, insns);
    let run = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
    bpf.test_run(prog, &run).unwrap().retval
}

#[test]
fn checksums_are_linux_s() {
    let patterns: [&[u8]; 5] = [
        &[],
        &[0; 4],
        &[0xff; 8],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0x80, 0, 0, 0x80],
    ];
    for from in patterns {
        for to in patterns {
            for seed in [0u32, 1, 0xffff, 0xffff_ffff, 0x1234_5678, 0xffff_0000] {
                same(&format!("csum_diff {from:?} {to:?} {seed:#x}"), |bpf| {
                    let (mut insns, a) = on_stack(from, 0);
                    let (more, b) = on_stack(to, a);
                    insns.extend(more);
                    insns.extend([mov_reg(1, 10), add(1, a.into()), mov(2, from.len() as i32)]);
                    insns.extend([mov_reg(3, 10), add(3, b.into()), mov(4, to.len() as i32)]);
                    if from.is_empty() {
                        insns.push(mov(1, 0));
                    }
                    if to.is_empty() {
                        insns.push(mov(3, 0));
                    }
                    insns.extend(ld64(5, seed.into()));
                    insns.extend([call(28), EXIT]);
                    run(bpf, &insns)
                });
            }
        }
    }
    same("csum_diff of 6 bytes", |bpf| {
        let (mut insns, a) = on_stack(&[1; 8], 0);
        insns.extend([mov_reg(1, 10), add(1, a.into()), mov(2, 6), mov(3, 0), mov(4, 0)]);
        insns.extend([mov(5, 0), call(28), EXIT]);
        run(bpf, &insns)
    });
}

/// Linux, too, lets a value that may be null pass beside a size: here it is no bytes, and the
/// process lives.
#[test]
fn null_beside_a_size_is_no_bytes() {
    let bpf = ours();
    let hash = MapDef::new(MapType::Hash, 8, 48, 4);
    let hash = bpf.map_create(&hash.into()).unwrap();
    let mut insns = vec![i(0x7a, 10, 0, -8, 7)];
    insns.extend(ld_map(1, hash));
    insns.extend([mov_reg(2, 10), add(2, -8), call(1), mov_reg(1, 0), mov(2, 44), mov(3, 0)]);
    insns.extend([mov(4, 0), mov(5, 0), call(28), EXIT]);
    // The sum of what is not there, taken off a sum of nothing.
    assert_eq!(run(&bpf, &insns), 0);
}

#[test]
fn texts_become_numbers_as_on_linux() {
    let texts = [
        "0",
        "12",
        "-12",
        " 12",
        "+3",
        "0x1f",
        "-0x1f",
        "017",
        "08",
        "0x",
        "x",
        "",
        "12abc",
        "- 3",
        "99999999999999999999",
        "9223372036854775807",
        "9223372036854775808",
        "--1",
        "  -7 ",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "\t5",
        "0b1",
        "1f",
    ];
    for helper in [105, 106] {
        for text in texts {
            for flags in [0, 8, 10, 16, 2, 32] {
                // The number's low half, then the answer's.
                for part in [None, Some(0), Some(4)] {
                    same(&format!("helper {helper} of {text:?} in {flags}, {part:?}"), |bpf| {
                        let (mut insns, at) = on_stack(format!("{text}\0").as_bytes(), -8);
                        insns.extend([i(0x7a, 10, 0, -8, -1), mov_reg(1, 10), add(1, at.into())]);
                        insns.extend([mov(2, text.len() as i32 + 1), mov(3, flags)]);
                        insns.extend([mov_reg(4, 10), add(4, -8), call(helper)]);
                        if let Some(off) = part {
                            insns.push(i(0x61, 0, 10, -8 + off, 0));
                        }
                        insns.push(EXIT);
                        run(bpf, &insns)
                    });
                }
            }
        }
    }
}

#[test]
fn loops_end_as_on_linux() {
    // The callback counts in its context, and stops at turn 5 when told to.
    for (turns, flags, stop) in [
        (0, 0, -1),
        (1, 0, -1),
        (10, 0, -1),
        (10, 0, 5),
        (10, 1, -1),
        (1 << 23, 0, 3),
        (1 << 24, 0, -1),
    ] {
        same(&format!("bpf_loop {turns} {flags} {stop}"), |bpf| {
            let request = looping(bpf, turns, flags, stop);
            let prog = match bpf.prog_load(&request) {
                Ok(loaded) => loaded.fd,
                Err(error) => panic!("{error}\n{}", error.log),
            };
            let run = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
            bpf.test_run(prog, &run).unwrap().retval
        });
    }
}

/// r0 = bpf_loop(turns, callback, &counter, flags) * 1000 + counter.
fn looping(bpf: &dyn Bpf, turns: i32, flags: i32, stop: i32) -> ProgLoad {
    let main = [
        i(0x7a, 10, 0, -8, 0),
        mov(1, turns),
        i(0x18, 2, 4, 0, 10),
        i(0, 0, 0, 0, 0),
        mov_reg(3, 10),
        add(3, -8),
        mov(4, flags),
        call(181),
        i(0x27, 0, 0, 0, 1000),
        i(0x79, 1, 10, -8, 0),
        i(0x0f, 0, 1, 0, 0),
        EXIT,
    ];
    let callback = [
        i(0x79, 3, 2, 0, 0),
        add(3, 1),
        i(0x7b, 2, 3, 0, 0),
        mov(0, 0),
        i(0x55, 1, 0, 1, stop),
        mov(0, 1),
        EXIT,
    ];
    // The function's address is relative to the slot after the load.
    let mut insns = main.to_vec();
    insns[2].imm = (main.len() - 3) as i32;
    insns.extend(callback);
    with_btf(bpf, insns, &[0, main.len() as u32])
}

/// With BTF that gives each start a function.
fn with_btf(bpf: &dyn Bpf, insns: Vec<Insn>, starts: &[u32]) -> ProgLoad {
    let strings = b"\0f\0";
    let mut types: Vec<u32> = vec![0, 13 << 24, 0];
    starts.iter().for_each(|_| types.extend([1, 12 << 24, 1]));
    let mut data: Vec<u8> = vec![0x9f, 0xeb, 1, 0];
    let types: Vec<u8> = types.iter().flat_map(|w| w.to_le_bytes()).collect();
    let header = [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32];
    data.extend(header.iter().flat_map(|w| w.to_le_bytes()));
    data.extend(types);
    data.extend(strings);
    let btf = bpf.btf_load(&BtfLoad { data, ..BtfLoad::default() }).unwrap().fd;
    let info = starts.iter().zip(2..).map(|(&insn_off, type_id)| FuncInfo { insn_off, type_id });
    let func_info = info.collect();
    ProgLoad { btf: Some(btf), func_info, ..common::request(ProgType::Xdp, &insns) }
}

#[test]
fn map_helpers_answer_as_on_linux() {
    for (t, helper, flags) in [
        (MapType::Hash, 2, 0),
        (MapType::Hash, 2, 1),
        (MapType::Hash, 2, 2),
        (MapType::Hash, 2, 3),
        (MapType::Hash, 3, 0),
        (MapType::Array, 2, 0),
        (MapType::Array, 2, 1),
        (MapType::Array, 2, 2),
        (MapType::Array, 3, 0),
        (MapType::PercpuHash, 2, 0),
        (MapType::PercpuHash, 2, 2),
        (MapType::PercpuArray, 2, 1),
        (MapType::LruHash, 2, 2),
        (MapType::LruHash, 3, 0),
    ] {
        for key in [0u32, 1, 9] {
            same(&format!("{} helper {helper} flags {flags} key {key}", t.name()), |bpf| {
                let map = bpf.map_create(&MapDef::new(t, 4, 8, 2).into()).unwrap();
                let value = vec![1; 8 * bpf.possible_cpus() as usize];
                bpf.map_update(map, &[0; 4], &value, 0).unwrap();
                let mut insns = vec![
                    i(0x62, 10, 0, -4, key as i32),
                    i(0x7a, 10, 0, -16, 5),
                    mov_reg(2, 10),
                    add(2, -4),
                    mov_reg(3, 10),
                    add(3, -16),
                    mov(4, flags),
                ];
                insns.extend(ld_map(1, map));
                insns.extend([call(helper), EXIT]);
                run(bpf, &insns)
            });
        }
    }
}

#[test]
fn tags_are_linux_s() {
    same("a tag", |bpf| {
        let map = bpf.map_create(&MapDef::new(MapType::Array, 4, 8, 1).into()).unwrap();
        let mut insns = Vec::from(ld_map(1, map));
        insns.extend([i(0x18, 2, 2, 0, map.0), i(0, 0, 0, 0, 4), mov(0, 2), EXIT]);
        let prog = load(bpf, ProgType::Xdp, &insns);
        let info = bpf.prog_info(prog).unwrap();
        let map_id = bpf.map_info(map).unwrap().id;
        assert_eq!(info.map_ids, [map_id]);
        (info.tag, info.gpl_compatible, info.prog_type, info.name)
    });
}

#[test]
fn bytes_of_packets_move_as_on_linux() {
    // bpf_xdp_load_bytes 189, bpf_xdp_store_bytes 190, of 8 bytes.
    for helper in [189, 190] {
        for (len, off) in [
            (64, 0),
            (64, 56),
            (64, 57),
            (64, -1),
            (64, 70000),
            (4000, 3516),
            (4000, 3992),
            (4000, 3993),
        ] {
            same(&format!("helper {helper} at {off} of {len}"), |bpf| {
                let insns = [
                    i(0x7a, 10, 0, -8, 0x5555),
                    mov(2, off),
                    mov_reg(3, 10),
                    add(3, -8),
                    mov(4, 8),
                    call(helper),
                    i(0x79, 1, 10, -8, 0),
                    i(0x0f, 0, 1, 0, 0),
                    EXIT,
                ];
                let prog = load(bpf, ProgType::Xdp, &insns);
                let data = (0..len).map(|n| (n % 253) as u8).collect();
                let run =
                    TestRun { data_in: Some(data), data_out: Some(8192), ..TestRun::default() };
                let out = bpf.test_run(prog, &run).unwrap();
                (out.retval, out.data_out)
            });
        }
    }
}

/// Runs a program on a socket buffer of 64 bytes that count up: its answer and the packet.
fn run_skb(bpf: &dyn Bpf, insns: &[Insn]) -> (u32, Vec<u8>) {
    let prog = load(bpf, ProgType::SchedCls, insns);
    let data = (1..65).collect();
    let run = TestRun { data_in: Some(data), data_out: Some(4096), ..TestRun::default() };
    let out = bpf.test_run(prog, &run).unwrap();
    (out.retval, out.data_out)
}

#[test]
fn bytes_of_socket_buffers_move_as_on_linux() {
    // Helper and its flags or start: load 26, load relative 68, store 9.
    for (helper, fifth) in [(26, 0), (68, 0), (68, 1), (68, 2), (9, 0), (9, 1), (9, 2), (9, 4)] {
        for off in [0, 1, 13, 42, 50, 56, 57, 64, -1, -8] {
            same(&format!("helper {helper} with {fifth} at {off}"), |bpf| {
                let insns = [
                    i(0x7a, 10, 0, -8, 0x5555),
                    mov(2, off),
                    mov_reg(3, 10),
                    add(3, -8),
                    mov(4, 8),
                    mov(5, fifth),
                    call(helper),
                    i(0x79, 1, 10, -8, 0),
                    i(0x0f, 0, 1, 0, 0),
                    EXIT,
                ];
                run_skb(bpf, &insns)
            });
        }
    }
}

#[test]
fn checksums_of_socket_buffers_change_as_on_linux() {
    for helper in [10, 11] {
        for flags in [0, 1, 2, 4, 5, 0x10, 0x12, 0x14, 0x20, 0x22, 0x24, 0x34, 0x60, 0x100] {
            for (from, to) in [(0u32, 0u32), (0, 0x1234), (0x102, 0xffff), (0xffff_ffff, 1), (7, 7)]
            {
                for off in [24, 25, 62, 63, 64, 70000] {
                    let what =
                        format!("helper {helper} flags {flags:#x} {from:#x} {to:#x} at {off}");
                    same(&what, |bpf| {
                        let mut insns = vec![mov_reg(6, 1), mov(2, off), mov(5, flags)];
                        insns.extend(ld64(3, from.into()));
                        insns.extend(ld64(4, to.into()));
                        insns.extend([call(helper), EXIT]);
                        run_skb(bpf, &insns)
                    });
                }
            }
        }
    }
}

#[test]
fn probes_read_only_what_the_program_may_touch() {
    let bpf = ours();
    // bpf_probe_read_kernel of the stack, and of an address of nobody.
    let program = |src: [Insn; 2]| {
        let mut insns = vec![i(0x7a, 10, 0, -8, 42), i(0x7a, 10, 0, -16, 0), mov_reg(1, 10)];
        insns.extend([add(1, -16), mov(2, 8)]);
        insns.extend(src);
        insns.extend([call(113), i(0x79, 1, 10, -16, 0), i(0x0f, 0, 1, 0, 0), EXIT]);
        load(&bpf, ProgType::Xdp, &insns)
    };
    let run = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
    let stack = program([mov_reg(3, 10), add(3, -8)]);
    assert_eq!(bpf.test_run(stack, &run).unwrap().retval, 42);
    let secret = Box::new(7u64);
    let wild = program(ld64(3, std::ptr::from_ref(&*secret) as u64));
    assert_eq!(bpf.test_run(wild, &run).unwrap().retval as i32, -Errno::EFAULT.0);
}

#[test]
fn perf_events_reach_the_reader() {
    let bpf = ours();
    let map = bpf.map_create(&MapDef::new(MapType::PerfEventArray, 4, 4, 2).into()).unwrap();
    let mut insns = vec![i(0x7a, 10, 0, -8, 42)];
    insns.extend(ld_map(2, map));
    // The current CPU, and four bytes of packet.
    insns.extend(ld64(3, 4 << 32 | 0xffff_ffff));
    insns.extend([mov_reg(4, 10), add(4, -8), mov(5, 8), call(25), EXIT]);
    let prog = load(&bpf, ProgType::Xdp, &insns);
    let run = TestRun { data_in: Some((0..64).collect()), ..TestRun::default() };
    assert_eq!(bpf.test_run(prog, &run).unwrap().retval, 0);
    let records = bpf.take_perf(map).unwrap();
    assert_eq!(records[0].data, [42, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
}

#[test]
fn redirects_answer_as_on_linux() {
    for t in [MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::Xskmap] {
        for key in [0, 1, 9] {
            for flags in [0, 1, 2, 3, 4, 8, 16, 24] {
                same(&format!("{} key {key} flags {flags}", t.name()), |bpf| {
                    let map = bpf.map_create(&MapDef::new(t, 4, 4, 4).into()).unwrap();
                    // The loopback interface, or a queue of one packet.
                    bpf.map_update(map, &1u32.to_ne_bytes(), &1u32.to_ne_bytes(), 0).ok();
                    let mut insns = Vec::from(ld_map(1, map));
                    insns.extend([mov(2, key), mov(3, flags), call(51), EXIT]);
                    run(bpf, &insns)
                });
            }
        }
    }
    for flags in [0, 1, 2] {
        same(&format!("bpf_redirect {flags}"), |bpf| {
            run(bpf, &[mov(1, 1), mov(2, flags), call(23), EXIT])
        });
    }
}
