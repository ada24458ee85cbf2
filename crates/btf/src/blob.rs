//! The bytes of one BTF object: header, type offsets, strings.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::BtfError;
use crate::kind::Kind;
use crate::names::NameIndex;
use crate::ty::{Type, TypeId};

/// Bytes of the smallest header this format has.
pub(crate) const HEADER_LEN: u32 = 24;
/// `BTF_MAGIC`, little-endian.
pub(crate) const MAGIC: u16 = 0xeb9f;
/// Bytes of a type's head: name offset, info, size or type.
pub(crate) const HEAD_LEN: u32 = 12;

/// A parsed BTF object: raw bytes plus where each type starts.
///
/// A split object continues the ids and string offsets of its base.
#[derive(Clone)]
pub struct Btf {
    pub(crate) data: Arc<[u8]>,
    pub(crate) layout: Layout,
    /// Offset of each own type from the start of `data`; `[0]` is type `first_id`.
    offsets: Arc<[u32]>,
    base: Option<Arc<Btf>>,
    first_id: u32,
    first_str: u32,
    names: OnceLock<NameIndex>,
}

/// Where the header puts the sections, as ranges of the raw bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) header_len: u32,
    pub(crate) types: Range<usize>,
    pub(crate) strings: Range<usize>,
}

/// A type's head as it lies in the bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) name_off: u32,
    pub(crate) info: u32,
    pub(crate) size_or_type: u32,
}

impl Head {
    fn read(bytes: &[u8], at: usize) -> Option<Head> {
        let head = bytes.get(at..at.checked_add(HEAD_LEN as usize)?)?;
        Some(Head { name_off: word(head, 0)?, info: word(head, 4)?, size_or_type: word(head, 8)? })
    }

    pub(crate) const fn kind_number(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    pub(crate) const fn kind(self) -> Option<Kind> {
        Kind::from_number(self.kind_number())
    }

    pub(crate) const fn vlen(self) -> u32 {
        self.info & 0xffff
    }
}

/// The little-endian word at `at`, if it lies inside.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

impl Btf {
    /// Reads a complete (not split) BTF object; the bytes are copied.
    pub fn parse(bytes: &[u8]) -> Result<Btf, BtfError> {
        Self::build(bytes, None)
    }

    /// Reads split BTF whose ids and strings continue those of `base`.
    pub fn parse_split(bytes: &[u8], base: Arc<Btf>) -> Result<Btf, BtfError> {
        Self::build(bytes, Some(base))
    }

    fn build(bytes: &[u8], base: Option<Arc<Btf>>) -> Result<Btf, BtfError> {
        let (btf, end) = Self::build_partly(bytes, base)?;
        end.map(|()| btf)
    }

    /// The types before the first that cannot be walked over, and what is wrong with that one.
    pub(crate) fn build_partly(
        bytes: &[u8],
        base: Option<Arc<Btf>>,
    ) -> Result<(Btf, Result<(), BtfError>), BtfError> {
        let layout = Layout::parse(bytes, base.is_some())?;
        let first_id = base.as_ref().map_or(1, |base| base.type_count() + 1);
        let first_str = base.as_ref().map_or(0, |base| base.string_end());
        // Real BTF averages some 20-30 bytes per type; growth beyond is amortized.
        let mut offsets = Vec::with_capacity(layout.types.len() / 24);
        let end = index_types(bytes, &layout, first_id, &mut offsets);
        let btf = Btf {
            data: bytes.into(),
            layout,
            offsets: offsets.into(),
            base,
            first_id,
            first_str,
            names: OnceLock::new(),
        };
        Ok((btf, end))
    }

    /// The raw bytes as parsed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// The BTF this one continues, if it is split.
    #[must_use]
    pub fn base(&self) -> Option<&Arc<Btf>> {
        self.base.as_ref()
    }

    /// The id of the first type of this object's own (1 unless split).
    #[must_use]
    pub fn first_id(&self) -> TypeId {
        TypeId(self.first_id)
    }

    /// The highest type id, base included; ids run from 1 to this, 0 is void.
    #[must_use]
    pub fn type_count(&self) -> u32 {
        // Each type takes 12 of at most 2^32 bytes, and a base is bounded alike.
        self.first_id - 1 + self.offsets.len() as u32
    }

