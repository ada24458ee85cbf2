//! The contents of a map, by its BTF types, in the shape of `bpftool map dump`.

use std::fmt::Write;

use btf::print::{self, Form, JsonText};
use btf::{Btf, TypeId};
use runtime::door::{Bpf, Fd};
use serde_json::{Map as Object, Value};
use uapi::{Errno, MapDef};

/// One element: the key, and the value or one value for each CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// `key_size` bytes.
    pub key: Vec<u8>,
    /// One value; for per-CPU maps one for each CPU.
    pub values: Vec<Vec<u8>>,
}

/// What a map holds at one moment.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The map's attributes.
    pub def: MapDef,
    /// Elements in the map's own order.
    pub elements: Vec<Element>,
    /// Elements there are; more than `elements` has if a limit was given.
    pub total: usize,
}

/// Reads up to `limit` elements; maps that user space cannot list give none.
pub fn contents(door: &dyn Bpf, fd: Fd, limit: usize) -> Result<Contents, Errno> {
    let def = door.map_info(fd)?.def;
    let mut found = Contents { elements: Vec::new(), total: 0, def };
    let mut key = vec![0; found.def.key_size as usize];
    let mut value = vec![0; door.user_value_size(&found.def)];
    let mut before = None;
    // A program that changes the map meanwhile must not keep us here for ever.
    let most = (found.def.max_entries as usize).saturating_mul(2);
    while found.total <= most {
        match door.map_next_key(fd, before.as_deref(), &mut key) {
            Ok(()) => {}
            Err(Errno::ENOENT) => break,
            // Ring buffers and the like: nothing to list.
            Err(_) if before.is_none() => break,
            Err(errno) => return Err(errno),
        }
        if found.elements.len() < limit && door.map_lookup(fd, &key, &mut value, 0).is_ok() {
            let values = split(&found.def, &value);
            found.elements.push(Element { key: key.clone(), values });
        }
        found.total += 1;
        before = Some(key.clone());
    }
    Ok(found)
}

fn split(def: &MapDef, value: &[u8]) -> Vec<Vec<u8>> {
    let size = def.value_size as usize;
    if !maps::is_per_cpu(def.map_type) {
        return vec![value.to_vec()];
    }
    value.chunks(size.next_multiple_of(8).max(1)).map(|cpu| cpu[..size].to_vec()).collect()
}

impl Contents {
    /// Text as `bpftool map dump` prints it: by type where the map has BTF, hexadecimal otherwise.
    pub fn to_text(&self, btf: Option<&Btf>) -> String {
        let typed = btf.and_then(|btf| self.typed_text(btf).ok());
        typed.unwrap_or_else(|| self.hex_text())
    }

    /// The elements as `bpftool -j map dump` has them under `formatted`; hexadecimal bytes where
    /// the map has no BTF.
    pub fn to_json(&self, btf: Option<&Btf>) -> Value {
        let typed = btf.and_then(|btf| {
            let elements = self.elements.iter().map(|element| self.typed_json(btf, element));
            elements.collect::<Result<Vec<_>, _>>().ok()
        });
        let elements = typed.unwrap_or_else(|| self.elements.iter().map(hex_json).collect());
        Value::Array(elements)
    }

    fn types(&self) -> Option<(TypeId, TypeId)> {
        let def = &self.def;
        (def.btf_value_type_id != 0)
            .then_some((TypeId(def.btf_key_type_id), TypeId(def.btf_value_type_id)))
    }

    fn typed_text(&self, btf: &Btf) -> Result<String, NoTypes> {
        let (key, value) = self.types().ok_or(NoTypes)?;
        let mut out = JsonText::new(Form::PLAIN);
        out.begin_array();
        for element in &self.elements {
            out.begin_object();
            // Data sections have no type of key: bpftool leaves the key out.
            if key.0 != 0 {
                out.name("key");
                print::write(btf, key, &element.key, &mut out).map_err(|_| NoTypes)?;
            }
            if maps::is_per_cpu(self.def.map_type) {
                out.name("values");
                out.begin_array();
                for (cpu, bytes) in element.values.iter().enumerate() {
                    out.begin_object();
                    out.name("cpu");
                    out.raw(format_args!("{cpu}"));
                    out.name("value");
                    print::write(btf, value, bytes, &mut out).map_err(|_| NoTypes)?;
                    out.end_object();
                }
                out.end_array();
            } else {
                out.name("value");
                print::write(btf, value, &element.values[0], &mut out).map_err(|_| NoTypes)?;
            }
            out.end_object();
        }
        out.end_array();
        Ok(out.into_string() + "\n")
    }

    fn typed_json(&self, btf: &Btf, element: &Element) -> Result<Value, NoTypes> {
        let (key, value) = self.types().ok_or(NoTypes)?;
        let show = |id, bytes: &[u8]| print::value(btf, id, bytes).map_err(|_| NoTypes);
        let mut out = Object::new();
        if key.0 != 0 {
            out.insert("key".into(), show(key, &element.key)?);
        }
        if maps::is_per_cpu(self.def.map_type) {
            let cpus = element.values.iter().enumerate();
            let values = cpus.map(|(cpu, bytes)| {
                Ok(Value::Object(Object::from_iter([
                    ("cpu".into(), cpu.into()),
                    ("value".into(), show(value, bytes)?),
                ])))
            });
            out.insert("values".into(), Value::Array(values.collect::<Result<_, NoTypes>>()?));
        } else {
            out.insert("value".into(), show(value, &element.values[0])?);
        }
        Ok(Value::Object(out))
    }

    fn hex_text(&self) -> String {
        let mut out = String::new();
        for element in &self.elements {
            // Writing to a string cannot fail.
            let _ = write!(out, "key: {}", hex(&element.key));
            if let [value] = element.values.as_slice() {
                let _ = writeln!(out, "  value: {}", hex(value));
                continue;
            }
            for (cpu, value) in element.values.iter().enumerate() {
                let _ = write!(out, "\nvalue (CPU {cpu:02}): {}", hex(value));
            }
            out.push('\n');
        }
        let plural = if self.total == 1 { "" } else { "s" };
        let _ = writeln!(out, "Found {} element{plural}", self.total);
        out
    }
}

/// The map has no BTF, or one that does not fit its bytes: it is printed in hexadecimal.
struct NoTypes;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn hex_json(element: &Element) -> Value {
    let bytes = |bytes: &[u8]| {
        Value::Array(bytes.iter().map(|byte| format!("{byte:#04x}").into()).collect())
    };
    let mut out = Object::new();
    out.insert("key".into(), bytes(&element.key));
    match element.values.as_slice() {
        [value] => out.insert("value".into(), bytes(value)),
        values => {
            let values = values.iter().enumerate().map(|(cpu, value)| {
                Value::Object(Object::from_iter([
                    ("cpu".into(), cpu.into()),
                    ("value".into(), bytes(value)),
                ]))
            });
            out.insert("values".into(), Value::Array(values.collect()))
        }
    };
    Value::Object(out)
}
