//! One type, decoded on access.

use crate::blob::{Btf, HEAD_LEN, word};
use crate::kind::{Kind, Linkage};

/// The id of a type; 0 is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`.
    pub const VOID: TypeId = TypeId(0);

    /// Whether this is void.
    #[must_use]
    pub const fn is_void(self) -> bool {
        self.0 == 0
    }
}

/// A view of one type record.
#[derive(Clone, Copy)]
pub struct Type<'a> {
    /// Its id.
    pub id: TypeId,
    /// Its kind.
    pub kind: Kind,
    /// Its name, empty if it has none (or one that is not UTF-8, which `verify` refuses).
    pub name: &'a str,
    /// Offset of the name in the string section.
    pub name_off: u32,
    /// Number of members, values, parameters or variables.
    pub vlen: u32,
    /// Size in bytes if [`Kind::has_size`], else the id of the type referred to.
    pub size_or_type: u32,
    /// The kind's flag: bit-fields in a struct, signed in an enum, union in a forward declaration.
    pub kind_flag: bool,
    pub(crate) tail: &'a [u8],
    btf: &'a Btf,
}

/// Encoding of an integer, as flags that may in hostile BTF be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Encoding {
    /// `BTF_INT_SIGNED`
    pub signed: bool,
    /// `BTF_INT_CHAR`
    pub char: bool,
    /// `BTF_INT_BOOL`
    pub bool: bool,
}

/// What an integer record holds beside its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IntInfo {
    /// Width in bits.
    pub bits: u32,
    /// Offset of the value in bits (0 but in old BTF for bit-fields).
    pub offset: u32,
    /// Sign, char, bool.
    pub encoding: Encoding,
}

/// A struct's or union's member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Name, empty for an anonymous struct or union.
    pub name: &'a str,
    /// Type of the member.
    pub type_id: TypeId,
    /// Offset from the start of the struct, in bits.
    pub bit_offset: u32,
    /// Width in bits of a bit-field, else 0.
    pub bitfield_size: u32,
}

/// A function prototype's parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// Name, may be empty.
    pub name: &'a str,
    /// Type; void with an empty name, last, stands for `...`.
    pub type_id: TypeId,
}

/// An array's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// Element type.
    pub elem: TypeId,
    /// Index type.
    pub index: TypeId,
    /// Number of elements.
    pub count: u32,
}

/// A variable's type and linkage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Var {
    /// Type of the variable.
    pub type_id: TypeId,
    /// `BTF_VAR_*` as it stands in the bytes; see [`Var::linkage`].
    pub linkage_raw: u32,
}

impl Var {
    /// The linkage, if the number is known.
    #[must_use]
    pub const fn linkage(self) -> Option<Linkage> {
        Linkage::from_number(self.linkage_raw)
    }
}

/// A variable's place in a data section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecInfo {
    /// The variable (kind VAR, or FUNC in `.ksyms`).
    pub type_id: TypeId,
    /// Offset in the section, in bytes.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

