//! Starting cargo and what cargo builds.

use std::path::Path;
use std::process::Command;

use crate::install;

/// Runs `cargo ARGS` in the repository.
pub(crate) fn cargo(root: &Path, args: &[&str]) -> Result<(), String> {
    cargo_env(root, args, &[])
}

/// Runs `cargo ARGS` with more environment variables.
pub(crate) fn cargo_env(root: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let status = Command::new(cargo)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(root)
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed", args.join(" "))) }
}

/// Runs `cargo ARGS` in a folder with a workspace of its own.
pub(crate) fn cargo_in(folder: &Path, args: &[&str]) -> Result<(), String> {
    cargo_env(folder, args, &[])
}

/// Builds and runs a binary of the test kit, optimised: it measures or compares in bulk.
fn testkit(root: &Path, bin: &str, args: &[String]) -> Result<(), String> {
    install::ensure(install::COMPILE)?;
    let mut words = vec!["run", "--quiet", "--release", "-p", "ring3-testkit", "--bin", bin, "--"];
    words.extend(args.iter().map(String::as_str));
    cargo(root, &words)
}

pub(crate) fn oracle(root: &Path, args: &[String]) -> Result<(), String> {
    testkit(root, "oracle", args)
}

pub(crate) fn verdicts(root: &Path, args: &[String]) -> Result<(), String> {
    testkit(root, "verdicts", args)
}

pub(crate) fn bench(root: &Path, args: &[String]) -> Result<(), String> {
    testkit(root, "bench", args)
}

pub(crate) fn soundness(root: &Path, args: &[String]) -> Result<(), String> {
    testkit(root, "soundness", args)
}

pub(crate) fn parity(root: &Path, args: &[String]) -> Result<(), String> {
    testkit(root, "parity", args)
}
