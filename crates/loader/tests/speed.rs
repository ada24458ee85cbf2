//! How long reading and relocating take; `cargo test --release -p ring3-loader --test speed -- --ignored --nocapture`.

mod support;

use std::time::Instant;

#[test]
#[ignore = "a measurement, not a check"]
fn opening_and_relocating_against_the_kernels_types() {
    let Some(folder) = support::shared("facts/bpftool-golden/objects") else { return };
    let Ok(vmlinux) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
    let started = Instant::now();
    let kernel = btf::Btf::parse(&vmlinux).expect("the kernel's BTF");
    println!("vmlinux BTF, {} KB: {:?}", vmlinux.len() >> 10, started.elapsed());
    for name in ["opensnoop_like", "structops", "hello_map"] {
        let path = folder.join(format!("{name}.bpf.o"));
        let bytes = std::fs::read(&path).expect("readable");
        let started = Instant::now();
        let mut spec = loader::Object::parse_named(name, &bytes).expect("loads");
        let opened = started.elapsed();
        let started = Instant::now();
        spec.relocate_core(&[&kernel]).expect("relocates");
        println!(
            "{name}, {} KB: opened {opened:?}, relocated {:?}",
            bytes.len() >> 10,
            started.elapsed()
        );
    }
}
