//! One type around a name, and the bodies of structs, unions and enums.

use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::{Type, TypeId};

use super::Dumper;

impl<'a> Dumper<'a> {
    /// Writes a declaration of `name` with this type, e.g. `const char *(*name)[4]`.
    pub(super) fn declare(
        &mut self,
        id: TypeId,
        name: &str,
        level: u32,
        depth: u32,
    ) -> Result<(), BtfError> {
        let mut chain = Vec::new();
        let mut at = id;
        while !at.is_void() {
            self.step(at, depth.max(chain.len() as u32))?;
            let ty = self.ty(at)?;
            chain.push(Some(ty));
            at = match ty.kind {
                Kind::Ptr | Kind::FuncProto => TypeId(ty.size_or_type),
                Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => {
                    TypeId(ty.size_or_type)
                }
                Kind::Array => ty.array().map_or(TypeId::VOID, |array| array.elem),
                _ => return self.unwind(&mut chain, name, level, depth + 1),
            };
        }
        chain.push(None);
        self.unwind(&mut chain, name, level, depth + 1)
    }

    /// Writes a chain of types from its end, where C puts the base type; `None` is void.
    fn unwind(
        &mut self,
        chain: &mut Vec<Option<Type<'a>>>,
        name: &str,
        level: u32,
        depth: u32,
    ) -> Result<(), BtfError> {
        // No space goes between a star (or an opening bracket) and what follows.
        let mut after_star = true;
        while let Some(link) = chain.pop() {
            let Some(ty) = link else {
                self.qualifiers(chain);
                self.push("void");
                after_star = false;
                continue;
            };
            self.step(ty.id, depth)?;
            match ty.kind {
                Kind::Ptr => self.push(if after_star { "*" } else { " *" }),
                Kind::Volatile => self.push(" volatile"),
                Kind::Const => self.push(" const"),
                Kind::Restrict => self.push(" restrict"),
                Kind::TypeTag => {
                    self.qualifiers(chain);
                    self.push(&match ty.kind_flag {
                        true => format!(" __attribute__(({}))", ty.name),
                        false => format!(" __attribute__((btf_type_tag(\"{}\")))", ty.name),
                    });
                }
                Kind::Array => return self.array(&ty, chain, name, after_star, level, depth),
                Kind::FuncProto => {
                    return self.function(&ty, chain, name, after_star, level, depth);
                }
                Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag => return Ok(()),
                _ => {
                    self.qualifiers(chain);
                    self.base(&ty, level, depth)?;
                }
            }
            after_star = ty.kind == Kind::Ptr;
        }
        self.name(name, after_star);
        Ok(())
    }

    /// The type at the end of a chain: by name, or written out if it has none.
    fn base(&mut self, ty: &Type<'a>, level: u32, depth: u32) -> Result<(), BtfError> {
        match ty.kind {
            Kind::Struct | Kind::Union if ty.name_off == 0 => {
                return self.define_composite(ty, level, depth);
            }
            Kind::Enum | Kind::Enum64 if ty.name_off == 0 => self.define_enum(ty, level),
            Kind::Typedef => {
                let name = self.ident(ty);
                self.push(&name);
            }
            Kind::Int | Kind::Float => self.push(ty.name),
            _ => self.refer(ty),
        }
        Ok(())
    }

    fn name(&mut self, name: &str, after_star: bool) {
        if !name.is_empty() && !after_star {
            self.push(" ");
        }
        self.push(name);
    }

    /// Writes the qualifiers of a base type, which C puts before it.
    fn qualifiers(&mut self, chain: &mut Vec<Option<Type<'a>>>) {
        while let Some(Some(ty)) = chain.last() {
            match ty.kind {
                Kind::Volatile => self.push("volatile "),
                Kind::Const => self.push("const "),
                Kind::Restrict => self.push("restrict "),
                _ => return,
            }
            chain.pop();
        }
    }

    fn array(
        &mut self,
        ty: &Type<'a>,
        chain: &mut Vec<Option<Type<'a>>>,
        name: &str,
        after_star: bool,
        level: u32,
        depth: u32,
    ) -> Result<(), BtfError> {
        let count = ty.array().map_or(0, |array| array.count);
        // GCC repeats the element's qualifiers on the array, where they mean nothing.
        drop_qualifiers(chain);
        match chain.last() {
            None => self.name(name, after_star),
            Some(next) => {
                let nested = next.is_some_and(|next| next.kind == Kind::Array);
                if !name.is_empty() && !after_star {
                    self.push(" ");
                }
                self.push(if nested { "" } else { "(" });
                self.unwind(chain, name, level, depth + 1)?;
                self.push(if nested { "" } else { ")" });
            }
        }
        self.push(&format!("[{count}]"));
        Ok(())
    }

