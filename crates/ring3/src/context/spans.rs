//! Contexts that point to bytes by a start and an end.

use serde_json::{Map, Value};

use super::memory::{Memory, Typed};
use super::value::{bytes, member, wrong};
use super::{ContextError, Path};

/// Bytes between two members of a context.
pub(super) struct Span {
    structure: &'static str,
    pub(super) start: &'static str,
    pub(super) end: &'static str,
    /// The member that says how many there are.
    len: &'static str,
}

const SPANS: [Span; 4] = [
    Span { structure: "sk_msg_md", start: "data", end: "data_end", len: "size" },
    Span { structure: "sk_reuseport_md", start: "data", end: "data_end", len: "len" },
    Span { structure: "bpf_sockopt", start: "optval", end: "optval_end", len: "optlen" },
    Span { structure: "bpf_sock_ops", start: "skb_data", end: "skb_data_end", len: "skb_len" },
];

impl Span {
    pub(super) fn of(structure: &str) -> Option<&'static Span> {
        SPANS.iter().find(|span| span.structure == structure)
    }

    /// Lays the bytes out and sets the members, unless the document sets them itself.
    pub(super) fn write(
        &self,
        memory: &mut Memory,
        ty: &Typed,
        fields: &Map<String, Value>,
        data: Option<&[u8]>,
        path: &Path,
    ) -> Result<(), ContextError> {
        let path = path.field(self.start);
        let content = match (fields.get(self.start), data) {
            (Some(value), _) => content(value, &path)?,
            (None, Some(data)) => data.to_vec(),
            (None, None) => Vec::new(),
        };
        let at = memory.allocate(content.len(), &path)?;
        memory.put(at, &content);
        let place =
            |name| member(ty, name, 4).map(|m| super::memory::CONTEXT + m.bit_offset as usize / 8);
        let (Some(start), Some(end)) = (place(self.start), place(self.end)) else { return Ok(()) };
        memory.point(start, at);
        memory.point(end, at + content.len());
        if let (Some(len), false) = (place(self.len), fields.contains_key(self.len)) {
            memory.put(len, &(content.len() as u32).to_le_bytes());
        }
        memory.set_span(at, content.len(), self.start);
        memory.is_message = self.structure == "sk_msg_md";
        Ok(())
    }
}

/// Bytes out of a text or a list of numbers.
pub(super) fn content(value: &Value, path: &Path) -> Result<Vec<u8>, ContextError> {
    match value {
        Value::String(text) => Ok(text.clone().into_bytes()),
        Value::Array(values) => bytes(values, path),
        _ => Err(wrong(path, "a text or a list of bytes", value)),
    }
}
