//! Types as words, and what each word of a record means.

use crate::blob::HEAD_LEN;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::TypeId;
use crate::write::BtfBuilder;

/// What a word of a record is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Name,
    Ref,
    Plain,
}

/// Words of a head: name, info, size or type.
const HEAD: usize = HEAD_LEN as usize / 4;

/// The words after a head, over and over.
const fn tail(kind: Kind) -> &'static [Word] {
    use Word::{Name, Plain, Ref};
    match kind {
        Kind::Array => &[Ref, Ref, Plain],
        Kind::Struct | Kind::Union => &[Name, Ref, Plain],
        Kind::Enum => &[Name, Plain],
        Kind::Enum64 => &[Name, Plain, Plain],
        Kind::FuncProto => &[Name, Ref],
        Kind::Datasec => &[Ref, Plain, Plain],
        _ => &[Plain],
    }
}

fn meaning(kind: Kind, at: usize) -> Word {
    match (at, at.checked_sub(HEAD)) {
        (0, _) => Word::Name,
        (2, _) if kind.has_type_ref() => Word::Ref,
        (_, Some(at)) => tail(kind)[at % tail(kind).len()],
        _ => Word::Plain,
    }
}

/// All types of a builder; index 0 is void.
pub(super) struct Records {
    words: Vec<u32>,
    starts: Vec<usize>,
    kinds: Vec<Kind>,
}

impl Records {
    /// Equal names get equal words; every reference is to a type that exists.
    pub(super) fn read(builder: &BtfBuilder) -> Result<Records, BtfError> {
        let bytes = builder.types.chunks_exact(4);
        let words = bytes.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let starts: Vec<usize> = builder.offsets.iter().map(|at| *at as usize / 4).collect();
        let mut records = Records { words: words.collect(), starts, kinds: Vec::new() };
        for (index, start) in records.starts.iter().enumerate() {
            let info = records.words.get(start + 1).copied().unwrap_or_default();
            let missing = BtfError::NoType(TypeId(index as u32 + 1));
            records.kinds.push(Kind::from_number((info >> 24) & 0x1f).ok_or(missing)?);
        }
        for id in 1..=records.count() {
            let (kind, range) = (records.kind(id), records.range(id));
            for (at, word) in records.words[range].iter_mut().enumerate() {
                match meaning(kind, at) {
                    Word::Name => *word = builder.strings.first_of_equal(*word),
                    Word::Ref if *word as usize > records.starts.len() => {
                        return Err(BtfError::NoType(TypeId(*word)));
                    }
                    _ => {}
                }
            }
        }
        Ok(records)
    }

    /// The highest id.
    pub(super) fn count(&self) -> u32 {
        self.starts.len() as u32
    }

    /// Of a type other than void.
    pub(super) fn kind(&self, id: u32) -> Kind {
        self.kinds[id as usize - 1]
    }

    fn range(&self, id: u32) -> std::ops::Range<usize> {
        let end = self.starts.get(id as usize).copied();
        self.starts[id as usize - 1]..end.unwrap_or(self.words.len())
    }

    /// The words of a type other than void.
    pub(super) fn of(&self, id: u32) -> &[u32] {
        &self.words[self.range(id)]
    }

    pub(super) fn name(&self, id: u32) -> u32 {
        self.of(id)[0]
    }

    /// Info without the number of entries: kind and flag.
    pub(super) fn kind_and_flag(&self, id: u32) -> u32 {
        self.of(id)[1] & !0xffff
    }

    pub(super) fn flag(&self, id: u32) -> bool {
        self.of(id)[1] >> 31 != 0
    }

    pub(super) fn entries(&self, id: u32) -> u32 {
        self.of(id)[1] & 0xffff
    }

    pub(super) fn size(&self, id: u32) -> u32 {
        self.of(id)[2]
    }

    /// The ids that a type refers to.
    pub(super) fn refs(&self, id: u32) -> impl Iterator<Item = u32> + '_ {
        let kind = self.kind(id);
        let words = self.of(id).iter().enumerate();
        words.filter(move |(at, _)| meaning(kind, *at) == Word::Ref).map(|(_, word)| *word)
    }

    /// A type's words, each reference exchanged.
    pub(super) fn with_refs(&self, id: u32, mut new: impl FnMut(u32) -> u32) -> Vec<u32> {
        let kind = self.kind(id);
        let word = |(at, word): (usize, &u32)| match meaning(kind, at) {
            Word::Ref => new(*word),
            _ => *word,
        };
        self.of(id).iter().enumerate().map(word).collect()
    }

    /// What a type is but for the types it refers to.
    pub(super) fn shallow(&self, id: u32) -> Vec<u32> {
        self.with_refs(id, |_| 0)
    }
}
