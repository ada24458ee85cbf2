//! Parsing: the running kernel's BTF and clang's objects, compared with bpftool's raw dump.

mod common;

use std::sync::Arc;
use std::time::Instant;

use btf::{Btf, BtfError, Kind, TypeId};

#[test]
fn vmlinux_parses_fast_and_completely() {
    let Some(bytes) = common::vmlinux() else { return };
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            let btf = Btf::parse(&bytes).expect("the kernel's own BTF");
            let took = start.elapsed();
            assert!(btf.type_count() > 10_000);
            took
        })
        .min()
        .expect("five runs");
    eprintln!("vmlinux BTF: {} bytes parsed in {best:?} (best of 5)", bytes.len());
    let btf = Btf::parse(&bytes).expect("parsed above");
    assert_eq!(btf.types().count(), btf.type_count() as usize);
    let start = Instant::now();
    let task = btf.find_by_name("task_struct", Kind::Struct).expect("task_struct");
    eprintln!("name index built in {:?}", start.elapsed());
    assert!(btf.ty(task).expect("found").members().any(|member| member.name == "comm"));
    assert!(btf.find_all_by_name("task_struct").contains(&task));
}

#[test]
fn big_endian_is_refused_by_name() {
    let mut bytes = vec![0xeb, 0x9f, 1, 0];
    bytes.resize(40, 0);
    assert_eq!(Btf::parse(&bytes).expect_err("big-endian"), BtfError::BigEndian);
}

#[test]
fn split_continues_ids_and_strings() {
    // int "a" in the base; typedef "b" of it in the split half, whose strings start at offset 3.
    let base = common::assemble(&[1, 1 << 24, 4, 32], b"\0a\0");
    let base = Arc::new(Btf::parse(&base).expect("base"));
    let split = common::assemble(&[3, 8 << 24, 1], b"b\0");
    let split = Btf::parse_split(&split, base).expect("split");
    assert_eq!(split.type_count(), 2);
    assert_eq!(split.first_id(), TypeId(2));
    let typedef = split.ty(TypeId(2)).expect("own type");
    assert_eq!((typedef.name, typedef.kind), ("b", Kind::Typedef));
    assert_eq!(split.ty(TypeId(1)).expect("base type").name, "a");
    assert_eq!(split.resolve(TypeId(2)), Ok(TypeId(1)));
    assert_eq!(split.size_of(TypeId(2)), Ok(4));
    assert_eq!(split.find_by_name("a", Kind::Int), Some(TypeId(1)));
    assert_eq!(split.find_all_by_name("b"), vec![TypeId(2)]);
}

#[test]
fn loops_and_overflow_are_errors() {
    // const -> const of itself.
    let looped = common::assemble(&[0, 10 << 24, 1], b"\0");
    let looped = Btf::parse(&looped).expect("walkable");
    assert_eq!(looped.resolve(TypeId(1)), Err(BtfError::TooDeep(TypeId(1))));
    assert_eq!(looped.size_of(TypeId(1)), Err(BtfError::TooDeep(TypeId(1))));
    // int; int[65536]; (int[65536])[65536] is 2^34 bytes.
    let words = [1, 1 << 24, 4, 32, 0, 3 << 24, 0, 1, 1, 65536, 0, 3 << 24, 0, 2, 1, 65536];
    let huge = Btf::parse(&common::assemble(&words, b"\0a\0")).expect("walkable");
    assert_eq!(huge.size_of(TypeId(2)), Ok(1 << 18));
    assert_eq!(huge.size_of(TypeId(3)), Err(BtfError::SizeOverflow(TypeId(3))));
}

#[test]
fn essential_name_cuts_the_last_flavour() {
    for (name, essential) in [
        ("task_struct", "task_struct"),
        ("task_struct___old", "task_struct"),
        ("a___b___c", "a___b"),
        ("a____b", "a____b"),
        ("___a", "___a"),
        ("a___", "a___"),
    ] {
        assert_eq!(btf::essential_name(name), essential);
    }
}
