//! Proofs of the verifier's number domain: its source to LLVM IR, the IR to z3.

use std::path::Path;

use crate::install;
use crate::run::cargo_in;

/// What the proofs need besides Rust.
const Z3: &[install::Package] = &[("z3", "/usr/bin/z3"), ("libz3-dev", "/usr/include/z3.h")];

/// Functions of the domain stay calls, so that a proof can stop at them; what the standard library
/// marks for inlining still is.
const FLAGS: &[&str] = &[
    "-C",
    "no-vectorize-loops",
    "-C",
    "no-vectorize-slp",
    "-C",
    "llvm-args=-inline-threshold=-100000",
];

/// `[CLAIM] [--limit SECONDS] [--jobs N]`: all claims, or those whose name holds the text.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    install::ensure(Z3)?;
    let claims: Vec<&str> = args.iter().map(String::as_str).collect();
    prove(root, &claims)?;
    let target = target(root);
    let tests = ["test", "--quiet", "--release", "--target-dir", &target];
    cargo_in(&root.join("prove/subject"), &tests)
}

/// The share that the tests run: one claim of each sort, and mistakes that must be found.
pub(crate) fn share(root: &Path) -> Result<(), String> {
    if let Err(why) = install::ensure(Z3) {
        println!("skipped: proofs of the number domain: {why}");
        return Ok(());
    }
    let folder = root.join("prove");
    cargo_in(&folder, &["fmt", "--check"])?;
    let target = target(root);
    let lints = ["clippy", "--quiet", "--target-dir", &target, "--", "-D", "warnings"];
    cargo_in(&folder, &lints)?;
    prove(root, &["--quick", "--limit", "10"])
}

fn target(root: &Path) -> String {
    root.join("prove/target").display().to_string()
}

/// Compiles the domain to LLVM IR and asks z3.
fn prove(root: &Path, args: &[&str]) -> Result<(), String> {
    let (folder, target) = (root.join("prove"), target(root));
    let ir = format!("{target}/domain.ll");
    let emit = format!("--emit=llvm-ir={ir}");
    let mut subject = vec!["rustc", "--quiet", "--release", "--lib", "--target-dir", &target];
    subject.extend(["--", &emit]);
    subject.extend(FLAGS);
    cargo_in(&folder.join("subject"), &subject)?;
    let mut words = vec!["run", "--quiet", "--release", "--target-dir", &target, "--", &ir];
    words.extend(args);
    cargo_in(&folder, &words)
}
