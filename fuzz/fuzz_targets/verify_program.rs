//! Random programs: the verifier ends with a verdict.
//!
//! The first byte picks the program type and, by its top bit, whether a log is written; the rest
//! are instruction slots; descriptors 1 to 3 are maps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uapi::{MapDef, MapType, ProgType};
use verifier::{LogOptions, MapInfo, Policy, Program, World};

fn maps() -> Vec<MapInfo> {
    let kinds = [(MapType::Array, 4), (MapType::Hash, 8), (MapType::PercpuArray, 4)];
    let map = |(fd, (kind, key)): (usize, (MapType, u32))| MapInfo {
        fd: fd as i32 + 1,
        def: MapDef::new(kind, key, 16, 4),
        btf: None,
        inner_btf: None,
        frozen: false,
        value: None,
    };
    kinds.into_iter().enumerate().map(map).collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, slots)) = data.split_first() else { return };
    let (slots, _) = slots.as_chunks::<8>();
    let program = Program {
        prog_type: ProgType::from_raw(u32::from(*kind & 0x7f) % 33),
        license: "GPL".into(),
        insns: slots.iter().map(|s| isa::Insn::from_bytes(*s)).collect(),
        ..Program::default()
    };
    let world = World { maps: maps(), ..World::default() };
    let level = u32::from(kind >> 7);
    let log = LogOptions { level, capacity: 1 << 16, ..LogOptions::default() };
    let _ = verifier::verify(&program, &world, &Policy::default(), &log);
});
