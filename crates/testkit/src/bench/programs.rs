//! The benchmark programs of `bench/programs`: one C source for user space, kernel and native code.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of benchmark sources in the repository.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../bench/programs")
}

/// Names of the programs in `dir`, in order.
pub fn names(dir: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".bpf.c")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// For whom a source is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The context is two pointers: `{ u64 data, data_end }`.
    Raw,
    /// The context is `struct xdp_md`.
    Kernel,
}

/// The object of one program.
pub fn compile(dir: &Path, name: &str, flavour: Flavour) -> Result<Vec<u8>, String> {
    let source = dir.join(format!("{name}.bpf.c"));
    let define = match flavour {
        Flavour::Raw => "-DRAW",
        Flavour::Kernel => "-DKERN",
    };
    let output = Command::new("clang-19")
        .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", define, "-c", "-o", "-"])
        .arg(&source)
        .output()
        .map_err(|e| format!("clang-19: {e} (Debian package clang-19)"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{}: {}", source.display(), String::from_utf8_lossy(&output.stderr)))
}

/// The programs of `dir` compiled for Linux; one that cannot be is told on standard error and
/// counted.
pub fn objects(dir: &Path) -> Result<(Vec<(String, ring3::Object)>, usize), String> {
    let (mut objects, mut failed) = (Vec::new(), 0);
    for name in names(dir)? {
        let object = compile(dir, &name, Flavour::Kernel).and_then(|bytes| {
            ring3::Object::parse(&name, &bytes).map_err(|e| format!("{name}: {e}"))
        });
        match object {
            Ok(object) => objects.push((name, object)),
            Err(why) => {
                eprintln!("{why}");
                failed += 1;
            }
        }
    }
    Ok((objects, failed))
}

/// The packet that every benchmark runs on: bytes without a pattern, the same each time.
pub fn packet() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..2048)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
