//! Programs and libraries as files: where a function is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

use crate::process::point::Function;

/// A file of machine code.
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    /// Device and inode.
    pub(crate) id: (u64, u64),
    bytes: Vec<u8>,
}

/// Larger files are no programs.
const MAX_FILE: u64 = 2 << 30;
/// Where the dynamic linker looks.
const LIBRARIES: &[&str] = &[
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    let from = |variable: &str| std::env::var_os(variable).unwrap_or_default();
    let (own, path) = (from("LD_LIBRARY_PATH"), from("PATH"));
    let folders = std::env::split_paths(&own)
        .chain(LIBRARIES.iter().map(PathBuf::from))
        .chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl Image {
    pub(crate) fn open(name: &str) -> Result<Image, String> {
        let path = find(name).ok_or_else(|| format!("no library or program '{name}'"))?;
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let meta = fs::metadata(&path).map_err(|error| wrong(&error))?;
        if !meta.is_file() || meta.len() > MAX_FILE {
            return Err(wrong(&"this is no program or library"));
        }
        let bytes = fs::read(&path).map_err(|error| wrong(&error))?;
        let file = object::File::parse(&*bytes).map_err(|error| wrong(&error))?;
        if file.architecture() != object::Architecture::X86_64 {
            return Err(wrong(&"only code for x86-64 can be probed"));
        }
        let path = path.canonicalize().unwrap_or(path);
        Ok(Image { path, id: (meta.dev(), meta.ino()), bytes })
    }

    /// The offset in the file of a function.
    pub(crate) fn offset(&self, function: &Function) -> Result<u64, String> {
        let symbol = &function.symbol;
        if symbol.is_empty() {
            return self.checked(function.offset, "this offset");
        }
        let wrong = |why: &str| format!("{}: {why}", self.path.display());
        let file = object::File::parse(&*self.bytes).map_err(|error| wrong(&error.to_string()))?;
        let code = |s: &object::Symbol<'_, '_>| {
            s.is_definition() && matches!(s.kind(), SymbolKind::Text | SymbolKind::Unknown)
        };
        let named = |s: &object::Symbol<'_, '_>| s.name() == Ok(symbol) && code(s);
        let found = file.symbols().find(named).or_else(|| file.dynamic_symbols().find(named));
        let Some(found) = found else {
            let stripped = file.symbols().next().is_none();
            let hint = if stripped { " (it is stripped of all but exported names)" } else { "" };
            return Err(wrong(&format!("no function '{symbol}'{hint}")));
        };
        let address = found.address().wrapping_add(function.offset);
        let offset = file.segments().find_map(|segment| {
            let into = address.checked_sub(segment.address())?;
            let (start, len) = segment.file_range();
            (into < len).then_some(start + into)
        });
        let offset =
            offset.ok_or_else(|| wrong(&format!("'{symbol}' lies outside of the file")))?;
        self.checked(offset, symbol)
    }

    fn checked(&self, offset: u64, what: &str) -> Result<u64, String> {
        let inside = usize::try_from(offset).is_ok_and(|at| at < self.bytes.len());
        inside
            .then_some(offset)
            .ok_or_else(|| format!("{}: {what} lies outside of the file", self.path.display()))
    }

    /// The bytes from an offset on.
    pub(crate) fn code(&self, offset: u64) -> &[u8] {
        self.bytes.get(offset as usize..).unwrap_or_default()
    }

    /// Whether a mapping is of this file.
    pub(crate) fn is(&self, device: u64, inode: u64, path: &str) -> bool {
        inode == self.id.1 && (device == self.id.0 || Path::new(path) == self.path)
    }
}
