//! The two engines of the runtime: who runs what, across tail calls and callbacks, against Linux.

mod common;

use common::{EXIT, add, call, i, ld_map, load, mov, mov_reg, ours, request};
use isa::Insn;
use runtime::door::{Bpf, BtfLoad, Fd, ProgLoad, TestRun};
use runtime::{Config, Engine, Runtime};
use uapi::{MapDef, MapType, ProgType};
use verifier::FuncInfo;

/// No machine code on other processors.
fn no_jit() -> bool {
    if Engine::best() == Engine::Jit {
        return false;
    }
    eprintln!("skipped: no machine code for this processor");
    true
}

fn run(bpf: &dyn Bpf, prog: Fd) -> u32 {
    let request = TestRun { data_in: Some(vec![7; 64]), ..TestRun::default() };
    bpf.test_run(prog, &request).expect("runs").retval
}

/// r0 = bpf_tail_call(ctx, array, index), or `back` where it comes back.
fn tail_caller(array: Fd, index: i32, back: i32) -> ProgLoad {
    let mut insns = Vec::from(ld_map(2, array));
    insns.extend([mov(3, index), call(12), mov(0, back), EXIT]);
    request(ProgType::Xdp, &insns)
}

fn prog_array(bpf: &dyn Bpf) -> Fd {
    bpf.map_create(&MapDef::new(MapType::ProgArray, 4, 4, 40).into()).expect("a map")
}

fn put(bpf: &dyn Bpf, array: Fd, index: u32, prog: Fd) {
    bpf.map_update(array, &index.to_ne_bytes(), &prog.0.to_ne_bytes(), 0).expect("an element");
}

#[test]
fn machine_code_is_there_and_told_of() {
    if no_jit() {
        return;
    }
    let bpf = Runtime::new(Config { engine: Engine::Jit, jit_dump: true, ..Config::default() });
    let insns = [call(5), mov(0, 2), EXIT];
    let prog = load(&bpf, ProgType::Xdp, &insns);
    assert_eq!(bpf.interpreted_because(prog), Ok(None));
    let jited = bpf.prog_info(prog).unwrap().jited;
    let text = bpf.machine_code(prog).unwrap();
    assert_eq!(text[0].function, Some(0));
    let bytes: Vec<u8> = text.iter().flat_map(|line| line.bytes.clone()).collect();
    assert_eq!(jited[..bytes.len()], bytes);
    assert!(
        text.iter().any(|l| l.text.starts_with("call") && l.text.ends_with("bpf_ktime_get_ns"))
    );
    let dump = bpf.take_jit_dump();
    let first = format!("flen=3 proglen={} pass=1 image=", jited.len());
    assert!(dump.starts_with(&first), "{dump}");
    assert!(dump.contains("\nJIT code: 00000000: "), "{dump}");

    let plain = bpf.prog_load_for(&request(ProgType::Xdp, &insns), Engine::Interp).unwrap().fd;
    assert!(bpf.interpreted_because(plain).unwrap().is_some());
    assert!(bpf.prog_info(plain).unwrap().jited.is_empty());
    assert_eq!(run(&bpf, plain), run(&bpf, prog));
}

#[test]
fn settings_are_bpf_jit_enable_s() {
    let of = |n| Config::default().bpf_jit_enable(n).map(|c| (c.engine, c.jit_dump));
    assert_eq!(of(0), Some((Engine::Interp, false)));
    assert_eq!(of(1), Some((Engine::Jit, false)));
    assert_eq!(of(2), Some((Engine::Jit, true)));
    assert_eq!(of(3), None);
}

/// Each program calls the next: the answer tells how far the chain went.
fn chain(bpf: &dyn Bpf, length: u32, mut load: impl FnMut(u32, &ProgLoad) -> Fd) -> u32 {
    let array = prog_array(bpf);
    let mut first = Fd(-1);
    for n in (0..length).rev() {
        first = load(n, &tail_caller(array, n as i32 + 1, 100 + n as i32));
        put(bpf, array, n, first);
    }
    run(bpf, first)
}

#[test]
fn chains_of_tail_calls_end_where_linux_s_do() {
    for length in [1, 2, 33, 34, 35, 40] {
        let mixed = |every: u32| {
            let bpf = ours();
            chain(&bpf, length, |n, req| {
                let engine = if n % every == every - 1 { Engine::Interp } else { Engine::Jit };
                bpf.prog_load_for(req, engine).expect("loads").fd
            })
        };
        let linux = common::linux()
            .map(|linux| chain(&linux, length, |_, req| linux.prog_load(req).expect("loads").fd));
        // All interpreted, all but some, all but the last few.
        let answers = [1, 2, 3, 7, 30, 1000].map(mixed);
        assert!(answers.iter().all(|a| *a == answers[0]), "{length}: {answers:?}");
        assert_eq!(linux.unwrap_or(answers[0]), answers[0], "{length}: Linux");
    }
}

/// With BTF that gives each start a function.
fn with_btf(bpf: &dyn Bpf, insns: Vec<Insn>, starts: &[u32]) -> ProgLoad {
    let strings = b"\0f\0int\0";
    // int, a function of nothing that returns it, the functions.
    let mut types: Vec<u32> = vec![3, 1 << 24, 4, 1 << 24 | 32, 0, 13 << 24, 1];
    starts.iter().for_each(|_| types.extend([1, 12 << 24, 2]));
    let mut data: Vec<u8> = vec![0x9f, 0xeb, 1, 0];
    let types: Vec<u8> = types.iter().flat_map(|w| w.to_le_bytes()).collect();
    let header = [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32];
    data.extend(header.iter().flat_map(|w| w.to_le_bytes()));
    data.extend(types);
    data.extend(strings);
    let btf = bpf.btf_load(&BtfLoad { data, ..BtfLoad::default() }).expect("BTF").fd;
    let info = starts.iter().zip(3..).map(|(&insn_off, type_id)| FuncInfo { insn_off, type_id });
    ProgLoad { btf: Some(btf), func_info: info.collect(), ..request(ProgType::Xdp, &insns) }
}

