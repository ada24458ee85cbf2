//! `Btf::verify` against the running kernel's BTF_LOAD: same verdict, same errno.

mod common;
#[path = "common/kernel.rs"]
mod kernel;
#[path = "common/mutate.rs"]
mod mutate;

use btf::Btf;

/// Our verdict in the kernel's terms: the log, after the errno if refused.
fn ours(bytes: &[u8]) -> Result<String, (i32, String)> {
    let (verdict, log) = Btf::load_logged(bytes, None);
    let log = log.trim_end().to_owned();
    match verdict {
        Ok(_) => Ok(log),
        Err(error) => Err((error.errno(), log)),
    }
}

#[test]
fn accepts_the_kernels_own() {
    let Some(bytes) = common::vmlinux() else { return };
    let btf = Btf::parse(&bytes).expect("the kernel's own BTF");
    let start = std::time::Instant::now();
    btf.verify().expect("the kernel accepts itself");
    eprintln!("vmlinux BTF verified in {:?}", start.elapsed());
}

/// Type words for a small object that uses every kind, so that mutations reach every rule.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![mutate::all_kinds()];
    seeds.extend(
        common::objects()
            .iter()
            .filter_map(|path| common::section(path, ".BTF"))
            .filter(|bytes| bytes.len() < 8192)
            .map(|bytes| mutate::complete(&bytes)),
    );
    seeds
}

#[test]
fn agrees_with_the_kernel_on_objects() {
    if !kernel::allowed() {
        return;
    }
    assert!(kernel::load(&mutate::all_kinds()).is_ok(), "the seed of the mutations");
    for seed in seeds() {
        assert_eq!(ours(&seed), kernel::load(&seed));
    }
}

#[test]
fn agrees_with_the_kernel_on_mutations() {
    if !kernel::allowed() {
        return;
    }
    let (seed, rounds) = (mutate::seed(), mutate::rounds(2000));
    eprintln!("seed {seed} (RING3_SEED), {rounds} rounds (RING3_ROUNDS)");
    let mut random = mutate::Random(seed);
    let seeds = seeds();
    let mut refused = 0;
    for round in 0..rounds {
        let mut bytes = seeds[random.below(if round % 4 == 0 { seeds.len() } else { 1 })].clone();
        mutate::mutate(&mut bytes, &mut random);
        let (kernel, ours) = (kernel::load(&bytes), ours(&bytes));
        refused += usize::from(kernel.is_err());
        if kernel != ours {
            // RING3_KEEP=folder keeps the input.
            if let Ok(folder) = std::env::var("RING3_KEEP") {
                std::fs::write(format!("{folder}/{round}.btf"), &bytes).expect("kept");
            }
            let end = |verdict: Result<String, (i32, String)>| {
                let (errno, log) = verdict.map_or_else(|error| error, |log| (0, log));
                format!("{errno} {:?}", log.lines().last())
            };
            panic!("seed {seed} round {round}: kernel {}, ours {}", end(kernel), end(ours));
        }
    }
    eprintln!("{refused} of {rounds} refused by the kernel");
}
