//! What can go wrong on the way from a file to a run.

use std::io;

use runtime::door;
use thiserror::Error;
use uapi::Errno;

use crate::compile::CompileError;
use crate::source::SourceLine;

/// Why a step failed; the message names the file.
#[derive(Debug, Error)]
pub enum Error {
    /// The source did not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is larger than any object.
    #[error("{file}: larger than {limit} bytes, the most that is read")]
    TooLarge {
        /// The file.
        file: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is no BPF object that can be loaded.
    #[error("{file}: {source}")]
    Object {
        /// The file.
        file: String,
        /// What is wrong, and where.
        source: loader::LoadError,
    },
    /// The text of a program is none.
    #[error("program '{program}': {message}")]
    Assemble {
        /// The program.
        program: String,
        /// What is wrong, and in which line.
        message: String,
    },
    /// A global variable cannot be set.
    #[error("--set {variable}: {message}")]
    Variable {
        /// Its name.
        variable: String,
        /// Why, and what can be set.
        message: String,
    },
    /// The BTF of the target kernel cannot be used.
    #[error("{file}: the kernel's BTF: {message}")]
    KernelBtf {
        /// The file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// The object has no program, or not this one.
    #[error("{file}: {message}")]
    NoProgram {
        /// The file.
        file: String,
        /// What was looked for and what there is.
        message: String,
    },
    /// The object has no map of this name.
    #[error("{file}: no map '{map}' (it has {known})")]
    NoMap {
        /// The file.
        file: String,
        /// The name.
        map: String,
        /// The names that there are.
        known: String,
    },
    /// A map was refused.
    #[error("{file}: map '{map}': {what}: {errno}")]
    Map {
        /// The file.
        file: String,
        /// The map.
        map: String,
        /// What was tried.
        what: &'static str,
        /// Linux's error.
        errno: Errno,
    },
    /// The object's BTF was refused.
    #[error("{file}: section '.BTF': {source}")]
    Btf {
        /// The file.
        file: String,
        /// Linux's error and log.
        source: Box<door::LoadError>,
    },
    /// A program was refused.
    #[error("{0}")]
    Rejected(Box<Rejected>),
    /// A run was refused or stopped.
    #[error("{file}: program '{program}': {message}")]
    Run {
        /// The file.
        file: String,
        /// The program.
        program: String,
        /// What happened.
        message: String,
    },
}

/// A program that the verifier refused.
#[derive(Debug, Error)]
#[error("{file}: program '{program}' is rejected: {errno}{}: {message}{}",
    .insn.map_or(String::new(), |insn| format!(" at instruction {insn}")),
    .source_line.as_ref().map_or(String::new(), |line| format!("\n  {}:{}: {}", line.file, line.line, line.text.trim_start())))]
pub struct Rejected {
    /// The file.
    pub file: String,
    /// The program.
    pub program: String,
    /// Linux's error.
    pub errno: Errno,
    /// Linux's message.
    pub message: String,
    /// The instruction at fault.
    pub insn: Option<usize>,
    /// Where it comes from.
    pub source_line: Option<SourceLine>,
    /// Linux's log.
    pub log: String,
}

impl Error {
    /// Whether the request could not be tried at all: no compiler, no such file.
    pub fn is_setup(&self) -> bool {
        match self {
            Error::Compile(error) => !matches!(error, CompileError::Refused { .. }),
            Error::Read { .. } | Error::NoProgram { .. } | Error::NoMap { .. } => true,
            _ => false,
        }
    }
}
