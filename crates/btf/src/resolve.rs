//! Following types to what they stand for: size, alignment, the type under typedefs.

use crate::blob::Btf;
use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Type, TypeId};

/// Longest chain of types that is followed; as the kernel's `MAX_RESOLVE_DEPTH`.
pub const MAX_DEPTH: u32 = 32;
/// Bytes of a pointer on every target this crate reads.
pub const POINTER_SIZE: u32 = 8;

impl Btf {
    /// The type under typedefs, qualifiers and type tags (void stays void).
    pub fn resolve(&self, id: TypeId) -> Result<TypeId, BtfError> {
        let mut at = id;
        for _ in 0..=MAX_DEPTH {
            if at.is_void() {
                return Ok(at);
            }
            let head = self.head(at).ok_or(BtfError::NoType(at))?;
            match head.kind() {
                Some(kind) if kind.is_modifier() => at = TypeId(head.size_or_type),
                _ => return Ok(at),
            }
        }
        Err(BtfError::TooDeep(id))
    }

    /// As [`Btf::resolve`], giving the decoded type; `None` for void and for broken chains.
    #[must_use]
    pub fn resolved(&self, id: TypeId) -> Option<Type<'_>> {
        self.ty(self.resolve(id).ok()?)
    }

    /// Size in bytes of a value of this type (variables: of the variable).
    pub fn size_of(&self, id: TypeId) -> Result<u32, BtfError> {
        let mut at = id;
        let mut elements: u64 = 1;
        for _ in 0..=MAX_DEPTH {
            let ty = self.ty(at).ok_or(if at.is_void() {
                BtfError::NoSize(id)
            } else {
                BtfError::NoType(at)
            })?;
            let size = match ty.kind {
                kind if kind.has_size() => ty.size_or_type,
                Kind::Ptr => POINTER_SIZE,
                kind if kind == Kind::Var || kind.is_modifier() => {
                    at = TypeId(ty.size_or_type);
                    continue;
                }
                Kind::Array => {
                    let array = ty.array().ok_or(BtfError::NoSize(at))?;
                    elements = elements
                        .checked_mul(u64::from(array.count))
                        .filter(|&elements| u32::try_from(elements).is_ok())
                        .ok_or(BtfError::SizeOverflow(id))?;
                    at = array.elem;
                    continue;
                }
                _ => return Err(BtfError::NoSize(at)),
            };
            // Both factors are below 2^32, so the product fits in 64 bits.
            let bytes = elements * u64::from(size);
            return u32::try_from(bytes).map_err(|_| BtfError::SizeOverflow(id));
        }
        Err(BtfError::TooDeep(id))
    }

    /// Natural alignment in bytes; 1 for a packed struct.
    pub fn align_of(&self, id: TypeId) -> Result<u32, BtfError> {
        // Bounds the walk over nested members of hostile BTF, where depth alone allows 2^32 visits.
        let mut budget = 1 << 20;
        self.align_within(id, MAX_DEPTH, &mut budget)
    }

    fn align_within(&self, id: TypeId, depth: u32, budget: &mut u32) -> Result<u32, BtfError> {
        let depth = depth.checked_sub(1).ok_or(BtfError::TooDeep(id))?;
        *budget = budget.checked_sub(1).ok_or(BtfError::TooDeep(id))?;
        let ty = self.ty(id).ok_or(if id.is_void() {
            BtfError::NoSize(id)
        } else {
            BtfError::NoType(id)
        })?;
        match ty.kind {
            Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Float => {
                Ok(ty.size_or_type.clamp(1, POINTER_SIZE))
            }
            Kind::Ptr => Ok(POINTER_SIZE),
            Kind::Var => self.align_within(TypeId(ty.size_or_type), depth, budget),
            kind if kind.is_modifier() => self.align_within(TypeId(ty.size_or_type), depth, budget),
            Kind::Array => {
                let elem = ty.array().ok_or(BtfError::NoSize(id))?.elem;
                self.align_within(elem, depth, budget)
            }
            Kind::Struct | Kind::Union => self.composite_align(&ty, depth, budget),
            _ => Err(BtfError::NoSize(id)),
        }
    }

    fn composite_align(
        &self,
        ty: &Type<'_>,
        depth: u32,
        budget: &mut u32,
    ) -> Result<u32, BtfError> {
        let mut widest = 1;
        for member in ty.members() {
            let align = self.align_within(member.type_id, depth, budget)?;
            // A member off its natural place, or a size off the alignment, means packed.
            if member.bitfield_size == 0 && !member.bit_offset.is_multiple_of(align * 8) {
                return Ok(1);
            }
            widest = widest.max(align);
        }
        Ok(if ty.size_or_type.is_multiple_of(widest) { widest } else { 1 })
    }
}
