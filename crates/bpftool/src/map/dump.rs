//! `map dump`.

use btf::print::{Form, JsonText};
use runtime::door::Fd;
use uapi::{Errno, MapType};

use super::entry::Shape;
use super::show::{header, header_json};
use super::{holds_maps, wrong_use};
use crate::answer::{Answer, Done, Show};
use crate::fail::{Fail, strerror};
use crate::prog::string;
use crate::session::Ctx;
use crate::words::Words;
use crate::{handle, hex};

/// `map dump MAP`.
pub(crate) fn dump(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    if words.len() != 2 {
        return Err(wrong_use());
    }
    let fds = handle::maps(ctx, &mut words)?;
    if fds.is_empty() {
        return Err(Fail::silent(-1));
    }
    let mut maps = Vec::new();
    let mut end = None;
    for fd in &fds {
        let info = handle::map_info(ctx, *fd)?;
        let (contents, why) = contents(ctx, *fd, Shape::new(ctx, info)?)?;
        maps.push(contents);
        if let Some(errno) = why {
            end = Some(Fail::silent(-errno.0));
            break;
        }
    }
    Ok(Answer::data(Dump { maps }).ends(end))
}

/// Reads every element; why it ended, if not for want of keys.
fn contents(ctx: &Ctx<'_>, fd: Fd, shape: Shape) -> Result<(Contents, Option<Errno>), Fail> {
    let door = ctx.door()?;
    let def = &shape.info.def;
    let mut key = vec![0; def.key_size as usize];
    let mut next = key.clone();
    let mut value = vec![0; door.user_value_size(def)];
    let quiet = holds_maps(def.map_type) || def.map_type == MapType::ProgArray;
    let mut elements = Vec::new();
    let mut first = true;
    let end = loop {
        let from = (!first).then_some(key.as_slice());
        match door.map_next_key(fd, from, &mut next) {
            Ok(()) => {}
            Err(Errno::ENOENT) => break None,
            Err(errno) => break Some(errno),
        }
        first = false;
        std::mem::swap(&mut key, &mut next);
        match door.map_lookup(fd, &key, &mut value, 0) {
            Ok(()) => elements.push((key.clone(), Ok(value.clone()))),
            // An empty slot is no element.
            Err(_) if quiet => {}
            Err(errno) => elements.push((key.clone(), Err(errno))),
        }
    };
    Ok((Contents { shape, elements }, end))
}

/// A key, and its value or why it cannot be read.
type Element = (Vec<u8>, Result<Vec<u8>, Errno>);

struct Contents {
    shape: Shape,
    elements: Vec<Element>,
}

struct Dump {
    maps: Vec<Contents>,
}

impl Contents {
    fn members(&self, out: &mut JsonText, typed: bool) {
        for (key, value) in &self.elements {
            match value {
                Ok(value) if typed => self.shape.typed(key, value, out),
                Ok(value) => self.shape.json(key, value, out),
                Err(_) if typed => {}
                Err(errno) => {
                    out.begin_object();
                    out.name("key");
                    hex::json(key, out);
                    out.name("value");
                    out.begin_object();
                    string(out, "error", &strerror(*errno));
                    out.end_object();
                    out.end_object();
                }
            }
        }
    }

    /// An array of elements; with what the map is, if there are several.
    fn array(&self, out: &mut JsonText, typed: bool, many: bool) {
        if many {
            out.begin_object();
            header_json(&self.shape.info, out);
            out.name("elements");
        }
        out.begin_array();
        self.members(out, typed);
        out.end_array();
        if many {
            out.end_object();
        }
    }

    fn bytes(&self, many: bool) -> String {
        let mut out = if many { header(&self.shape.info) } else { String::new() };
        let mut count = 0;
        for (key, value) in &self.elements {
            match value {
                Ok(value) => {
                    out += &self.shape.plain(key, value);
                    count += 1;
                }
                Err(Errno::ENOENT) => out += &self.shape.unreadable(key, "<no entry>"),
                Err(errno) => out += &self.shape.unreadable(key, &strerror(*errno)),
            }
        }
        let plural = if count == 1 { "" } else { "s" };
        out + &format!("Found {count} element{plural}\n")
    }
}

impl Show for Dump {
    fn plain(&self, out: &mut Vec<u8>) {
        let many = self.maps.len() > 1;
        if self.maps.iter().all(|map| map.shape.is_typed()) {
            let mut json = JsonText::new(Form::PLAIN);
            self.arrays(&mut json, true, many);
            out.extend_from_slice(json.into_string().as_bytes());
            out.push(b'\n');
            return;
        }
        for map in &self.maps {
            if map.shape.is_typed() {
                let mut json = JsonText::new(Form::PLAIN);
                map.array(&mut json, true, many);
                out.extend_from_slice(json.into_string().as_bytes());
                out.push(b'\n');
            } else {
                out.extend_from_slice(map.bytes(many).as_bytes());
            }
        }
    }

    fn json(&self, out: &mut JsonText) {
        self.arrays(out, false, self.maps.len() > 1);
    }
}

impl Dump {
    fn arrays(&self, out: &mut JsonText, typed: bool, many: bool) {
        if many {
            out.begin_array();
        }
        self.maps.iter().for_each(|map| map.array(out, typed, many));
        if many {
            out.end_array();
        }
    }
}
