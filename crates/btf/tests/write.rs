//! Written BTF is accepted by the kernel and by bpftool, and survives a round trip.

mod common;

use std::sync::Arc;

use btf::write::NewMember;
use btf::{Btf, BtfBuilder, Encoding, Kind, Linkage, SecInfo, TypeId};

/// One type of each kind, with the text `bpftool btf dump` prints for them (written by hand).
fn all_kinds() -> (BtfBuilder, &'static str) {
    let signed = Encoding { signed: true, ..Encoding::default() };
    let mut build = BtfBuilder::new();
    let int = build.int("int", 4, signed);
    let ptr = build.ptr(int);
    let array = build.array(int, int, 3);
    let member = |name, type_id, bit_offset, bitfield_size| NewMember {
        name,
        type_id,
        bit_offset,
        bitfield_size,
    };
    build.structure("s", 8, &[member("a", int, 0, 5), member("b", int, 32, 0)]);
    build.union("u", 8, &[member("p", ptr, 0, 0)]);
    build.enumeration("e", 4, true, &[("A", -1), ("B", 2)]);
    build.fwd("f", true);
    build.typedef("t", array);
    let volatile = build.qualifier(Kind::Volatile, int);
    let constant = build.qualifier(Kind::Const, volatile);
    build.qualifier(Kind::Restrict, constant);
    let proto = build.func_proto(int, &[("x", ptr), ("", TypeId::VOID)]);
    let func = build.func("fn", proto, Linkage::Global);
    let var = build.var("v", int, Linkage::Static);
    build.datasec(".data", 4, &[SecInfo { type_id: var, offset: 0, size: 4 }]);
    build.float("double", 8);
    build.decl_tag("tag", func, 0);
    build.type_tag("user", int);
    build.enum64("big", false, &[("HUGE", i64::MIN)]);
    let text = "\
[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED
[2] PTR '(anon)' type_id=1
[3] ARRAY '(anon)' type_id=1 index_type_id=1 nr_elems=3
[4] STRUCT 's' size=8 vlen=2
\t'a' type_id=1 bits_offset=0 bitfield_size=5
\t'b' type_id=1 bits_offset=32
[5] UNION 'u' size=8 vlen=1
\t'p' type_id=2 bits_offset=0
[6] ENUM 'e' encoding=SIGNED size=4 vlen=2
\t'A' val=-1
\t'B' val=2
[7] FWD 'f' fwd_kind=union
[8] TYPEDEF 't' type_id=3
[9] VOLATILE '(anon)' type_id=1
[10] CONST '(anon)' type_id=9
[11] RESTRICT '(anon)' type_id=10
[12] FUNC_PROTO '(anon)' ret_type_id=1 vlen=2
\t'x' type_id=2
\t'(anon)' type_id=0
[13] FUNC 'fn' type_id=12 linkage=global
[14] VAR 'v' type_id=1, linkage=static
[15] DATASEC '.data' size=4 vlen=1
\ttype_id=14 offset=0 size=4 (VAR 'v')
[16] FLOAT 'double' size=8
[17] DECL_TAG 'tag' type_id=13 component_idx=0
[18] TYPE_TAG 'user' type_id=1
[19] ENUM64 'big' encoding=UNSIGNED size=8 vlen=1
\t'HUGE' val=9223372036854775808ULL
";
    (build, text)
}

#[test]
fn bpftool_reads_every_kind_as_meant() {
    let (build, expected) = all_kinds();
    let bytes = build.finish().expect("no mistakes");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &bytes).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let Some(dump) = common::bpftool(&["btf", "dump", "file", path]) else { return };
    assert_eq!(dump, expected);
}

#[test]
fn rebuilding_changes_no_byte() {
    let mut inputs: Vec<Vec<u8>> =
        common::objects().iter().filter_map(|path| common::section(path, ".BTF")).collect();
    inputs.extend(common::vmlinux());
    inputs.push(all_kinds().0.finish().expect("no mistakes"));
    for bytes in inputs {
        let btf = Btf::parse(&bytes).expect("good BTF");
        assert_eq!(BtfBuilder::from_btf(&btf).finish().expect("no changes"), bytes);
    }
}

#[test]
fn fix_ups_change_what_they_name() {
    let (mut build, _) = all_kinds();
    let other = build.var("w", TypeId(1), Linkage::Global);
    let section = build.datasec(
        ".bss",
        0,
        &[
            SecInfo { type_id: TypeId(14), offset: 0, size: 0 },
            SecInfo { type_id: other, offset: 0, size: 0 },
        ],
    );
    let btf = build.build().expect("no mistakes");
    let mut edit = BtfBuilder::from_btf(&btf);
    edit.set_size(section, 8);
    edit.set_sec_info(section, 0, SecInfo { type_id: TypeId(14), offset: 4, size: 4 });
    edit.set_sec_info(section, 1, SecInfo { type_id: other, offset: 0, size: 4 });
    edit.sort_datasec(section);
    edit.set_func_linkage(TypeId(13), Linkage::Static);
    edit.set_var_linkage(other, Linkage::Static);
    edit.set_param_name(TypeId(12), 0, "renamed");
    edit.set_name(TypeId(4), "s2");
    let btf = edit.build().expect("no mistakes");
    let ty = |id| btf.ty(id).expect("a type");
    let order: Vec<_> = ty(section).datasec().map(|info| (info.type_id, info.offset)).collect();
    assert_eq!(order, [(other, 0), (TypeId(14), 4)]);
    assert_eq!(ty(section).size(), Some(8));
    assert_eq!(ty(TypeId(13)).func_linkage(), Some(Linkage::Static));
    assert_eq!(ty(other).var().expect("a variable").linkage(), Some(Linkage::Static));
    assert_eq!(ty(TypeId(12)).params().next().expect("a parameter").name, "renamed");
    assert_eq!(ty(TypeId(4)).name, "s2");
    let mut edit = BtfBuilder::from_btf(&btf);
    edit.set_size(TypeId(2), 8);
    assert!(edit.finish().is_err(), "a pointer has no size field");
}

#[test]
fn strings_are_kept_once_and_split_continues() {
    let mut build = BtfBuilder::new();
    assert_eq!(build.string("abc"), build.string("abc"));
    assert_eq!(build.string(""), 0);
    let int = build.int("abc", 4, Encoding::default());
    let base = Arc::new(build.build().expect("no mistakes"));
    let mut split = BtfBuilder::split(base);
    let own = split.typedef("own", int);
    let btf = split.build().expect("no mistakes");
    assert_eq!((own, btf.name_of(own)), (TypeId(2), "own"));
    assert_eq!(btf.resolved(own).expect("the int").name, "abc");
    let mut bad = BtfBuilder::new();
    bad.int("a\0b", 4, Encoding::default());
    assert!(bad.finish().is_err());
}
