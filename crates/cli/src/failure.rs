//! How the command ends when it cannot do what it was asked.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use ring3::live::HookError;
use ring3::net::NetError;
use ring3::packet::CaptureError;

/// Input that was refused: a broken object, a rejected program, a damaged capture.
pub(crate) const REFUSED: u8 = 1;
/// A request that cannot be tried: usage, no such file, no clang.
pub(crate) const UNUSABLE: u8 = 2;

/// One message and the exit status that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) status: u8,
    /// Standard output failed: there is nothing more to show.
    of_output: bool,
    /// The reader of our output went away: no error of ours.
    quiet: bool,
}

impl Failure {
    /// The input was read and refused.
    pub(crate) fn refused(message: impl fmt::Display) -> Failure {
        Failure { message: message.to_string(), status: REFUSED, of_output: false, quiet: false }
    }

    /// The request cannot be tried.
    pub(crate) fn unusable(message: impl fmt::Display) -> Failure {
        Failure { message: message.to_string(), status: UNUSABLE, of_output: false, quiet: false }
    }

    /// Whether standard output is what failed.
    pub(crate) fn is_of_output(&self) -> bool {
        self.of_output
    }
}

impl From<io::Error> for Failure {
    /// An error of writing to standard output.
    fn from(error: io::Error) -> Failure {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        Failure {
            message: format!("standard output: {error}"),
            status: UNUSABLE,
            of_output: true,
            quiet,
        }
    }
}

impl From<ring3::Error> for Failure {
    fn from(error: ring3::Error) -> Failure {
        match &error {
            ring3::Error::Rejected(rejected) => {
                let hint = format!("  ring3 verify -v {} shows the whole log", rejected.file);
                Failure::refused(format!("{error}\n{hint}"))
            }
            _ if error.is_setup() => Failure::unusable(error),
            _ => Failure::refused(error),
        }
    }
}

impl From<HookError> for Failure {
    fn from(error: HookError) -> Failure {
        match error {
            HookError::NoHook { .. } | HookError::NoPlace { .. } => Failure::refused(error),
            HookError::Command { status, .. } => Failure { status, ..Failure::unusable(error) },
            _ => Failure::unusable(error),
        }
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Failure {
        match error {
            NetError::Command { status, .. } => Failure { status, ..Failure::unusable(error) },
            NetError::Device { .. } => Failure::refused(error),
            _ => Failure::unusable(error),
        }
    }
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Failure {
        match error {
            CaptureError::Open { .. } => Failure::unusable(error),
            _ => Failure::refused(error),
        }
    }
}

/// Prints the message, if there is one, and turns the result into an exit status.
pub(crate) fn exit_code(result: Result<u8, Failure>) -> ExitCode {
    let failure = match result {
        Ok(status) => return ExitCode::from(status),
        Err(failure) if failure.quiet => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    let mut err = io::stderr().lock();
    let (on, off) = if err.is_terminal() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    // Nobody is left to tell if this fails.
    let _ = writeln!(err, "{on}error:{off} {}", failure.message);
    ExitCode::from(failure.status)
}
