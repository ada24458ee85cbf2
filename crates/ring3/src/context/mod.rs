//! Contexts from JSON: what a program of any type is run on, by the names that BTF gives it.
//!
//! [`Given::new`] lays the context out in memory, and all that its pointers lead to, as the types of
//! the kernel say; [`Given::changed`] tells afterwards which fields the program changed. Which type a
//! context has is decided in `shape`; values are written in `memory` and read again in `changed`.

mod changed;
mod error;
mod memory;
mod path;
mod regs;
mod shape;
mod spans;
mod value;

use std::sync::Arc;

use btf::{Btf, TypeId};
use runtime::door::{GivenCtx, TestRun};
use serde_json::Value;
use uapi::ProgType;

pub use error::ContextError;
use memory::Memory;
use path::Path;
use shape::Shape;

/// The program that a context is for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its type.
    pub prog_type: ProgType,
    /// `enum bpf_attach_type`, 0 where the type has none.
    pub attach_type: u32,
    /// Its target in the kernel's BTF, 0 for none.
    pub attach_btf_id: u32,
    /// Its section's name, where there is one: it tells a tracepoint's name.
    pub section: String,
    /// The FUNC of the program in its own BTF.
    pub function: Option<TypeId>,
    /// The program's own types.
    pub own: Option<Arc<Btf>>,
    /// The kernel's types.
    pub kernel: Option<Arc<Btf>>,
}

/// A context as the runtime takes it, and what is known of its bytes.
pub struct Given {
    /// For the test run.
    pub ctx: GivenCtx,
    /// The packet, for types that run on one and were given one in the JSON.
    pub packet: Option<Vec<u8>>,
    memory: Memory,
}

/// The largest document that is read, in bytes.
pub const MAX_JSON: usize = 1 << 20;

impl Given {
    /// Lays out the context that `json` describes for a program; `data` is what the bytes of a
    /// context are (a message, an option's value), where it has any.
    pub fn new(subject: &Subject, json: &str, data: Option<&[u8]>) -> Result<Given, ContextError> {
        if json.len() > MAX_JSON {
            return Err(ContextError::Json(format!("more than {MAX_JSON} bytes")));
        }
        let value: Value =
            serde_json::from_str(json).map_err(|error| ContextError::Json(error.to_string()))?;
        let shape = Shape::of(subject)?;
        let mut memory = Memory::new(subject);
        let packet = shape.write(subject, &mut memory, &value, data)?;
        Ok(Given { ctx: memory.given(), packet, memory })
    }

    /// The same of a context's plain bytes.
    pub fn bytes(subject: &Subject, bytes: &[u8]) -> Result<Given, ContextError> {
        let mut memory = Memory::new(subject);
        let at = memory.allocate(bytes.len(), &Path::root())?;
        memory.put(at, bytes);
        Ok(Given { ctx: memory.given(), packet: None, memory })
    }

    /// The fields that differ in `after`, the memory that came back: members by name, members of
    /// structures behind pointers too.
    pub fn changed(&self, after: &[u8]) -> Value {
        changed::changed(&self.memory, &self.ctx.memory, after)
    }

    /// The test run on it, with a packet for the types that have one: `data`, the document's own, or
    /// 64 zero bytes.
    pub fn request(&self, subject: &Subject, data: Option<&[u8]>) -> TestRun {
        let packet = data.or(self.packet.as_deref()).unwrap_or(&[0; 64]);
        let data_in = has_packet(subject.prog_type).then(|| packet.to_vec());
        TestRun { data_in, given: Some(self.ctx.clone()), ..TestRun::default() }
    }

    /// The context's own bytes in `after`.
    pub fn context<'a>(&self, after: &'a [u8]) -> &'a [u8] {
        after.get(memory::CONTEXT..memory::CONTEXT + self.memory.context_size()).unwrap_or(&[])
    }
}

/// Whether a context of this type stands for a packet.
fn has_packet(prog_type: ProgType) -> bool {
    let variant = uapi::prog_variant(prog_type, 0, false);
    let structure = variant.and_then(|variant| variant.ctx).map_or("", |table| table.structure);
    matches!(structure, "__sk_buff" | "xdp_md")
}

/// What a value that a program returned means to Linux; `None` where it is just a number.
pub fn meaning(prog_type: ProgType, attach_type: u32, value: u32) -> Option<String> {
    crate::action::meaning(Some(prog_type), attach_type, value)
}

/// Whether Linux runs programs of this type by BPF_PROG_TEST_RUN on what it is given; programs on
/// functions run on its own.
pub fn linux_runs(prog_type: ProgType, attach_type: u32) -> bool {
    if prog_type == ProgType::Tracing {
        return false;
    }
    uapi::prog_variant(prog_type, attach_type, false).is_some_and(|variant| variant.test_run)
}
