//! Writing definitions, and forward declarations where a type is needed before its definition.

use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Type, TypeId};

use super::{Dumper, Progress};

/// Types compilers emit typedefs of but do not define, and what they are.
const MISSING: [(&str, &str); 4] = [
    ("__Poly8_t", "unsigned char"),
    ("__Poly16_t", "unsigned short"),
    ("__Poly64_t", "unsigned long long"),
    ("__Poly128_t", "unsigned __int128"),
];

impl<'a> Dumper<'a> {
    /// Writes what using `id` inside of `container` needs; at top level (void) its definition.
    pub(super) fn emit(
        &mut self,
        id: TypeId,
        container: TypeId,
        depth: u32,
    ) -> Result<(), BtfError> {
        self.step(id, depth)?;
        let state = *self.state(id)?;
        if state.emit == Progress::Done {
            return Ok(());
        }
        let ty = self.ty(id)?;
        if container.is_void() && ty.name_off == 0 && !ty.kind.is_enum() {
            return Ok(());
        }
        if state.emit == Progress::Doing {
            return self.emit_early(&ty, container, state.declared);
        }
        let target = TypeId(ty.size_or_type);
        match ty.kind {
            Kind::Int => {
                if let Some((name, alias)) = MISSING.iter().find(|(name, _)| *name == ty.name) {
                    self.push(&format!("typedef {alias} {name};\n\n"));
                }
                self.state(id)?.emit = Progress::Done;
                Ok(())
            }
            Kind::Enum | Kind::Enum64 => {
                if container.is_void() {
                    self.define_enum(&ty, 0);
                    self.push(";\n\n");
                }
                self.state(id)?.emit = Progress::Done;
                Ok(())
            }
            Kind::Fwd => {
                self.refer(&ty);
                self.push(";\n\n");
                self.state(id)?.emit = Progress::Done;
                Ok(())
            }
            Kind::Ptr | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                self.emit(target, container, depth + 1)
            }
            Kind::Array => match ty.array() {
                Some(array) => self.emit(array.elem, container, depth + 1),
                None => Ok(()),
            },
            Kind::FuncProto => {
                self.emit(target, container, depth + 1)?;
                ty.params().try_for_each(|param| self.emit(param.type_id, container, depth + 1))
            }
            Kind::Typedef => {
                self.state(id)?.emit = Progress::Doing;
                self.emit(target, id, depth + 1)?;
                if !self.state(id)?.declared {
                    self.define_typedef(&ty)?;
                }
                self.state(id)?.emit = Progress::Done;
                Ok(())
            }
            Kind::Struct | Kind::Union => self.emit_composite(&ty, container, depth),
            _ => Ok(()),
        }
    }

    /// A type whose definition is under way is needed inside of it.
    fn emit_early(
        &mut self,
        ty: &Type<'a>,
        container: TypeId,
        declared: bool,
    ) -> Result<(), BtfError> {
        match ty.kind {
            _ if declared => Ok(()),
            // A struct may refer to itself, and nothing can refer to an anonymous one.
            Kind::Struct | Kind::Union if ty.id == container || ty.name_off == 0 => Ok(()),
            Kind::Struct | Kind::Union => self.declare_early(ty),
            Kind::Typedef => {
                self.define_typedef(ty)?;
                self.state(ty.id)?.declared = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn declare_early(&mut self, ty: &Type<'a>) -> Result<(), BtfError> {
        self.refer(ty);
        self.push(";\n\n");
        self.state(ty.id)?.declared = true;
        Ok(())
    }

    fn emit_composite(
        &mut self,
        ty: &Type<'a>,
        container: TypeId,
        depth: u32,
    ) -> Result<(), BtfError> {
        let (id, top_level, anonymous) = (ty.id, container.is_void(), ty.name_off == 0);
        let declared = self.state(id)?.declared;
        self.state(id)?.emit = Progress::Doing;
        if top_level || anonymous {
            // All members will be written out, so what they refer to must be known.
            let inner = if anonymous { container } else { id };
            ty.members().try_for_each(|member| self.emit(member.type_id, inner, depth + 1))?;
        } else if !declared && id != container {
            self.declare_early(ty)?;
        }
        if top_level {
            self.define_composite(ty, 0, depth + 1)?;
            self.push(";\n\n");
        }
        self.state(id)?.emit = if top_level { Progress::Done } else { Progress::Not };
        Ok(())
    }

    fn define_typedef(&mut self, ty: &Type<'a>) -> Result<(), BtfError> {
        // Compilers have this one built in.
        if ty.name == "__builtin_va_list" {
            return Ok(());
        }
        let name = self.ident(ty);
        if ty.size_or_type == 0 && name == "__gnuc_va_list" {
            // Old GCC emits it as a typedef of void.
            self.push("typedef __builtin_va_list __gnuc_va_list");
        } else {
            self.push("typedef ");
            self.declare(TypeId(ty.size_or_type), &name, 0, 0)?;
        }
        self.push(";\n\n");
        Ok(())
    }
}
