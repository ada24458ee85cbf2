//! BPF_PROG_TEST_RUN against the recorded answers and the running Linux.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{EXIT, add, agree, call, i, load, mov, mov_reg, on_stack, ours, same};
use runtime::door::{Bpf, TestRun, TestRunOut};
use serde_json::Value;
use uapi::{AttachType, Errno, ProgType};

fn facts() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../facts/prog_types.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

const TYPES: [(&str, ProgType); 9] = [
    ("XDP", ProgType::Xdp),
    ("SCHED_CLS", ProgType::SchedCls),
    ("SCHED_ACT", ProgType::SchedAct),
    ("SOCKET_FILTER", ProgType::SocketFilter),
    ("CGROUP_SKB", ProgType::CgroupSkb),
    ("LWT_IN", ProgType::LwtIn),
    ("LWT_XMIT", ProgType::LwtXmit),
    ("SYSCALL", ProgType::Syscall),
    ("RAW_TRACEPOINT", ProgType::RawTracepoint),
];

/// What the probe of the facts did under this name: input, and whether a packet came along.
fn input(what: &str) -> Option<TestRun> {
    let packet = |len: usize| TestRun {
        data_in: Some(vec![0; len]),
        data_out: Some(1 << 20),
        ..TestRun::default()
    };
    let run = match what {
        "no_data" => TestRun::default(),
        "repeat2" => TestRun { repeat: 2, ..packet(64) },
        "repeat1000" => TestRun { repeat: 1000, ..packet(64) },
        "data_out_short" => TestRun { data_out: Some(10), ..packet(64) },
        "batch1" => TestRun { batch_size: 1, ..packet(64) },
        _ => {
            let flags = |n: &str| n.parse().ok();
            match what.split_once("flags") {
                // Live frames want an interface's pages; ours refuses them by another number.
                Some(("", "2" | "2_nodata")) => return None,
                Some(("", n)) => match n.strip_suffix("_nodata") {
                    Some(n) => TestRun { flags: flags(n)?, ..TestRun::default() },
                    None => TestRun { flags: flags(n)?, ..packet(64) },
                },
                _ => packet(what.strip_prefix("data_")?.parse().ok()?),
            }
        }
    };
    Some(run)
}

fn answer(result: &Result<TestRunOut, Errno>, want: &str) -> String {
    match result {
        Ok(out) if out.truncated => format!("ENOSPC size_out={}", out.data_size_out),
        Ok(out) if want.contains("out=") => format!("OK out={}", out.data_size_out),
        Ok(_) => "OK".into(),
        // The probe printed the size it had given, untouched.
        Err(errno) if want.contains("size_out=") => format!("{errno} size_out=10"),
        Err(errno) => errno.to_string(),
    }
}

#[test]
fn inputs_are_answered_as_recorded() {
    let facts = facts();
    let bpf = ours();
    let mut rows = 0;
    for (name, prog_type) in TYPES {
        let types = facts["progs"].as_array().unwrap();
        let row = types.iter().find(|row| row["name"] == name).expect(name);
        let groups = row["test_run"].as_array().expect(name);
        let group = groups.iter().find(|g| g["result"].is_object()).expect(name);
        let mut request = common::request(prog_type, &[mov(0, 0), EXIT]);
        if prog_type == ProgType::Syscall {
            request.flags = 1 << 4;
        }
        let prog = bpf.prog_load(&request).unwrap().fd;
        for (what, want) in group["result"].as_object().expect(name) {
            let (Some(run), Some(want)) = (input(what), want.as_str()) else { continue };
            let got = answer(&bpf.test_run(prog, &run), want);
            assert_eq!(got, want, "{name} {what}");
            rows += 1;
        }
        contexts(&bpf, prog, name, &group["result"]["ctx_in"], &mut rows);
    }
    assert!(rows > 250, "{rows}");
}

