//! `map create`.

use runtime::door::MapCreate;
use uapi::{MapDef, MapType};

use crate::answer::{Answer, Done};
use crate::fail::Fail;
use crate::session::Ctx;
use crate::words::{Words, number};
use crate::{handle, pins};

/// Words that are numbers, and how messages call them.
const NUMBERS: [(&str, &str); 4] =
    [("key", "key size"), ("value", "value size"), ("entries", "max entries"), ("flags", "flags")];

/// A type by the name that is shown for it.
fn map_type(word: &str) -> Option<MapType> {
    crate::feature::map_types().find(|found| ring3::map_type_name(*found) == word)
}

/// `map create PATH type TYPE …`.
pub(crate) fn create(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(7)?;
    let path = words.take()?;
    let mut asked_type = None;
    let mut name: Option<&str> = None;
    let mut numbers: [Option<u32>; 4] = [None; 4];
    let mut inner_map = None;
    while !words.is_empty() {
        words.need(2)?;
        let numbered = NUMBERS.iter().position(|row| words.clone().eat(row.0));
        if words.eat("type") {
            if asked_type.is_some() {
                return Err(Fail::new("map type already specified"));
            }
            let word = words.take()?;
            let found = map_type(word);
            asked_type =
                Some(found.ok_or_else(|| Fail::new(format!("unrecognized map type: {word}")))?);
        } else if words.eat("name") {
            name = Some(words.take()?);
        } else if let Some(at) = numbered {
            words.next();
            numbers[at] = Some(parse(&mut words, numbers[at], NUMBERS[at].1)?);
        } else if words.eat("inner_map") {
            inner_map = Some(handle::map(ctx, &mut words)?);
        } else if words.eat("offload_dev") || words.eat("dev") {
            return Err(Fail::new("maps on a device: Operation not supported"));
        } else {
            let word = words.peek().unwrap_or_default();
            return Err(Fail::new(format!("unknown arg {word}")));
        }
    }
    let name = name.ok_or(Fail::new("map name not specified"))?;
    let Some(map_type) = asked_type else { return Err(Fail::new("map type not specified")) };
    let [key, value, entries, flags] = numbers.map(|number| number.unwrap_or(0));
    let mut def = MapDef::new(map_type, key, value, entries);
    // Longer names are cut, as by libbpf.
    def.name = name.chars().take(15).collect();
    def.flags = flags;
    let door = ctx.door()?;
    let made = door.map_create(&MapCreate { def, btf: None, inner_map });
    let fd = ctx.keep(made.map_err(|errno| Fail::of("map create failed", errno))?);
    pins::pin(ctx, fd, path)?;
    Ok(Answer::null())
}

fn parse(words: &mut Words<'_>, before: Option<u32>, what: &str) -> Result<u32, Fail> {
    if before.is_some() {
        return Err(Fail::new(format!("{what} already specified")));
    }
    let word = words.take()?;
    let value =
        number(word, 0).ok_or_else(|| Fail::new(format!("can't parse {word} as {what}")))?;
    Ok(value as u32)
}
