//! Interpreter, machine code and Linux leave the same behind: return value, packet, maps.

use std::path::{Path, PathBuf};

use ring3::{Config, Engine, Kernel, Object};
use runtime::{Deterministic, Runtime};
use syscall::Linux;
use testkit::bench::programs::{self, Flavour};
use testkit::oracle::{Answer, ask, packets};
use testkit::soundness::{Results, Source, subject_of};
use uapi::Errno;

/// One whose clock gives all runs the same answers.
fn runtime(engine: Engine) -> Runtime {
    let deterministic = Some(Deterministic { now_ns: 1, seed: 1 });
    let kernel_btf = Kernel::running().types().ok();
    Runtime::new(Config { engine, kernel_btf, deterministic, ..Config::default() })
}

/// Programs whose verdicts are the clock's.
const BY_THE_CLOCK: &str = "minimal";

fn have_clang() -> bool {
    let there = std::process::Command::new("clang-19").arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: no clang-19 here");
    }
    there
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Every benchmark program and every example, compiled.
fn objects() -> Vec<(String, Object)> {
    let folder = programs::folder();
    let names = programs::names(&folder).expect("the benchmark programs");
    let bench = names.into_iter().map(|name| {
        let bytes = programs::compile(&folder, &name, Flavour::Kernel).expect("compiles");
        let object = Object::parse(&name, &bytes).expect("parses");
        (name, object)
    });
    let kernel = Kernel::running();
    let names = programs::names(&examples()).expect("the examples");
    let examples = names.into_iter().map(|name| {
        let path = examples().join(format!("{name}.bpf.c"));
        let mut object = Object::open_for(path, &kernel).expect("compiles");
        object.resolve(&kernel).expect("resolves");
        (name, object)
    });
    bench.chain(examples).collect()
}

/// Values of per-CPU maps lie where the CPU was that ran: the order of the words is left out.
fn without_cpus(mut answer: Answer) -> Answer {
    for (_, elements) in &mut answer.maps {
        for (_, value) in elements {
            let (words, _) = value.as_chunks::<8>();
            let mut words = words.to_vec();
            words.sort_unstable();
            *value = words.concat();
        }
    }
    answer
}

#[test]
fn programs_do_the_same_on_all_engines() {
    if !have_clang() {
        return;
    }
    let linux = Linux::probe().ok();
    if linux.is_none() {
        eprintln!("skipped: no bpf(2) here; the interpreter and machine code are compared");
    }
    let mut packets = packets();
    packets.push(programs::packet());
    let mut programs = 0;
    for (name, object) in objects() {
        for program in &object.spec().programs {
            let run = |engine| ask(&runtime(engine), &object, &program.name, &packets);
            let interpreted = run(Engine::Interp).expect("loads");
            let compiled = run(Engine::Jit).expect("loads");
            assert_eq!(compiled.errno, None, "{name}: {}", compiled.message);
            assert_eq!(compiled, interpreted, "{name}: machine code and interpreter");
            if let Some(linux) = linux.as_ref().filter(|_| name != BY_THE_CLOCK) {
                let theirs = ask(linux, &object, &program.name, &packets).expect("loads");
                if theirs.errno == Some(Errno::EPERM) {
                    eprintln!("skipped: {}: such programs are not allowed here", program.name);
                    continue;
                }
                let (ours, theirs) = (without_cpus(compiled), without_cpus(theirs));
                assert_eq!(ours.runs, theirs.runs, "{name}: ring3 and Linux");
                assert_eq!(ours.maps, theirs.maps, "{name}: maps of ring3 and Linux");
            }
            programs += 1;
        }
    }
    assert!(programs >= 25, "{programs} programs");
}

#[test]
fn random_programs_do_the_same_on_all_engines() {
    const PROGRAMS: u64 = 2000;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first = match std::env::var("RING3_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed,
        None => now.map_or(1, |t| t.as_nanos() as u64) % 1_000_000_000,
    };
    eprintln!("seeds {first} to {} (RING3_SEED={first})", first + PROGRAMS - 1);
    let (compiled, interpreted) = (runtime(Engine::Jit), runtime(Engine::Interp));
    let engines = Results::new(&compiled, &interpreted).expect("maps");
    let linux = Linux::probe().ok();
    if linux.is_none() {
        eprintln!("skipped: no bpf(2) here; the interpreter and machine code are compared");
    }
    let kernel = linux.as_ref().map(|linux| Results::new(&compiled, linux).expect("maps"));
    let source = Source::generated(false);
    let mut same = 0;
    // Programs of every fourth seed ask for random numbers.
    for seed in (first..first + PROGRAMS).filter(|seed| seed % 4 != 0) {
        let Some(subject) = subject_of(&source, seed) else { continue };
        let sides = [Some(&engines), kernel.as_ref().filter(|_| seed % 4 == 1)];
        for side in sides.into_iter().flatten() {
            match side.agree(seed, &subject) {
                Some(false) => panic!("seed {seed}\n{}", side.show(seed)),
                Some(true) => same += 1,
                None => {}
            }
        }
    }
    assert!(same > 100, "only {same} comparisons");
}
