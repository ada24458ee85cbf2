//! bpftool's objects as verbs of ours, and all of bpftool under its own name.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use ::bpftool::{self as tool, Target};
use clap::CommandFactory;

use crate::args::LowArgs;
use crate::command;
use crate::failure;

/// Runs the command line if it is one of bpftool's.
pub(crate) fn run() -> Option<ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    if !is_bpftool(&args) {
        return None;
    }
    if let Some(words) = net_exec(&args) {
        return Some(failure::exit_code(command::net::exec(words)));
    }
    let open = |target| match target {
        Target::Daemon => match command::connect() {
            Ok(client) => Ok(Box::new(client) as Box<dyn tool::Bpf>),
            Err(failure) => Err(failure.message),
        },
        other => tool::open(other),
    };
    Some(ExitCode::from(tool::main(args, Target::Daemon, Box::new(open))))
}

/// What follows `net exec`: the one command whose exit status is another's.
fn net_exec(args: &[OsString]) -> Option<&[OsString]> {
    let [_, net, exec, words @ ..] = args else { return None };
    let plain = !words.first().is_some_and(|word| word == "--help" || word == "-h");
    (net == "net" && exec == "exec" && plain).then_some(words)
}

/// Whether the program is called bpftool, or the first word is an object of bpftool's and no verb
/// of ours.
fn is_bpftool(args: &[OsString]) -> bool {
    let name = args.first().and_then(|path| Path::new(path).file_name());
    if name.is_some_and(|name| name == "bpftool") {
        return true;
    }
    let mut words = args.iter().skip(1).map(|word| word.to_string_lossy());
    let word = loop {
        match words.next() {
            None => return false,
            Some(option) if option == "--target" || option == "-B" || option == "--base-btf" => {
                words.next();
            }
            Some(option) if option.starts_with('-') => {}
            Some(word) => break word,
        }
    };
    let ours = LowArgs::command();
    let own = ours.get_subcommands().any(|verb| verb.get_name().starts_with(&*word));
    let own = own || word == "help";
    // An object in full is bpftool's whatever ours are called.
    tool::is_object(&word) && (!own || tool::is_whole_object(&word))
}
