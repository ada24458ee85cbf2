//! From words to the command that they name.

use crate::answer::{Answer, Body, Done};
use crate::fail::Fail;
use crate::print::Printer;
use crate::session::Ctx;
use crate::table::{NOUNS, Noun};
use crate::version::version;
use crate::words::{Words, is_prefix};
use crate::{batch, elf};

/// Words that stand where an object does: each with what follows it and what it does.
pub const OTHERS: [(&str, &str, &str); 4] = [
    ("help", "", "what can be typed"),
    (
        "batch",
        "file PATH",
        "commands from a file, line by line until one fails; - is standard input",
    ),
    ("version", "", "the bpftool that is followed"),
    ("elf", "FILE", "sections, symbols and instructions of an object with their source lines"),
];

/// Whether `word` is an object of this command line, or abbreviates one.
pub fn is_object(word: &str) -> bool {
    NOUNS
        .iter()
        .map(|noun| noun.name)
        .chain(OTHERS.map(|row| row.0))
        .any(|name| is_prefix(word, name))
}

/// Whether `word` is an object in full.
pub fn is_whole_object(word: &str) -> bool {
    NOUNS.iter().any(|noun| noun.name == word) || word == "batch" || word == "elf"
}

/// Finds the command that `args` name and carries it out; what it returned.
pub(crate) fn select(ctx: &Ctx<'_>, args: &[String], printer: &mut Printer) -> i32 {
    let mut words = Words::new(args);
    let help = || Ok(Answer { body: Body::Help(None), fail: None });
    if words.is_empty() || words.eat("help") {
        return printer.show(help());
    }
    if words.eat("batch") {
        return batch::run(ctx, words, printer);
    }
    if let Some(noun) = NOUNS.iter().find(|noun| words.eat(noun.name)) {
        return printer.show(run(ctx, noun, words));
    }
    if words.eat("version") {
        return printer.show(version(ctx, words));
    }
    if words.eat("elf") {
        return printer.show(elf::show(ctx, words));
    }
    let fail = Fail { usage: Some(None), null: true, ..Fail::silent(-1) };
    printer.show(Err(fail))
}

fn run(ctx: &Ctx<'_>, noun: &Noun, mut words: Words<'_>) -> Done {
    if words.is_empty() {
        return (noun.verbs[0].run)(ctx, words);
    }
    match noun.verbs.iter().find(|verb| words.eat(verb.name)) {
        Some(verb) => (verb.run)(ctx, words),
        None => {
            let fail = Fail::silent(-1);
            Err(Fail { usage: Some(Some(noun.name)), null: !noun.text_help, ..fail })
        }
    }
}

/// The help of an object as a failure.
pub(crate) fn wrong_use(noun: &'static str) -> Fail {
    Fail { usage: Some(Some(noun)), null: true, ..Fail::silent(-1) }
}
