//! Commands on one element: lookup, update, delete, getnext, and those of queues and stacks.

use btf::print::JsonText;
use runtime::door::{Fd, MapInfo};
use uapi::{Errno, MapType};

use super::entry::{Entry, Shape};
use super::{holds_maps, is_per_cpu, wrong_use};
use crate::answer::{Answer, Done, Show};
use crate::fail::Fail;
use crate::session::Ctx;
use crate::words::{Words, is_prefix, number};
use crate::{handle, hex};

/// What stands after the map.
#[derive(Default)]
struct Element {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    flags: Option<u64>,
}

/// Which parts a command takes.
struct Wants {
    key: bool,
    value: bool,
    flags: bool,
}

/// `map lookup MAP [key DATA]`, `map peek MAP`.
pub(crate) fn lookup(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() < 2 {
        return Err(wrong_use());
    }
    let (fd, info) = handle::map_and_info(ctx, &mut words)?;
    let key = only_key(ctx, &mut words, &info)?;
    let door = ctx.door()?;
    let mut value = vec![0; door.user_value_size(&info.def)];
    match door.map_lookup(fd, &key, &mut value, 0) {
        Ok(()) => Ok(Answer::data(Entry { shape: Shape::new(ctx, info)?, key, value })),
        Err(Errno::ENOENT) => {
            Ok(Answer::data(NotFound { key }).ends(Some(Fail::silent(-Errno::ENOENT.0))))
        }
        Err(errno) => Err(Fail::errno("lookup failed", errno)),
    }
}

/// `map update MAP [key DATA] [value VALUE] [FLAG]`, `map push`, `map enqueue`.
pub(crate) fn update(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() < 2 {
        return Err(wrong_use());
    }
    let (fd, info) = handle::map_and_info(ctx, &mut words)?;
    let wants = Wants { key: info.def.key_size != 0, value: true, flags: true };
    let element = parse(ctx, &mut words, &info, wants)?;
    let door = ctx.door()?;
    let key = element.key.unwrap_or_default();
    let value = element.value.unwrap_or_default();
    let done = door.map_update(fd, &key, &value, element.flags.unwrap_or(0));
    done.map_err(|errno| Fail::errno("update failed", errno))?;
    Ok(Answer::null())
}

/// `map delete MAP key DATA`.
pub(crate) fn delete(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() < 2 {
        return Err(wrong_use());
    }
    let (fd, info) = handle::map_and_info(ctx, &mut words)?;
    let key = only_key(ctx, &mut words, &info)?;
    let done = ctx.door()?.map_delete(fd, &key);
    done.map_err(|errno| Fail::errno("delete failed", errno))?;
    Ok(Answer::null())
}

/// `map getnext MAP [key DATA]`.
pub(crate) fn getnext(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() < 2 {
        return Err(wrong_use());
    }
    let (fd, info) = handle::map_and_info(ctx, &mut words)?;
    let key = if words.is_empty() { None } else { Some(only_key(ctx, &mut words, &info)?) };
    let mut next = vec![0; info.def.key_size as usize];
    let done = ctx.door()?.map_next_key(fd, key.as_deref(), &mut next);
    done.map_err(|errno| Fail::errno("can't get next key", errno))?;
    Ok(Answer::data(NextKey { key, next }))
}

/// `map pop MAP`, `map dequeue MAP`.
pub(crate) fn take(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() < 2 {
        return Err(wrong_use());
    }
    let (fd, info) = handle::map_and_info(ctx, &mut words)?;
    let door = ctx.door()?;
    let mut value = vec![0; door.user_value_size(&info.def)];
    match door.map_take(fd, &[], &mut value, 0) {
        Ok(()) => Ok(Answer::data(Entry { shape: Shape::new(ctx, info)?, key: Vec::new(), value })),
        Err(Errno::ENOENT) => Ok(Answer::data(Empty).ends(Some(Fail::silent(-Errno::ENOENT.0)))),
        Err(errno) => Err(Fail::errno("pop failed", errno)),
    }
}

fn only_key(ctx: &Ctx<'_>, words: &mut Words<'_>, info: &MapInfo) -> Result<Vec<u8>, Fail> {
    let wants = Wants { key: info.def.key_size != 0, value: false, flags: false };
    Ok(parse(ctx, words, info, wants)?.key.unwrap_or_default())
}

