//! A string section that holds each string once.

use rustc_hash::FxHashMap;

#[derive(Debug, Clone)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    known: FxHashMap<Box<[u8]>, u32>,
    /// Offset of the section's first byte: the length of the base's strings.
    start: u32,
}

impl Strings {
    /// A section that continues one of `start` bytes; the first of all begins with "".
    pub(super) fn new(start: u32) -> Strings {
        let section: &[u8] = if start == 0 { &[0] } else { &[] };
        Self::from_section(section, start)
    }

    pub(super) fn from_section(section: &[u8], start: u32) -> Strings {
        let mut known = FxHashMap::default();
        // The empty string is at 0 of the whole, whoever holds it.
        known.insert(Box::default(), 0);
        let mut at = start;
        for text in section.split_inclusive(|&byte| byte == 0) {
            if let Some((0, text)) = text.split_last() {
                known.entry(text.into()).or_insert(at);
            }
            at = at.saturating_add(text.len() as u32);
        }
        Strings { bytes: section.to_vec(), known, start }
    }

    /// The string's offset; `None` if it holds a NUL or does not fit in 32 bits.
    pub(super) fn intern(&mut self, text: &str) -> Option<u32> {
        if let Some(&offset) = self.known.get(text.as_bytes()) {
            return Some(offset);
        }
        if text.contains('\0') {
            return None;
        }
        let end = u32::try_from(self.bytes.len() + text.len() + 1).ok()?;
        self.start.checked_add(end)?;
        let offset = self.start + self.bytes.len() as u32;
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.known.insert(text.as_bytes().into(), offset);
        Some(offset)
    }

    /// The first offset at which a string equal to the one at `offset` stands.
    pub(super) fn first_of_equal(&self, offset: u32) -> u32 {
        let at = offset.checked_sub(self.start);
        let rest = at.and_then(|at| self.bytes.get(at as usize..)).unwrap_or_default();
        let text = memchr::memchr(0, rest).map(|end| &rest[..end]);
        text.and_then(|text| self.known.get(text)).copied().unwrap_or(offset)
    }

    pub(super) fn section(&self) -> &[u8] {
        &self.bytes
    }
}
