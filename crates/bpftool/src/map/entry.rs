//! One element as text or JSON, with the map's types where it has some.

use std::sync::Arc;

use btf::print::{self, Form, JsonText};
use btf::{Btf, TypeId};
use runtime::door::MapInfo;

use super::{holds_maps, is_per_cpu};
use crate::answer::Show;
use crate::fail::Fail;
use crate::hex;
use crate::prog::number;
use crate::proto;
use crate::session::Ctx;

/// Names stand on lines of their own before so many bytes.
const LONG: u32 = 16;
/// Key and value stand on one line up to so many bytes.
const ONE_LINE: u32 = 24;

/// How a map's elements are shown.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) info: MapInfo,
    pub(crate) btf: Option<Arc<Btf>>,
}

impl Shape {
    pub(crate) fn new(ctx: &Ctx<'_>, info: MapInfo) -> Result<Shape, Fail> {
        let door = ctx.door()?;
        // The kernel's own types are behind id 1.
        let id = if info.def.btf_vmlinux_value_type_id != 0 { 1 } else { info.btf_id };
        let btf = proto::btf_of(door, id);
        Ok(Shape { info, btf })
    }

    /// Text of one element after another is a JSON array if there are types.
    pub(crate) fn is_typed(&self) -> bool {
        self.btf.is_some()
    }

    fn value_type(&self) -> TypeId {
        let def = &self.info.def;
        match def.btf_vmlinux_value_type_id {
            0 => TypeId(def.btf_value_type_id),
            id => TypeId(id),
        }
    }

    /// The values in `bytes`: one, or one for each CPU.
    fn values<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let size = self.info.def.value_size as usize;
        let step =
            if is_per_cpu(self.info.def.map_type) { size.next_multiple_of(8) } else { bytes.len() };
        bytes.chunks(step.max(1)).map(move |value| &value[..size.min(value.len())])
    }

    /// The element with names and types.
    pub(crate) fn typed(&self, key: &[u8], bytes: &[u8], out: &mut JsonText) {
        let Some(btf) = &self.btf else { return };
        out.begin_object();
        let key_type = self.info.def.btf_key_type_id;
        if key_type != 0 {
            out.name("key");
            write(btf, TypeId(key_type), key, out);
        }
        if is_per_cpu(self.info.def.map_type) {
            out.name("values");
            out.begin_array();
            for (cpu, value) in self.values(bytes).enumerate() {
                out.begin_object();
                number(out, "cpu", cpu);
                out.name("value");
                write(btf, self.value_type(), value, out);
                out.end_object();
            }
            out.end_array();
        } else {
            out.name("value");
            write(btf, self.value_type(), bytes, out);
        }
        out.end_object();
    }

    /// The element as bytes, and with types if there are some.
    pub(crate) fn json(&self, key: &[u8], bytes: &[u8], out: &mut JsonText) {
        out.begin_object();
        out.name("key");
        hex::json(key, out);
        if is_per_cpu(self.info.def.map_type) {
            out.name("values");
            out.begin_array();
            for (cpu, value) in self.values(bytes).enumerate() {
                out.begin_object();
                number(out, "cpu", cpu);
                out.name("value");
                hex::json(value, out);
                out.end_object();
            }
            out.end_array();
        } else {
            out.name("value");
            hex::json(bytes, out);
            if holds_maps(self.info.def.map_type) {
                number(out, "inner_map_id", inner_id(bytes));
            }
        }
        if self.btf.is_some() {
            out.name("formatted");
            self.typed(key, bytes, out);
        }
        out.end_object();
    }

    /// The element as bytes in text.
    pub(crate) fn plain(&self, key: &[u8], bytes: &[u8]) -> String {
        let (key_size, value_size) = (self.info.def.key_size, self.info.def.value_size);
        if is_per_cpu(self.info.def.map_type) {
            return self.plain_per_cpu(key, bytes);
        }
        let long = key_size > LONG || value_size > LONG;
        let one_line = key_size.saturating_add(value_size) <= ONE_LINE && !long;
        let gap = if long { '\n' } else { ' ' };
        let mut out = String::new();
        if key_size != 0 {
            let end = if one_line { "  " } else { "\n" };
            out += &format!("key:{gap}{}{end}", hex::dump(key));
        }
        if value_size != 0 {
            if holds_maps(self.info.def.map_type) {
                out += &format!("inner_map_id:{gap}{} ", inner_id(bytes));
            } else {
                out += &format!("value:{gap}{}", hex::dump(bytes));
            }
        }
        out + "\n"
    }

    fn plain_per_cpu(&self, key: &[u8], bytes: &[u8]) -> String {
        let mut out = String::new();
        if self.info.def.key_size != 0 {
            out += &format!("key:\n{}\n", hex::dump(key));
        }
        let gap = if self.info.def.value_size > LONG { '\n' } else { ' ' };
        for (cpu, value) in self.values(bytes).enumerate() {
            out += &format!("value (CPU {cpu:02}):{gap}{}\n", hex::dump(value));
        }
        out
    }

    /// An element that cannot be read, in text.
    pub(crate) fn unreadable(&self, key: &[u8], why: &str) -> String {
        let long = self.info.def.key_size > LONG;
        let one_line = key.len() + why.len() <= ONE_LINE as usize && !long;
        let gap = if long { '\n' } else { ' ' };
        let end = if one_line { "  " } else { "\n" };
        format!("key:{gap}{}{end}value:{gap}{why}\n", hex::dump(key))
    }
}

fn inner_id(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// A value that its type does not fit is left empty.
fn write(btf: &Btf, id: TypeId, bytes: &[u8], out: &mut JsonText) {
    if print::write(btf, id, bytes, out).is_err() {
        out.raw(format_args!("null"));
    }
}

/// One element alone.
pub(crate) struct Entry {
    pub(crate) shape: Shape,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Show for Entry {
    fn plain(&self, out: &mut Vec<u8>) {
        if !self.shape.is_typed() {
            out.extend_from_slice(self.shape.plain(&self.key, &self.value).as_bytes());
            return;
        }
        let mut json = JsonText::new(Form::PLAIN);
        self.shape.typed(&self.key, &self.value, &mut json);
        out.extend_from_slice(json.into_string().as_bytes());
        out.push(b'\n');
    }

    fn json(&self, out: &mut JsonText) {
        self.shape.json(&self.key, &self.value, out);
    }
}
