//! Which fields of a context differ after a run.

use btf::{Kind, TypeId};
use serde_json::{Map, Value};

use super::memory::{Memory, Typed};

const MAX_DEPTH: u32 = 16;

/// The fields that differ between two images of the memory, by name.
pub(super) fn changed(memory: &Memory, before: &[u8], after: &[u8]) -> Value {
    let mut all = Map::new();
    for object in &memory.objects {
        let end = object.at + object.ty.size();
        let (Some(old), Some(new)) = (before.get(object.at..end), after.get(object.at..end)) else {
            continue;
        };
        if let Some(value) = difference(&object.ty, old, new, MAX_DEPTH) {
            place(&mut all, &object.path, value);
        }
    }
    if let Some((at, len, name)) = memory.span {
        let (old, new) = (before.get(at..at + len), after.get(at..at + len));
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            all.insert(name.to_owned(), text_or_bytes(new));
        }
    }
    Value::Object(all)
}

/// Puts a value where its path says, beside what is there.
fn place(all: &mut Map<String, Value>, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        if let Value::Object(fields) = value {
            all.extend(fields);
        }
        return;
    };
    let slot = all.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
    match slot {
        Value::Object(inner) => place(inner, rest, value),
        other => *other = value,
    }
}

fn difference(ty: &Typed, old: &[u8], new: &[u8], depth: u32) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    if old == new {
        return None;
    }
    let resolved = ty.resolved()?;
    if resolved.kind.is_composite() {
        let mut fields = Map::new();
        for member in resolved.members() {
            let at = member.bit_offset as usize / 8;
            if member.bitfield_size != 0 {
                let read = |bytes| bits(bytes, member.bit_offset, member.bitfield_size);
                if read(old) != read(new) {
                    fields.insert(member.name.to_owned(), read(new).into());
                }
                continue;
            }
            let part = ty.at(member.type_id);
            let (Some(o), Some(n)) = (old.get(at..at + part.size()), new.get(at..at + part.size()))
            else {
                continue;
            };
            match (member.name, difference(&part, o, n, depth)) {
                (_, None) => {}
                ("", Some(Value::Object(inner))) => fields.extend(inner),
                (name, Some(value)) => {
                    fields.insert(name.to_owned(), value);
                }
            }
        }
        return Some(Value::Object(fields));
    }
    Some(shown(&ty.at(TypeId(resolved.id.0)), resolved.kind, new))
}

fn shown(ty: &Typed, kind: Kind, bytes: &[u8]) -> Value {
    let value = btf::print::value(&ty.btf, ty.id, bytes).unwrap_or(Value::Null);
    match (kind, value) {
        (Kind::Ptr, Value::Number(number)) => match number.as_u64() {
            Some(0) => Value::Null,
            Some(address) => format!("{address:#x}").into(),
            None => Value::Number(number),
        },
        (_, value) => value,
    }
}

fn bits(bytes: &[u8], from: u32, count: u32) -> u64 {
    let bit = |n: u32| bytes.get(n as usize / 8).map_or(0, |byte| u64::from(byte >> (n % 8) & 1));
    (0..count.min(64)).map(|n| bit(from + n) << n).sum()
}

fn text_or_bytes(bytes: &[u8]) -> Value {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    match std::str::from_utf8(&bytes[..end]) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| !c.is_control()) => text.into(),
        _ => bytes.iter().map(|byte| Value::from(*byte)).collect(),
    }
}
