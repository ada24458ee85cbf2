//! The kinds of BTF types, as one table: number, name, and how long a record is.

use std::fmt;

macro_rules! kinds {
    ($($name:ident = $number:literal, $text:literal, $fixed:literal, $each:literal, $is_size:literal;)*) => {
        /// The kind of a type (`BTF_KIND_*`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind {
            $(#[doc = concat!("`BTF_KIND_", $text, "`")] $name = $number,)*
        }

        impl Kind {
            /// Every kind, in numeric order.
            pub const ALL: &[Kind] = &[$(Kind::$name,)*];

            /// The kind with this number; `None` beyond the table and for 0 (void).
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Kind> {
                match number { $($number => Some(Kind::$name),)* _ => None }
            }

            /// The name `bpftool btf dump` prints, e.g. `TYPE_TAG`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }

            /// Bytes after the 12-byte head for a record with `vlen` entries.
            #[must_use]
            pub const fn tail_len(self, vlen: u32) -> u64 {
                let (fixed, each): (u64, u64) = match self { $(Kind::$name => ($fixed, $each),)* };
                fixed + each * vlen as u64
            }

            /// Whether the head's last word is a size in bytes (else a type id or unused).
            #[must_use]
            pub const fn has_size(self) -> bool {
                match self { $(Kind::$name => $is_size,)* }
            }
        }
    };
}

// name = number, text, fixed tail bytes, tail bytes per vlen, last head word is a size
kinds! {
    Int = 1, "INT", 4, 0, true;
    Ptr = 2, "PTR", 0, 0, false;
    Array = 3, "ARRAY", 12, 0, false;
    Struct = 4, "STRUCT", 0, 12, true;
    Union = 5, "UNION", 0, 12, true;
    Enum = 6, "ENUM", 0, 8, true;
    Fwd = 7, "FWD", 0, 0, false;
    Typedef = 8, "TYPEDEF", 0, 0, false;
    Volatile = 9, "VOLATILE", 0, 0, false;
    Const = 10, "CONST", 0, 0, false;
    Restrict = 11, "RESTRICT", 0, 0, false;
    Func = 12, "FUNC", 0, 0, false;
    FuncProto = 13, "FUNC_PROTO", 0, 8, false;
    Var = 14, "VAR", 4, 0, false;
    Datasec = 15, "DATASEC", 0, 12, true;
    Float = 16, "FLOAT", 0, 0, true;
    DeclTag = 17, "DECL_TAG", 4, 0, false;
    TypeTag = 18, "TYPE_TAG", 0, 0, false;
    Enum64 = 19, "ENUM64", 0, 12, true;
}

impl Kind {
    /// Whether this kind only decorates another type (typedef, qualifiers, type tag).
    #[must_use]
    pub const fn is_modifier(self) -> bool {
        matches!(
            self,
            Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag
        )
    }

    /// Whether this is a struct or union.
    #[must_use]
    pub const fn is_composite(self) -> bool {
        matches!(self, Kind::Struct | Kind::Union)
    }

    /// Whether this is an enum of either width.
    #[must_use]
    pub const fn is_enum(self) -> bool {
        matches!(self, Kind::Enum | Kind::Enum64)
    }

    /// Whether the head's last word is the id of another type (0 is void).
    #[must_use]
    pub const fn has_type_ref(self) -> bool {
        matches!(self, Kind::Ptr | Kind::Func | Kind::FuncProto | Kind::Var | Kind::DeclTag)
            || self.is_modifier()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Linkage of a function or variable (`BTF_FUNC_*`, `BTF_VAR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Linkage {
    /// Visible in its own object only.
    Static = 0,
    /// Defined here, visible elsewhere.
    Global = 1,
    /// Declared here, defined elsewhere.
    Extern = 2,
}

impl Linkage {
    /// The linkage with this number; `None` beyond 2.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Linkage> {
        match number {
            0 => Some(Linkage::Static),
            1 => Some(Linkage::Global),
            2 => Some(Linkage::Extern),
            _ => None,
        }
    }
}
