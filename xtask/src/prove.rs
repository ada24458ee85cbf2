//! Proofs of the verifier's number domain: its source to LLVM IR, the IR to z3.

use std::path::Path;

use crate::install;
use crate::run::cargo_in;

/// What the proofs need besides Rust.
const Z3: &[install::Package] = &[("z3", "/usr/bin/z3"), ("libz3-dev", "/usr/include/z3.h")];

/// `[CLAIM]`: all claims, or those whose name holds the text.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    install::ensure(Z3)?;
    let prove = root.join("prove");
    let target = prove.join("target");
    let out = target.join("domain.ll");
    let emit = format!("--emit=llvm-ir={}", out.display());
    let target = target.display().to_string();
    let subject = [
        "rustc",
        "--quiet",
        "--release",
        "--lib",
        "--target-dir",
        &target,
        "--",
        &emit,
        "-C",
        "no-vectorize-loops",
        "-C",
        "no-vectorize-slp",
    ];
    cargo_in(&prove.join("subject"), &subject)?;
    let ir = out.display().to_string();
    let mut words = vec!["run", "--quiet", "--release", "--target-dir", &target, "--", &ir];
    words.extend(args.iter().map(String::as_str));
    cargo_in(&prove, &words)?;
    let tests = ["test", "--quiet", "--release", "--target-dir", &target];
    cargo_in(&prove.join("subject"), &tests)
}
