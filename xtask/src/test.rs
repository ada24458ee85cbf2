//! The README's second command, and what CI asks besides.

use std::path::Path;

use crate::run::{cargo, cargo_env};
use crate::{attr_table, fuzz, generate, install, layers, prove};

/// Installs what the tests need, then runs checks, tests, a share of the proofs and a short round of fuzzing.
pub(crate) fn run(root: &Path, _args: &[String]) -> Result<(), String> {
    install::ensure(install::COMPILE)?;
    install::ensure(install::TEST)?;
    check(root, &[])?;
    cargo(root, &["test", "--workspace", "--no-fail-fast"])?;
    prove::share(root)?;
    fuzz::run(root, &["10".into()])
}

/// Everything that needs no running program.
pub(crate) fn check(root: &Path, _args: &[String]) -> Result<(), String> {
    cargo(root, &["fmt", "--all", "--check"])?;
    layers::run(root, &[])?;
    generate::run(root, true)?;
    attr_table::run(root, true)?;
    cargo(root, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    let strict = [("RUSTDOCFLAGS", "-D warnings")];
    cargo_env(root, &["doc", "--workspace", "--no-deps", "--quiet"], &strict)
}
