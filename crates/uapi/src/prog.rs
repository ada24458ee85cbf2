//! Program types: variants, contexts, return values, section names.

use crate::ProgType;

/// A program type with the attach type, flag or member that changes what is allowed.
#[derive(Clone, Copy, Debug)]
pub struct ProgVariant {
    /// Index in [`crate::PROG_VARIANTS`].
    pub index: u8,
    /// `TYPE`, `TYPE/ATTACH` or `STRUCT_OPS/struct.member`; `(sleepable)` follows.
    pub label: &'static str,
    /// The type.
    pub prog_type: ProgType,
    /// The attach type it stands for; `None` where every other one falls here.
    pub attach: Option<u32>,
    /// Loaded with BPF_F_SLEEPABLE.
    pub sleepable: bool,
    /// How its context may be read and written; `None`: by the BTF of the target.
    pub ctx: Option<&'static CtxTable>,
    /// Values it may return; `None` for any.
    pub ret: Option<(i32, i32)>,
    /// Linux was seen to judge programs of this variant.
    pub probed: bool,
    /// BPF_PROG_TEST_RUN knows it.
    pub test_run: bool,
}

impl ProgVariant {
    /// Its bit in the sets of [`crate::HelperFacts`].
    pub const fn bit(&self) -> u128 {
        1 << self.index
    }
}

/// The variant that a load of this type, attach type and sleepable flag is.
///
/// Members of struct_ops are told apart by [`struct_ops_variant`].
pub fn prog_variant(
    prog_type: ProgType,
    attach: u32,
    sleepable: bool,
) -> Option<&'static ProgVariant> {
    let rank = |v: &&ProgVariant| {
        (v.attach == Some(attach), v.sleepable == sleepable, v.attach.is_none(), 255 - v.index)
    };
    crate::PROG_VARIANTS.iter().filter(|v| v.prog_type == prog_type).max_by_key(rank)
}

/// The variant of `structure.member` of struct_ops, or that of the structure, if it was probed.
pub fn struct_ops_variant(structure: &str, member: &str) -> Option<&'static ProgVariant> {
    let all = || {
        crate::PROG_VARIANTS.iter().filter_map(|v| {
            let (s, m) = v.label.strip_prefix("STRUCT_OPS/")?.split_once('.')?;
            (s == structure).then_some((m, v))
        })
    };
    all().find(|(m, _)| *m == member).or_else(|| all().next()).map(|(_, v)| v)
}

/// How a context may be read and written.
#[derive(Clone, Copy, Debug)]
pub struct CtxTable {
    /// Name of the structure; empty where there is none.
    pub structure: &'static str,
    /// Sizes readable at each byte offset: bit `n` for `1 << n` bytes.
    pub read: &'static [u8],
    /// Sizes writable at each byte offset.
    pub write: &'static [u8],
    /// Its members in order of offset; unions overlap.
    pub fields: &'static [CtxField],
    /// Contexts without structure: the first byte that an aligned access may touch.
    pub plain_from: u32,
    /// The byte after the last that it may touch; 0: there is a structure.
    pub plain_end: u32,
    /// The plain context may be written too.
    pub plain_write: bool,
}

/// A member of a context.
#[derive(Clone, Copy, Debug)]
pub struct CtxField {
    /// Its name in the UAPI.
    pub name: &'static str,
    /// Byte offset.
    pub off: u16,
    /// Bytes.
    pub size: u16,
    /// What a read gives; `None` where it cannot be read.
    pub class: Option<CtxClass>,
}

