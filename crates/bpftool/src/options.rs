//! Options: what holds for every command.

use std::ffi::OsString;
use std::path::PathBuf;

use btf::print::Form;
use lexopt::{Arg, Parser};

/// Where objects live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The running kernel.
    Linux,
    /// This process.
    Memory,
    /// The user's daemon.
    Daemon,
}

/// What was typed before, between and after the words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The program's name in help.
    pub(crate) name: String,
    pub(crate) json: bool,
    pub(crate) pretty: bool,
    pub(crate) bpffs: bool,
    pub(crate) debug: bool,
    pub(crate) base_btf: Option<PathBuf>,
    pub(crate) target: Option<Target>,
    pub(crate) wish: Wish,
}

/// What is asked instead of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    #[default]
    Command,
    Help,
    Version,
    /// An option that there is not, as getopt complains of it.
    Bad(String),
}

impl Options {
    /// The layout of JSON.
    pub(crate) fn form(&self) -> Form {
        if self.pretty { Form::PRETTY } else { Form::COMPACT }
    }
}

/// Splits options from words.
pub(crate) fn parse(args: Vec<OsString>) -> (Options, Vec<String>) {
    let mut parser = Parser::from_iter(args);
    let name = parser.bin_name().unwrap_or("bpftool").rsplit('/').next().unwrap_or("bpftool");
    let mut options = Options { name: name.to_owned(), ..Options::default() };
    let mut words = Vec::new();
    loop {
        let bad = match parser.next() {
            Ok(None) => break,
            Ok(Some(Arg::Value(word))) => {
                words.push(word.to_string_lossy().into_owned());
                continue;
            }
            Ok(Some(Arg::Short(short))) => option(&mut options, &mut parser, Ok(short)),
            // Of `net dev add` and `net up`, as words.
            Ok(Some(Arg::Long(
                long @ ("pcap" | "rate" | "loop" | "out" | "peer" | "write" | "at" | "real"),
            ))) => {
                words.push(long.to_owned());
                continue;
            }
            Ok(Some(Arg::Long(long))) => {
                let long = long.to_owned();
                option(&mut options, &mut parser, Err(&long))
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(bad) = bad {
            options.wish = Wish::Bad(bad);
            break;
        }
    }
    (options, words)
}

/// Takes one option; the complaint if there is no such.
fn option(options: &mut Options, parser: &mut Parser, named: Result<char, &str>) -> Option<String> {
    match named {
        Ok('j') | Err("json") => options.json = true,
        Ok('p') | Err("pretty") => (options.json, options.pretty) = (true, true),
        Ok('f') | Err("bpffs") => options.bpffs = true,
        Ok('d') | Err("debug") => options.debug = true,
        // Nothing is mounted here, and every loader is ours.
        Ok('m' | 'n' | 'L') | Err("mapcompat" | "nomount" | "use-loader") => {}
        Ok('h') | Err("help") => wish(options, Wish::Help),
        Ok('V') | Err("version") => wish(options, Wish::Version),
        Ok('B') | Err("base-btf") => match parser.value() {
            Ok(file) => options.base_btf = Some(file.into()),
            Err(_) => return Some("option requires an argument -- 'B'".into()),
        },
        Err("target") => match parser.value().ok().as_deref().and_then(|name| name.to_str()) {
            Some("linux") => options.target = Some(Target::Linux),
            Some("memory") => options.target = Some(Target::Memory),
            Some("daemon") => options.target = Some(Target::Daemon),
            _ => return Some("option '--target' is linux, memory or daemon".into()),
        },
        Ok(short) => return Some(format!("unrecognized option '-{short}'")),
        Err(long) => return Some(format!("unrecognized option '--{long}'")),
    }
    None
}

/// The first wish counts.
fn wish(options: &mut Options, wish: Wish) {
    if options.wish == Wish::Command {
        options.wish = wish;
    }
}