    /// The type with this id; `None` for void (0) and ids beyond the last.
    #[must_use]
    pub fn ty(&self, id: TypeId) -> Option<Type<'_>> {
        let (owner, at) = self.locate(id)?;
        Type::decode(owner, self, id, at)
    }

    /// All own types in id order (not those of the base).
    pub fn own_types(&self) -> impl Iterator<Item = Type<'_>> {
        (self.first_id..=self.type_count()).filter_map(|id| self.ty(TypeId(id)))
    }

    /// All types in id order, those of the base first.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> {
        (1..=self.type_count()).filter_map(|id| self.ty(TypeId(id)))
    }

    /// The kind of a type without decoding the rest; `None` as in [`Btf::ty`].
    #[must_use]
    pub fn kind(&self, id: TypeId) -> Option<Kind> {
        self.head(id)?.kind()
    }

    /// Ids of the declaration tags on type `on`, this object's own only. Reads no names.
    pub fn decl_tags(&self, on: TypeId) -> impl Iterator<Item = TypeId> {
        let ids = self.first_id.max(1)..=self.type_count();
        ids.map(TypeId).filter(move |id| {
            let head = self.head(*id);
            head.is_some_and(|h| h.size_or_type == on.0 && h.kind() == Some(Kind::DeclTag))
        })
    }

    pub(crate) fn head(&self, id: TypeId) -> Option<Head> {
        let (owner, at) = self.locate(id)?;
        Head::read(&owner.data, at)
    }

    fn locate(&self, id: TypeId) -> Option<(&Btf, usize)> {
        let mut owner = self;
        while id.0 < owner.first_id {
            owner = owner.base.as_deref()?;
        }
        let at = *owner.offsets.get((id.0 - owner.first_id) as usize)?;
        Some((owner, at as usize))
    }

    /// The bytes of the own type section.
    pub(crate) fn own_type_bytes(&self) -> &[u8] {
        self.data.get(self.layout.types.clone()).unwrap_or(&[])
    }

    /// Where each own type starts in its section.
    pub(crate) fn own_type_offsets(&self) -> impl Iterator<Item = u32> {
        let start = self.layout.types.start as u32;
        self.offsets.iter().map(move |at| at - start)
    }

    /// The bytes of the own string section.
    pub(crate) fn own_string_bytes(&self) -> &[u8] {
        self.data.get(self.layout.strings.clone()).unwrap_or(&[])
    }

    /// The string offset at which the own strings start.
    pub(crate) fn first_str(&self) -> u32 {
        self.first_str
    }

    /// One past the highest string offset, base included.
    pub(crate) fn string_end(&self) -> u32 {
        self.first_str + self.layout.strings.len() as u32
    }

    /// The bytes of the string at this offset, without its NUL.
    #[must_use]
    pub fn string_bytes(&self, offset: u32) -> Option<&[u8]> {
        let mut owner = self;
        while offset < owner.first_str {
            owner = owner.base.as_deref()?;
        }
        let strings = owner.data.get(owner.layout.strings.clone())?;
        let rest = strings.get((offset - owner.first_str) as usize..)?;
        let end = memchr::memchr(0, rest)?;
        rest.get(..end)
    }

    /// The name of own type number `own`, unchecked.
    pub(crate) fn own_name_bytes(&self, own: u32) -> Option<&[u8]> {
        let at = *self.offsets.get(own as usize)? as usize;
        self.string_bytes(word(&self.data, at)?)
    }

    /// The string at this offset; `None` outside the section or if it is not UTF-8.
    #[must_use]
    pub fn string(&self, offset: u32) -> Option<&str> {
        std::str::from_utf8(self.string_bytes(offset)?).ok()
    }

    pub(crate) fn name_index(&self) -> &NameIndex {
        self.names.get_or_init(|| NameIndex::build(self))
    }
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf")
            .field("bytes", &self.data.len())
            .field("first_id", &self.first_id)
            .field("type_count", &self.type_count())
            .finish_non_exhaustive()
    }
}

