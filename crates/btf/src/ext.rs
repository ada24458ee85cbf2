//! `.BTF.ext`: per section, which type each function has, which source line each instruction came
//! from, and where CO-RE relocations apply. Instruction offsets are in bytes, as in the ELF file.

use std::borrow::Cow;

use crate::blob::{Btf, MAGIC, word};
use crate::error::BtfError;
use crate::ty::TypeId;

/// A parsed `.BTF.ext` section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ext {
    /// Functions' types, by ELF section.
    pub funcs: Vec<ExtSection<FuncInfo>>,
    /// Source lines, by ELF section.
    pub lines: Vec<ExtSection<LineInfo>>,
    /// CO-RE relocations, by ELF section.
    pub relos: Vec<ExtSection<CoreRelo>>,
}

/// The records of one ELF section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtSection<T> {
    /// The ELF section's name.
    pub name: String,
    /// Records in the order of the file (not sorted).
    pub records: Vec<T>,
}

/// A function starts here and has this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FuncInfo {
    /// Offset of the function's first instruction in its section, in bytes.
    pub insn_off: u32,
    /// Its FUNC type.
    pub type_id: TypeId,
}

/// From this instruction on, code comes from this source line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineInfo {
    /// Offset of the instruction in its section, in bytes.
    pub insn_off: u32,
    /// String offset of the file's name.
    pub file_name_off: u32,
    /// String offset of the line's text.
    pub line_off: u32,
    /// Line number, from 1 (22 bits).
    pub line: u32,
    /// Column, from 1; 0 if unknown (10 bits).
    pub col: u32,
}

/// An instruction to patch with a fact about a type of the target kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreRelo {
    /// Offset of the instruction in its section, in bytes.
    pub insn_off: u32,
    /// The local root type.
    pub type_id: TypeId,
    /// String offset of the access path, e.g. `0:1:2`.
    pub access_str_off: u32,
    /// What to patch in.
    pub kind: CoreKind,
}

/// What a CO-RE relocation asks (`enum bpf_core_relo_kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CoreKind {
    /// Offset of a field in bytes.
    FieldByteOffset = 0,
    /// Size of a field in bytes.
    FieldByteSize = 1,
    /// Whether a field exists.
    FieldExists = 2,
    /// Whether a field is signed.
    FieldSigned = 3,
    /// Left shift that isolates a bit-field in 64 bits.
    FieldLshiftU64 = 4,
    /// Right shift that isolates a bit-field in 64 bits.
    FieldRshiftU64 = 5,
    /// Id of a type in the program's own BTF.
    TypeIdLocal = 6,
    /// Id of a type in the target's BTF.
    TypeIdTarget = 7,
    /// Whether a type exists.
    TypeExists = 8,
    /// Size of a type in bytes.
    TypeSize = 9,
    /// Whether an enum value exists.
    EnumvalExists = 10,
    /// An enum's value.
    EnumvalValue = 11,
    /// Whether a type exists with the same layout of what is used.
    TypeMatches = 12,
}

impl CoreKind {
    /// All kinds, in numeric order.
    pub const ALL: [CoreKind; 13] = [
        Self::FieldByteOffset,
        Self::FieldByteSize,
        Self::FieldExists,
        Self::FieldSigned,
        Self::FieldLshiftU64,
        Self::FieldRshiftU64,
        Self::TypeIdLocal,
        Self::TypeIdTarget,
        Self::TypeExists,
        Self::TypeSize,
        Self::EnumvalExists,
        Self::EnumvalValue,
        Self::TypeMatches,
    ];

    /// The kind with this number, `None` beyond 12.
    #[must_use]
    pub fn from_number(number: u32) -> Option<CoreKind> {
        Self::ALL.get(number as usize).copied()
    }

    /// The name libbpf prints for this kind, e.g. `byte_off`.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::FieldByteOffset => "byte_off",
            Self::FieldByteSize => "byte_sz",
            Self::FieldExists => "field_exists",
            Self::FieldSigned => "signed",
            Self::FieldLshiftU64 => "lshift_u64",
            Self::FieldRshiftU64 => "rshift_u64",
            Self::TypeIdLocal => "local_type_id",
            Self::TypeIdTarget => "target_type_id",
            Self::TypeExists => "type_exists",
            Self::TypeSize => "type_size",
            Self::EnumvalExists => "enumval_exists",
            Self::EnumvalValue => "enumval_value",
            Self::TypeMatches => "type_matches",
        }
    }
}

