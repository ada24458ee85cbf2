//! `ring3 verify` on the examples, checked against the books and the running kernel.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{can_compile, example, ok, ring3, root, text};
use serde_json::Value;

fn verify(file: &Path) -> (Vec<Value>, i32) {
    let out = ring3([Path::new("verify"), Path::new("--json"), file]);
    let rows: Vec<Value> = serde_json::from_slice(&out.stdout).expect("a JSON array");
    (rows, out.status.code().unwrap_or(-1))
}

/// Every example, as a path below `examples/`.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "mistakes", "mistakes/fixed"] {
        for entry in fs::read_dir(example(folder)).expect("the examples") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            if name.ends_with(".bpf.c") {
                found.push(Path::new(folder).join(name).display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn rows_have_the_members_that_were_promised() {
    if !can_compile() {
        return;
    }
    let (rows, status) = verify(&example("hello.bpf.c"));
    assert_eq!((rows.len(), status), (1, 0));
    let row = rows[0].as_object().expect("an object");
    let keys = [
        "file",
        "program",
        "section",
        "type",
        "verdict",
        "errno",
        "message",
        "insn",
        "source",
        "processed_insns",
        "peak_states",
        "time_us",
        "log",
        "explanation",
    ];
    assert_eq!(row.keys().map(String::as_str).collect::<Vec<_>>(), keys);
    assert_eq!((&rows[0]["type"], &rows[0]["section"]), (&"xdp".into(), &"xdp".into()));
    // Straight code of 12 slots, two of them the second half of a load: each is walked once.
    assert_eq!(rows[0]["processed_insns"], 10);
}

#[test]
fn the_three_mistakes_are_rejected_with_the_line_of_the_source() {
    if !can_compile() {
        return;
    }
    let rows: &[(&str, &str, &str, &str)] = &[
        (
            "packet",
            "EACCES",
            "R1 offset is outside of the packet",
            "if (eth->h_proto == bpf_htons(ETH_P_IP)) @ packet.bpf.c:12",
        ),
        (
            "loop",
            "EINVAL",
            "infinite loop detected at insn 0",
            "while (bpf_get_prandom_u32() % 6 != 5) @ loop.bpf.c:8",
        ),
        (
            "null",
            "EACCES",
            "R0 invalid mem access 'map_value_or_null'",
            "*packets += 1; @ null.bpf.c:18",
        ),
    ];
    for (name, errno, message, source) in rows {
        let (wrong, status) = verify(&example(&format!("mistakes/{name}.bpf.c")));
        assert_eq!((wrong.len(), status), (1, 1), "{wrong:?}");
        assert_eq!(wrong[0]["verdict"], "reject");
        assert_eq!(wrong[0]["errno"], *errno, "{wrong:?}");
        assert_eq!(wrong[0]["message"], *message);
        assert!(wrong[0]["log"].as_str().is_some_and(|log| log.contains(message)), "{wrong:?}");
        assert_eq!(wrong[0]["source"], *source);
        let (right, status) = verify(&example(&format!("mistakes/fixed/{name}.bpf.c")));
        assert_eq!((right[0]["verdict"].as_str(), status), (Some("accept"), 0), "{right:?}");
    }
}

/// Lines that begin with a verdict; explanations stand between them.
fn verdicts(output: &str) -> usize {
    let words = ["accept  ", "reject  ", "error  "];
    output.lines().filter(|line| words.iter().any(|word| line.starts_with(word))).count()
}

#[test]
fn a_folder_stands_for_what_is_in_it_one_line_a_program() {
    if !can_compile() {
        return;
    }
    let out = ring3(["verify", "mistakes"]);
    assert_eq!(out.status.code(), Some(1));
    let lines = text(&out.stdout);
    assert_eq!(verdicts(&lines), 6, "{lines}");
    assert_eq!(lines.lines().filter(|l| l.starts_with("accept  mistakes/fixed/")).count(), 3);
    assert_eq!(lines.lines().filter(|l| l.starts_with("reject  mistakes/")).count(), 3);
    assert!(lines.contains("@ packet.bpf.c:12"), "{lines}");
    let nothing = tempfile::tempdir().expect("a folder");
    assert_eq!(ring3([Path::new("verify"), nothing.path()]).status.code(), Some(2));
}

#[test]
fn the_log_comes_with_v() {
    if !can_compile() {
        return;
    }
    let out = ring3(["verify", "-v", "mistakes/null.bpf.c"]);
    let said = text(&out.stdout);
    assert!(said.contains("\n7: (79) r1 = *(u64 *)(r0 +0)\n"), "{said}");
    assert!(said.contains("\nprocessed 7 insns (limit 1000000) "), "{said}");
}

/// Objects of the examples, compiled into a folder.
fn objects(dir: &Path) -> Vec<PathBuf> {
    let compile = |source: &String| {
        let object = dir.join(source.replace('/', "_").replace(".c", ".o"));
        ok(&ring3(["compile", source, "-o", object.to_str().expect("UTF-8")]));
        object
    };
    sources().iter().map(compile).collect()
}

#[test]
fn the_running_kernel_gives_the_same_verdicts() {
    if !can_compile() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let pins = dir.path().join("bpffs");
    fs::create_dir(&pins).expect("room");
    let load = |object: &Path| {
        // In a mount namespace of its own, with its own bpffs: nothing stays behind.
        let script = "mount -t bpf bpf \"$1\" && exec bpftool prog load \"$2\" \"$1/pin\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(&pins).arg(object);
        command.output()
    };
    let objects = objects(dir.path());
    let hello = objects.iter().find(|o| o.ends_with("hello.bpf.o")).expect("hello");
    if !load(hello).is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: no bpf(2), no bpftool or no mount namespaces here");
        return;
    }
    for object in objects {
        let kernel = load(&object).expect("bpftool");
        if text(&kernel.stderr).contains("failed to guess program type") {
            eprintln!("skipped: {}: its sections are newer than bpftool here", object.display());
            continue;
        }
        let (rows, _) = verify(&object);
        let ours = rows[0]["verdict"] == "accept";
        assert_eq!(ours, kernel.status.success(), "{}: {}", object.display(), text(&kernel.stderr));
        if ours {
            continue;
        }
        // The kernel's log and ours end in the same lines but for what the host numbers.
        let log = text(&kernel.stderr);
        let message = rows[0]["message"].as_str().expect("a message");
        assert!(log.contains(message), "{}: {message}\n{log}", object.display());
        let processed = format!("processed {} insns", rows[0]["processed_insns"]);
        assert!(log.contains(&processed), "{}: {processed}\n{log}", object.display());
    }
}

#[test]
fn unreadable_files_outrank_rejected_ones() {
    if !can_compile() {
        return;
    }
    let out = ring3(["verify", "mistakes/null.bpf.c", "nosuch.o", "hello.bpf.c"]);
    assert_eq!(out.status.code(), Some(2));
    assert_eq!(verdicts(&text(&out.stdout)), 3);
    let readme = root().join("Cargo.toml");
    assert_eq!(ring3([Path::new("verify"), &readme]).status.code(), Some(2));
}