/// What a register holds after reading the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the verifier's register types")]
pub enum CtxClass {
    Scalar,
    Pkt,
    PktEnd,
    PktMeta,
    Sock,
    SockOrNull,
    SockCommonOrNull,
    FlowKeys,
    TpBuffer,
    /// Trusted pointer to this kernel structure.
    TrustedBtf(&'static str),
    /// The same, or null.
    TrustedBtfOrNull(&'static str),
    /// Pointer to this kernel structure without trust, or null.
    BtfOrNull(&'static str),
    RdonlyBufOrNull,
    BufOrNull,
}

/// What `size` bytes at `off` of the context hold; `None` if they cannot be read or written so.
pub fn ctx_access(variant: &ProgVariant, off: i32, size: u32, write: bool) -> Option<CtxClass> {
    let table = variant.ctx?;
    let at = usize::try_from(off).ok()?;
    if !size.is_power_of_two() || size > 8 {
        return None;
    }
    if let Some(field) = table.fields.iter().rev().find(|f| table.covers(f, at, size, write)) {
        return field.class.or(Some(CtxClass::Scalar));
    }
    let plain = at >= table.plain_from as usize
        && at as u64 + u64::from(size) <= u64::from(table.plain_end)
        && at.is_multiple_of(size as usize)
        && (!write || table.plain_write);
    plain.then_some(CtxClass::Scalar)
}

impl CtxTable {
    fn covers(&self, field: &CtxField, at: usize, size: u32, write: bool) -> bool {
        let sizes = if write { self.write } else { self.read };
        sizes.get(at).is_some_and(|bits| bits & (size as u8) != 0)
            && (usize::from(field.off)..usize::from(field.off + field.size).max(1)).contains(&at)
    }
}

/// A structure that a pointer other than the context leads to, such as a socket.
#[derive(Clone, Copy, Debug)]
pub struct PointeeTable {
    /// What the verifier calls the pointer.
    pub kind: &'static str,
    /// Name of the structure.
    pub structure: &'static str,
    /// Sizes readable at each byte offset: bit `n` for `1 << n` bytes.
    pub read: &'static [u8],
    /// The same sizes may be written.
    pub writable: bool,
}

/// Whether `size` bytes at `off` behind a pointer called `kind` may be accessed.
pub fn pointee_access(kind: &str, off: i32, size: u32, write: bool) -> Option<bool> {
    let table = crate::POINTEES.iter().find(|t| t.kind == kind)?;
    let bits = usize::try_from(off).ok().and_then(|at| table.read.get(at)).copied().unwrap_or(0);
    let sized = size.is_power_of_two() && size <= 8 && bits & (size as u8) != 0;
    Some(sized && (!write || table.writable))
}

/// A program type as a whole.
#[derive(Clone, Copy, Debug)]
pub struct ProgTypeFacts {
    /// The type.
    pub prog_type: ProgType,
    /// First Linux that has it, as `major.minor`.
    pub since: &'static str,
    /// Attach types accepted at load; empty: any.
    pub attach_types: &'static [u32],
}

/// What is known of a program type.
pub fn prog_type_facts(prog_type: ProgType) -> &'static ProgTypeFacts {
    &crate::PROG_TYPES[prog_type as usize - 1]
}

/// An ELF section name that says what its programs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionDef {
    /// The name, or what stands before the slash.
    pub name: &'static str,
    /// `name/target` matches too.
    pub slash: bool,
    /// The type.
    pub prog_type: ProgType,
    /// `expected_attach_type` to load with.
    pub attach: u32,
    /// `prog_flags` to load with: BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS.
    pub flags: u32,
}

/// What libbpf makes of an ELF section name, and what follows the slash.
pub fn section(name: &str) -> Option<(&'static SectionDef, Option<&str>)> {
    crate::SECTIONS.iter().find_map(|s| {
        let rest = name.strip_prefix(s.name)?;
        match rest.strip_prefix('/') {
            _ if rest.is_empty() => Some((s, None)),
            Some(target) if s.slash => Some((s, Some(target))),
            _ => None,
        }
    })
}

/// Whether GPL-only helpers may be called under this licence.
pub fn gpl_compatible(license: &str) -> bool {
    crate::GPL_LICENSES.contains(&license)
}

/// What the verifier asks of a map type.
#[derive(Clone, Copy, Debug)]
pub struct MapTypeFacts {
    /// The type.
    pub map_type: crate::MapType,
    /// First Linux that has it, as `major.minor`.
    pub since: &'static str,
    /// Sleepable programs may use it.
    pub sleepable: bool,
    /// Its value may be addressed directly (`BPF_PSEUDO_MAP_VALUE`).
    pub direct_value: bool,
    /// Helpers that programs may call with it, by number.
    pub helpers: &'static [u32],
    /// Names of special structures its value may hold.
    pub special_fields: &'static [&'static str],
    /// Flags of creation, besides the descriptor's own, that Linux accepts alone.
    pub create_flags: u32,
}

/// What is known of a map type.
pub fn map_type_facts(map_type: crate::MapType) -> &'static MapTypeFacts {
    &crate::MAP_TYPES[map_type as usize - 1]
}

/// A kernel iterator that programs may run on.
#[derive(Clone, Copy, Debug)]
pub struct Iterator {
    /// `task`, `bpf_map_elem`, …: what follows `bpf_iter_`.
    pub name: &'static str,
    /// What each 8-byte slot of the context holds.
    pub slots: &'static [CtxClass],
    /// Its programs may sleep.
    pub sleepable: bool,
}

/// The iterator with this name, without prefix.
pub fn iterator(name: &str) -> Option<&'static Iterator> {
    crate::ITERATORS.iter().find(|i| i.name == name)
}

/// Whether argument `index` of a tracepoint may be null, and whether it may be an error.
pub fn tracepoint_argument(name: &str, index: u32) -> (bool, bool) {
    let row = crate::TRACEPOINT_ARGS.iter().find(|(n, i, _)| *n == name && *i == index);
    row.map_or((false, false), |(_, _, error)| (!error, *error))
}