fn contexts(bpf: &dyn Bpf, prog: runtime::Fd, name: &str, table: &Value, rows: &mut usize) {
    for (what, want) in table.as_object().expect(name) {
        let (size, fill) = what.strip_prefix("ctx").unwrap().split_once("_fill").unwrap();
        let size: usize = size.parse().unwrap();
        let ctx = vec![fill.parse().unwrap(); size];
        // Socket buffers and XDP were asked for the context back, in the same size.
        let back = !matches!(name, "SYSCALL" | "RAW_TRACEPOINT");
        let run = TestRun {
            ctx_out: back.then_some(size as u32),
            ctx_in: Some(ctx),
            ..TestRun::default()
        };
        let (data, nodata) = want.as_str().unwrap().split_once("/nodata:").unwrap();
        let packet = TestRun { data_in: Some(vec![0; 64]), data_out: Some(1 << 20), ..run.clone() };
        for (run, want) in [(packet, data), (run, nodata)] {
            let got = match bpf.test_run(prog, &run) {
                Ok(out) if out.truncated => "ENOSPC".into(),
                Ok(_) => "OK".into(),
                Err(errno) => errno.to_string(),
            };
            assert_eq!(got, want, "{name} {what}");
            *rows += 1;
        }
    }
}

#[test]
fn devmap_programs_are_not_test_run() {
    let bpf = ours();
    let mut request = common::request(ProgType::Xdp, &[mov(0, 0), EXIT]);
    request.expected_attach_type = AttachType::XdpDevmap.raw();
    let prog = bpf.prog_load(&request).unwrap().fd;
    let run = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
    assert_eq!(bpf.test_run(prog, &run), Err(Errno::EINVAL));
}

/// The packet of a run: 64 bytes that count up.
fn counting() -> TestRun {
    TestRun { data_in: Some((0..64).collect()), data_out: Some(4096), ..TestRun::default() }
}

fn without_time(out: Result<TestRunOut, Errno>) -> Result<TestRunOut, Errno> {
    out.map(|out| TestRunOut { duration_ns: 0, ..out })
}

#[test]
fn heads_and_tails_move_as_on_linux() {
    // bpf_xdp_adjust_head 44, _meta 54, _tail 65; the result is the verdict.
    for helper in [44, 54, 65] {
        for delta in [
            -300, -257, -256, -255, -252, -217, -216, -215, -214, -51, -50, -49, -8, -5, -4, -1, 0,
            1, 4, 8, 49, 50, 51, 64, 200, 252, 256, 3000, 3455, 3456, 3457, 3458, 4096,
        ] {
            same(&format!("helper {helper} by {delta}"), |bpf| {
                let prog = [mov(2, delta), call(helper), EXIT];
                let prog = load(bpf, ProgType::Xdp, &prog);
                let run = TestRun { ctx_in: Some(vec![0; 24]), ..counting() };
                let ctx = |end: u32| {
                    let mut ctx = vec![0; 24];
                    ctx[4..8].copy_from_slice(&end.to_ne_bytes());
                    ctx
                };
                let run = TestRun { ctx_in: Some(ctx(64)), ctx_out: Some(24), ..run };
                without_time(bpf.test_run(prog, &run))
            });
        }
    }
}

#[test]
fn metadata_goes_in_and_comes_out() {
    for (data, end) in [
        (0, 64),
        (4, 64),
        (8, 64),
        (2, 64),
        (64, 64),
        (48, 64),
        (52, 64),
        (0, 0),
        (0, 13),
        (8, 20),
        (8, 23),
        (0, 14),
        (212, 300),
        (216, 300),
        (220, 300),
        (216, 217),
        (8, 40),
        (8, 65),
    ] {
        let size = if end > 65 { 300 } else { 64 };
        same(&format!("metadata of {data} bytes, {end} in all"), |bpf| {
            let prog = load(bpf, ProgType::Xdp, &[mov(0, 2), EXIT]);
            let mut ctx = vec![0; 24];
            ctx[0..4].copy_from_slice(&u32::to_ne_bytes(data));
            ctx[4..8].copy_from_slice(&u32::to_ne_bytes(end));
            let data = (0..size).map(|n| n as u8).collect();
            let run = TestRun { data_in: Some(data), ctx_in: Some(ctx), ..counting() };
            let run = TestRun { ctx_out: Some(24), ..run };
            without_time(bpf.test_run(prog, &run))
        });
    }
}

