//! Raw dumps against the installed bpftool, on the kernel's BTF and on clang's objects.

mod common;

use std::sync::Arc;

use btf::c::{Options, header};
use btf::print::{Form, JsonText};
use btf::write::NewMember;
use btf::{Btf, BtfBuilder, Kind, Linkage, raw};

fn compare(btf: &Btf, path: &str, base: &[&str]) {
    let json = |form| {
        let mut out = JsonText::new(form);
        raw::dump_json(btf, &mut out);
        out.into_string()
    };
    let ours = [raw::dump(btf), json(Form::COMPACT), json(Form::PRETTY)];
    for (ours, mode) in ours.iter().zip([None, Some("-j"), Some("-p")]) {
        let args: Vec<&str> = mode
            .into_iter()
            .chain(base.iter().copied())
            .chain(["btf", "dump", "file", path])
            .collect();
        let Some(theirs) = common::bpftool(&args) else { return };
        let differs = ours.trim_end().lines().zip(theirs.trim_end().lines()).find(|(a, b)| a != b);
        if let Some((ours, theirs)) = differs {
            let at = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b).count();
            let show =
                |text: &str| text.chars().skip(at.saturating_sub(60)).take(160).collect::<String>();
            panic!("{path} {mode:?}\nours   {}\ntheirs {}", show(ours), show(theirs));
        }
        assert_eq!(ours.trim_end().len(), theirs.trim_end().len(), "{path} {mode:?}");
    }
}

#[test]
fn vmlinux_as_bpftool_dumps_it() {
    let Some(bytes) = common::vmlinux() else { return };
    compare(&Btf::parse(&bytes).expect("the kernel's own BTF"), "/sys/kernel/btf/vmlinux", &[]);
}

#[test]
fn objects_as_bpftool_dumps_them() {
    for path in common::objects() {
        let Some(bytes) = common::section(&path, ".BTF") else { continue };
        let btf = Btf::parse(&bytes).expect("clang's BTF");
        compare(&btf, path.to_str().expect("UTF-8 path"), &[]);
    }
}

#[test]
fn split_btf_as_bpftool_dumps_it() {
    let Some(bytes) = common::vmlinux() else { return };
    let base = Arc::new(Btf::parse(&bytes).expect("the kernel's own BTF"));
    let task = base.find_by_name("task_struct", Kind::Struct).expect("a struct");
    let int = base.find_by_name("int", Kind::Int).expect("int");
    let mut build = BtfBuilder::split(base.clone());
    let pointer = build.ptr(task);
    let member = NewMember { name: "owner", type_id: pointer, bit_offset: 0, bitfield_size: 0 };
    build.structure("module_state", 8, &[member]);
    // A name of the base's: the second definition in one header.
    build.structure("task_struct", 8, &[member]);
    let proto = build.func_proto(int, &[("task", pointer)]);
    build.func("module_check", proto, Linkage::Static);
    let bytes = build.finish().expect("no mistakes");
    let btf = Btf::parse_split(&bytes, base).expect("split BTF");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &bytes).expect("written");
    let path = file.path().to_str().expect("UTF-8 path");
    let with_base = ["-B", "/sys/kernel/btf/vmlinux"];
    compare(&btf, path, &with_base);
    let args: Vec<&str> =
        with_base.into_iter().chain(["btf", "dump", "file", path, "format", "c"]).collect();
    let Some(theirs) = common::bpftool(&args) else { return };
    assert!(header(&btf, None, Options::OLD).expect("a header") == theirs, "C text differs");
    assert!(theirs.contains("struct task_struct___2 {\n\tstruct task_struct *owner;"));
    btf.verify().expect("good split BTF");
}
