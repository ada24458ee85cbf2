//! What a CO-RE relocation is about: a type, an enum's value, or a path of members and elements.

use std::fmt::Write;

use btf::{Btf, CoreKind, Kind, Type, TypeId};

/// Longest path, as libbpf's.
pub(super) const MAX_STEPS: usize = 64;

/// A relocation's path in one BTF, local or target.
#[derive(Clone, Debug)]
pub(super) struct Access<'b> {
    pub(super) btf: &'b Btf,
    pub(super) kind: CoreKind,
    pub(super) root: TypeId,
    /// Named members and array elements.
    pub(super) steps: Vec<Step<'b>>,
    /// Every level, members without a name too.
    pub(super) raw: Vec<i32>,
    pub(super) bit_offset: u32,
}

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'b> {
    /// The struct of a member, the element type of an array, the enum of a value.
    pub(super) type_id: TypeId,
    pub(super) index: i32,
    /// Of the member or value; `None` for an element.
    pub(super) name: Option<&'b str>,
}

/// What a kind of relocation looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Field,
    Type,
    Enumval,
}

pub(super) fn subject(kind: CoreKind) -> Subject {
    use CoreKind as K;
    match kind {
        K::FieldByteOffset
        | K::FieldByteSize
        | K::FieldExists
        | K::FieldSigned
        | K::FieldLshiftU64
        | K::FieldRshiftU64 => Subject::Field,
        K::TypeIdLocal | K::TypeIdTarget | K::TypeExists | K::TypeSize | K::TypeMatches => {
            Subject::Type
        }
        K::EnumvalExists | K::EnumvalValue => Subject::Enumval,
    }
}

impl<'b> Access<'b> {
    pub(super) fn new(btf: &'b Btf, kind: CoreKind, root: TypeId) -> Access<'b> {
        Access { btf, kind, root, steps: Vec::new(), raw: Vec::new(), bit_offset: 0 }
    }

    /// Reads a local path such as `0:1:2`; an error says what is wrong.
    pub(super) fn parse(
        btf: &'b Btf,
        kind: CoreKind,
        root: TypeId,
        text: &str,
    ) -> Result<Access<'b>, String> {
        let mut access = Access::new(btf, kind, root);
        if subject(kind) == Subject::Type {
            return match text {
                "0" => Ok(access),
                _ => Err(format!("access path '{text}' of a type is not '0'")),
            };
        }
        for part in text.split(':') {
            let index = part.parse().map_err(|_| format!("access path '{text}' is malformed"))?;
            if access.raw.len() == MAX_STEPS {
                return Err(format!("access path has more than {MAX_STEPS} steps"));
            }
            access.raw.push(index);
        }
        let id = btf.resolve(root).map_err(|error| error.to_string())?;
        match subject(kind) {
            Subject::Enumval => access.read_enumval(id)?,
            _ => access.read_field(id)?,
        }
        Ok(access)
    }

    fn read_enumval(&mut self, id: TypeId) -> Result<(), String> {
        let index = self.raw[0];
        let value = self.btf.ty(id).filter(|ty| ty.kind.is_enum() && self.raw.len() == 1);
        let name = value.and_then(|ty| ty.enum_values().nth(usize::try_from(index).ok()?));
        let (name, _) = name.ok_or("access path is not one of an enum's values")?;
        self.steps.push(Step { type_id: id, index, name: Some(name) });
        Ok(())
    }

    fn read_field(&mut self, root: TypeId) -> Result<(), String> {
        self.steps.push(Step { type_id: root, index: self.raw[0], name: None });
        self.add_elements(root, self.raw[0])?;
        let mut id = root;
        for at in 1..self.raw.len() {
            let index = self.raw[at];
            let ty = self.btf.resolved(id);
            id = match ty {
                Some(ty) if ty.kind.is_composite() => self.enter_member(&ty, index)?,
                Some(ty) if ty.kind == Kind::Array => self.enter_element(&ty, index)?,
                _ => return Err(format!("access path enters type [{}], which has no parts", id.0)),
            };
        }
        Ok(())
    }

    fn enter_member(&mut self, ty: &Type<'b>, index: i32) -> Result<TypeId, String> {
        let member = usize::try_from(index).ok().and_then(|index| ty.members().nth(index));
        let member = member
            .ok_or_else(|| format!("type [{}] '{}' has no member {index}", ty.id.0, ty.name))?;
        self.bit_offset = self.bit_offset.wrapping_add(member.bit_offset);
        if !member.name.is_empty() {
            self.steps.push(Step { type_id: ty.id, index, name: Some(member.name) });
        }
        Ok(member.type_id)
    }

