//! A value of a kernel type as text, as `bpf_snprintf_btf` prints it.
//!
//! A struct or array below the first one is walked twice: once to see whether anything in it is
//! not zero, which alone is printed unless zeroes are asked for.

use btf::{Btf, Kind, Member, Type, TypeId};
use uapi::Errno;

/// No newlines and indentation.
pub(crate) const COMPACT: u64 = 1;
/// No names of members and types.
pub(crate) const NO_NAME: u64 = 2;
/// Pointers as they are.
pub(crate) const RAW_POINTERS: u64 = 4;
/// Zeroes too.
pub(crate) const ZERO: u64 = 8;
/// All flags.
pub(crate) const FLAGS: u64 = 15;

/// Typedefs, arrays and pointers around a type that are named at most.
const MAX_AROUND: usize = 10;
/// Steps of one printing; no kernel's type comes near.
const MAX_STEPS: u32 = 1 << 22;
const MAX_DEPTH: usize = 64;
const MAX_INDENT: usize = 32;

/// The text of the value of type `id` in `data`; `hash` hides pointers.
pub(crate) fn text(
    btf: &Btf,
    id: TypeId,
    data: &[u8],
    flags: u64,
    hash: fn(u64) -> u64,
) -> Result<Vec<u8>, Errno> {
    let mut printer = Printer {
        btf,
        data,
        flags,
        hash,
        out: Vec::new(),
        steps: MAX_STEPS,
        ty: None,
        type_id: TypeId(0),
        member: None,
        in_array: false,
        chars: false,
        ended: false,
        depth: 0,
        checking: 0,
        deepest: 0,
    };
    printer.value(id, 0, 0)?;
    Ok(printer.out)
}

struct Printer<'a> {
    btf: &'a Btf,
    data: &'a [u8],
    flags: u64,
    hash: fn(u64) -> u64,
    out: Vec<u8>,
    steps: u32,
    ty: Option<Kind>,
    type_id: TypeId,
    member: Option<Member<'a>>,
    /// The value is an array's element, whose type is not repeated.
    in_array: bool,
    /// The array is one of characters.
    chars: bool,
    /// Its closing zero has been seen.
    ended: bool,
    depth: usize,
    /// While not 0, nothing is printed: the depth below which something is looked for.
    checking: usize,
    /// The depth at which something was found last.
    deepest: usize,
}

impl<'a> Printer<'a> {
    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    fn put(&mut self, text: &str) {
        if self.checking == 0 {
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    fn indent(&self) -> &'static str {
        const SPACES: &str = "                                ";
        if self.has(COMPACT) { "" } else { &SPACES[..self.depth.min(MAX_INDENT)] }
    }

    fn newline(&self) -> &'static str {
        if self.has(COMPACT) { "" } else { "\n" }
    }