/// A subprogram tail calls; its caller goes on with its own map afterwards.
fn from_a_subprogram(bpf: &dyn Bpf, array: Fd, counters: Fd) -> ProgLoad {
    let mut insns = vec![i(0x85, 0, 1, 0, 0), mov_reg(6, 0)];
    insns.extend([i(0x62, 10, 0, -4, 0), i(0x7a, 10, 0, -16, 5), mov_reg(2, 10), add(2, -4)]);
    insns.extend([mov_reg(3, 10), add(3, -16), mov(4, 0)]);
    insns.extend(ld_map(1, counters));
    insns.extend([call(2), mov_reg(0, 6), add(0, 1), EXIT]);
    insns[0].imm = insns.len() as i32 - 1;
    let start = insns.len() as u32;
    insns.extend(ld_map(2, array));
    insns.extend([mov(3, 0), call(12), mov(0, 50), EXIT]);
    with_btf(bpf, insns, &[0, start])
}

#[test]
fn subprograms_return_to_their_callers_after_tail_calls() {
    let answer = |bpf: &dyn Bpf, load: &dyn Fn(&ProgLoad, bool) -> Fd| {
        let (array, counters) = (prog_array(bpf), MapDef::new(MapType::Hash, 4, 8, 4));
        let counters = bpf.map_create(&counters.into()).expect("a map");
        let caller = load(&from_a_subprogram(bpf, array, counters), true);
        let alone = run(bpf, caller);
        put(bpf, array, 0, load(&request(ProgType::Xdp, &[mov(0, 7), EXIT]), false));
        let value = |bpf: &dyn Bpf| {
            let mut value = [0; 8];
            bpf.map_lookup(counters, &[0; 4], &mut value, 0).expect("an element");
            value
        };
        (alone, run(bpf, caller), value(bpf))
    };
    let mut answers = Vec::new();
    for (first, second) in [
        (Engine::Jit, Engine::Jit),
        (Engine::Jit, Engine::Interp),
        (Engine::Interp, Engine::Jit),
        (Engine::Interp, Engine::Interp),
    ] {
        let bpf = ours();
        let load = |req: &ProgLoad, caller: bool| {
            let engine = if caller { first } else { second };
            bpf.prog_load_for(req, engine).unwrap_or_else(|e| panic!("{e}\n{}", e.log)).fd
        };
        answers.push(answer(&bpf, &load));
    }
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
    if let Some(linux) = common::linux() {
        let load = |req: &ProgLoad, _| linux.prog_load(req).expect("loads").fd;
        assert_eq!(answer(&linux, &load), answers[0]);
    }
}

/// bpf_probe_read_kernel of the caller's stack, inside a callback of bpf_loop.
#[test]
fn helpers_read_the_stack_of_machine_code() {
    let program = |bpf: &dyn Bpf| {
        let mut main =
            vec![i(0x7a, 10, 0, -8, 0x1234), mov(1, 3), i(0x18, 2, 4, 0, 0), i(0, 0, 0, 0, 0)];
        main.extend([
            mov_reg(3, 10),
            add(3, -8),
            mov(4, 0),
            call(181),
            i(0x79, 0, 10, -8, 0),
            EXIT,
        ]);
        main[2].imm = (main.len() - 3) as i32;
        let start = main.len() as u32;
        // r6 = ctx; read 8 bytes of it to our own stack; add 1; store.
        main.extend([
            mov_reg(6, 2),
            mov_reg(1, 10),
            add(1, -8),
            mov(2, 8),
            mov_reg(3, 6),
            call(113),
        ]);
        main.extend([i(0x79, 1, 10, -8, 0), add(1, 1), i(0x7b, 6, 1, 0, 0), mov(0, 0), EXIT]);
        let load = bpf.prog_load(&with_btf(bpf, main, &[0, start]));
        let prog = load.unwrap_or_else(|e| panic!("{e}\n{}", e.log)).fd;
        run(bpf, prog)
    };
    for engine in [Engine::Interp, Engine::Jit] {
        let bpf = Runtime::new(Config { engine, ..Config::default() });
        assert_eq!(program(&bpf), 0x1237, "{engine}");
    }
    if let Some(linux) = common::linux() {
        assert_eq!(program(&linux), 0x1237);
    }
}

/// Callbacks take from the fuel of machine code.
#[test]
fn endless_callbacks_run_out_of_fuel() {
    let bpf = Runtime::new(Config { engine: Engine::Jit, fuel: 1000, ..Config::default() });
    let looping = |turns: i32| {
        let mut insns =
            vec![mov(1, turns), i(0x18, 2, 4, 0, 0), i(0, 0, 0, 0, 0), mov(3, 0), mov(4, 0)];
        insns.extend([call(181), mov(0, 1), EXIT]);
        insns[1].imm = (insns.len() - 2) as i32;
        let start = insns.len() as u32;
        insns.extend([mov(0, 0), EXIT]);
        let load = bpf.prog_load(&with_btf(&bpf, insns, &[0, start]));
        let prog = load.unwrap_or_else(|e| panic!("{e}\n{}", e.log)).fd;
        let request = TestRun { data_in: Some(vec![7; 64]), ..TestRun::default() };
        bpf.test_run(prog, &request).map(|out| out.retval)
    };
    assert_eq!(looping(500), Ok(1));
    assert_eq!(looping(5000), Err(uapi::Errno::EINTR));
}
