//! Functions by name: in a program itself, or in the separate file that has its symbols.

use std::fs;
use std::path::{Path, PathBuf};

use object::{File, Object, ObjectSymbol, SymbolKind};

use crate::process::section::matches;

/// Where separate files of symbols are kept.
const DEBUG: &str = "/usr/lib/debug";

/// The address of a function of this name.
pub(super) fn find(file: &File<'_>, path: &Path, name: &str) -> Option<u64> {
    let named = |symbol: &str| symbol == name;
    own(file, &named).first().copied().or_else(|| apart(file, path, &named).first().copied())
}

/// The addresses of all functions whose names match.
pub(super) fn matching(file: &File<'_>, path: &Path, pattern: &str) -> Vec<u64> {
    let like = |symbol: &str| matches(pattern, symbol);
    let mut found = own(file, &like);
    if file.symbols().next().is_none() {
        found.extend(apart(file, path, &like));
    }
    found
}

fn own(file: &File<'_>, wanted: &dyn Fn(&str) -> bool) -> Vec<u64> {
    let code = |symbol: &object::Symbol<'_, '_>| {
        let kind = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown);
        symbol.is_definition() && kind && symbol.name().is_ok_and(wanted)
    };
    let all = file.symbols().chain(file.dynamic_symbols());
    all.filter(code).map(|symbol| symbol.address()).collect()
}

/// The same in the file that the program names for its symbols.
fn apart(file: &File<'_>, path: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<u64> {
    for candidate in candidates(file, path) {
        let Ok(bytes) = fs::read(&candidate) else { continue };
        let Ok(debug) = File::parse(&*bytes) else { continue };
        if belongs(file, &debug, &bytes) {
            return own(&debug, wanted);
        }
    }
    Vec::new()
}

/// Names of files that may have the symbols: by the build's number, by the name in the program.
fn candidates(file: &File<'_>, path: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    if let Ok(Some(id)) = file.build_id()
        && let Some((first, rest)) = id.split_first()
    {
        let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        out.push(Path::new(DEBUG).join(format!(".build-id/{first:02x}/{rest}.debug")));
    }
    if let Ok(Some((name, _))) = file.gnu_debuglink() {
        let name = String::from_utf8_lossy(name).into_owned();
        let folder = path.parent().unwrap_or(Path::new("/"));
        out.push(folder.join(&name));
        out.push(folder.join(".debug").join(&name));
        let below = folder.strip_prefix("/").unwrap_or(folder);
        out.push(Path::new(DEBUG).join(below).join(name));
    }
    // The name may be the program's own.
    out.retain(|candidate| candidate != path);
    out
}

/// Whether a file of symbols is that of the program: of the same build, or as the program says.
fn belongs(file: &File<'_>, debug: &File<'_>, bytes: &[u8]) -> bool {
    match (file.build_id(), debug.build_id()) {
        (Ok(Some(one)), Ok(Some(other))) => one == other,
        _ => {
            file.gnu_debuglink().is_ok_and(|link| link.is_some_and(|(_, sum)| sum == crc32(bytes)))
        }
    }
}

/// The check sum of `.gnu_debuglink`: CRC-32 as in gzip.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [0_u32; 256];
    for (byte, entry) in (0..).zip(&mut table) {
        *entry =
            (0..8).fold(byte, |sum: u32, _| sum >> 1 ^ (POLYNOMIAL & (sum & 1).wrapping_neg()));
    }
    let step = |sum: u32, byte: &u8| sum >> 8 ^ table[(sum as u8 ^ byte) as usize];
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums_are_gzip_s() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
