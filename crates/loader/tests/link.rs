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
    let Some(objects) = compiled(out.path(), &["one", "two"]) else { return };
    let linked = out.path().join("linked.o");
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
