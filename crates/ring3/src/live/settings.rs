//! What a user chooses before programs are loaded: which of them, and values of their variables.

use btf::{Btf, Encoding, Kind, TypeId};
use loader::MapKind;

use crate::object::list;
use crate::{Error, Object};

impl Object {
    /// Loads these programs of the object and no other.
    pub fn keep_programs(&mut self, names: &[String]) -> Result<(), Error> {
        for name in names {
            self.program(name)?;
        }
        for program in &mut self.spec_mut().programs {
            program.autoload = names.contains(&program.name);
        }
        Ok(())
    }

    /// Sets a global variable to a value before anything is loaded: a number (decimal, 0x…), true
    /// or false, or the text of an array of characters.
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let wrong = |message: String| Error::Variable { variable: name.to_owned(), message };
        let Some(btf) = self.spec().btf.clone() else {
            return Err(wrong("the object has no types, so that its variables are unknown".into()));
        };
        let (section, offset, ty) = find(&btf, name).ok_or_else(|| {
            wrong(format!("there is no such global variable (there are {})", known(&btf)))
        })?;
        let size = btf.size_of(ty).map_err(|error| wrong(error.to_string()))? as usize;
        let bytes = bytes(&btf, ty, size, value).map_err(wrong)?;
        let data = [MapKind::Data, MapKind::Rodata, MapKind::Bss];
        let maps = &mut self.spec_mut().maps;
        let map = maps.iter_mut().find(|m| data.contains(&m.kind) && m.section == section);
        let map = map.ok_or_else(|| wrong(format!("section {section} has no map")))?;
        let initial = map.initial.get_or_insert_with(|| vec![0; map.def.value_size as usize]);
        match initial.get_mut(offset..offset + size) {
            Some(place) => place.copy_from_slice(&bytes),
            None => return Err(wrong(format!("it lies outside of section {section}"))),
        }
        Ok(())
    }
}

fn sections(btf: &Btf) -> impl Iterator<Item = (&str, usize, btf::Type<'_>)> {
    let sections = btf.own_types().filter(|ty| ty.kind == Kind::Datasec && ty.name != ".kconfig");
    sections.flat_map(move |section| {
        let vars = section.datasec();
        vars.filter_map(move |var| Some((section.name, var.offset as usize, btf.ty(var.type_id)?)))
    })
}

fn find<'b>(btf: &'b Btf, name: &str) -> Option<(&'b str, usize, TypeId)> {
    let (section, offset, var) = sections(btf).find(|(_, _, var)| var.name == name)?;
    Some((section, offset, TypeId(var.size_or_type)))
}

fn known(btf: &Btf) -> String {
    let data = |section: &str| [".rodata", ".data", ".bss"].iter().any(|s| section.starts_with(s));
    let vars = sections(btf).filter(|(section, ..)| data(section));
    list(vars.map(|(_, _, var)| var.name))
}

fn bytes(btf: &Btf, ty: TypeId, size: usize, value: &str) -> Result<Vec<u8>, String> {
    let resolved = btf.resolved(ty).ok_or("its type is unknown")?;
    match resolved.kind {
        Kind::Int => {
            let encoding = resolved.int().map(|int| int.encoding).unwrap_or_default();
            number(value, size, encoding)
        }
        Kind::Enum | Kind::Enum64 => {
            let named = resolved.enum_values().find(|(name, _)| *name == value);
            let text = named.map_or(value.to_owned(), |(_, number)| number.to_string());
            number(&text, size, Encoding { signed: true, ..Encoding::default() })
        }
        Kind::Array if element(btf, &resolved) == Some(1) => {
            if value.len() >= size {
                return Err(format!("'{value}' is longer than its {} characters", size - 1));
            }
            let mut bytes = value.as_bytes().to_vec();
            bytes.resize(size, 0);
            Ok(bytes)
        }
        _ => Err("only numbers, enumerations and texts can be set".into()),
    }
}

fn element(btf: &Btf, array: &btf::Type<'_>) -> Option<u32> {
    btf.size_of(array.array()?.elem).ok()
}

fn number(text: &str, size: usize, encoding: Encoding) -> Result<Vec<u8>, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let parsed = match (digits, digits.strip_prefix("0x")) {
        ("true", _) => Some(1),
        ("false", _) => Some(0),
        (_, Some(hex)) => i128::from_str_radix(hex, 16).ok(),
        _ => digits.parse().ok(),
    };
    let value: i128 = sign * parsed.ok_or_else(|| format!("'{text}' is no number"))?;
    let bits = 8 * size.min(8) as u32;
    let (least, most) = match encoding {
        Encoding { bool: true, .. } => (0, 1),
        Encoding { signed: true, .. } => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
        _ => (0, (1_i128 << bits) - 1),
    };
    if !(least..=most).contains(&value) {
        return Err(format!("{value} does not fit: it takes {least} to {most}"));
    }
    let mut bytes = value.to_ne_bytes().to_vec();
    bytes.resize(size.max(16), 0);
    bytes.truncate(size);
    Ok(bytes)
}
