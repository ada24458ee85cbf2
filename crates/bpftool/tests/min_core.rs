//! `gen min_core_btf` keeps what the installed bpftool keeps.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use bpftool::{Session, Target};

const KERNEL: &str = "/sys/kernel/btf/vmlinux";
const OBJECTS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/facts/bpftool-golden/objects");

fn bpftool(args: &[&str]) -> Option<String> {
    let output = Command::new("bpftool").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_same_types_are_kept_as_by_bpftool() {
    let Ok(objects) = std::fs::read_dir(OBJECTS) else {
        eprintln!("skipped: no objects at {OBJECTS}");
        return;
    };
    if bpftool(&["version"]).is_none() || !Path::new(KERNEL).exists() {
        eprintln!("skipped: no bpftool, or a kernel without types");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let place = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (theirs, ours) = (place("theirs.btf"), place("ours.btf"));
    let session = Session::new(Target::Memory, Box::new(bpftool::open));
    let mut compared = 0;
    for object in objects {
        let object = object.expect("an entry").path().to_string_lossy().into_owned();
        if !object.ends_with(".o") {
            continue;
        }
        if bpftool(&["gen", "min_core_btf", KERNEL, &theirs, &object]).is_none() {
            continue;
        }
        let words = ["bpftool", "gen", "min_core_btf", KERNEL, &ours, &object];
        let output = session.run(words.map(OsString::from).to_vec());
        assert_eq!(output.status, 0, "{object}: {}", output.stderr);
        let dump = |file: &str| bpftool(&["btf", "dump", "file", file]).expect("a blob");
        assert_eq!(dump(&ours), dump(&theirs), "{object}");
        compared += 1;
    }
    eprintln!("{compared} objects compared");
}
