//! BPF objects inside installed tools: skeletons carry them whole.

use std::path::Path;

/// Where packages put tools that carry objects, and objects.
const FOLDERS: &[&str] = &["/usr/sbin", "/usr/bin", "/usr/lib/x86_64-linux-gnu/bpf"];
const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
const EM_BPF: u16 = 247;
/// Larger files are compilers and the like.
const MAX_FILE: u64 = 16 << 20;

/// Name and bytes of each object, in order of the tools' names.
pub fn objects() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for folder in FOLDERS {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|p| is_candidate(p)) {
            let Ok(bytes) = std::fs::read(path) else { continue };
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.extend(
                object_at(&bytes)
                    .filter(|_| bytes.starts_with(MAGIC))
                    .map(|o| (name.clone(), o.to_vec())),
            );
            all.extend(inside(&bytes).map(|o| (name.clone(), o.to_vec())));
        }
    }
    all
}

fn is_candidate(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() < MAX_FILE)
}

/// Every 64-bit little-endian ELF file for BPF within `bytes`, the file itself aside.
fn inside(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = bytes.windows(MAGIC.len()).enumerate().skip(1).filter(|(_, w)| *w == MAGIC);
    starts.filter_map(|(at, _)| object_at(&bytes[at..]))
}

/// The object at the start of `bytes`: up to the end of its section headers, which clang and
/// libbpf's linker put last.
fn object_at(bytes: &[u8]) -> Option<&[u8]> {
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if half(18)? != EM_BPF {
        return None;
    }
    let headers = u64::from_le_bytes(bytes.get(40..48)?.try_into().ok()?);
    let size = u64::from(half(58)?) * u64::from(half(60)?);
    bytes.get(..usize::try_from(headers.checked_add(size)?).ok()?)
}