impl LineInfo {
    /// The source file's name, empty if its offset is bad.
    #[must_use]
    pub fn file_name<'a>(&self, btf: &'a Btf) -> Cow<'a, str> {
        String::from_utf8_lossy(btf.string_bytes(self.file_name_off).unwrap_or(&[]))
    }

    /// The text of the source line, empty if its offset is bad.
    #[must_use]
    pub fn text<'a>(&self, btf: &'a Btf) -> Cow<'a, str> {
        String::from_utf8_lossy(btf.string_bytes(self.line_off).unwrap_or(&[]))
    }

    /// The record as bpf(2) takes it (`struct bpf_line_info`).
    #[must_use]
    pub fn to_words(&self) -> [u32; 4] {
        let line_col = self.line << 10 | self.col & 0x3ff;
        [self.insn_off, self.file_name_off, self.line_off, line_col]
    }
}

impl FuncInfo {
    /// The record as bpf(2) takes it (`struct bpf_func_info`).
    #[must_use]
    pub fn to_words(&self) -> [u32; 2] {
        [self.insn_off, self.type_id.0]
    }
}

impl CoreRelo {
    /// The access path, e.g. `0:1:2`, if its offset is good.
    #[must_use]
    pub fn access<'a>(&self, btf: &'a Btf) -> Option<&'a str> {
        btf.string(self.access_str_off)
    }

    /// The record as bpf(2) takes it (`struct bpf_core_relo`).
    #[must_use]
    pub fn to_words(&self) -> [u32; 4] {
        [self.insn_off, self.type_id.0, self.access_str_off, self.kind as u32]
    }
}

/// One of the three record types.
trait Record: Sized {
    const SECTION: &'static str;
    /// Words this crate reads; longer records must be zero beyond.
    const WORDS: usize;

    fn decode(words: [u32; 4], btf: &Btf) -> Result<Self, &'static str>;
}

impl Record for FuncInfo {
    const SECTION: &'static str = "func_info";
    const WORDS: usize = 2;

    fn decode([insn_off, type_id, ..]: [u32; 4], btf: &Btf) -> Result<Self, &'static str> {
        check_insn_off(insn_off)?;
        check_type(type_id, btf)?;
        Ok(FuncInfo { insn_off, type_id: TypeId(type_id) })
    }
}

impl Record for LineInfo {
    const SECTION: &'static str = "line_info";
    const WORDS: usize = 4;

    fn decode(words: [u32; 4], btf: &Btf) -> Result<Self, &'static str> {
        let [insn_off, file_name_off, line_off, line_col] = words;
        check_insn_off(insn_off)?;
        if btf.string_bytes(file_name_off).is_none() || btf.string_bytes(line_off).is_none() {
            return Err("string offset lies outside the BTF strings");
        }
        Ok(LineInfo {
            insn_off,
            file_name_off,
            line_off,
            line: line_col >> 10,
            col: line_col & 0x3ff,
        })
    }
}

impl Record for CoreRelo {
    const SECTION: &'static str = "core_relo";
    const WORDS: usize = 4;

    fn decode(words: [u32; 4], btf: &Btf) -> Result<Self, &'static str> {
        let [insn_off, type_id, access_str_off, kind] = words;
        check_insn_off(insn_off)?;
        check_type(type_id, btf)?;
        if btf.string(access_str_off).is_none() {
            return Err("access string lies outside the BTF strings");
        }
        let kind = CoreKind::from_number(kind).ok_or("unknown CO-RE relocation kind")?;
        Ok(CoreRelo { insn_off, type_id: TypeId(type_id), access_str_off, kind })
    }
}

fn check_insn_off(insn_off: u32) -> Result<(), &'static str> {
    match insn_off % 8 {
        0 => Ok(()),
        _ => Err("instruction offset is not a multiple of 8"),
    }
}

fn check_type(type_id: u32, btf: &Btf) -> Result<(), &'static str> {
    if type_id > btf.type_count() { Err("type id does not exist") } else { Ok(()) }
}

const HEADER_LEN: usize = 24;
const HEADER_LEN_CORE: usize = 32;

impl Ext {
    /// Reads `.BTF.ext`; strings and type ids refer to `btf`.
    pub fn parse(bytes: &[u8], btf: &Btf) -> Result<Ext, BtfError> {
        let header = header(bytes)?;
        let body = bytes.get(header.len()..).unwrap_or(&[]);
        let reader = Reader { body, header_len: header.len() as u32, btf };
        // A header without the CO-RE fields reads as an empty section.
        let field = |at| word(header, at).unwrap_or(0);
        Ok(Ext {
            funcs: reader.section(field(8), field(12))?,
            lines: reader.section(field(16), field(20))?,
            relos: reader.section(field(24), field(28))?,
        })
    }

