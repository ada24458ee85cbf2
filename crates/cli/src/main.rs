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
mod plan;
mod printer;
mod progress;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if let Some(status) = bpftool::run() {
        return status;
    }
    let low = args::LowArgs::parse();
    failure::exit_code(command::dispatch(low))
}
