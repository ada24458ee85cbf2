//! C headers against the installed bpftool (7.1), recorded runs of a current one, and clang.

mod common;

use std::process::Command;

use btf::c::{Options, declaration, header};
use btf::{Btf, Kind};

fn compare(ours: &str, theirs: &str, what: &str) {
    let mut lines = ours.lines().zip(theirs.lines()).enumerate();
    if let Some((at, _)) = lines.find(|(_, (ours, theirs))| ours != theirs) {
        let around = |text: &str| {
            text.lines().skip(at.saturating_sub(6)).take(12).collect::<Vec<_>>().join("\n")
        };
        panic!(
            "{what}, line {}\n--- ours\n{}\n--- theirs\n{}",
            at + 1,
            around(ours),
            around(theirs)
        );
    }
    assert_eq!(ours.trim_end().len(), theirs.trim_end().len(), "{what}");
}

#[test]
fn objects_as_bpftool_writes_them() {
    for path in common::objects() {
        let Some(bytes) = common::section(&path, ".BTF") else { continue };
        let btf = Btf::parse(&bytes).expect("clang's BTF");
        let path = path.to_str().expect("UTF-8 path");
        let args = ["btf", "dump", "file", path, "format", "c"];
        let Some(theirs) = common::bpftool(&args) else { return };
        compare(&header(&btf, None, Options::OLD).expect("a header"), &theirs, path);
    }
}

#[test]
fn vmlinux_as_bpftool_writes_it() {
    let Some(bytes) = common::vmlinux() else { return };
    let btf = Btf::parse(&bytes).expect("the kernel's own BTF");
    let start = std::time::Instant::now();
    let ours = header(&btf, None, Options::OLD).expect("a header");
    eprintln!("vmlinux.h: {} bytes in {:?}", ours.len(), start.elapsed());
    let args = ["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"];
    let Some(theirs) = common::bpftool(&args) else { return };
    compare(&ours, &theirs, "vmlinux");
}

#[test]
fn objects_as_a_current_bpftool_wrote_them() {
    let Some(path) = common::golden("objects/maps_zoo.bpf.o") else { return };
    let btf = Btf::parse(&common::section(&path, ".BTF").expect("BTF")).expect("clang's BTF");
    for (name, file, options) in [
        ("btf.dump.file.zoo.c", "cases-new.jsonl", Options::CURRENT),
        ("btf.dump.file.zoo.c", "cases-7.1.jsonl", Options::OLD),
    ] {
        let Some(theirs) = common::case(name, file) else { return };
        compare(&header(&btf, None, options).expect("a header"), &theirs, file);
    }
}

#[test]
fn values_of_a_map_as_bpftool_writes_them() {
    let Some(path) = common::golden("objects/hello_map.bpf.o") else { return };
    let btf = Btf::parse(&common::section(&path, ".BTF").expect("BTF")).expect("clang's BTF");
    let stats = btf.find_by_name("stats", Kind::Struct).expect("the map's value");
    for (file, options) in
        [("cases-new.jsonl", Options::CURRENT), ("cases-7.1.jsonl", Options::OLD)]
    {
        let Some(theirs) = common::case("btf.dump.map.value.c", file) else { return };
        compare(&header(&btf, Some(&[stats]), options).expect("a header"), &theirs, file);
    }
}

/// What C declares, and types it as written, for clang to read back.
const SOURCE: &str = r"
struct empty {};
struct packed { char a; long b; } __attribute__((packed));
struct bits { int a: 3; unsigned int b: 7; int: 0; long c: 40; char d; long e: 1; };
struct holes { char a; long b __attribute__((aligned(32))); char c; } __attribute__((aligned(64)));
enum small { ONE = 1, MINUS = -1 };
enum big { HUGE_ONE = 0x100000000ULL };
typedef int (*handler)(struct node *, const char *const *, ...);
struct node { struct node *next; handler call; const volatile int *restrict p; handler table[3]; };
union either { struct { int x, y; }; char text[8]; float f; };
struct all { struct empty e; struct packed p; struct bits b; struct holes h; enum small s;
    enum big g; struct node *n; union either u; int matrix[2][3]; void (*(*f)(int))(void);
    int (*rows)[4]; const char *const names[2]; _Bool yes; };
struct all keep;
";

#[test]
fn clang_reads_a_header_back_to_the_same_layout() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let compile = |name: &str, text: &str| {
        let source = folder.path().join(format!("{name}.c"));
        let object = folder.path().join(format!("{name}.o"));
        std::fs::write(&source, text).expect("written");
        let clang = Command::new("clang-19")
            .args(["-O2", "-g", "-w", "-target", "bpf", "-c", "-o"])
            .arg(&object)
            .arg(&source)
            .output();
        match clang {
            Ok(output) if output.status.success() => {
                Some(common::section(&object, ".BTF").expect("BTF"))
            }
            Ok(output) => panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                eprintln!("skipped: clang-19: {error}");
                None
            }
        }
    };
    let Some(first) = compile("first", SOURCE) else { return };
    let first = Btf::parse(&first).expect("clang's BTF");
    for options in [Options::OLD, Options::CURRENT] {
        let text = header(&first, None, options).expect("a header");
        let Some(second) = compile("second", &format!("{text}\nstruct all keep;\n")) else {
            return;
        };
        let second = Btf::parse(&second).expect("clang's BTF");
        for ty in first.types().filter(|ty| ty.kind.is_composite() && ty.name_off != 0) {
            let again = second.find_by_name(ty.name, ty.kind).expect("the same type");
            let layout = |ty: btf::Type<'_>| {
                let places =
                    ty.members().map(|m| (m.name.to_owned(), m.bit_offset, m.bitfield_size));
                (ty.size(), places.filter(|place| !place.0.is_empty()).collect::<Vec<_>>())
            };
            assert_eq!(layout(ty), layout(second.ty(again).expect("found")), "{ty:?}\n{text}");
        }
    }
    let keep = first.find_by_name("all", Kind::Struct).expect("the struct");
    let declared: Vec<String> = first
        .ty(keep)
        .expect("found")
        .members()
        .map(|member| declaration(&first, member.type_id, member.name).expect("a declaration"))
        .collect();
    for wanted in [
        "int matrix[2][3]",
        "void (* (*f)(int))(void)",
        "int (*rows)[4]",
        "const char * const names[2]",
    ] {
        assert!(declared.iter().any(|text| text == wanted), "{wanted} in {declared:#?}");
    }
}
