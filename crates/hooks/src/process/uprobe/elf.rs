//! Programs and libraries as files: where a function is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

use super::symbols;
use crate::process::point::Function;

/// Functions start at multiples of this, mostly; what lies between them does nothing.
const PADDED: u64 = 16;

/// Bytes that only fill the room up to where the next function would start.
fn padding(code: &[u8], address: u64) -> usize {
    let room = (address.next_multiple_of(PADDED) - address) as usize;
    let Some(code) = code.get(..room) else { return 0 };
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let fills = |insn: Instruction| matches!(insn.mnemonic(), Mnemonic::Nop | Mnemonic::Int3);
    if decoder.iter().all(fills) { room } else { 0 }
}

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
        let file = self.parse()?;
        let Some(address) = symbols::find(&file, &self.path, symbol) else {
            let stripped = file.symbols().next().is_none();
            let hint = if stripped { " (it is stripped of all but exported names)" } else { "" };
            return Err(self.wrong(&format!("no function '{symbol}'{hint}")));
        };
        let offset = offset_of(&file, address.wrapping_add(function.offset));
        let offset =
            offset.ok_or_else(|| self.wrong(&format!("'{symbol}' lies outside of the file")))?;
        self.checked(offset, symbol)
    }

    /// The offsets of all functions whose names match, each once.
    pub(crate) fn offsets(&self, function: &Function) -> Result<Vec<u64>, String> {
        let pattern = &function.symbol;
        if !pattern.contains(['*', '?']) {
            return self.offset(function).map(|offset| vec![offset]);
        }
        let file = self.parse()?;
        let found = symbols::matching(&file, &self.path, pattern);
        let mut offsets: Vec<u64> =
            found.into_iter().filter_map(|address| offset_of(&file, address)).collect();
        offsets.retain(|offset| self.checked(*offset, pattern).is_ok());
        offsets.sort_unstable();
        offsets.dedup();
        if offsets.is_empty() {
            return Err(self.wrong(&format!("no function is like '{pattern}'")));
        }
        Ok(offsets)
    }

    /// The file, taken apart.
    pub(super) fn parse(&self) -> Result<object::File<'_>, String> {
        object::File::parse(&*self.bytes).map_err(|error| self.wrong(&error.to_string()))
    }

    /// An error about the file.
    pub(super) fn wrong(&self, why: &str) -> String {
        format!("{}: {why}", self.path.display())
    }

    /// Whether Go made it: its stacks move, so that no return address may be changed.
    pub(crate) fn is_go(&self) -> bool {
        self.parse().is_ok_and(|file| {
            [".go.buildinfo", ".note.go.buildid", ".gopclntab"]
                .iter()
                .any(|name| file.section_by_name(name).is_some())
        })
    }

    /// The code of the function that an offset lies in, and where in it; none if no symbol tells.
    pub(crate) fn function(&self, offset: u64) -> Option<(&[u8], usize)> {
        let file = object::File::parse(&*self.bytes).ok()?;
        let address = file.segments().find_map(|segment| {
            let (start, len) = segment.file_range();
            let into = offset.checked_sub(start).filter(|into| *into < len)?;
            Some(segment.address() + into)
        })?;
        let around = |s: &object::Symbol<'_, '_>| {
            let into = address.checked_sub(s.address());
            s.is_definition() && s.kind() == SymbolKind::Text && into.is_some_and(|n| n < s.size())
        };
        let found = file.symbols().find(around).or_else(|| file.dynamic_symbols().find(around))?;
        let at = (address - found.address()) as usize;
        let start = usize::try_from(offset).ok()?.checked_sub(at)?;
        let end = start.checked_add(usize::try_from(found.size()).ok()?)?;
        let next = found.address() + found.size();
        let taken = |s: object::Symbol<'_, '_>| (next..next + PADDED).contains(&s.address());
        let free = !file.symbols().chain(file.dynamic_symbols()).any(taken);
        let padding = if free { padding(self.bytes.get(end..)?, next) } else { 0 };
        Some((self.bytes.get(start..end + padding)?, at))
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

/// Where an address of a program is in its file.
pub(super) fn offset_of(file: &object::File<'_>, address: u64) -> Option<u64> {
    file.segments().find_map(|segment| {
        let into = address.checked_sub(segment.address())?;
        let (start, len) = segment.file_range();
        (into < len).then_some(start + into)
    })
}