    fn delimiter(&self) -> &'static str {
        match self.depth {
            0 => "",
            _ if self.has(COMPACT) && self.ty == Some(Kind::Union) => "|",
            _ => ",",
        }
    }

    fn skip(&self, mut id: TypeId, typedefs: bool) -> Option<Type<'a>> {
        let mut steps = 0;
        loop {
            let ty = self.btf.ty(id)?;
            let passes = match ty.kind {
                Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => true,
                Kind::Typedef => typedefs,
                _ => false,
            };
            if !passes || steps > MAX_DEPTH {
                return Some(ty);
            }
            id = ty.target().unwrap_or_default();
            steps += 1;
        }
    }

    /// `.member = (type)` and the bracket that opens it.
    fn name(&self) -> String {
        if self.in_array {
            return String::new();
        }
        let (id, member) = match &self.member {
            Some(member) => (member.type_id, member.name),
            None => (self.type_id, ""),
        };
        let Some(first) = self.btf.ty(id) else { return String::new() };
        let mut of = Some(first);
        let (mut stars, mut arrays, mut typedef, mut pointer) = (0, 0, None, false);
        let mut parens = "";
        let mut around = 0;
        while let Some(ty) = of {
            let inner = match ty.kind {
                Kind::Typedef => {
                    typedef = typedef.or(Some(self.btf.name_of(ty.id)));
                    ty.target().unwrap_or_default()
                }
                Kind::Array => {
                    (parens, arrays) = ("[", arrays + 1);
                    ty.array().map_or(TypeId(0), |array| array.elem)
                }
                Kind::Ptr => {
                    (pointer, stars) = (true, stars + 1);
                    ty.target().unwrap_or_default()
                }
                _ => TypeId(0),
            };
            if inner.0 == 0 {
                break;
            }
            around += 1;
            if around == MAX_AROUND {
                return String::new();
            }
            of = self.skip(inner, false);
        }
        // A pointer to nothing named ends at the pointer itself, which has no name.
        let name = typedef.unwrap_or_else(|| of.map_or("", |ty| self.btf.name_of(ty.id)));
        let kind = of.map(|ty| ty.kind);
        let mut prefix = match kind {
            Some(Kind::Struct) => "struct",
            Some(Kind::Union) => "union",
            Some(Kind::Enum | Kind::Enum64) => "enum",
            _ => "",
        };
        if matches!(kind, Some(Kind::Struct | Kind::Union)) && arrays == 0 {
            parens = "{";
        }
        if pointer {
            parens = "";
        }
        if typedef.is_some() {
            prefix = "";
        }
        if self.has(NO_NAME) {
            return parens.to_owned();
        }
        let named = if member.is_empty() { String::new() } else { format!(".{member} = ") };
        let space = if prefix.is_empty() || name.is_empty() { "" } else { " " };
        let stars = match stars {
            0 => String::new(),
            n => format!(" {}", "*".repeat(n)),
        };
        format!("{named}({prefix}{space}{name}{stars}{}){parens}", "[]".repeat(arrays))
    }

    /// Prints one value, unless it is zero.
    fn leaf(&mut self, zero: bool, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if zero && !self.has(ZERO) && self.depth != 0 {
            return;
        }
        if self.checking == 0 {
            let before = format!("{}{}", self.indent(), self.name());
            let parts = [before.as_bytes(), text, self.delimiter().as_bytes()];
            let line = [&parts[..], &[self.newline().as_bytes()]].concat().concat();
            self.out.extend_from_slice(&line);
        }
        self.deepest = self.deepest.max(self.depth);
    }

    fn begin(&mut self, ty: &Type<'_>, id: TypeId) {
        (self.ty, self.type_id) = (Some(ty.kind), id);
    }

    fn end(&mut self) {
        (self.ty, self.type_id) = (None, TypeId(0));
    }

    fn open(&mut self, ty: &Type<'_>, id: TypeId) {
        self.begin(ty, id);
        let line = format!("{}{}{}", self.indent(), self.name(), self.newline());
        self.put(&line);
        self.depth += 1;
    }

    fn close(&mut self, bracket: &str) {
        self.depth -= 1;
        let line = format!("{}{bracket}{}{}", self.indent(), self.delimiter(), self.newline());
        self.put(&line);
        self.end();
    }

    fn bytes(&self, at: usize, len: usize) -> Result<&'a [u8], Errno> {
        let end = at.checked_add(len).ok_or(Errno::EFAULT)?;
        self.data.get(at..end).ok_or(Errno::EFAULT)
    }

    fn number(&self, at: usize, len: usize) -> Result<u128, Errno> {
        let mut all = [0; 16];
        let len = len.min(16);
        all[..len].copy_from_slice(self.bytes(at, len)?);
        Ok(u128::from_le_bytes(all))
    }

    fn value(&mut self, id: TypeId, at: usize, bit: u32) -> Result<(), Errno> {
        self.steps = self.steps.checked_sub(1).ok_or(Errno::E2BIG)?;
        if self.depth > MAX_DEPTH {
            return Err(Errno::E2BIG);
        }
        let Some(ty) = self.skip(id, true) else {
            self.put("<unsupported kind:0>");
            return Ok(());
        };
        match ty.kind {
            Kind::Int => self.int(&ty, id, at, bit),
            Kind::Ptr => self.pointer(&ty, id, at),
            Kind::Array | Kind::Struct | Kind::Union => self.looked_into(&ty, id, at),
            Kind::Enum | Kind::Enum64 => self.enumeration(&ty, id, at),
            Kind::Var => {
                let target = ty.target().unwrap_or_default();
                self.value(target, at, bit)
            }
            kind => {
                self.put(&format!("<unsupported kind:{}>", kind as u32));
                Ok(())
            }
        }
    }

    fn int(&mut self, ty: &Type<'_>, id: TypeId, at: usize, bit: u32) -> Result<(), Errno> {
        let info = ty.int().ok_or(Errno::EINVAL)?;
        self.begin(ty, id);
        let plain = bit == 0 && info.offset == 0;
        let signed = info.encoding.signed;
        match info.bits {
            bits @ (8 | 16 | 32 | 64) if plain => {
                let value = self.number(at, bits as usize / 8)? as u64;
                if bits == 8 && self.chars {
                    return self.character(value as u8, signed);
                }
                let spare = 64 - bits;
                let text = if signed {
                    ((value << spare) as i64 >> spare).to_string()
                } else {
                    value.to_string()
                };
                self.leaf(value == 0, text);
            }
            bits => {
                let total = bit + info.offset;
                self.bits(at + total as usize / 8, total % 8, bits)?;
            }
        }
        self.end();
        Ok(())
    }

    /// A byte of text: what cannot be printed is a number, and the first zero ends it.
    fn character(&mut self, byte: u8, signed: bool) -> Result<(), Errno> {
        match byte {
            _ if self.ended => {}
            0 => self.ended = true,
            // Linux's table of characters is Latin 1.
            b' '..=b'~' | 0xa0.. => self.leaf(false, [b'\'', byte, b'\'']),
            _ if signed => self.leaf(false, (byte as i8).to_string()),
            _ => self.leaf(false, byte.to_string()),
        }
        self.end();
        Ok(())
    }

    fn bits(&mut self, at: usize, bit: u32, bits: u32) -> Result<(), Errno> {
        let bits = bits.min(128 - bit);
        let all = self.number(at, (bits + bit).div_ceil(8) as usize)? >> bit;
        let value = if bits >= 128 { all } else { all & ((1 << bits) - 1) };
        let text = match (value >> 64) as u64 {
            0 => format!("{:#x}", value as u64),
            high => format!("{high:#x}{:016x}", value as u64),
        };
        self.leaf(value == 0, text);
        Ok(())
    }

    fn pointer(&mut self, ty: &Type<'_>, id: TypeId, at: usize) -> Result<(), Errno> {
        self.begin(ty, id);
        let value = self.number(at, 8)? as u64;
        let shown = if self.has(RAW_POINTERS) { value } else { (self.hash)(value) };
        self.leaf(value == 0, format!("0x{shown:016x}"));
        self.end();
        Ok(())
    }

    fn enumeration(&mut self, ty: &Type<'_>, id: TypeId, at: usize) -> Result<(), Errno> {
        self.begin(ty, id);
        let wide = ty.kind == Kind::Enum64;
        let value = self.number(at, if wide { 8 } else { 4 })? as u64;
        let signed = if wide { value as i64 } else { i64::from(value as i32) };
        let is_value = |known: i64| {
            if wide { known as u64 == value } else { known as u32 == value as u32 }
        };
        let named = ty.enum_values().find(|(_, known)| is_value(*known));
        match named {
            Some((name, _)) => self.leaf(false, name),
            None if ty.kind_flag => self.leaf(value == 0, signed.to_string()),
            None => self.leaf(value == 0, value.to_string()),
        }
        self.end();
        Ok(())
    }

    /// A struct, union or array, if there is anything in it.
    fn looked_into(&mut self, ty: &Type<'a>, id: TypeId, at: usize) -> Result<(), Errno> {
        if self.depth > 0 && !self.has(ZERO) {
            let member = self.member;
            if self.checking == 0 {
                (self.checking, self.deepest) = (self.depth + 1, 0);
            }
            self.parts(ty, id, at)?;
            self.member = member;
            if self.checking != self.depth + 1 {
                return Ok(());
            }
            self.checking = 0;
            if self.deepest <= self.depth {
                return Ok(());
            }
        }
        self.parts(ty, id, at)
    }

    fn parts(&mut self, ty: &Type<'a>, id: TypeId, at: usize) -> Result<(), Errno> {
        match ty.kind {
            Kind::Array => self.elements(ty, id, at),
            _ => self.members(ty, id, at),
        }
    }

    fn elements(&mut self, ty: &Type<'a>, id: TypeId, at: usize) -> Result<(), Errno> {
        let array = ty.array().ok_or(Errno::EINVAL)?;
        let elem = self.skip(array.elem, true);
        let has_size = |kind| {
            matches!(
                kind,
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float
            )
        };
        // Pointers have no size of their own in Linux's eyes.
        let sized = elem.as_ref().filter(|elem| has_size(elem.kind));
        let size = sized.map_or(0, |elem| self.btf.size_of(elem.id).unwrap_or(0)) as usize;
        let int = elem.as_ref().and_then(|elem| elem.int());
        self.chars = int.is_some_and(|int| size == 1 || int.encoding.char);
        self.ended = false;
        self.open(ty, id);
        for i in 0..array.count as usize {
            (self.in_array, self.member) = (true, None);
            self.value(array.elem, at + i * size, 0)?;
            self.in_array = false;
            self.member = None;
            if self.ended {
                break;
            }
        }
        (self.chars, self.ended) = (false, false);
        self.close("]");
        Ok(())
    }

    fn members(&mut self, ty: &Type<'a>, id: TypeId, at: usize) -> Result<(), Errno> {
        self.open(ty, id);
        for member in ty.members() {
            self.member = Some(member);
            let (byte, bit) = (at + member.bit_offset as usize / 8, member.bit_offset % 8);
            if member.bitfield_size == 0 {
                self.value(member.type_id, byte, bit)?;
            } else {
                let of = self.btf.ty(member.type_id).ok_or(Errno::EINVAL)?;
                self.begin(&of, member.type_id);
                self.bits(byte, bit, member.bitfield_size)?;
                self.end();
            }
            self.member = None;
        }
        self.close("}");
        Ok(())
    }
}
