//! `Btf::verify` against the running kernel's BTF_LOAD: same verdict, same errno.

mod common;
#[path = "common/kernel.rs"]
mod kernel;
#[path = "common/mutate.rs"]
mod mutate;

use btf::Btf;

/// Our verdict in the kernel's terms; parse errors are part of it.
fn ours(bytes: &[u8]) -> Result<(), (i32, String)> {
    Btf::load(bytes, None).map(|_| ()).map_err(|error| (error.errno(), error.to_string()))
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
    assert_eq!(kernel::load(&mutate::all_kinds()), Ok(()), "the seed of the mutations");
    for seed in seeds() {
        let (kernel, ours) = (kernel::load(&seed), ours(&seed));
        assert_eq!(
            kernel.as_ref().map_err(|e| e.0),
            ours.as_ref().map_err(|e| e.0),
            "{kernel:?} {ours:?}"
        );
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
    let (mut differences, mut reworded) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut bytes = seeds[random.below(if round % 4 == 0 { seeds.len() } else { 1 })].clone();
        mutate::mutate(&mut bytes, &mut random);
        let (kernel, ours) = (kernel::load(&bytes), ours(&bytes));
        refused += usize::from(kernel.is_err());
        if let (Err((_, theirs)), Err((_, ours))) = (&kernel, &ours)
            && !theirs.ends_with(ours.split(": ").last().unwrap_or(ours))
        {
            reworded.push(format!("round {round}\n  kernel {theirs}\n  ours   {ours}"));
        }
        if kernel.as_ref().map_err(|error| error.0) != ours.as_ref().map_err(|error| error.0) {
            // RING3_KEEP=folder keeps the differing inputs.
            if let Ok(folder) = std::env::var("RING3_KEEP") {
                std::fs::write(format!("{folder}/{round}.btf"), &bytes).expect("kept");
            }
            differences.push(format!("round {round}\n  kernel {kernel:?}\n  ours   {ours:?}"));
        }
    }
    eprintln!("{refused} of {rounds} refused by the kernel");
    eprintln!("{} worded differently, e.g. {:?}", reworded.len(), reworded.first());
    let shown = differences.len().min(12);
    assert!(
        differences.is_empty(),
        "{} differ\n{}",
        differences.len(),
        differences[..shown].join("\n")
    );
}
