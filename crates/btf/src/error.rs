//! What can be wrong with BTF bytes, and where.

use crate::ty::TypeId;

/// Why BTF was refused or a type could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The header cannot be used.
    #[error("BTF header: {0}")]
    Header(&'static str),
    /// The bytes are big-endian; only little-endian BTF is read.
    #[error("BTF header: big-endian BTF (magic 9f eb swapped) is not supported")]
    BigEndian,
    /// The header asks for a version, flags or fields this crate does not know.
    #[error("BTF header: unsupported {0} {1}")]
    Unsupported(&'static str, u32),
    /// A section does not lie inside the bytes.
    #[error("BTF {section} section at {offset:#x}, {len} bytes, does not fit in {total} bytes")]
    Section {
        /// `type`, `string`, `func_info`, ….
        section: &'static str,
        /// Start of the section in the bytes.
        offset: u64,
        /// Claimed length.
        len: u64,
        /// Length of all bytes.
        total: u64,
    },
    /// The string section is malformed.
    #[error("BTF string section: {0}")]
    Strings(&'static str),
    /// A type record is cut off by the end of the type section.
    #[error("type [{id}] at {offset:#x}: record is cut off", id = id.0)]
    Truncated {
        /// The type.
        id: TypeId,
        /// Offset in the type section.
        offset: u32,
    },
    /// A type record has a kind this crate does not know, so its length is unknown.
    #[error("type [{id}] at {offset:#x}: Invalid kind:{kind}", id = id.0)]
    UnknownKind {
        /// The type.
        id: TypeId,
        /// Offset in the type section.
        offset: u32,
        /// The kind field.
        kind: u32,
    },
    /// No type has this id.
    #[error("type [{}] does not exist", .0.0)]
    NoType(TypeId),
    /// The type has no size (void, a function, a forward declaration).
    #[error("type [{}] has no size", .0.0)]
    NoSize(TypeId),
    /// The type chain is longer than the limit, or loops.
    #[error("type [{}]: type chain is too deep or loops", .0.0)]
    TooDeep(TypeId),
    /// The size does not fit in 32 bits.
    #[error("type [{}]: size overflows 32 bits", .0.0)]
    SizeOverflow(TypeId),
    /// A rule of the kernel's BTF_LOAD is broken.
    #[error("type [{id}]{}{name}{place}: {message}", if name.is_empty() { "" } else { " " }, id = id.0)]
    Invalid {
        /// The type that breaks the rule.
        id: TypeId,
        /// Its name, empty if it has none.
        name: String,
        /// The rule, in the words the kernel's log uses.
        message: String,
        /// The kernel's errno for it (positive).
        errno: i32,
        /// What of the type is at fault.
        place: Place,
    },
    /// A `.BTF.ext` record breaks a rule.
    #[error(".BTF.ext {section} at {offset:#x}: {message}")]
    Ext {
        /// `func_info`, `line_info` or `core_relo`.
        section: &'static str,
        /// Offset in the `.BTF.ext` bytes.
        offset: u32,
        /// What is wrong.
        message: &'static str,
    },
    /// The bytes to print are shorter than the type.
    #[error("type [{id}] needs {need} bytes, {have} given", id = id.0)]
    ShortValue {
        /// The type.
        id: TypeId,
        /// Bytes the type takes.
        need: u64,
        /// Bytes given.
        have: u64,
    },
    /// More than this crate builds or prints at once.
    #[error("{0} exceeds the limit of {1}")]
    Limit(&'static str, u64),
}

/// What of a type breaks a rule, and in which pass the kernel finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The type itself.
    Record,
    /// Its member or variable of this index.
    Part(u32),
    /// The name of its constant of this index.
    Constant(u32),
    /// The name offset of its constant of this index.
    ConstantOffset(u32),
    /// What the type refers to.
    Reference,
    /// What its member or variable of this index refers to.
    PartReference(u32),
    /// The chain of modifiers it starts.
    Chain,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Record | Place::Reference | Place::Chain => Ok(()),
            Place::Part(index) | Place::PartReference(index) => write!(f, " part {index}"),
            Place::Constant(index) | Place::ConstantOffset(index) => {
                write!(f, " constant {index}")
            }
        }
    }
}

impl BtfError {
    /// The errno the kernel's BTF_LOAD gives for this error (positive).
    #[must_use]
    pub fn errno(&self) -> i32 {
        const ENOENT: i32 = 2;
        const E2BIG: i32 = 7;
        const EINVAL: i32 = 22;
        // Has no name outside the kernel.
        const ENOTSUPP: i32 = 524;
        match self {
            Self::Limit(..) | Self::Unsupported("header length", _) => E2BIG,
            Self::Unsupported(..) => ENOTSUPP,
            Self::NoType(_) => ENOENT,
            Self::Invalid { errno, .. } => *errno,
            _ => EINVAL,
        }
    }
}
