//! Programs of a million instructions compile in time linear in their size.

mod support;

use jit::{Input, Options, machine_code};
use support::generator::{Generated, Rng, Shape, program};

/// Functions one after the other until there are `slots` slots.
fn grown(slots: usize, size: u64) -> Generated {
    let mut rng = Rng(7);
    let mut all = Generated { insns: Vec::new(), starts: Vec::new() };
    while all.insns.len() < slots {
        let shape = Shape { calls: false, helpers: false, escape: false, linux: false, size };
        let one = program(&mut rng, shape);
        all.starts.push(all.insns.len() as u32);
        all.insns.extend(one.insns);
    }
    all
}

fn thread_ns() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills our own structure.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Nanoseconds of processor time a slot.
fn cost(generated: &Generated) -> f64 {
    let input = Input { insns: &generated.insns, starts: &generated.starts };
    let start = thread_ns();
    let code = machine_code(input, &(), &Options::default()).expect("compiles");
    assert!(code.len() > generated.insns.len(), "code for every function");
    (thread_ns() - start) / generated.insns.len() as f64
}

#[test]
fn compile_time_is_linear() {
    for (size, name) in [(100, "small functions"), (u64::MAX >> 44, "large functions")] {
        let costs: Vec<f64> = [10_000, 100_000, 1_000_000]
            .into_iter()
            .map(|slots| {
                let generated = grown(slots, size);
                // The best of a few: others use the machine too.
                (0..3).map(|_| cost(&generated)).fold(f64::MAX, f64::min)
            })
            .collect();
        eprintln!("{name}: {costs:.0?} ns a slot for 10^4, 10^5, 10^6 slots");
        assert!(costs[2] < costs[0] * 4.0 + 100.0, "{name}: {costs:?}");
    }
}