impl<'a> Type<'a> {
    /// `owner` holds the bytes, `view` is the BTF asked (they share strings).
    pub(crate) fn decode(owner: &'a Btf, view: &'a Btf, id: TypeId, at: usize) -> Option<Type<'a>> {
        let bytes = &owner.data;
        let tail_at = at + HEAD_LEN as usize;
        let (name_off, info, size_or_type) =
            (word(bytes, at)?, word(bytes, at + 4)?, word(bytes, at + 8)?);
        let kind = Kind::from_number((info >> 24) & 0x1f)?;
        let vlen = info & 0xffff;
        let tail_len = usize::try_from(kind.tail_len(vlen)).ok()?;
        Some(Type {
            id,
            kind,
            name: owner.string(name_off).unwrap_or(""),
            name_off,
            vlen,
            size_or_type,
            kind_flag: info >> 31 != 0,
            tail: bytes.get(tail_at..tail_at + tail_len)?,
            btf: view,
        })
    }

    /// The BTF this type was asked of.
    #[must_use]
    pub fn btf(&self) -> &'a Btf {
        self.btf
    }

    /// The name, or `None` if the type is anonymous.
    #[must_use]
    pub fn named(&self) -> Option<&'a str> {
        (!self.name.is_empty()).then_some(self.name)
    }

    /// The size in the record, for kinds that carry one.
    #[must_use]
    pub const fn size(&self) -> Option<u32> {
        if self.kind.has_size() { Some(self.size_or_type) } else { None }
    }

    /// The type this one refers to in its head (pointee, aliased type, prototype, return type).
    #[must_use]
    pub const fn target(&self) -> Option<TypeId> {
        if self.kind.has_type_ref() { Some(TypeId(self.size_or_type)) } else { None }
    }

    fn tail_word(&self, index: usize) -> Option<u32> {
        word(self.tail, index.checked_mul(4)?)
    }

    fn string(&self, offset: u32) -> &'a str {
        self.btf.string(offset).unwrap_or("")
    }

    /// Integer encoding; `None` for other kinds.
    #[must_use]
    pub fn int(&self) -> Option<IntInfo> {
        let data = self.int_raw()?;
        let flags = (data >> 24) & 0xf;
        Some(IntInfo {
            bits: data & 0xff,
            offset: (data >> 16) & 0xff,
            encoding: Encoding {
                signed: flags & 1 != 0,
                char: flags & 2 != 0,
                bool: flags & 4 != 0,
            },
        })
    }

    /// The integer's data word as it stands in the bytes.
    pub(crate) fn int_raw(&self) -> Option<u32> {
        (self.kind == Kind::Int).then(|| self.tail_word(0))?
    }

    /// Members of a struct or union; empty for other kinds.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'a>> + use<'a> {
        let this = *self;
        records::<12>(self.tail_if(self.kind.is_composite())).map(move |[name, type_id, offset]| {
            let (bit_offset, bitfield_size) =
                if this.kind_flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            Member { name: this.string(name), type_id: TypeId(type_id), bit_offset, bitfield_size }
        })
    }

    /// Parameters of a function prototype; empty for other kinds.
    pub fn params(&self) -> impl ExactSizeIterator<Item = Param<'a>> + use<'a> {
        let this = *self;
        records::<8>(self.tail_if(self.kind == Kind::FuncProto)).map(move |[name, type_id, _]| {
            Param { name: this.string(name), type_id: TypeId(type_id) }
        })
    }

    /// Names and values of an enum; unsigned 64-bit values keep their bits, see `kind_flag`.
    pub fn enum_values(&self) -> impl ExactSizeIterator<Item = (&'a str, i64)> + use<'a> {
        let this = *self;
        let wide = self.kind == Kind::Enum64;
        let step = if wide { 12 } else { 8 };
        let tail = self.tail_if(self.kind.is_enum());
        tail.chunks_exact(step).map(move |record| {
            let at = |index: usize| word(record, index * 4).unwrap_or(0);
            let low = at(1);
            let value = match (wide, this.kind_flag) {
                (true, _) => (u64::from(at(2)) << 32 | u64::from(low)) as i64,
                (false, true) => i64::from(low as i32),
                (false, false) => i64::from(low),
            };
            (this.string(at(0)), value)
        })
    }

    /// Shape of an array; `None` for other kinds.
    #[must_use]
    pub fn array(&self) -> Option<Array> {
        (self.kind == Kind::Array).then(|| {
            Some(Array {
                elem: TypeId(self.tail_word(0)?),
                index: TypeId(self.tail_word(1)?),
                count: self.tail_word(2)?,
            })
        })?
    }

    /// Type and linkage of a variable; `None` for other kinds.
    #[must_use]
    pub fn var(&self) -> Option<Var> {
        (self.kind == Kind::Var).then(|| {
            Some(Var { type_id: TypeId(self.size_or_type), linkage_raw: self.tail_word(0)? })
        })?
    }

    /// Variables of a data section; empty for other kinds.
    pub fn datasec(&self) -> impl ExactSizeIterator<Item = SecInfo> + use<'a> {
        records::<12>(self.tail_if(self.kind == Kind::Datasec))
            .map(|[type_id, offset, size]| SecInfo { type_id: TypeId(type_id), offset, size })
    }

    /// The member or parameter a declaration tag is on; -1 is the type itself.
    #[must_use]
    pub fn decl_tag(&self) -> Option<i32> {
        (self.kind == Kind::DeclTag).then(|| self.tail_word(0).map(|word| word as i32))?
    }

    /// Linkage of a function, if its number is known; `None` for other kinds.
    #[must_use]
    pub const fn func_linkage(&self) -> Option<Linkage> {
        match self.kind {
            Kind::Func => Linkage::from_number(self.vlen),
            _ => None,
        }
    }

    fn tail_if(&self, wanted: bool) -> &'a [u8] {
        if wanted { self.tail } else { &[] }
    }
}

impl std::fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {} '{}'", self.id.0, self.kind, self.name)
    }
}

/// Splits a tail into records of `N` bytes as up to three words (missing ones are 0).
fn records<'a, const N: usize>(
    tail: &'a [u8],
) -> impl ExactSizeIterator<Item = [u32; 3]> + use<'a, N> {
    tail.chunks_exact(N).map(|record| [0, 4, 8].map(|at| word(record, at).unwrap_or(0)))
}