    fn function(
        &mut self,
        ty: &Type<'a>,
        chain: &mut Vec<Option<Type<'a>>>,
        name: &str,
        after_star: bool,
        level: u32,
        depth: u32,
    ) -> Result<(), BtfError> {
        // GCC marks pointers to functions that do not return as volatile.
        drop_qualifiers(chain);
        if chain.is_empty() {
            self.name(name, after_star);
        } else {
            self.push(" (");
            self.unwind(chain, name, level, depth + 1)?;
            self.push(")");
        }
        self.push("(");
        let count = ty.params().len();
        if count == 0 || count == 1 && ty.params().all(|param| param.type_id.is_void()) {
            self.push("void)");
            return Ok(());
        }
        for (index, param) in ty.params().enumerate() {
            self.push(if index > 0 { ", " } else { "" });
            if index + 1 == count && param.type_id.is_void() {
                self.push("...");
            } else {
                self.declare(param.type_id, param.name, level, depth + 1)?;
            }
        }
        self.push(")");
        Ok(())
    }

    /// `struct name`, `union name` or `enum name`.
    pub(super) fn refer(&mut self, ty: &Type<'a>) {
        let name = self.tag(ty);
        let keyword = match ty.kind {
            Kind::Enum | Kind::Enum64 => "enum",
            Kind::Union => "union",
            Kind::Fwd if ty.kind_flag => "union",
            _ => "struct",
        };
        self.push(keyword);
        if ty.name_off != 0 {
            self.push(" ");
        }
        self.push(&name);
    }

    pub(super) fn define_composite(
        &mut self,
        ty: &Type<'a>,
        level: u32,
        depth: u32,
    ) -> Result<(), BtfError> {
        self.step(ty.id, depth)?;
        let is_struct = ty.kind == Kind::Struct;
        let packed = is_struct && self.is_packed(ty);
        self.refer(ty);
        self.push(" {");
        let mut end = 0;
        let mut after_bits = false;
        for member in ty.members() {
            let (at, bits) = (u64::from(member.bit_offset), u64::from(member.bitfield_size));
            let align = if packed { 1 } else { self.align(member.type_id) };
            self.pad(end, at, align, after_bits && bits != 0, level + 1);
            self.push("\n");
            self.indent(level + 1);
            self.declare(member.type_id, member.name, level + 1, depth + 1)?;
            if bits != 0 {
                self.push(&format!(": {bits}"));
            }
            self.push(";");
            after_bits = bits != 0;
            end = at
                + match bits {
                    0 => u64::from(self.btf.size_of(member.type_id).unwrap_or(0)) * 8,
                    bits => bits,
                };
        }
        if is_struct {
            let align = self.align(ty.id);
            self.pad(end, u64::from(ty.size_or_type) * 8, align, false, level + 1);
        }
        if ty.vlen != 0 || ty.size_or_type != 0 {
            self.push("\n");
            self.indent(level);
        }
        self.push(if packed { "} __attribute__((packed))" } else { "}" });
        Ok(())
    }

    pub(super) fn define_enum(&mut self, ty: &Type<'a>, level: u32) {
        self.refer(ty);
        if ty.vlen == 0 {
            return;
        }
        self.push(" {");
        for (name, value) in ty.enum_values() {
            self.push("\n");
            self.indent(level + 1);
            self.push(name);
            // Constants share their names with typedefs.
            let number = self.idents.entry(name).and_modify(|count| *count += 1).or_insert(1);
            let suffix = if *number > 1 { format!("___{number}") } else { String::new() };
            self.push(&suffix);
            self.push(&match (ty.kind, ty.kind_flag) {
                (Kind::Enum64, true) => format!(" = {value}LL,"),
                (Kind::Enum64, false) => format!(" = {}ULL,", value as u64),
                _ => format!(" = {value},"),
            });
        }
        self.push("\n");
        self.indent(level);
        self.push("}");
        if !self.options.enum_modes {
            return;
        }
        let fits_32_bits =
            ty.kind == Kind::Enum || ty.enum_values().all(|(_, value)| value as u64 >> 32 == 0);
        match ty.size_or_type {
            1 => self.push(" __attribute__((mode(byte)))"),
            8 if fits_32_bits => self.push(" __attribute__((mode(word)))"),
            _ => {}
        }
    }

    /// The name of a struct, union, enum or forward declaration, unique in this text.
    fn tag(&mut self, ty: &Type<'a>) -> String {
        let numbered = ty.kind != Kind::Fwd && !(ty.kind == Kind::Enum && ty.vlen == 0);
        if ty.name_off == 0 || !numbered {
            return ty.name.to_owned();
        }
        let tags = &mut self.tags;
        let number = self.numbers.entry(ty.id.0).or_insert_with(|| count(tags, ty.name));
        unique(ty.name, *number)
    }

    /// The name of a typedef, unique in this text.
    pub(super) fn ident(&mut self, ty: &Type<'a>) -> String {
        let idents = &mut self.idents;
        let number = self.numbers.entry(ty.id.0).or_insert_with(|| count(idents, ty.name));
        unique(ty.name, *number)
    }
}

fn count<'a>(names: &mut rustc_hash::FxHashMap<&'a str, u32>, name: &'a str) -> u32 {
    *names.entry(name).and_modify(|count| *count += 1).or_insert(1)
}

fn unique(name: &str, number: u32) -> String {
    if number > 1 { format!("{name}___{number}") } else { name.to_owned() }
}

fn drop_qualifiers(chain: &mut Vec<Option<Type<'_>>>) {
    while let Some(Some(ty)) = chain.last() {
        if !matches!(ty.kind, Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag) {
            return;
        }
        chain.pop();
    }
}
