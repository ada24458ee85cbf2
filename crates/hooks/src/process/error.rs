//! What can go wrong with hooks on processes.

use std::io;

use thiserror::Error;
use uapi::Errno;

/// Why programs cannot be attached, or a command cannot be run under them.
#[derive(Debug, Error)]
pub enum HookError {
    /// A program's place is none of those that a command has.
    #[error("program '{program}' ({section}): {why}")]
    NoHook {
        /// The program.
        program: String,
        /// Its section.
        section: String,
        /// What is missing, and what there is.
        why: String,
    },
    /// The function that a program is to be attached to is not there.
    #[error("program '{program}': {why}")]
    NoPlace {
        /// The program.
        program: String,
        /// What is missing.
        why: String,
    },
    /// A program cannot be made ready to run.
    #[error("program '{program}': {errno}: it cannot be made ready to run")]
    Runner {
        /// The program.
        program: String,
        /// The answer.
        errno: Errno,
    },
    /// The command cannot be started.
    #[error("{command}: {why}")]
    Command {
        /// What was to be run.
        command: String,
        /// Why it cannot.
        why: String,
        /// As a shell has it: 127 if there is no such command, 126 if it cannot be run.
        status: u8,
    },
    /// The system refuses what tracing needs.
    #[error("{what}: {source}{hint}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The answer.
        source: io::Error,
        /// What to do about it; may be empty.
        hint: &'static str,
    },
    /// What a program needs of the target kernel's types is not there.
    #[error("the target kernel's types: {0}")]
    Types(String),
}
