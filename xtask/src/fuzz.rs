//! Fuzz targets, each for a short while from its committed seeds.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::run::cargo;

const TARGETS: &[&str] = &["load_object", "verify_program"];

/// `[SECONDS]` a target, 10 unless told.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let seconds: u32 = match args.first() {
        Some(text) => text.parse().map_err(|_| format!("fuzz: {text} is no number of seconds"))?,
        None => 10,
    };
    let quiet = |c: &mut Command| c.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !quiet(Command::new("cargo").args(["+nightly", "--version"])).is_ok_and(|s| s.success()) {
        println!("skipped: fuzzing needs a nightly toolchain (rustup toolchain install nightly)");
        return Ok(());
    }
    if !quiet(Command::new("cargo").args(["fuzz", "--version"])).is_ok_and(|s| s.success()) {
        cargo(root, &["install", "cargo-fuzz", "--locked", "--quiet"])?;
    }
    TARGETS.iter().try_for_each(|target| fuzz(root, target, seconds))
}

/// A minute for one input: a million instructions with a log take long under the sanitizer.
/// libFuzzer writes what it learns into the first folder: seeds stay as committed.
fn fuzz(root: &Path, target: &str, seconds: u32) -> Result<(), String> {
    let learned = root.join("fuzz/target/corpus").join(target);
    std::fs::create_dir_all(&learned).map_err(|e| format!("{}: {e}", learned.display()))?;
    let status = Command::new("cargo")
        .args(["+nightly", "fuzz", "run", target])
        .arg(&learned)
        .arg(root.join("fuzz/seeds").join(target))
        .args(["--", "-rss_limit_mb=2048", "-timeout=60", "-max_len=65536"])
        .arg(format!("-max_total_time={seconds}"))
        .current_dir(root)
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .status()
        .map_err(|e| format!("cargo fuzz: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("fuzz target {target} failed")) }
}
