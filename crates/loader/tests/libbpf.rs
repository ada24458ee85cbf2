//! Programs and maps equal to what libbpf hands to bpf(2), byte for byte.

mod support;

use std::path::Path;

use loader::Object;

/// Compares all objects, and fails with all differences.
fn compare(objects: &[std::path::PathBuf]) {
    let Some(kernel) = support::kernel() else { return };
    let mut report = String::new();
    let (mut compared, mut programs) = (0, 0);
    for path in objects {
        let name = Object::name_of(&path.to_string_lossy()).to_owned();
        let Some(answer) = support::ask(path, &name) else { return };
        if answer.open_error.is_some() {
            eprintln!("{}: libbpf cannot open it: {:?}", path.display(), answer.open_error);
            continue;
        }
        let resolved = support::parse_file(path).and_then(|mut spec| {
            spec.relocate_core(&[kernel])?;
            spec.resolve_attach(kernel)?;
            Ok(spec)
        });
        let spec = match resolved {
            Ok(spec) => spec,
            Err(error) => {
                report += &format!("{}: {error}\n", path.display());
                continue;
            }
        };
        compared += 1;
        programs += answer.loads.len();
        for difference in support::differences(&spec, &answer) {
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
