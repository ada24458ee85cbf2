//! `gen skeleton` and `gen subskeleton`: a C program and a C++ program use them through libbpf.

mod common;

use std::path::Path;
use std::process::Command;

use common::{ok, ring3, root, text};

/// What the user of the skeleton prints, by hand: `step` is 2, `odd_name[1]` is 7, `count` runs
/// twice, `other` tells how often.
const RAN: &str = "\
1 1 2
4 5 18 70000
5 18
5 2 start
";

fn prepare(dir: &Path) -> u64 {
    let sources = root().join("crates/cli/tests/skeleton");
    let object = dir.join("counter.bpf.o");
    ok(&ring3([
        "compile".as_ref(),
        sources.join("counter.bpf.c").as_os_str(),
        "-o".as_ref(),
        object.as_os_str(),
    ]));
    let object_name = object.to_str().expect("a path in UTF-8");
    for (verb, name, file) in
        [("skeleton", "counter", "counter.skel.h"), ("subskeleton", "part", "counter.subskel.h")]
    {
        let made = ok(&ring3(["gen", verb, object_name, "name", name]));
        std::fs::write(dir.join(file), made).expect("written");
    }
    std::fs::copy(sources.join("user.c"), dir.join("user.c")).expect("copied");
    std::fs::metadata(object).expect("the object").len()
}

/// Nothing if there is no such compiler or no libbpf to compile with.
fn build(dir: &Path, compiler: &str, language: &str) -> Option<()> {
    let has_libbpf = Path::new("/usr/include/bpf/libbpf.h").exists();
    let mut command = Command::new(compiler);
    command
        .current_dir(dir)
        .args(["-x", language, "-Wall", "-Werror", "-o", "user", "user.c", "-lbpf"]);
    match command.output() {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) if has_libbpf => panic!("{compiler}: {}", text(&output.stderr)),
        _ => {
            eprintln!("skipped: no {compiler}, or no libbpf to compile with");
            None
        }
    }
}

fn used(compiler: &str, language: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let size = prepare(dir.path());
    if build(dir.path(), compiler, language).is_none() {
        return;
    }
    let output = Command::new(dir.path().join("user")).output().expect("it starts");
    let said = text(&output.stdout);
    let rest = said.strip_prefix(&format!("{size} 3 start\n"));
    let rest = rest.unwrap_or_else(|| panic!("{said}{}", text(&output.stderr)));
    assert!(output.status.success(), "{:?} {said}{}", output.status, text(&output.stderr));
    if rest.starts_with("skipped") {
        eprint!("{rest}");
    } else {
        assert_eq!(rest, RAN);
    }
}

#[test]
fn a_c_program_uses_the_skeletons() {
    used("cc", "c");
}

#[test]
fn a_cpp_program_uses_the_skeletons() {
    used("c++", "c++");
}
