//! `map dump`.

use btf::print::{Form, JsonText};
use uapi::Errno;

use super::contents::{self, Element};
use super::entry::Shape;
use super::show::{header, header_json};
use super::wrong_use;
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
        let shape = Shape::new(ctx, info)?;
        let (elements, why) = contents::read(ctx.door()?, *fd, &shape.info.def);
        maps.push(Contents { shape, elements });
        if let Some(errno) = why {
            end = Some(Fail::silent(-errno.0));
            break;
        }
    }
    Ok(Answer::data(Dump { maps }).ends(end))
}

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
