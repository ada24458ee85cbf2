//! Objects linked statically: the same programs and maps as bpftool's linker makes.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use loader::{Object, ProgramSpec, Spec};

fn compiled(folder: &Path, names: &[&str]) -> Option<Vec<PathBuf>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/link");
    let compile = |name: &&str| {
        let object = folder.join(name).with_extension("o");
        support::compile(&sources.join(format!("{name}.bpf.c")), &object).map(|()| object)
    };
    names.iter().map(compile).collect()
}

fn link(objects: &[PathBuf]) -> Vec<u8> {
    let read = |path: &PathBuf| (path.display().to_string(), std::fs::read(path).expect("read"));
    let inputs: Vec<_> = objects.iter().map(read).collect();
    let inputs: Vec<(&str, &[u8])> =
        inputs.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    loader::link(&inputs).expect("links")
}

/// `None`, with a visible line, without bpftool.
fn bpftool(objects: &[PathBuf], out: &Path) -> Option<Vec<u8>> {
    let status = Command::new("bpftool").args(["gen", "object"]).arg(out).args(objects).status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no bpftool here that links");
        return None;
    }
    Some(std::fs::read(out).expect("read"))
}

/// What does not depend on how types are numbered.
fn essence(spec: &Spec) -> Vec<String> {
    let mut lines = vec![format!("license {} version {}", spec.license, spec.version)];
    for map in &spec.maps {
        let inner = map.def.inner.as_ref().map(|inner| (inner.map_type, inner.max_entries));
        lines.push(format!(
            "map {} {:?} {:?} {:?} {inner:?}",
            support::map_line(map),
            map.kind,
            map.initial,
            map.slots
        ));
    }
    let externs = spec.externs.iter();
    lines.extend(externs.map(|ext| format!("extern {} {}", ext.name, ext.weak)));
    lines.extend(spec.programs.iter().map(|program| describe(spec, program)));
    lines
}

fn describe(spec: &Spec, program: &ProgramSpec) -> String {
    let btf = spec.btf.as_ref().expect("types");
    let load = support::load_of(program);
    let text = |offset| btf.string(offset).unwrap_or("").to_owned();
    let funcs: Vec<_> =
        program.func_info.iter().map(|f| (f.insn_off, btf.name_of(f.type_id).to_owned())).collect();
    let lines: Vec<_> =
        program.line_info.iter().map(|l| (l.insn_off, text(l.line_off), l.line_col)).collect();
    let subprogs: Vec<_> =
        program.subprogs.iter().map(|s| (&s.name, s.insn_off, s.section_insn_off)).collect();
    format!(
        "program {} {} {} {funcs:?} {lines:?} {subprogs:?}",
        load.name, program.section, load.insns
    )
}

#[test]
fn two_halves_are_linked_as_bpftool_links_them() {
    let out = tempfile::tempdir().expect("temporary folder");
    for names in [&["one", "two"][..], &["two", "one"], &["three", "two"], &["two", "three"]] {
        let Some(objects) = compiled(out.path(), names) else { return };
        let Some(theirs) = bpftool(&objects, &out.path().join("theirs.o")) else { return };
        let parse = |bytes: &[u8]| Object::parse_named("linked", bytes);
        let ours = essence(&parse(&link(&objects)).expect("loads"));
        // A map that is declared before it is defined ends up nowhere in bpftool's result, which
        // libbpf then cannot open either.
        let theirs = match parse(&theirs) {
            Ok(theirs) => essence(&theirs),
            Err(error) if names[0] == "one" => {
                eprintln!("bpftool's result does not load: {error}");
                continue;
            }
            Err(error) => panic!("bpftool's result: {error}"),
        };
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{names:?}");
        }
        assert_eq!(ours.len(), theirs.len(), "{names:?}");
    }
}

#[test]
fn what_is_linked_loads_as_libbpf_loads_it() {
    let out = tempfile::tempdir().expect("temporary folder");
    for names in [["one", "two"], ["types_one", "types_two"], ["types_two", "types_one"]] {
        loads_as_libbpf_loads_it(out.path(), &names);
    }
}