    /// Functions of one ELF section.
    #[must_use]
    pub fn funcs_of(&self, section: &str) -> &[FuncInfo] {
        records_of(&self.funcs, section)
    }

    /// Source lines of one ELF section.
    #[must_use]
    pub fn lines_of(&self, section: &str) -> &[LineInfo] {
        records_of(&self.lines, section)
    }

    /// CO-RE relocations of one ELF section.
    #[must_use]
    pub fn relos_of(&self, section: &str) -> &[CoreRelo] {
        records_of(&self.relos, section)
    }
}

fn records_of<'a, T>(sections: &'a [ExtSection<T>], name: &str) -> &'a [T] {
    sections.iter().find(|section| section.name == name).map_or(&[], |section| &section.records)
}

/// The header's bytes, checked; what follows this crate's fields must be zero.
fn header(bytes: &[u8]) -> Result<&[u8], BtfError> {
    let bad = |message| BtfError::Ext { section: "header", offset: 0, message };
    let &[m0, m1, version, flags, ..] = bytes else {
        return Err(bad("fewer than 24 bytes"));
    };
    match u16::from_le_bytes([m0, m1]) {
        MAGIC => {}
        swapped if swapped == MAGIC.swap_bytes() => return Err(BtfError::BigEndian),
        _ => return Err(bad("invalid magic")),
    }
    if version != 1 {
        return Err(bad("unsupported version (not 1)"));
    }
    if flags != 0 {
        return Err(bad("unsupported flags (not 0)"));
    }
    let len = word(bytes, 4).ok_or(bad("fewer than 24 bytes"))? as usize;
    let header = bytes.get(..len).ok_or(bad("header is longer than the bytes"))?;
    if len < HEADER_LEN {
        return Err(bad("header is shorter than 24 bytes"));
    }
    if header.iter().skip(HEADER_LEN_CORE).any(|&byte| byte != 0) {
        return Err(bad("unknown header fields are not zero"));
    }
    Ok(header)
}

struct Reader<'a> {
    /// Everything after the header: section offsets count from here.
    body: &'a [u8],
    header_len: u32,
    btf: &'a Btf,
}

impl Reader<'_> {
    fn section<T: Record>(&self, offset: u32, len: u32) -> Result<Vec<ExtSection<T>>, BtfError> {
        let bad = |at: usize, message| BtfError::Ext {
            section: T::SECTION,
            offset: self.header_len.saturating_add(at as u32),
            message,
        };
        if len == 0 {
            return Ok(Vec::new());
        }
        let mut at = offset as usize;
        if !at.is_multiple_of(4) {
            return Err(bad(at, "section is not aligned to 4 bytes"));
        }
        let end = at + len as usize;
        let body = self.body.get(..end).ok_or(bad(at, "section does not fit in the bytes"))?;
        let record_len = word(body, at).ok_or(bad(at, "record size is cut off"))? as usize;
        if record_len < T::WORDS * 4 || !record_len.is_multiple_of(4) {
            return Err(bad(at, "record size is too small or not a multiple of 4"));
        }
        at += 4;
        let mut sections = Vec::new();
        while at < end {
            let name_off = word(body, at).ok_or(bad(at, "section header is cut off"))?;
            let count = word(body, at + 4).ok_or(bad(at, "section header is cut off"))? as usize;
            let name = self.btf.string(name_off).ok_or(bad(at, "section name is not a string"))?;
            if count == 0 {
                return Err(bad(at, "section has no records"));
            }
            at += 8;
            let records = count
                .checked_mul(record_len)
                .and_then(|len| body.get(at..at.checked_add(len)?))
                .ok_or(bad(at, "records do not fit in the section"))?;
            let records = records
                .chunks_exact(record_len)
                .enumerate()
                .map(|(index, record)| {
                    decode(record, self.btf)
                        .map_err(|message| bad(at + index * record_len, message))
                })
                .collect::<Result<Vec<T>, BtfError>>()?;
            at += count * record_len;
            sections.push(ExtSection { name: name.to_owned(), records });
        }
        Ok(sections)
    }
}

fn decode<T: Record>(record: &[u8], btf: &Btf) -> Result<T, &'static str> {
    if record.iter().skip(T::WORDS * 4).any(|&byte| byte != 0) {
        return Err("unknown record fields are not zero");
    }
    let words = [0, 4, 8, 12].map(|at| word(record, at).unwrap_or(0));
    T::decode(words, btf)
}
