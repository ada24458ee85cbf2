//! The order of definitions: depth first, a type after all it holds by value.

use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::TypeId;

use super::{Dumper, Progress};

impl Dumper<'_> {
    /// Queues what `id` needs and `id` itself.
    ///
    /// The result is whether the link to `id` is strong: whether a definition must come first. A
    /// link through a pointer to something named is weak: a forward declaration will do.
    pub(super) fn order(
        &mut self,
        id: TypeId,
        through_pointer: bool,
        depth: u32,
        queue: &mut Vec<TypeId>,
    ) -> Result<bool, BtfError> {
        self.step(id, depth)?;
        let progress = self.state(id)?.order;
        if progress == Progress::Done {
            return Ok(true);
        }
        let ty = self.ty(id)?;
        let named = ty.name_off != 0;
        let by_name = ty.kind.is_composite() && through_pointer && named;
        if progress == Progress::Doing {
            // A loop is fine where a forward declaration can break it.
            return if by_name { Ok(false) } else { Err(BtfError::TooDeep(id)) };
        }
        let target = TypeId(ty.size_or_type);
        match ty.kind {
            Kind::Int | Kind::Float | Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag => {
                self.state(id)?.order = Progress::Done;
                Ok(false)
            }
            Kind::Ptr => {
                let strong = self.order(target, true, depth + 1, queue)?;
                self.state(id)?.order = Progress::Done;
                Ok(strong)
            }
            Kind::Array => {
                let elem = ty.array().map_or(TypeId::VOID, |array| array.elem);
                self.order(elem, false, depth + 1, queue)
            }
            Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                self.order(target, through_pointer, depth + 1, queue)
            }
            Kind::Struct | Kind::Union => {
                if by_name {
                    return Ok(false);
                }
                self.state(id)?.order = Progress::Doing;
                for member in ty.members() {
                    self.order(member.type_id, false, depth + 1, queue)?;
                }
                self.queue(id, named, queue)
            }
            Kind::Enum | Kind::Enum64 | Kind::Fwd => {
                let top_level = named || !self.state(id)?.referenced;
                self.queue(id, top_level, queue)
            }
            Kind::Typedef => {
                let strong = self.order(target, through_pointer, depth + 1, queue)?;
                if through_pointer && !strong {
                    return Ok(false);
                }
                self.queue(id, true, queue)
            }
            Kind::FuncProto => {
                let mut strong = self.order(target, through_pointer, depth + 1, queue)?;
                for param in ty.params() {
                    strong |= self.order(param.type_id, through_pointer, depth + 1, queue)?;
                }
                Ok(strong)
            }
        }
    }

    fn queue(
        &mut self,
        id: TypeId,
        wanted: bool,
        queue: &mut Vec<TypeId>,
    ) -> Result<bool, BtfError> {
        if wanted {
            queue.push(id);
        }
        self.state(id)?.order = Progress::Done;
        Ok(true)
    }
}