#[test]
fn repeats_keep_what_the_program_did() {
    // Moves the head by 1 a run: 5 runs leave 59 bytes.
    let out = agree("five moves of the head", |bpf| {
        let prog = [mov(2, 1), call(44), EXIT];
        let prog = load(bpf, ProgType::Xdp, &prog);
        let out = without_time(bpf.test_run(prog, &TestRun { repeat: 5, ..counting() }));
        out.unwrap().data_out
    });
    assert_eq!(out, (5..64).collect::<Vec<u8>>());
}

#[test]
fn long_packets_have_a_part_behind() {
    for len in [3520, 3521, 4000, 9000] {
        same(&format!("{len} bytes"), |bpf| {
            // r0 = data_end - data; add what bpf_xdp_get_buff_len says, shifted.
            let prog = [
                mov_reg(6, 1),
                call(188),
                mov_reg(7, 0),
                i(0x67, 7, 0, 0, 16),
                i(0x61, 2, 6, 0, 0),
                i(0x61, 0, 6, 4, 0),
                i(0x1f, 0, 2, 0, 0),
                i(0x4f, 0, 7, 0, 0),
                EXIT,
            ];
            let prog = load(bpf, ProgType::Xdp, &prog);
            let data: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let run = TestRun { data_in: Some(data), data_out: Some(16384), ..TestRun::default() };
            without_time(bpf.test_run(prog, &run))
        });
    }
}

#[test]
fn socket_buffers_come_back_as_on_linux() {
    let types = [ProgType::SchedCls, ProgType::SocketFilter, ProgType::CgroupSkb];
    for t in types {
        for (off, what) in [(0, "len"), (4, "pkt_type"), (16, "protocol"), (40, "ifindex")] {
            for first in [0u8, 0xff, 1, 2] {
                same(&format!("{} {what} of a packet to {first:02x}", t.name()), |bpf| {
                    let mut insns = vec![i(0x61, 0, 1, off, 0), EXIT];
                    if t == ProgType::CgroupSkb {
                        // They may answer 0 or 1 only.
                        insns.insert(1, i(0x57, 0, 0, 0, 1));
                    }
                    let prog = load(bpf, t, &insns);
                    let mut data: Vec<u8> = vec![first; 6];
                    data.extend(6..64);
                    data[12..14].copy_from_slice(&[8, 0]);
                    let run = TestRun {
                        data_in: Some(data),
                        data_out: Some(4096),
                        ctx_in: Some(vec![0; 192]),
                        ctx_out: Some(192),
                        ..TestRun::default()
                    };
                    without_time(bpf.test_run(prog, &run))
                });
            }
        }
    }
}

#[test]
fn syscall_programs_write_their_context() {
    common::both(|bpf, door| {
        // *(u64 *)(ctx + 8) = *(u64 *)ctx + 1
        let prog = [i(0x79, 2, 1, 0, 0), add(2, 1), i(0x7b, 1, 2, 8, 0), mov(0, 7), EXIT];
        let mut request = common::request(ProgType::Syscall, &prog);
        request.flags = 1 << 4;
        let prog = bpf.prog_load(&request).unwrap().fd;
        let run = TestRun { ctx_in: Some(41u64.to_le_bytes().repeat(2)), ..TestRun::default() };
        let out = bpf.test_run(prog, &run).unwrap();
        assert_eq!(out.retval, 7, "{door}");
        // Linux writes to where the context came from, which its door keeps to itself.
        if door == "ring3" {
            assert_eq!(out.ctx_out[8..16], 42u64.to_le_bytes());
        }
    });
}

#[test]
fn the_trace_pipe_gets_the_line() {
    let bpf = ours();
    let (mut prog, at) = on_stack(b"Hello World %d\0", 0);
    prog.extend([mov_reg(1, 10), add(1, at.into()), mov(2, 15), mov(3, 42), call(6)]);
    prog.extend([mov(0, 2), EXIT]);
    let prog = load(&bpf, ProgType::Xdp, &prog);
    assert_eq!(bpf.test_run(prog, &counting()).unwrap().retval, 2);
    let lines = bpf.take_trace();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with(": bpf_trace_printk: Hello World 42"), "{}", lines[0]);
    assert!(lines[0].contains(" b..11 "), "{}", lines[0]);
}
