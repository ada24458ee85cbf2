//! Writing BTF: new types, and changes to the types of an existing object.
//!
//! [`BtfBuilder`] holds the two sections as bytes, so what it does not touch stays as it was. A
//! mistake (too many members, a NUL in a name) is kept and reported once, by
//! [`BtfBuilder::finish`].

mod add;
mod dedup;
mod edit;
mod strings;

pub use add::NewMember;

use std::sync::Arc;

use crate::blob::{Btf, HEADER_LEN, MAGIC};
use crate::error::BtfError;
use crate::ty::TypeId;

use strings::Strings;

/// A BTF object under construction.
#[derive(Debug, Clone)]
pub struct BtfBuilder {
    types: Vec<u8>,
    /// Start of each own type in `types`.
    offsets: Vec<u32>,
    strings: Strings,
    base: Option<Arc<Btf>>,
    first_id: u32,
    error: Option<BtfError>,
}

impl Default for BtfBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BtfBuilder {
    /// An object without types.
    #[must_use]
    pub fn new() -> BtfBuilder {
        BtfBuilder {
            types: Vec::new(),
            offsets: Vec::new(),
            strings: Strings::new(0),
            base: None,
            first_id: 1,
            error: None,
        }
    }

    /// An object whose ids and strings continue those of `base`.
    #[must_use]
    pub fn split(base: Arc<Btf>) -> BtfBuilder {
        BtfBuilder {
            first_id: base.type_count() + 1,
            strings: Strings::new(base.string_end()),
            base: Some(base),
            ..Self::new()
        }
    }

    /// An object that starts with all of `btf`'s own types and strings.
    #[must_use]
    pub fn from_btf(btf: &Btf) -> BtfBuilder {
        let own = btf.own_type_bytes();
        BtfBuilder {
            types: own.to_vec(),
            offsets: btf.own_type_offsets().collect(),
            strings: Strings::from_section(btf.own_string_bytes(), btf.first_str()),
            base: btf.base().cloned(),
            first_id: btf.first_id().0,
            error: None,
        }
    }

    /// The id the next type will get.
    #[must_use]
    pub fn next_id(&self) -> TypeId {
        // Each type takes 12 bytes of a section whose length finish() bounds.
        TypeId(self.first_id.saturating_add(self.offsets.len() as u32))
    }

    /// The offset of a string, added unless present.
    pub fn string(&mut self, text: &str) -> u32 {
        match self.strings.intern(text) {
            Some(offset) => offset,
            None => {
                self.fail(BtfError::Strings("a name contains NUL, or the section is full"));
                0
            }
        }
    }

    /// The finished bytes, or the first mistake.
    pub fn finish(self) -> Result<Vec<u8>, BtfError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let strings = self.strings.section();
        let total = HEADER_LEN as usize + self.types.len() + strings.len();
        if u32::try_from(total).is_err() {
            return Err(BtfError::Limit("BTF length", u64::from(u32::MAX)));
        }
        let (type_len, string_len) = (self.types.len() as u32, strings.len() as u32);
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&[1, 0]); // version, flags
        for word in [HEADER_LEN, 0, type_len, type_len, string_len] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(strings);
        Ok(bytes)
    }

    /// The finished object, parsed.
    pub fn build(self) -> Result<Btf, BtfError> {
        let base = self.base.clone();
        let bytes = self.finish()?;
        match base {
            Some(base) => Btf::parse_split(&bytes, base),
            None => Btf::parse(&bytes),
        }
    }

    fn fail(&mut self, error: BtfError) {
        self.error.get_or_insert(error);
    }
}