impl Layout {
    fn parse(bytes: &[u8], is_split: bool) -> Result<Layout, BtfError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(BtfError::Limit("BTF length", u64::from(u32::MAX)));
        }
        let (header, header_len) = check_header(bytes)?;
        let field = |at| word(&header, at).unwrap_or(0);
        let types = section(bytes, "type", header_len, field(8), field(12))?;
        let strings = section(bytes, "string", header_len, field(16), field(20))?;
        if !types.start.is_multiple_of(4) {
            return Err(BtfError::Header("type section is not aligned to 4 bytes"));
        }
        if types.end > strings.start {
            return Err(BtfError::Header("type section must end before the string section"));
        }
        check_strings(&bytes[strings.clone()], is_split)?;
        Ok(Layout { header_len, types, strings })
    }
}

/// The header's fields, those beyond its stated length zero; and that length.
pub(crate) fn check_header(bytes: &[u8]) -> Result<([u8; HEADER_LEN as usize], u32), BtfError> {
    if bytes.starts_with(&MAGIC.to_be_bytes()) {
        return Err(BtfError::BigEndian);
    }
    let header_len = word(bytes, 4).ok_or(BtfError::Header("hdr_len not found"))?;
    let Some(given) = bytes.get(..header_len as usize) else {
        return Err(BtfError::Header("btf_header not found"));
    };
    let mut header = [0; HEADER_LEN as usize];
    let (known, extra) = given.split_at(given.len().min(header.len()));
    header[..known.len()].copy_from_slice(known);
    if extra.iter().any(|&byte| byte != 0) {
        return Err(BtfError::Unsupported("header length", header_len));
    }
    let [m0, m1, version, flags, ..] = header;
    if u16::from_le_bytes([m0, m1]) != MAGIC {
        return Err(BtfError::Header("Invalid magic"));
    }
    match (version, flags) {
        (1, 0) => Ok((header, header_len)),
        (1, _) => Err(BtfError::Unsupported("flags", u32::from(flags))),
        _ => Err(BtfError::Unsupported("version", u32::from(version))),
    }
}

fn section(
    bytes: &[u8],
    section: &'static str,
    base: u32,
    offset: u32,
    len: u32,
) -> Result<Range<usize>, BtfError> {
    let start = u64::from(base) + u64::from(offset);
    let end = start + u64::from(len);
    if end > bytes.len() as u64 {
        let total = bytes.len() as u64;
        return Err(BtfError::Section { section, offset: start, len: u64::from(len), total });
    }
    Ok(start as usize..end as usize)
}

fn check_strings(strings: &[u8], is_split: bool) -> Result<(), BtfError> {
    match (strings.first(), strings.last()) {
        (None, _) if is_split => Ok(()),
        (None, _) => Err(BtfError::Strings("is empty")),
        (Some(&first), _) if first != 0 && !is_split => {
            Err(BtfError::Strings("does not start with an empty string"))
        }
        (_, Some(0)) => Ok(()),
        _ => Err(BtfError::Strings("does not end in NUL")),
    }
}

/// Finds the start of each type; the only pass over the type section that parsing makes.
fn index_types(
    bytes: &[u8],
    layout: &Layout,
    first_id: u32,
    offsets: &mut Vec<u32>,
) -> Result<(), BtfError> {
    let types = &bytes[..layout.types.end];
    let start = layout.types.start;
    let mut at = start;
    while at < types.len() {
        let offset = (at - start) as u32;
        let id = TypeId(first_id.saturating_add(offsets.len() as u32));
        let head = Head::read(types, at).ok_or(BtfError::Truncated { id, offset })?;
        let kind =
            head.kind().ok_or(BtfError::UnknownKind { id, offset, kind: head.kind_number() })?;
        let next = at as u64 + u64::from(HEAD_LEN) + kind.tail_len(head.vlen());
        if next > types.len() as u64 {
            return Err(BtfError::Truncated { id, offset });
        }
        offsets.push(at as u32);
        at = next as usize;
    }
    if u64::from(first_id) + offsets.len() as u64 > u64::from(MAX_TYPES) {
        return Err(BtfError::Limit("number of types", u64::from(MAX_TYPES)));
    }
    Ok(())
}

/// More types than any kernel has; keeps id arithmetic in 32 bits over any chain of bases.
const MAX_TYPES: u32 = 0x7fff_ffff;
