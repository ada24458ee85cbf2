//! C source to a BPF object, by clang.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use thiserror::Error;

use crate::Kernel;

/// The Debian package that a message names.
const PACKAGE: &str = "clang-19";

/// Names that clang goes by, best first.
const NAMES: &[&str] =
    &["clang-19", "clang", "clang-22", "clang-21", "clang-20", "clang-18", "clang-17", "clang-16"];

/// Headers that programs include, and the Debian packages that have them.
const HEADERS: &[(&str, &str)] =
    &[("bpf/", "libbpf-dev"), ("linux/", "linux-libc-dev"), ("asm/", "linux-libc-dev")];

/// Why a source file gave no object.
#[derive(Debug, Error)]
pub enum CompileError {
    /// No clang on this machine.
    #[error(
        "{file}: compiling it needs clang, which is not here: apt-get install {PACKAGE} (or set CLANG)"
    )]
    NoClang {
        /// The source.
        file: String,
    },
    /// The source cannot be read.
    #[error("{file}: {source}")]
    Source {
        /// The source.
        file: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Clang could not be run.
    #[error("{file}: {clang}: {source}")]
    Start {
        /// The source.
        file: String,
        /// The compiler.
        clang: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The source wants `vmlinux.h`, and there is no BTF to make it of.
    #[error("{file}: vmlinux.h cannot be made: {why} (name the kernel's BTF with --btf FILE)")]
    NoKernelTypes {
        /// The source.
        file: String,
        /// What is wrong with the kernel's BTF.
        why: String,
    },
    /// Clang refused the source.
    #[error("{file}: {clang} refuses it:\n{}{}", .messages.trim_end(), hint(.messages))]
    Refused {
        /// The source.
        file: String,
        /// The compiler.
        clang: String,
        /// What it said.
        messages: String,
    },
}

/// A compiled source.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The ELF object.
    pub object: Vec<u8>,
    /// Clang's warnings.
    pub warnings: String,
}

/// Whether a path names C source rather than an object.
pub fn is_source(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("c"))
}

/// Compiles the C file at `source` as BPF programs are compiled: `-g -O2 -target bpf`.
///
/// Clang is `$CLANG`, or the first of its usual names that is found. A `vmlinux.h` that the
/// source includes and nobody has is made of the types of `kernel`.
pub fn compile(source: &Path, kernel: &Kernel) -> Result<Compiled, CompileError> {
    match attempt(source, None) {
        Err(CompileError::Refused { messages, .. }) if messages.contains(NO_VMLINUX_H) => {
            let made = vmlinux_h(kernel).map_err(|why| CompileError::NoKernelTypes {
                file: source.display().to_string(),
                why,
            })?;
            attempt(source, Some(made.path()))
        }
        first => first,
    }
}

/// What clang says of a source that includes the kernel's types.
const NO_VMLINUX_H: &str = "fatal error: 'vmlinux.h' file not found";

/// A folder with the header in it; it goes when the value does.
fn vmlinux_h(kernel: &Kernel) -> Result<TempDir, String> {
    let types = kernel.types().map_err(|error| error.to_string())?;
    let options = btf::c::Options { sorted: true, kfuncs: false, enum_modes: true };
    let text = btf::c::header(&types, None, options).map_err(|error| error.to_string())?;
    let written = tempfile::tempdir().and_then(|dir| {
        std::fs::write(dir.path().join("vmlinux.h"), text)?;
        Ok(dir)
    });
    written.map_err(|error| format!("temporary folder: {error}"))
}

fn attempt(source: &Path, include: Option<&Path>) -> Result<Compiled, CompileError> {
    let file = source.display().to_string();
    if let Err(error) = std::fs::File::open(source) {
        return Err(CompileError::Source { file, source: error });
    }
    for clang in candidates() {
        match run(&clang, source, include) {
            Ok(output) => return answer(file, &clang, output),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let clang = clang.to_string_lossy().into_owned();
                return Err(CompileError::Start { file, clang, source: error });
            }
        }
    }
    Err(CompileError::NoClang { file })
}

fn candidates() -> Vec<OsString> {
    match env::var_os("CLANG") {
        Some(clang) if !clang.is_empty() => vec![clang],
        _ => NAMES.iter().map(OsString::from).collect(),
    }
}

fn run(clang: &OsStr, source: &Path, include: Option<&Path>) -> io::Result<Output> {
    let arch = env::consts::ARCH;
    let mut command = Command::new(clang);
    if let Some(dir) = include {
        command.arg("-idirafter").arg(dir);
    }
    command
        .args(["-g", "-O2", "-Wall", "-target", "bpf"])
        .arg(format!("-D__TARGET_ARCH_{}", target_arch(arch)))
        .arg("-idirafter")
        .arg(PathBuf::from(format!("/usr/include/{arch}-linux-gnu")))
        .arg("-c")
        .arg(source)
        .args(["-o", "-"])
        .stdin(Stdio::null())
        .output()
}

/// The name that libbpf's headers have for this machine.
fn target_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        "riscv64" => "riscv",
        other => other,
    }
}

fn answer(file: String, clang: &OsStr, output: Output) -> Result<Compiled, CompileError> {
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(Compiled { object: output.stdout, warnings: messages });
    }
    let clang = clang.to_string_lossy().into_owned();
    Err(CompileError::Refused { file, clang, messages })
}

/// Where a header that clang misses comes from.
fn hint(messages: &str) -> String {
    let missing = messages
        .lines()
        .find_map(|line| line.split_once("fatal error: '")?.1.strip_suffix("' file not found"));
    let package = missing.and_then(|header| HEADERS.iter().find(|row| header.starts_with(row.0)));
    package.map_or(String::new(), |row| format!("\nThat header comes from Debian's {}", row.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_header_names_its_package() {
        let text = "x.c:2:10: fatal error: 'bpf/bpf_helpers.h' file not found\n";
        assert!(hint(text).ends_with("libbpf-dev"));
        assert_eq!(hint("x.c:1:1: error: nonsense"), "");
    }

    #[test]
    fn sources_are_known_by_their_last_extension() {
        assert!(is_source(Path::new("a/hello.bpf.c")));
        assert!(!is_source(Path::new("a/hello.bpf.o")));
    }
}