fn loads_as_libbpf_loads_it(out: &Path, names: &[&str]) {
    let Some(objects) = compiled(out, names) else { return };
    let linked = out.join("linked.o");
    std::fs::write(&linked, link(&objects)).expect("written");
    let (Some(answer), Some(kernel)) = (support::ask(&linked, "linked"), support::kernel()) else {
        return;
    };
    let opened = support::parse_file(&linked).expect("opens");
    let mut spec = opened.clone();
    support::resolve(&mut spec, kernel).expect("resolves");
    assert_eq!((answer.open_error, answer.load_error), (None, None));
    let differences = support::differences(&opened, &spec, &answer);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn an_object_linked_alone_stays_what_it_was() {
    let out = tempfile::tempdir().expect("temporary folder");
    let mut objects = support::tool_objects(out.path());
    if let Some(folder) = support::shared("facts/bpftool-golden/objects") {
        objects.extend(support::files(&folder, ".o"));
    }
    for path in &objects {
        let before = support::parse_file(path).expect("loads");
        let name = Object::name_of(&path.to_string_lossy()).to_owned();
        let linked = link(std::slice::from_ref(path));
        let after = Object::parse_named(&name, &linked).expect("loads linked");
        assert_eq!(essence(&before), essence(&after), "{name}");
    }
    eprintln!("{} objects linked", objects.len());
}

#[test]
fn a_global_defined_twice_is_refused_by_name() {
    let out = tempfile::tempdir().expect("temporary folder");
    let Some(objects) = compiled(out.path(), &["two"]) else { return };
    let bytes = std::fs::read(&objects[0]).expect("read");
    let error = loader::link(&[("a.o", &bytes), ("b.o", &bytes)]).unwrap_err().to_string();
    assert!(error.starts_with("b.o: symbol '"), "{error}");
    assert!(error.contains("neither is weak"), "{error}");
}

/// The types of an object, as `bpftool btf dump file` prints them, without the places of two
/// variables that libbpf's linker gets wrong: a map declared before it is defined, and a weak
/// variable that another object replaces.
fn types(object: &[u8]) -> String {
    use object::{Object as _, ObjectSection as _};
    let file = object::File::parse(object).expect("ELF");
    let section = file.section_by_name(".BTF").expect("types");
    let text = btf::raw::dump(&btf::Btf::parse(section.data().expect("data")).expect("parses"));
    let misplaced = ["(VAR 'map_of_two')", "(VAR 'weak_here')"];
    let lines = text.lines().filter(|line| !misplaced.iter().any(|name| line.ends_with(name)));
    lines.map(|line| format!("{line}\n")).collect()
}

#[track_caller]
fn assert_same_types(objects: &[PathBuf], out: &Path) -> bool {
    let Some(theirs) = bpftool(objects, out) else { return false };
    let (ours, theirs) = (types(&link(objects)), types(&theirs));
    let first = ours.lines().zip(theirs.lines()).find(|(ours, theirs)| ours != theirs);
    assert_eq!(first, None, "(ring3, bpftool) {objects:?}");
    assert_eq!(ours.lines().count(), theirs.lines().count(), "{objects:?}");
    true
}

#[test]
fn equal_types_are_merged_as_libbpf_merges_them() {
    let out = tempfile::tempdir().expect("temporary folder");
    let linked = out.path().join("theirs.o");
    for names in [&["one", "two"][..], &["two", "one"], &["three", "two"], &["two", "three"]] {
        let Some(objects) = compiled(out.path(), names) else { return };
        assert_same_types(&objects, &linked);
    }
    let objects = support::tool_objects(out.path());
    let mut count = 0;
    for path in &objects {
        count += usize::from(assert_same_types(std::slice::from_ref(path), &linked));
    }
    eprintln!("types of {count} objects");
}

/// What an object is made of: sections with their contents, symbols with their places.
fn parts(object: &[u8]) -> Vec<String> {
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
    let file = object::File::parse(object).expect("ELF");
    let name = |index| file.section_by_index(index).ok()?.name().ok().map(str::to_owned);
    let is_table = |name: &str| name.starts_with('.') && name.ends_with("tab");
    let mut parts: Vec<String> = file
        .sections()
        .filter(|section| !section.name().is_ok_and(|n| is_table(n) || n.starts_with(".BTF")))
        .map(|section| {
            let relocations = section.relocations().count();
            let (name, size, align) =
                (section.name().unwrap_or(""), section.size(), section.align());
            // The numbers of symbols differ: ours has local ones first, as ELF wants them.
            let data = section.data().ok().filter(|_| !name.starts_with(".rel"));
            format!("{name} {size} {align} {relocations} {data:x?}")
        })
        .chain(file.symbols().filter(|symbol| symbol.name() != Ok("")).map(|symbol| {
            let place = symbol.section_index().and_then(name);
            let (at, size, flags) = (symbol.address(), symbol.size(), symbol.flags());
            format!("{:?} {place:?} {at} {size} {flags:?}", symbol.name())
        }))
        .collect();
    parts.sort();
    parts
}

#[test]
fn declarations_meet_their_definitions_as_in_libbpf() {
    let out = tempfile::tempdir().expect("temporary folder");
    for names in [["types_one", "types_two"], ["types_two", "types_one"]] {
        let Some(objects) = compiled(out.path(), &names) else { return };
        let linked = out.path().join("theirs.o");
        if !assert_same_types(&objects, &linked) {
            return;
        }
        let theirs = std::fs::read(&linked).expect("read");
        let (ours, theirs) = (parts(&link(&objects)), parts(&theirs));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{names:?}");
        }
        assert_eq!(ours.len(), theirs.len(), "{names:?}");
    }
}

