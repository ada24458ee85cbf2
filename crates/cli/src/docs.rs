//! Man pages and completions, out of the same tables as `--help`.

use std::fs;
use std::io::Write;
use std::path::Path;

use ::bpftool::{NOUNS, Noun};
use roff::{Inline, Roff, bold, italic, roman};

use crate::failure::Failure;
use crate::objects;

/// Writes completions for `shell`.
pub(crate) fn completions(shell: clap_complete::Shell, out: &mut dyn Write) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut objects::completed(), "ring3", &mut text);
    Ok(out.write_all(&text)?)
}

/// Writes `ring3.1` and a page for each verb and object into `dir`.
pub(crate) fn man_pages(dir: &Path) -> Result<(), Failure> {
    let place = |error| Failure::unusable(format!("{}: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(place)?;
    clap_mangen::generate_to(objects::command(), dir).map_err(place)?;
    for noun in NOUNS {
        let file = dir.join(format!("ring3-{}.1", noun.name));
        fs::write(file, page(noun).to_roff()).map_err(place)?;
    }
    Ok(())
}

/// The page of an object of bpftool's.
fn page(noun: &Noun) -> Roff {
    let name = format!("ring3-{}", noun.name);
    let mut page = Roff::new();
    page.control("TH", [name.as_str(), "1", "", concat!("ring3 ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {}", noun.about))]);
    page.control("SH", ["SYNOPSIS"]);
    let line = [bold(format!("ring3 {}", noun.name)), roman(" [OPTIONS] COMMAND ...")];
    page.text(line);
    page.control("SH", ["COMMANDS"]);
    for verb in noun.verbs {
        page.control("TP", []);
        page.text(synopsis(&format!("{} {} {}", noun.name, verb.name, verb.args)));
        page.text([roman(format!("{}.", objects::capital(verb.about)))]);
    }
    if !noun.terms.is_empty() {
        page.control("SH", ["WORDS"]);
        for term in noun.terms {
            page.control("PP", []).text(synopsis(term));
        }
    }
    options(&mut page);
    page.control("SH", ["EXAMPLES"]);
    for (line, what) in noun.examples {
        page.control("TP", []);
        page.text([bold(format!("ring3 {line}"))]);
        page.text([roman(format!("{}.", objects::capital(what)))]);
    }
    page.control("SH", ["SEE ALSO"]).text([
        bold("ring3"),
        roman("(1), "),
        bold("bpftool"),
        roman("(8)"),
    ]);
    page
}

/// Words as they are bold, words that stand for others in italics.
fn synopsis(line: &str) -> Vec<Inline> {
    let stands = |word: &str| {
        word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c == '.')
    };
    let mut parts = Vec::new();
    for word in line.split_inclusive([' ', '[', ']', '|', '{', '}']) {
        let bare = word.trim_end_matches([' ', '[', ']', '|', '{', '}']);
        let rest = &word[bare.len()..];
        parts.push(if stands(bare.trim_end_matches('…')) { italic(bare) } else { bold(bare) });
        parts.push(roman(rest));
    }
    parts
}

fn options(page: &mut Roff) {
    page.control("SH", ["OPTIONS"]);
    for (long, short, help) in objects::OPTIONS {
        page.control("TP", []);
        page.text([bold(format!("-{short}, --{long}"))]);
        page.text([roman(format!("{help}."))]);
    }
    page.control("TP", []);
    page.text([bold("--target "), roman(objects::TARGETS.join(", "))]);
    page.text([roman("Where objects are: the user's daemon (unless said otherwise), the running kernel, this process only.")]);
}
