//! Programs and maps equal to what libbpf hands to bpf(2), byte for byte.

mod support;

use std::path::Path;

use loader::Object;

/// Own objects that older libbpf reads otherwise, and since when it reads them so: unresolved weak
/// calls are marked, exception callbacks appended.
const NEWER: &[(&str, u32)] = &[("externs", 105), ("exceptions", 104), ("arena", 104)];

/// Compares all objects, and fails with all differences.
fn compare(objects: &[std::path::PathBuf]) {
    let Some(kernel) = support::kernel() else { return };
    let mut report = String::new();
    let (mut compared, mut programs) = (0, 0);
    for path in objects {
        let name = Object::name_of(&path.to_string_lossy()).to_owned();
        if support::oracle().is_none() {
            return;
        }
        let answer = support::ask(path, &name).expect("an answer");
        let newer =
            NEWER.iter().find(|(object, version)| *object == name && answer.version < *version);
        if let Some((_, version)) = newer {
            eprintln!(
                "skipped: {name} needs libbpf 1.{}, here is {}",
                version % 100,
                answer.version
            );
            continue;
        }
        if answer.open_error.is_some() {
            eprintln!("{}: libbpf cannot open it: {:?}", path.display(), answer.open_error);
            continue;
        }
        let resolved = support::parse_file(path).and_then(|opened| {
            let mut spec = opened.clone();
            support::resolve(&mut spec, kernel)?;
            Ok((opened, spec))
        });
        let (opened, spec) = match resolved {
            Ok(specs) => specs,
            Err(error) => {
                report += &format!("{}: {error}\n", path.display());
                continue;
            }
        };
        compared += 1;
        programs += answer.loads.len();
        for difference in support::differences(&opened, &spec, &answer) {
            report += &format!("{}: {difference}\n", path.display());
        }
        if answer.load_error.is_some() {
            eprintln!("{}: libbpf cannot load it: {:?}", path.display(), answer.load_error);
        }
    }
    eprintln!("{compared} objects, {programs} programs compared with libbpf");
    assert!(report.is_empty(), "{report}");
}

#[test]
fn recorded_objects_load_as_libbpf_loads_them() {
    let Some(folder) = support::shared("facts/bpftool-golden/objects") else { return };
    compare(&support::files(&folder, ".o"));
}

#[test]
fn compiled_benchmarks_load_as_libbpf_loads_them() {
    let Some(folder) = support::shared("bench") else { return };
    compare_sources(&folder);
}

#[test]
fn compiled_examples_load_as_libbpf_loads_them() {
    compare_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"));
}

#[test]
fn own_objects_load_as_libbpf_loads_them() {
    compare_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects"));
}

fn compare_sources(folder: &Path) {
    let out = tempfile::tempdir().expect("temporary folder");
    let mut objects = Vec::new();
    for source in support::files(folder, ".bpf.c") {
        let name = source.file_stem().expect("file name").to_string_lossy().into_owned();
        let object = out.path().join(name).with_extension("o");
        if support::compile(&source, &object).is_some() {
            objects.push(object);
        }
    }
    compare(&objects);
}

/// Package libbpf-tools: each tool holds its object.
#[test]
fn libbpf_tools_load_as_libbpf_loads_them() {
    let out = tempfile::tempdir().expect("temporary folder");
    compare(&support::tool_objects(out.path()));
}
