//! BTF for kernels that lack some of its kinds, equal to what libbpf hands to such a kernel.

mod support;

use std::path::{Path, PathBuf};

use loader::{BtfFeatures, Object};

/// A feature's name and its place.
type Feature = (&'static str, fn(&mut BtfFeatures) -> &mut bool);

/// In the order in which kernels got them.
const FEATURES: &[Feature] = &[
    ("func", |f| &mut f.func),
    ("datasec", |f| &mut f.datasec),
    ("func_global", |f| &mut f.func_global),
    ("float", |f| &mut f.float),
    ("decl_tag", |f| &mut f.decl_tag),
    ("type_tag", |f| &mut f.type_tag),
    ("enum64", |f| &mut f.enum64),
    ("qmark_datasec", |f| &mut f.qmark_datasec),
];

/// The first libbpf that knows data sections with `?`.
const KNOWS_QMARK: u32 = 105;

/// Each feature lacking alone, then as in the history of Linux: all from some point on.
fn kernels(version: u32) -> Vec<Vec<Feature>> {
    let known = if version < KNOWS_QMARK { FEATURES.len() - 1 } else { FEATURES.len() };
    let alone = FEATURES[..known].iter().map(|feature| vec![*feature]);
    let since = (0..known).map(|from| FEATURES[from..known].to_vec());
    alone.chain(since).collect()
}

fn compare(objects: &[PathBuf]) {
    let (mut report, mut compared) = (String::new(), 0);
    for path in objects {
        let name = Object::name_of(&path.to_string_lossy()).to_owned();
        let Some(answer) = support::ask(path, &name) else { return };
        if answer.open_error.is_some() || answer.load_error.is_some() {
            continue;
        }
        let Ok(opened) = support::parse_file(path) else { continue };
        // Where an older libbpf reads the object otherwise, there is nothing to learn.
        if opened.btf.is_none() || !differences(&name, &[], &opened, &answer).is_empty() {
            eprintln!("skipped: {name} has no types, or needs a newer libbpf");
            continue;
        }
        for lacking in kernels(answer.version) {
            let names: Vec<&str> = lacking.iter().map(|feature| feature.0).collect();
            let mut kernel = BtfFeatures::ALL;
            for (_, place) in &lacking {
                *place(&mut kernel) = false;
            }
            // libbpf tries a tag on a variable.
            kernel.decl_tag &= kernel.datasec;
            let mut spec = opened.clone();
            spec.sanitise_btf(&kernel).expect("sanitised");
            let theirs = support::ask_lacking(path, &name, &names).expect("an answer");
            report += &differences(&name, &names, &spec, &theirs);
            compared += 1;
        }
    }
    eprintln!("{compared} pairs of object and kernel compared with libbpf");
    assert!(report.is_empty(), "{report}");
}

fn differences(
    name: &str,
    lacking: &[&str],
    spec: &loader::Spec,
    theirs: &support::Answer,
) -> String {
    let mut report = String::new();
    let ours = support::hex(spec.btf.as_ref().expect("types").bytes().iter().copied());
    let (own, handed) = (std::slice::from_ref(&theirs.btf), &theirs.types[..]);
    if !(if lacking.is_empty() { own } else { handed }).contains(&ours) {
        let theirs = theirs.types.iter().max_by_key(|types| types.len()).cloned();
        let theirs = theirs.unwrap_or_default();
        let at = ours.bytes().zip(theirs.bytes()).position(|(a, b)| a != b);
        let lens = (ours.len() / 2, theirs.len() / 2);
        report +=
            &format!("{name} without {lacking:?}: byte {:?} of {lens:?}\n", at.map(|a| a / 2));
    }
    for load in &theirs.loads {
        let wanted = spec.programs.iter().map(support::load_of).find(|own| own.name == load.name);
        let records = |load: &support::Load| (load.func_info.clone(), load.line_info.clone());
        if wanted.as_ref().map(records) != Some(records(load)) {
            report += &format!("{name} without {lacking:?}: records of {}\n", load.name);
        }
    }
    report
}

#[test]
fn own_objects_get_the_types_that_libbpf_gives_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects");
    let out = tempfile::tempdir().expect("temporary folder");
    let mut objects = Vec::new();
    for source in support::files(&folder, ".bpf.c") {
        let name = source.file_stem().expect("file name").to_string_lossy().into_owned();
        let object = out.path().join(name).with_extension("o");
        objects.extend(support::compile(&source, &object).map(|_| object));
    }
    compare(&objects);
}

#[test]
fn recorded_objects_get_the_types_that_libbpf_gives_them() {
    let Some(folder) = support::shared("facts/bpftool-golden/objects") else { return };
    compare(&support::files(&folder, ".o"));
}

/// A kernel that refuses what needs one feature is found to lack that one.
#[test]
fn probing_finds_what_is_refused() {
    use btf::{Btf, Kind};
    let needs: &[(Kind, usize)] =
        &[(Kind::Float, 3), (Kind::TypeTag, 5), (Kind::DeclTag, 4), (Kind::Enum64, 6)];
    for (kind, feature) in needs {
        let found = BtfFeatures::probe(|bytes| {
            let types = Btf::parse(bytes).expect("well-formed");
            types.types().all(|ty| ty.kind != *kind)
        });
        let mut wanted = BtfFeatures::ALL;
        *FEATURES[*feature].1(&mut wanted) = false;
        assert_eq!(found, wanted, "without {kind}");
    }
    assert_eq!(BtfFeatures::probe(|_| false), BtfFeatures::NONE);
}
