//! Test runs of each kind of program beside the running Linux: what goes in, what comes out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use btf::{Btf, Kind};
use common::{EXIT, add, call, i, linux, mov, mov_reg, request};
use isa::Insn;
use runtime::door::{Bpf, DeviceAdd, Fd, ProgLoad, TestRun, TestRunOut};
use runtime::{Config, Runtime};
use uapi::{AttachType, Errno, ProgType};

/// The running kernel's types, which both doors' programs attach to.
fn types() -> Option<Arc<Btf>> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Some(Arc::new(Btf::parse(&bytes).unwrap()))
}

fn ours(types: Option<Arc<Btf>>) -> Runtime {
    Runtime::new(Config { cpus: 2, kernel_btf: types, ..Config::default() })
}

/// One question to both; without a Linux to ask, ring3 alone.
struct Both {
    ours: Runtime,
    linux: Option<syscall::Linux>,
}

impl Both {
    fn new() -> Both {
        Both { ours: ours(types()), linux: linux() }
    }

    /// Test runs of one program, in order: what ring3 answers, after Linux answered the same.
    fn runs(&self, what: &str, load: &ProgLoad, runs: &[TestRun]) -> Vec<Answer> {
        let ours = answers(&self.ours, what, load, runs);
        let Some(linux) = &self.linux else { return ours };
        let theirs = answers(linux, what, load, runs);
        for ((run, ours), theirs) in runs.iter().zip(&ours).zip(&theirs) {
            let words = run.ctx_in.as_deref().unwrap_or_default().as_chunks::<4>().0;
            let words: Vec<u32> = words.iter().map(|w| u32::from_ne_bytes(*w)).collect();
            assert_eq!(ours, theirs, "{what}: ring3 differs on {words:?} of {run:?}");
        }
        ours
    }
}

fn answers(bpf: &dyn Bpf, what: &str, load: &ProgLoad, runs: &[TestRun]) -> Vec<Answer> {
    let prog = match bpf.prog_load(load) {
        Ok(loaded) => loaded.fd,
        Err(error) => panic!("{what}: {error}\n{}", error.log),
    };
    let answers = runs.iter().map(|run| answer(bpf, prog, run)).collect();
    bpf.close(prog).unwrap();
    answers
}

type Answer = Result<TestRunOut, Errno>;

