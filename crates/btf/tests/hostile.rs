//! Random and mutated bytes: errors, never a panic, never unbounded work.

mod common;
#[path = "common/mutate.rs"]
mod mutate;

use std::sync::Arc;

use btf::c::{Options, declaration, header};
use btf::print::{Form, JsonText};
use btf::{Btf, BtfBuilder, Encoding, Ext, Kind, TypeId, print, raw};
use proptest::prelude::*;

/// Asks everything of a type section that parsed.
fn exercise(btf: &Btf) {
    let bytes = [0xa5; 256];
    for ty in btf.types() {
        let _ = (ty.int(), ty.array(), ty.var(), ty.decl_tag(), ty.func_linkage());
        let _ = (ty.members().count(), ty.params().count(), ty.datasec().count());
        let _ = ty.enum_values().count();
        let _ = (btf.resolve(ty.id), btf.size_of(ty.id), btf.align_of(ty.id));
        let _ = (btf.find_by_name(ty.name, ty.kind), btf.find_all_by_essential_name(ty.name));
        if btf.size_of(ty.id).unwrap_or(0) < 4096 {
            let _ = print::value(btf, ty.id, &bytes);
            let _ = print::write(btf, ty.id, &bytes, &mut JsonText::new(Form::PLAIN));
        }
        let _ = declaration(btf, ty.id, "x");
    }
    let _ = btf.verify();
    let _ = raw::dump(btf);
    raw::dump_json(btf, &mut JsonText::new(Form::COMPACT));
    let _ = (header(btf, None, Options::OLD), header(btf, None, Options::CURRENT));
    let _ = BtfBuilder::from_btf(btf).finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_type_sections(words in prop::collection::vec(any::<u32>(), 0..200)) {
        if let Ok(btf) = Btf::parse(&common::assemble(&words, b"\0a\0bc\0")) {
            exercise(&btf);
        }
    }

    #[test]
    fn random_small_types(
        words in prop::collection::vec(
            prop_oneof![0..12_u32, (1..20_u32).prop_map(|kind| kind << 24), any::<u32>()], 0..200)
    ) {
        if let Ok(btf) = Btf::parse(&common::assemble(&words, b"\0a\0bc\0")) {
            exercise(&btf);
        }
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Btf::parse(&bytes);
        let btf = Btf::parse(&mutate::all_kinds()).expect("good BTF");
        let _ = Ext::parse(&bytes, &btf);
        let mut headed = vec![0x9f, 0xeb, 1, 0, 32, 0, 0, 0];
        headed.extend_from_slice(&bytes);
        let _ = Ext::parse(&headed, &btf);
        let _ = Btf::parse_split(&bytes, Arc::new(btf));
    }

    #[test]
    fn mutated_objects(seed in any::<u64>()) {
        let mut random = mutate::Random(seed | 1);
        let mut bytes = mutate::all_kinds();
        for _ in 0..random.below(4) {
            mutate::mutate(&mut bytes, &mut random);
        }
        if let Ok(btf) = Btf::parse(&bytes) {
            exercise(&btf);
        }
    }
}

#[test]
fn mutated_ext_of_objects() {
    let seed = mutate::seed();
    eprintln!("seed {seed} (RING3_SEED)");
    let mut random = mutate::Random(seed);
    for path in common::objects() {
        let Some(btf) = common::section(&path, ".BTF") else { continue };
        let Some(ext) = common::section(&path, ".BTF.ext") else { continue };
        let btf = Btf::parse(&btf).expect("clang's BTF");
        for _ in 0..200 {
            let mut ext = ext.clone();
            mutate::mutate(&mut ext, &mut random);
            let _ = Ext::parse(&ext, &btf);
        }
    }
}

/// Types that double at each step: 2^40 bytes of C, 2^40 values to print.
#[test]
fn doubling_is_bounded() {
    let mut build = BtfBuilder::new();
    let int = build.int("int", 4, Encoding::default());
    let mut inner = build.structure("", 0, &[]);
    let member =
        |type_id| btf::write::NewMember { name: "", type_id, bit_offset: 0, bitfield_size: 0 };
    for _ in 0..40 {
        inner = build.structure("", 0, &[member(inner), member(inner)]);
    }
    let top = build.structure("top", 0, &[member(inner)]);
    let mut proto = build.func_proto(int, &[]);
    for _ in 0..40 {
        let pointer = build.ptr(proto);
        proto = build.func_proto(pointer, &[("", pointer), ("", pointer)]);
    }
    let pointer = build.ptr(proto);
    let typedef = build.typedef("t", pointer);
    let empty = build.structure("e", 0, &[]);
    let many = build.array(empty, int, u32::MAX);
    let gap = build.structure("gap", u32::MAX, &[]);
    let btf = build.build().expect("no mistakes");
    let start = std::time::Instant::now();
    for id in [top, typedef, gap] {
        assert!(header(&btf, Some(&[id]), Options::OLD).is_err(), "{:?}", btf.ty(id));
    }
    assert!(print::value(&btf, top, &[]).is_err());
    assert!(print::value(&btf, many, &[]).is_err());
    assert_eq!(btf.kind(TypeId(1)), Some(Kind::Int));
    let _ = (btf.verify(), btf.align_of(top));
    eprintln!("bounded in {:?}", start.elapsed());
}

/// Chains of a million links: no stack overflow.
#[test]
fn depth_is_bounded() {
    let mut build = BtfBuilder::new();
    let mut at = build.int("int", 4, Encoding::default());
    let member =
        |type_id| btf::write::NewMember { name: "m", type_id, bit_offset: 0, bitfield_size: 0 };
    for step in 0..300_000 {
        at = match step % 3 {
            0 => build.structure("s", 4, &[member(at)]),
            1 => build.typedef("t", at),
            _ => build.array(at, TypeId(1), 1),
        };
    }
    // References forward, so that no earlier type resolves the chain piece by piece.
    let next = build.next_id();
    for step in 1..=100_000 {
        build.typedef("u", TypeId(next.0 + step));
    }
    build.typedef("u", at);
    let btf = build.build().expect("no mistakes");
    assert!(btf.size_of(TypeId(next.0)).is_err());
    assert!(btf.verify().is_err());
    assert!(header(&btf, None, Options::OLD).is_err());
    assert!(declaration(&btf, at, "x").is_ok());
    assert!(print::value(&btf, at, &[0; 64]).is_err());
}
