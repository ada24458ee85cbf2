//! Machine code and the running kernel agree on random programs.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../interp/tests/common/kernel.rs"]
#[allow(dead_code, reason = "shared with the interpreter's tests")]
mod kernel;
mod support;

use jit::Options;
use support::{
    BUFFER, Bench,
    generator::{Rng, Shape, program},
    setting,
};

#[test]
fn linux_and_machine_code_agree() {
    if !kernel::available() {
        return;
    }
    let seed = setting("RING3_SEED", 1);
    let count = setting("RING3_LINUX_PROGRAMS", 500);
    eprintln!("{count} programs from seed {seed:#x}");
    let mut bench = Bench::default();
    let mut refused = 0;
    for i in 0..count {
        let mut rng = Rng(seed.wrapping_add(i));
        let shape = Shape {
            calls: rng.chance(40),
            helpers: false,
            escape: rng.chance(30),
            linux: true,
            size: [12, 40][rng.below(2) as usize],
        };
        let generated = program(&mut rng, shape);
        let memory: Vec<u8> = (0..BUFFER).map(|_| rng.next() as u8).collect();
        let Ok(loaded) = kernel::load_syscall(&generated.insns) else {
            refused += 1;
            continue;
        };
        let mut words: Vec<u64> =
            memory.chunks(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect();
        let value = loaded.run_syscall(&mut words).unwrap();
        let got =
            bench.run(&generated.insns, &generated.starts, &memory, &Options::default()).unwrap();
        let after: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(got.value as u32, value, "r0 of seed {:#x}", seed.wrapping_add(i));
        assert_eq!(got.memory, after, "memory of seed {:#x}", seed.wrapping_add(i));
    }
    eprintln!("{refused} of {count} refused by the verifier");
    assert!(refused * 2 < count, "most programs are valid");
}
