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

/// bpftool's own help, recorded, says which commands there are.
#[test]
fn objects_of_bpftool_are_in_completions_pages_and_help() {
    let pages = tempfile::tempdir().expect("a temporary folder");
    ok(&ring3(["man", pages.path().to_str().expect("a path in UTF-8")]));
    let all = ok(&ring3(["--help"]));
    let shells = ["bash", "zsh", "fish"].map(|shell| ok(&ring3(["completions", shell])));
    let rows = recorded();
    assert!(rows.len() > 40, "{rows:?}");
    for (object, command) in rows {
        let line = format!("{object} {command}");
        assert!(all.contains(&format!("\n  {object} ")), "{object} in {all}");
        let page = std::fs::read_to_string(pages.path().join(format!("ring3-{object}.1")));
        assert!(bare(&page.expect("its page")).contains(&line), "{line}");
        assert!(ok(&ring3(["help", &object])).contains(&format!("ring3 {line}")), "{line}");
        for shell in &shells {
            assert!(shell.contains(&command), "{line}");
        }
    }
}

/// A page without the marks of roff.
fn bare(page: &str) -> String {
    let marks = ["\\fB", "\\fI", "\\fR", "\\"];
    marks.iter().fold(page.to_owned(), |text, mark| text.replace(mark, ""))
}

/// Objects and commands in recorded help: `Usage: bpftool prog { show | list } [PROG]`.
fn recorded() -> Vec<(String, String)> {
    let file = common::root().join("facts/bpftool-golden/cases.jsonl");
    let text = std::fs::read_to_string(file).expect("the recorded commands");
    let cases =
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let help = cases.filter(|case| case["cmd"].as_str().is_some_and(|cmd| cmd.ends_with(" help")));
    let mut rows = Vec::new();
    for case in help {
        for line in case["stderr"].as_str().unwrap_or_default().lines() {
            let Some((_, line)) = line.split_once("bpftool ") else { continue };
            let words: Vec<_> = line.split_whitespace().filter(|w| !"{}|".contains(w)).collect();
            let lower = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let [object, command, ..] = words.as_slice() else { continue };
            if [object, command].iter().all(lower) && *object != "batch" {
                rows.push(((*object).to_owned(), (*command).to_owned()));
            }
        }
    }
    rows
}
