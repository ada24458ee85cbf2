//! What tests and measurements share: recorded verdicts of Linux, the running kernel as an
//! oracle, benchmarks. Its binaries are started by `cargo xtask`.

pub mod bench;
pub mod generate;
pub mod oracle;
pub mod packaged;
pub mod parity;
pub mod soundness;
pub mod verdicts;

use std::path::PathBuf;

/// Facts beside the repository that are not part of it; `None` in a user's clone.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(folder);
    path.is_dir().then_some(path)
}