/// Two objects' ideas of one global, and what is wrong, if anything.
const PAIRS: &[(&str, &str, Option<&str>)] = &[
    ("extern int g;", "long g = 1;", Some("incompatible int '")),
    ("extern int g;", "unsigned g = 1;", None),
    ("extern const volatile int g;", "typedef int number; number g = 1;", None),
    ("extern int g[4];", "int g[8] = { 1 };", None),
    ("extern int g;", "int *g;", Some("incompatible BTF kinds int and ptr")),
    ("struct s; extern struct s *g;", "struct s { int a; }; struct s *g;", None),
    ("union s; extern union s *g;", "struct s { int a; }; struct s *g;", Some("union forward")),
    ("struct r; extern struct r *g;", "struct s { int a; }; struct s *g;", Some("names 'r' and")),
    (
        "struct s { int a; }; extern struct s g;",
        "struct s { int a, b; }; struct s g;",
        Some("incompatible number of struct fields 1 and 2"),
    ),
    (
        "struct s { int a, c; }; extern struct s g;",
        "struct s { int a, b; }; struct s g;",
        Some("incompatible field #1 names 'c' and 'b'"),
    ),
    (
        "struct s { int a; short b; }; extern struct s g;",
        "struct s { int a; int :32; short b; }; struct s g;",
        Some("incompatible field #1 ('b') offsets"),
    ),
    ("enum e { A }; extern enum e g;", "enum e { B, C }; enum e g;", None),
    (
        "enum e { A }; extern enum e g;",
        "enum f { B, C }; enum f g;",
        Some("enum names 'e' and 'f'"),
    ),
];

#[test]
fn an_extern_of_another_type_is_refused_where_libbpf_refuses_it() {
    let out = tempfile::tempdir().expect("temporary folder");
    let Some(objects) = compiled(out.path(), &["two"]) else { return };
    let Some(_) = bpftool(&objects, &out.path().join("probe.o")) else { return };
    for (number, (declared, defined, wrong)) in PAIRS.iter().enumerate() {
        let mut objects = Vec::new();
        for (half, code, tail) in [
            (
                "a",
                declared,
                "__attribute__((section(\"socket\"), used)) long p(void *c) { return (long)&g; }",
            ),
            (
                "b",
                defined,
                "__attribute__((section(\"socket\"), used)) long q(void *c) { return (long)&g; }",
            ),
        ] {
            let c = out.path().join(format!("{number}{half}.bpf.c"));
            std::fs::write(&c, format!("{code}\n{tail}\n")).expect("written");
            let object = c.with_extension("o");
            let Some(()) = support::compile(&c, &object) else { return };
            objects.push(object);
        }
        let mut theirs = Command::new("bpftool");
        theirs.args(["gen", "object"]).arg(out.path().join("theirs.o")).args(&objects);
        let theirs = theirs.output().expect("runs").status.success();
        let read = |path: &PathBuf| std::fs::read(path).expect("read");
        let (a, b) = (read(&objects[0]), read(&objects[1]));
        let ours = loader::link(&[("a", &a), ("b", &b)]);
        assert_eq!(ours.is_ok(), theirs, "{declared} {defined} {:?}", ours.err());
        match (ours, wrong) {
            (Ok(_), None) => {}
            (Err(error), Some(wrong)) => {
                let text = error.to_string();
                assert!(text.starts_with("b: global 'g': ") && text.contains(wrong), "{text}");
            }
            (ours, wrong) => panic!("{declared} {defined}: {:?}, not {wrong:?}", ours.err()),
        }
    }
}
