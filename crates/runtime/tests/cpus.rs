//! Runners on several threads: logical CPUs, shared and per-CPU counters.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{EXIT, add, call, i, ld_map, load, mov, mov_reg};
use runtime::door::{Bpf, Fd};
use runtime::{Config, Deterministic, Engine, PacketBuf, Runtime};
use uapi::{MapDef, MapType, ProgType};

const ROUNDS: u64 = 20_000;

/// Adds 1 to element 0: atomically in `shared`, plainly in `own`.
fn counter(bpf: &dyn Bpf, shared: Fd, own: Fd) -> Fd {
    let mut insns = vec![i(0x62, 10, 0, -4, 0), mov_reg(2, 10), add(2, -4)];
    insns.extend(ld_map(1, shared));
    insns.extend([call(1), i(0x15, 0, 0, 2, 0), mov(1, 1), i(0xdb, 0, 1, 0, 0)]);
    insns.extend([mov_reg(2, 10), add(2, -4)]);
    insns.extend(ld_map(1, own));
    insns.extend([call(1), i(0x15, 0, 0, 3, 0), i(0x79, 1, 0, 0, 0), add(1, 1)]);
    insns.extend([i(0x7b, 0, 1, 0, 0), mov(0, 2), EXIT]);
    load(bpf, ProgType::Xdp, &insns)
}

#[test]
fn more_threads_than_cpus_lose_no_count() {
    let bpf = Runtime::new(Config { cpus: 3, ..Config::default() });
    let shared = bpf.map_create(&MapDef::new(MapType::Array, 4, 8, 1).into()).unwrap();
    let own = bpf.map_create(&MapDef::new(MapType::PercpuArray, 4, 8, 1).into()).unwrap();
    let prog = counter(&bpf, shared, own);
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let mut runner = bpf.runner(prog).unwrap();
                let mut packet = PacketBuf::new().unwrap();
                for _ in 0..ROUNDS {
                    packet.set(&[0; 64]).unwrap();
                    assert_eq!(runner.run_xdp(&mut packet), Ok(2));
                }
            });
        }
    });
    let (mut all, mut each) = ([0; 8], [0; 24]);
    bpf.map_lookup(shared, &[0; 4], &mut all, 0).unwrap();
    bpf.map_lookup(own, &[0; 4], &mut each, 0).unwrap();
    assert_eq!(u64::from_ne_bytes(all), 5 * ROUNDS);
    let sum: u64 = each.as_chunks::<8>().0.iter().map(|c| u64::from_ne_bytes(*c)).sum();
    assert_eq!(sum, 5 * ROUNDS);
}

#[test]
fn a_thread_keeps_its_cpu() {
    let bpf = Runtime::new(Config { cpus: 2, ..Config::default() });
    let prog = load(&bpf, ProgType::Xdp, &[call(8), EXIT]);
    let mut first = bpf.runner(prog).unwrap();
    let second = bpf.runner(prog).unwrap();
    assert_eq!((first.cpu(), second.cpu()), (0, 0));
    let other = std::thread::scope(|s| s.spawn(|| bpf.runner(prog).unwrap().cpu()).join());
    assert_eq!(other.unwrap(), 1);
    drop(second);
    let mut packet = PacketBuf::new().unwrap();
    packet.set(&[0; 64]).unwrap();
    assert_eq!(first.run_xdp(&mut packet), Ok(0));
}

#[test]
fn deterministic_runs_repeat() {
    let answers = || {
        let deterministic = Some(Deterministic { now_ns: 5_000, seed: 1 });
        let bpf = Runtime::new(Config { deterministic, ..Config::default() });
        // bpf_get_prandom_u32() ^ bpf_ktime_get_ns()
        let insns = [call(7), mov_reg(6, 0), call(5), i(0xaf, 0, 6, 0, 0), EXIT];
        let prog = load(&bpf, ProgType::Xdp, &insns);
        let mut runner = bpf.runner(prog).unwrap();
        let mut packet = PacketBuf::new().unwrap();
        packet.set(&[0; 64]).unwrap();
        (0..20).map(|_| runner.run_xdp(&mut packet).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(answers(), answers());
    assert_ne!(answers()[0], answers()[1]);
}

#[test]
fn endless_work_runs_out_of_fuel() {
    let bpf = Runtime::new(Config { fuel: 1000, engine: Engine::Interp, ..Config::default() });
    // 4096 turns of a bounded loop.
    let insns = [mov(1, 0), add(1, 1), i(0xa5, 1, 0, -2, 4096), mov(0, 0), EXIT];
    let prog = load(&bpf, ProgType::Xdp, &insns);
    let mut packet = PacketBuf::new().unwrap();
    packet.set(&[0; 64]).unwrap();
    let trap = bpf.runner(prog).unwrap().run_xdp(&mut packet).unwrap_err();
    assert_eq!(trap.kind, runtime::TrapKind::Fuel);
}