fn answer(bpf: &dyn Bpf, prog: Fd, run: &TestRun) -> Answer {
    bpf.test_run(prog, run).map(|out| TestRunOut { duration_ns: 0, ..out })
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

/// r2 = *(u32 *)(r1 + off); r0 = r0 * 31 + r2
fn mix(off: i16, code: u8) -> [Insn; 3] {
    [i(code, 2, 1, off, 0), i(0x27, 0, 0, 0, 31), i(0x0f, 0, 2, 0, 0)]
}

#[test]
fn members_of_socket_buffers_go_in_and_come_out() {
    let both = Both::new();
    let types = [
        (ProgType::SchedCls, "tc"),
        (ProgType::SocketFilter, "socket filter"),
        (ProgType::CgroupSkb, "cgroup"),
        (ProgType::LwtIn, "lwt"),
    ];
    let values = [1_u32, 2, 64, 65, 0xffff, 0x1_0000, 0x7fff_ffff, u32::MAX];
    for (prog_type, name) in types {
        let load = request(prog_type, &[mov(0, 1), EXIT]);
        let mut runs = Vec::new();
        for at in 0..48 {
            // The machine may have an interface of such a number.
            let names_interface = |value: u32| at == 10 && value != 1 && value != u32::MAX;
            for value in values.into_iter().filter(|v| !names_interface(*v)) {
                let mut ctx = [0; 48];
                ctx[at] = value;
                runs.push(TestRun {
                    data_in: Some((0..64).collect()),
                    data_out: Some(4096),
                    ctx_in: Some(words(&ctx)),
                    ctx_out: Some(192),
                    ..TestRun::default()
                });
            }
        }
        both.runs(name, &load, &runs);
    }
}

/// A dissector that fills keys out of the packet: ports of a header at a fixed place.
fn dissector() -> Vec<Insn> {
    vec![
        // r6 = keys, r2 = data, r3 = data_end
        i(0x79, 6, 1, 144, 0),
        i(0x61, 2, 1, 76, 0),
        i(0x61, 3, 1, 80, 0),
        mov_reg(4, 2),
        add(4, 20),
        mov(0, 2),
        i(0x2d, 4, 3, 7, 0),
        // nhoff = 2, below the least; thoff = the packet's; sport = two bytes
        i(0x6a, 6, 0, 0, 2),
        i(0x69, 5, 2, 16, 0),
        i(0x6b, 6, 5, 2, 0),
        i(0x69, 5, 2, 18, 0),
        i(0x6b, 6, 5, 12, 0),
        i(0x72, 6, 0, 9, 6),
        mov(0, 0),
        EXIT,
    ]
}

#[test]
fn flow_dissectors_give_their_keys() {
    let both = Both::new();
    let load = request(ProgType::FlowDissector, &dissector());
    let mut runs = Vec::new();
    for len in [0, 13, 14, 19, 20, 21, 60, 1500, 4096, 4097] {
        for thoff in [0_u16, 14, 20, 40, 5000] {
            let mut data: Vec<u8> = (0..len).map(|n| n as u8).collect();
            if len >= 18 {
                data[16..18].copy_from_slice(&thoff.to_ne_bytes());
            }
            for room in [None, Some(10), Some(56), Some(100)] {
                let data_in = Some(data.clone());
                runs.push(TestRun { data_in, data_out: room, repeat: 3, ..TestRun::default() });
            }
        }
    }
    for (at, value) in [(0, 1), (12, 1), (12, 7), (13, 1), (11, 1)] {
        let mut keys = [0; 14];
        keys[at] = value;
        runs.push(TestRun {
            data_in: Some((0..64).collect()),
            data_out: Some(56),
            ctx_in: Some(words(&keys)),
            ctx_out: Some(56),
            ..TestRun::default()
        });
    }
    let answers = both.runs("flow dissector", &load, &runs);
    assert!(answers.iter().any(|a| a.as_ref().is_ok_and(|out| out.retval == 0)));
}

#[test]
fn lookups_see_the_addresses_of_their_family() {
    let both = Both::new();
    // Each word of the context but the socket, mixed; then compared with a number that is in the
    // packet's addresses to tell the one from the other.
    let mut mixed = vec![mov(0, 7)];
    for off in (8..68).step_by(4) {
        mixed.extend(mix(off, 0x61));
    }
    let mut runs = Vec::new();
    for seed in 0..40_u32 {
        let mut ctx = [0_u32; 18];
        for (at, word) in ctx.iter_mut().enumerate().skip(2) {
            *word = (at as u32).wrapping_mul(0x9e37_79b9).rotate_left(seed);
        }
        ctx[2] = [2, 10, 2, 10, 1][seed as usize % 5] | (seed / 20) << 16;
        ctx[15] = [80, 65535, 65536][seed as usize % 3];
        ctx[16] = u32::from(seed == 11);
        ctx[17] = 0;
        runs.push(TestRun {
            ctx_in: Some(words(&ctx)),
            ctx_out: Some(72),
            repeat: seed % 3,
            ..TestRun::default()
        });
    }
    // The value is 0 or 1: one bit of the mixture after the other.
    for bit in 0..24 {
        let mut insns = mixed.clone();
        insns.extend([i(0x77, 0, 0, 0, bit), i(0x57, 0, 0, 0, 1), EXIT]);
        let load = ProgLoad {
            expected_attach_type: AttachType::SkLookup.raw(),
            ..request(ProgType::SkLookup, &insns)
        };
        let answers = both.runs("sk_lookup", &load, &runs);
        let ran = answers.iter().filter(|a| a.is_ok()).count();
        assert!(ran > 10, "{ran}");
    }
}

/// Byte offset of a member, through structures without a name.
fn offset(btf: &Btf, structure: &str, name: &str) -> i16 {
    fn find(btf: &Btf, id: btf::TypeId, base: u32, name: &str) -> Option<u32> {
        let ty = btf.resolved(id).filter(|t| t.kind.is_composite())?;
        ty.members().find_map(|m| match m.name {
            found if found == name => Some(base + m.bit_offset / 8),
            "" => find(btf, m.type_id, base + m.bit_offset / 8, name),
            _ => None,
        })
    }
    let id = btf.find_by_name(structure, Kind::Struct).unwrap();
    find(btf, id, 0, name).unwrap() as i16
}

#[test]
fn netfilter_programs_see_hook_and_packet() {
    let Some(types) = types() else {
        eprintln!("skipped: no types of a kernel here");
        return;
    };
    let both = Both::new();
    let at = |structure: &str, name: &str| offset(&types, structure, name);
    let device = |way: &str| {
        vec![
            i(0x79, 3, 6, at("nf_hook_state", way), 0),
            mov(2, 0),
            i(0x15, 3, 0, 1, 0),
            i(0x61, 2, 3, at("net_device", "ifindex"), 0),
        ]
    };
    let number = |load: Insn| vec![load];
    let asked = [
        number(i(0x71, 2, 6, at("nf_hook_state", "hook"), 0)),
        number(i(0x71, 2, 6, at("nf_hook_state", "pf"), 0)),
        device("in"),
        device("out"),
        number(i(0x61, 2, 7, at("sk_buff", "len"), 0)),
        number(i(0x69, 2, 7, at("sk_buff", "protocol"), 0)),
    ];
    let mut runs = Vec::new();
    for pf in [2_u8, 10, 0] {
        for hook in 0..6 {
            for ethertype in [0x0800_u16, 0x86dd, 0x0806] {
                for len in [19, 20, 33, 34, 53, 54, 100] {
                    let mut data = vec![0; len];
                    if len > 13 {
                        data[12..14].copy_from_slice(&ethertype.to_be_bytes());
                    }
                    let mut ctx = vec![0; 48];
                    (ctx[0], ctx[1]) = (hook, pf);
                    let (data_in, ctx_in) = (Some(data), Some(ctx));
                    runs.push(TestRun { data_in, ctx_in, ..TestRun::default() });
                }
            }
        }
    }
    for (k, ask) in asked.into_iter().enumerate() {
        for bit in 0..4 {
            // r6 = state, r7 = skb; the value is a bit of what was asked.
            let mut insns = vec![i(0x79, 6, 1, 0, 0), i(0x79, 7, 1, 8, 0)];
            insns.extend(&ask);
            insns.extend([i(0x77, 2, 0, 0, 3 * bit), i(0x57, 2, 0, 0, 1), mov_reg(0, 2), EXIT]);
            let load = ProgLoad {
                expected_attach_type: AttachType::Netfilter.raw(),
                ..request(ProgType::Netfilter, &insns)
            };
            let answers = both.runs(&format!("netfilter question {k}"), &load, &runs);
            assert!(answers.iter().filter(|a| a.is_ok()).count() > 10);
        }
    }
}

#[test]
fn raw_tracepoints_run_on_the_cpu_that_is_named() {
    let both = Both::new();
    // bpf_get_smp_processor_id, and the third argument's lower half.
    let insns = [mov_reg(6, 1), call(8), i(0x61, 1, 6, 16, 0), i(0x0f, 0, 1, 0, 0), EXIT];
    let load = request(ProgType::RawTracepoint, &insns);
    let args: Vec<u8> = [10_u64, 20, 3000, 40].iter().flat_map(|w| w.to_ne_bytes()).collect();
    let mut runs = Vec::new();
    for len in [0, 16, 19, 20, 24, 32] {
        for (flags, cpu) in [(1, 0), (1, 1), (1, 9999), (0, 1)] {
            let ctx_in = Some(args[..len].to_vec());
            runs.push(TestRun { ctx_in, flags, cpu, ..TestRun::default() });
        }
    }
    let answers = both.runs("raw tracepoint", &load, &runs);
    let values: Vec<u32> = answers.iter().flatten().map(|out| out.retval).collect();
    assert_eq!(values, [3000, 3001, 3000, 3001, 3000, 3001]);
}

#[test]
fn operations_of_the_dummy_structure_take_words() {
    let Some(types) = types() else {
        eprintln!("skipped: no types of a kernel here");
        return;
    };
    let both = Both::new();
    let id = types.find_by_name("bpf_dummy_ops", Kind::Struct).unwrap();
    let structure = types.ty(id).unwrap();
    for (index, member) in structure.members().enumerate() {
        let pointer = types.resolved(member.type_id).unwrap();
        let proto = types.resolved(btf::TypeId(pointer.size_or_type)).unwrap();
        let count = proto.params().len();
        // The sum of all arguments but the first.
        let mut insns = vec![mov(0, 5)];
        for at in 1..count {
            insns.extend([i(0x79, 2, 1, 8 * at as i16, 0), i(0x0f, 0, 2, 0, 0)]);
        }
        insns.push(EXIT);
        let load = ProgLoad {
            attach_btf_id: id.0,
            expected_attach_type: index as u32,
            flags: if member.name.contains("sleepable") { 1 << 4 } else { 0 },
            ..request(ProgType::StructOps, &insns)
        };
        let runs: Vec<TestRun> = (0..=8 * (count + 1))
            .map(|len| {
                let ctx_in =
                    (len > 0).then(|| (0..len).map(|n| if n < 8 { 0 } else { n as u8 }).collect());
                TestRun { ctx_in, ..TestRun::default() }
            })
            .collect();
        both.runs(member.name, &load, &runs);
    }
}

#[test]
fn programs_on_functions_run_with_the_functions_of_the_test() {
    let Some(types) = types() else {
        eprintln!("skipped: no types of a kernel here");
        return;
    };
    let Some(function) = types.find_by_name("bpf_modify_return_test", Kind::Func) else {
        eprintln!("skipped: this kernel has no functions for tests");
        return;
    };
    // A machine that lets no program onto its functions cannot be asked: by hand. The two
    // functions return 1 + 3 and 1 + 3 + 3 + 4 + 5 + 6 + 7, and each leaves a trace.
    let bpf = ours(Some(types.clone()));
    let load = |function: u32, attach: AttachType, insns: &[Insn]| {
        let load = ProgLoad {
            attach_btf_id: function,
            expected_attach_type: attach.raw(),
            ..request(ProgType::Tracing, insns)
        };
        bpf.prog_load(&load).unwrap_or_else(|e| panic!("{e}\n{}", e.log)).fd
    };
    let idle = load(function.0, AttachType::ModifyReturn, &[mov(0, 0), EXIT]);
    let run = |prog| bpf.test_run(prog, &TestRun::default()).map(|out| out.retval);
    assert_eq!(run(idle), Ok(2 << 16 | 33));
    // Attached, a result of its own takes the place of the first function.
    let changes = load(function.0, AttachType::ModifyReturn, &[mov(0, -22), EXIT]);
    let link = bpf.raw_tracepoint_open(None, changes).unwrap();
    assert_eq!(run(idle), Ok(1 << 16 | u32::from((29_i16 - 22) as u16)));
    bpf.close(link).unwrap();
    assert_eq!(run(idle), Ok(2 << 16 | 33));
    // Exits see arguments and result: 2 + 3 = 5 of the second function, in a map.
    let second = types.find_by_name("bpf_fentry_test2", Kind::Func).unwrap();
    let def = uapi::MapDef::new(uapi::MapType::Array, 4, 8, 1);
    let map = bpf.map_create(&def.into()).unwrap();
    let mut insns = vec![
        i(0x79, 6, 1, 0, 0),
        i(0x79, 7, 1, 8, 0),
        i(0x79, 8, 1, 16, 0),
        i(0x27, 6, 0, 0, 100),
        i(0x27, 7, 0, 0, 10),
        i(0x0f, 6, 7, 0, 0),
        i(0x0f, 6, 8, 0, 0),
        i(0x62, 10, 0, -4, 0),
        i(0x7b, 10, 6, -16, 0),
    ];
    insns.extend(common::ld_map(1, map));
    insns.extend([mov_reg(2, 10), add(2, -4), mov_reg(3, 10), add(3, -16), mov(4, 0), call(2)]);
    insns.extend([mov(0, 0), EXIT]);
    let exit = load(second.0, AttachType::TraceFexit, &insns);
    let _link = bpf.raw_tracepoint_open(None, exit).unwrap();
    assert_eq!(run(exit), Ok(0));
    let mut value = [0; 8];
    bpf.map_lookup(map, &[0; 4], &mut value, 0).unwrap();
    assert_eq!(u64::from_ne_bytes(value), 235);
}

#[test]
fn live_frames_ask_as_linux_does() {
    let both = Both::new();
    let load = request(ProgType::Xdp, &[mov(0, 1), EXIT]);
    let mut runs = Vec::new();
    for (len, batch_size, repeat) in [
        (64, 0, 0),
        (64, 256, 300),
        (64, 257, 1),
        (13, 0, 1),
        (3000, 0, 1),
        (3408, 0, 2),
        (3409, 0, 2),
    ] {
        for data_out in [None, Some(64)] {
            for md in [None, Some([0, 64, 0, 1, 0, 0]), Some([4, 64, 0, 0, 0, 0])] {
                for ctx_out in [None, Some(24)] {
                    let ctx_in = md.map(|md| words(&md));
                    let data_in = Some(vec![0; len]);
                    runs.push(TestRun {
                        data_in,
                        data_out,
                        ctx_in,
                        ctx_out,
                        repeat,
                        batch_size,
                        flags: 2,
                        ..TestRun::default()
                    });
                }
            }
        }
    }
    both.runs("live frames", &load, &runs);
}

#[test]
fn live_frames_go_where_the_verdict_says() {
    let bpf = ours(None);
    let add = |name: &str| {
        bpf.device_add(&DeviceAdd { name: name.into(), ..DeviceAdd::default() }).unwrap()
    };
    let (first, second) = (add("a0"), add("b0"));
    // The verdict is the packet's first byte; 4 goes to the second interface.
    let prog = |to: u32| {
        let mut insns = vec![
            i(0x61, 2, 1, 0, 0),
            i(0x61, 3, 1, 4, 0),
            mov_reg(4, 2),
            common::add(4, 14),
            mov(0, 0),
            i(0x2d, 4, 3, 5, 0),
            i(0x71, 0, 2, 0, 0),
            i(0x55, 0, 0, 3, 4),
            mov(1, to as i32),
            mov(2, 0),
            call(23),
        ];
        insns.push(EXIT);
        common::load(&bpf, ProgType::Xdp, &insns)
    };
    let prog = prog(second);
    let run = |verdict: u8, repeat: u32| {
        let mut data = vec![0; 60];
        data[0] = verdict;
        let run = TestRun {
            data_in: Some(data),
            ctx_in: Some(words(&[0, 60, 0, first, 0, 0])),
            repeat,
            batch_size: 7,
            flags: 2,
            ..TestRun::default()
        };
        assert_eq!(bpf.test_run(prog, &run).unwrap().retval, 0);
    };
    for (verdict, repeat) in [(1, 5), (2, 20), (3, 30), (4, 100)] {
        run(verdict, repeat);
    }
    let devices = bpf.devices().unwrap();
    let counts = |ifindex: u32| {
        let device = devices.iter().find(|d| d.ifindex == ifindex).unwrap();
        device.counts
    };
    let (a, b) = (counts(first), counts(second));
    assert_eq!((a.packets, a.drop, a.pass, a.tx, a.redirect), (155, 5, 20, 30, 100));
    assert_eq!((a.sent, a.sent_bytes), (30, 30 * 60));
    assert_eq!((b.packets, b.sent, b.sent_bytes), (0, 100, 100 * 60));
}