/// Reads `key …`, `value …` and a flag, in any order.
fn parse(
    ctx: &Ctx<'_>,
    words: &mut Words<'_>,
    info: &MapInfo,
    wants: Wants,
) -> Result<Element, Fail> {
    let mut element = Element::default();
    let def = &info.def;
    while let Some(word) = words.peek() {
        if is_prefix(word, "key") {
            if !wants.key || element.key.is_some() {
                let what = if def.key_size != 0 { "duplicate key" } else { "unnecessary key" };
                return Err(Fail::new(what));
            }
            words.next();
            element.key = Some(bytes(words, "key", def.key_size as usize)?);
        } else if is_prefix(word, "value") {
            if !wants.value || element.value.is_some() {
                let what =
                    if def.value_size != 0 { "duplicate value" } else { "unnecessary value" };
                return Err(Fail::new(what));
            }
            words.next();
            element.value = Some(value(ctx, words, info)?);
        } else if let Some(flag) = wants.flags.then(|| flag(word)).flatten() {
            if element.flags.is_some() {
                return Err(Fail::new(format!("flags specified multiple times: {word}")));
            }
            words.next();
            element.flags = Some(flag);
        } else {
            return Err(Fail::new(format!("expected key or value, got: {word}")));
        }
    }
    match (wants.key && element.key.is_none(), wants.value && element.value.is_none()) {
        (true, _) => Err(Fail::new("did not find key")),
        (_, true) => Err(Fail::new("did not find value")),
        _ => Ok(element),
    }
}

fn flag(word: &str) -> Option<u64> {
    const FLAGS: [(&str, u64); 3] = [("any", 0), ("noexist", 1), ("exist", 2)];
    FLAGS.iter().find(|flag| is_prefix(word, flag.0)).map(|flag| flag.1)
}

/// So many bytes, each a word.
fn bytes(words: &mut Words<'_>, name: &str, size: usize) -> Result<Vec<u8>, Fail> {
    let base = if words.eat("hex") { 16 } else { 0 };
    let mut bytes = Vec::new();
    while bytes.len() < size {
        let Some(word) = words.next() else {
            let got = bytes.len();
            return Err(Fail::new(format!("{name} expected {size} bytes got {got}")));
        };
        match number(word, base) {
            Some(value) => bytes.push(value as u8),
            None => return Err(Fail::new(format!("error parsing byte: {word}"))),
        }
    }
    Ok(bytes)
}

/// Reads how an object is named, and opens it.
type Open = fn(&Ctx<'_>, &mut Words<'_>) -> Result<Fd, Fail>;

/// Bytes, or the object that an element refers to.
fn value(ctx: &Ctx<'_>, words: &mut Words<'_>, info: &MapInfo) -> Result<Vec<u8>, Fail> {
    let def = &info.def;
    let object: Option<Open> = match def.map_type {
        map_type if holds_maps(map_type) => Some(handle::map),
        MapType::ProgArray => Some(handle::prog),
        _ => None,
    };
    if let Some(open) = object {
        if words.len() < 2 {
            let what = if holds_maps(def.map_type) { "map in map" } else { "map of progs" };
            return Err(Fail::new(format!("not enough value arguments for {what}")));
        }
        return Ok(open(ctx, words)?.0.to_le_bytes().to_vec());
    }
    let one = bytes(words, "value", def.value_size as usize)?;
    if !is_per_cpu(def.map_type) {
        return Ok(one);
    }
    let mut padded = one;
    padded.resize(padded.len().next_multiple_of(8), 0);
    Ok(padded.repeat(ctx.door()?.possible_cpus() as usize))
}

/// A key without an element.
struct NotFound {
    key: Vec<u8>,
}

impl Show for NotFound {
    fn plain(&self, out: &mut Vec<u8>) {
        let text = format!("key:\n{}\n\nNot found\n", hex::dump(&self.key));
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        out.raw(format_args!("null"));
    }
}

/// A queue or stack without elements.
struct Empty;

impl Show for Empty {
    fn plain(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Error: empty map\n");
    }

    fn json(&self, out: &mut JsonText) {
        out.raw(format_args!("null"));
    }
}

struct NextKey {
    key: Option<Vec<u8>>,
    next: Vec<u8>,
}

impl Show for NextKey {
    fn plain(&self, out: &mut Vec<u8>) {
        let key = match &self.key {
            Some(key) => format!("key:\n{}\n", hex::dump(key)),
            None => "key: None\n".to_owned(),
        };
        let text = format!("{key}next key:\n{}\n", hex::dump(&self.next));
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_object();
        out.name("key");
        match &self.key {
            Some(key) => hex::json(key, out),
            None => out.raw(format_args!("null")),
        }
        out.name("next_key");
        hex::json(&self.next, out);
        out.end_object();
    }
}