    fn enter_element(&mut self, ty: &Type<'b>, index: i32) -> Result<TypeId, String> {
        let array = ty.array().ok_or("array without a shape")?;
        let inside = u32::try_from(index).is_ok_and(|index| index < array.count);
        if !inside && !self.is_flexible(array.count) {
            return Err(format!("element {index} is beyond the array [{}]", ty.id.0));
        }
        let id = self.btf.resolve(array.elem).map_err(|error| error.to_string())?;
        self.steps.push(Step { type_id: id, index, name: None });
        self.add_elements(id, index)?;
        Ok(id)
    }

    /// Whether the array just reached is a struct's flexible last member.
    pub(super) fn is_flexible(&self, count: u32) -> bool {
        let Some(step) = self.steps.last().filter(|step| step.name.is_some() && count == 0) else {
            return false;
        };
        let owner = self.btf.ty(step.type_id);
        owner.is_some_and(|owner| i64::from(step.index) == i64::from(owner.vlen) - 1)
    }

    /// Moves on by a number of elements of a type.
    pub(super) fn add_elements(&mut self, id: TypeId, count: i32) -> Result<(), String> {
        let size = self.btf.size_of(id).map_err(|error| error.to_string())?;
        let bits = (count as u32).wrapping_mul(size).wrapping_mul(8);
        self.bit_offset = self.bit_offset.wrapping_add(bits);
        Ok(())
    }

    /// As libbpf prints it: `<byte_off> [7] struct task_struct.pid (0:64 @ offset 2456)`.
    pub(super) fn describe(&self) -> String {
        let (kind, name) = match self.btf.ty(self.root) {
            Some(ty) => (kind_word(ty.kind), ty.named().unwrap_or("<anon>")),
            None => ("void", "<anon>"),
        };
        let mut text = format!("<{}> [{}] {kind} {name}", self.kind.text(), self.root.0);
        // Writing to a string cannot fail.
        let _ = match subject(self.kind) {
            Subject::Type => Ok(()),
            Subject::Enumval => self.describe_enumval(&mut text),
            Subject::Field => self.describe_field(&mut text),
        };
        text
    }

    fn describe_enumval(&self, text: &mut String) -> std::fmt::Result {
        let ty = self.btf.resolved(self.root);
        let index = self.raw.first().and_then(|index| usize::try_from(*index).ok());
        let value = ty.zip(index).and_then(|(ty, index)| Some((ty, ty.enum_values().nth(index)?)));
        match value {
            Some((ty, (name, value))) if ty.kind_flag || ty.kind == Kind::Enum => {
                write!(text, "::{name} = {value}")
            }
            Some((_, (name, value))) => write!(text, "::{name} = {}", value as u64),
            None => Ok(()),
        }
    }

    fn describe_field(&self, text: &mut String) -> std::fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            match step.name {
                Some(name) => write!(text, ".{name}")?,
                None if number > 0 || step.index > 0 => write!(text, "[{}]", step.index as u32)?,
                None => {}
            }
        }
        let raw: Vec<String> = self.raw.iter().map(i32::to_string).collect();
        write!(text, " ({} @ offset {}", raw.join(":"), self.bit_offset / 8)?;
        match self.bit_offset % 8 {
            0 => write!(text, ")"),
            bits => write!(text, ".{bits})"),
        }
    }
}

/// libbpf's word for a kind of type.
pub(super) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "int",
        Kind::Ptr => "ptr",
        Kind::Array => "array",
        Kind::Struct => "struct",
        Kind::Union => "union",
        Kind::Enum => "enum",
        Kind::Fwd => "fwd",
        Kind::Typedef => "typedef",
        Kind::Volatile => "volatile",
        Kind::Const => "const",
        Kind::Restrict => "restrict",
        Kind::Func => "func",
        Kind::FuncProto => "func_proto",
        Kind::Var => "var",
        Kind::Datasec => "datasec",
        Kind::Float => "float",
        Kind::DeclTag => "decl_tag",
        Kind::TypeTag => "type_tag",
        Kind::Enum64 => "enum64",
    }
}
