//! Records that programs send to user space: ring buffers and perf buffers alike.

use std::sync::Arc;

use btf::{Btf, Kind, TypeId};
use runtime::door::Fd;
use serde_json::Value;
use uapi::MapType;

use crate::{Error, Loaded};

/// The buffers of an object.
pub struct Records<'a> {
    loaded: &'a Loaded,
    buffers: Vec<Buffer>,
    types: Types,
}

struct Buffer {
    name: Arc<str>,
    fd: Fd,
    ring: bool,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The buffer it came through.
    pub map: Arc<str>,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// Structures that records may be.
#[derive(Clone, Default)]
struct Types {
    btf: Option<Btf>,
    known: Vec<(TypeId, String, usize)>,
}

impl Types {
    fn new(btf: Option<&Btf>) -> Types {
        let Some(btf) = btf else { return Types::default() };
        let known = btf.own_types().filter(|ty| ty.kind == Kind::Struct && is_record(ty.name));
        let known = known
            .map(|ty| (ty.id, ty.name.to_owned(), btf.size_of(ty.id).unwrap_or(0) as usize))
            .collect();
        Types { btf: Some(btf.clone()), known }
    }

    /// The structure of a record of so many bytes: of its very size, or the one larger structure
    /// whose end was not sent.
    fn of(&self, size: usize) -> Option<&(TypeId, String, usize)> {
        let exact = self.known.iter().find(|(.., known)| *known == size);
        let mut larger = self.known.iter().filter(|(.., known)| *known > size);
        exact.or_else(|| larger.next().filter(|_| larger.next().is_none()))
    }
}

/// Whether a structure's name says that it is a record: `event`, `exec_event`, `event_t`.
fn is_record(name: &str) -> bool {
    let name = name.strip_suffix("_t").unwrap_or(name);
    name == "event" || (name.ends_with("_event") && !KERNEL.contains(&name))
}

/// Structures of Linux that objects may carry.
const KERNEL: &[&str] = &["perf_event", "hw_perf_event"];

impl<'a> Records<'a> {
    pub(crate) fn new(loaded: &'a Loaded) -> Result<Records<'a>, Error> {
        let mut buffers = Vec::new();
        for map in loaded.maps() {
            let kind = map.def()?.map_type;
            let ring = kind == MapType::Ringbuf;
            if ring || kind == MapType::PerfEventArray {
                buffers.push(Buffer { name: map.name().into(), fd: map.fd(), ring });
            }
        }
        Ok(Records { loaded, buffers, types: Types::new(loaded.btf()) })
    }

    /// Finds the types of records in this BTF rather than in the object's.
    pub fn set_types(&mut self, btf: &Btf) {
        self.types = Types::new(Some(btf));
    }

    /// Whether there is any buffer.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Hands every record that has come to `each`.
    pub fn take(&self, each: &mut dyn FnMut(Record)) {
        let runtime = self.loaded.runtime();
        for Buffer { name, fd, ring } in &self.buffers {
            // The map is of the type that the call wants.
            if *ring {
                let _ = runtime.ringbuf_consume(*fd, &mut |data| {
                    each(Record { map: name.clone(), data: data.to_vec() });
                    true
                });
            } else {
                for record in runtime.take_perf(*fd).unwrap_or_default() {
                    each(Record { map: name.clone(), data: record.data });
                }
            }
        }
    }

    /// The name of the structure that a record is, and its fields in order; `None` if the object
    /// does not tell.
    pub fn fields(&self, record: &Record) -> Option<(&str, serde_json::Map<String, Value>)> {
        let (id, name, size) = self.types.of(record.data.len())?;
        let mut bytes = record.data.clone();
        // What was not sent is zero.
        bytes.resize((*size).max(bytes.len()), 0);
        match btf::print::value(self.types.btf.as_ref()?, *id, &bytes).ok()? {
            Value::Object(fields) => Some((name, fields)),
            _ => None,
        }
    }
}
