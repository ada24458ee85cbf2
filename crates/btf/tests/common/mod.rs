//! Helpers shared by this crate's tests.
#![allow(dead_code, reason = "each test binary uses some of them")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The running kernel's BTF, or a visible skip.
pub(crate) fn vmlinux() -> Option<Vec<u8>> {
    read_or_skip(Path::new("/sys/kernel/btf/vmlinux"))
}

fn read_or_skip(path: &Path) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("skipped: {}: {error}", path.display());
            None
        }
    }
}

/// A file or folder of the recorded facts beside the checkout, or a visible skip.
pub(crate) fn golden(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/facts/bpftool-golden")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no {}", path.display());
    None
}

/// Recorded cases by name, of the file for one version of bpftool.
pub(crate) fn case(name: &str, file: &str) -> Option<String> {
    let path = golden(file)?;
    let text = std::fs::read_to_string(path).expect("readable cases");
    let wanted = format!("{{\"id\": \"{name}\"");
    let line = text.lines().find(|line| line.starts_with(&wanted)).expect("a case of that name");
    let case: serde_json::Value = serde_json::from_str(line).expect("JSON");
    Some(case["stdout"].as_str().expect("text").to_owned())
}

/// All recorded objects, or a visible skip.
pub(crate) fn objects() -> Vec<PathBuf> {
    let Some(folder) = golden("objects") else { return Vec::new() };
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a readable folder")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .collect();
    found.sort();
    found
}

/// A section of an ELF object.
pub(crate) fn section(path: &Path, name: &str) -> Option<Vec<u8>> {
    use object::{Object, ObjectSection};
    let bytes = std::fs::read(path).expect("a readable object");
    let file = object::File::parse(&*bytes).expect("an ELF object");
    Some(file.section_by_name(name)?.data().expect("section data").to_vec())
}

/// What `bpftool ARGS` prints, or a visible skip.
pub(crate) fn bpftool(args: &[&str]) -> Option<String> {
    match Command::new("bpftool").args(args).output() {
        Ok(output) if output.status.success() => {
            Some(String::from_utf8(output.stdout).expect("bpftool prints UTF-8"))
        }
        Ok(output) => {
            eprintln!("skipped: bpftool {args:?}: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            eprintln!("skipped: bpftool: {error}");
            None
        }
    }
}

/// BTF bytes with the smallest header around these type words and strings.
pub(crate) fn assemble(types: &[u32], strings: &[u8]) -> Vec<u8> {
    let type_len = types.len() as u32 * 4;
    let header = [0x0001_eb9f, 24, 0, type_len, type_len, strings.len() as u32];
    let mut bytes: Vec<u8> =
        header.iter().chain(types).flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend_from_slice(strings);
    bytes
}
