//! Help, completions and man pages come from one table.

mod common;

use common::{ok, refused, ring3};

const VERBS: [&str; 7] = ["run", "trace", "compile", "verify", "disasm", "completions", "man"];

#[test]
fn every_verb_has_help_with_an_example() {
    for verb in VERBS {
        let help = ok(&ring3([verb, "--help"]));
        assert!(help.contains("Example") && help.contains(&format!("ring3 {verb} ")), "{help}");
    }
}

#[test]
fn nothing_and_nonsense_show_usage() {
    assert!(refused(&ring3::<&str>([]), 2).contains("Usage: ring3 <COMMAND>"));
    assert!(refused(&ring3(["frob"]), 2).contains("frob"));
    assert!(refused(&ring3(["run", "x.o", "--repeat", "0"]), 2).contains("--repeat"));
}

#[test]
fn completions_and_man_pages_name_every_verb() {
    let completions = ok(&ring3(["completions", "bash"]));
    let dir = tempfile::tempdir().expect("a temporary folder");
    ok(&ring3(["man", dir.path().to_str().expect("a path in UTF-8")]));
    for verb in VERBS {
        assert!(completions.contains(verb), "{verb}");
        assert!(dir.path().join(format!("ring3-{verb}.1")).exists(), "{verb}");
    }
}
