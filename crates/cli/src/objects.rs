//! bpftool's objects as rows of help, completions and man pages, out of bpftool's own table.

use std::collections::BTreeSet;

use ::bpftool::{NOUNS, Noun, OTHERS, Verb, usage};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::args::LowArgs;

/// Where bpftool's objects begin in lists: behind our own verbs.
const BEHIND: usize = 100;

/// Our verbs, and bpftool's objects each with what `object` makes of it.
fn with_objects(object: fn(&'static Noun) -> Command) -> Command {
    let others = OTHERS.iter().filter(|row| row.0 != "help");
    let others = others.map(|(name, args, about)| {
        Command::new(*name).about(capital(about)).override_usage(format!("ring3 {name} {args}"))
    });
    let rows = NOUNS.iter().map(object).chain(others);
    let rows = rows.enumerate().map(|(at, row)| row.display_order(BEHIND + at));
    LowArgs::command().subcommands(rows)
}

/// What is parsed: an object's own words are left to bpftool's code.
pub(crate) fn command() -> Command {
    with_objects(|noun| {
        Command::new(noun.name).about(noun.about).override_help(usage("ring3", Some(noun.name)))
    })
}

/// What is completed: objects, their commands, and the words that may follow.
pub(crate) fn completed() -> Command {
    with_objects(|noun| {
        // Clap adds help itself.
        let verbs = noun.verbs.iter().filter(|verb| verb.name != "help");
        let verbs = verbs.map(|verb| completed_verb(noun, verb));
        Command::new(noun.name).about(noun.about).subcommands(verbs).args(options())
    })
}

fn completed_verb(noun: &Noun, verb: &'static Verb) -> Command {
    let row = Command::new(verb.name).about(capital(verb.about));
    let mut words = BTreeSet::new();
    literals(noun, verb.args, NESTED, &mut words);
    let word = Arg::new("words").value_name("WORD").num_args(0..);
    let word =
        if words.is_empty() { word } else { word.value_parser(PossibleValuesParser::new(words)) };
    row.arg(word).args(options())
}

/// How deep words in capitals stand for others.
const NESTED: u32 = 3;

/// Words of `args` that are typed as they are, and those of the words in capitals.
fn literals(noun: &Noun, args: &'static str, depth: u32, into: &mut BTreeSet<&'static str>) {
    let words = args.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for word in words.filter(|word| word.len() > 1) {
        if word.starts_with(|c: char| c.is_ascii_lowercase()) {
            into.insert(word);
        } else if depth > 0 {
            alternatives(noun, word).for_each(|args| literals(noun, args, depth - 1, into));
        }
    }
}

/// What a word in capitals stands for, as far as that is words and not prose.
fn alternatives(noun: &Noun, name: &'static str) -> impl Iterator<Item = &'static str> {
    let meaning =
        noun.terms.iter().filter_map(move |term| term.strip_prefix(name)?.strip_prefix(" = "));
    let prose =
        |args: &str| args.split(' ').skip(1).any(|word| word.starts_with(char::is_lowercase));
    meaning.flat_map(|text| text.split('|')).map(str::trim).filter(move |args| !prose(args))
}

/// bpftool's options, with what they do.
pub(crate) const OPTIONS: [(&str, char, &str); 6] = [
    ("json", 'j', "Print JSON"),
    ("pretty", 'p', "Print indented JSON"),
    ("bpffs", 'f', "Show the names of pins"),
    ("debug", 'd', "Show more messages"),
    ("version", 'V', "Print the version of bpftool that is followed"),
    ("help", 'h', "Print what can be typed"),
];
/// Where objects are.
pub(crate) const TARGETS: [&str; 3] = ["daemon", "linux", "memory"];

fn options() -> Vec<Arg> {
    let flags = OPTIONS.iter().filter(|row| row.0 != "help");
    let flag = |&(long, short, help): &(&'static str, char, &'static str)| {
        Arg::new(long).long(long).short(short).help(help).action(ArgAction::SetTrue)
    };
    let target = Arg::new("target").long("target").help("Where objects are").value_parser(TARGETS);
    flags.map(flag).chain([target]).collect()
}

pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
