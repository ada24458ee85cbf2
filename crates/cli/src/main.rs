//! The command `ring3`.
//!
//! [`args`] is what was typed, [`plan`] what it means here, a module of [`command`] does it and
//! returns data, [`printer`] shows them. Nothing below `printer` writes to a terminal.
#![forbid(unsafe_code)]

mod args;
mod bpftool;
mod command;
mod docs;
mod failure;
mod objects;
mod plan;
mod printer;
mod progress;

use std::process::ExitCode;

use clap::FromArgMatches;

fn main() -> ExitCode {
    if let Some(status) = bpftool::run() {
        return status;
    }
    let mut command = objects::command();
    let low = args::LowArgs::from_arg_matches(&command.get_matches_mut());
    let low = low.unwrap_or_else(|error| error.format(&mut command).exit());
    failure::exit_code(command::dispatch(low))
}
