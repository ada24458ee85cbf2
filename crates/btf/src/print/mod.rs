//! Printing a value of a BTF type, in the forms of `bpftool map dump`.
//!
//! One walk over type and bytes (`walk`) feeds one of two sinks: a `serde_json::Value`, or text
//! laid out byte for byte as bpftool's JSON writer does ([`JsonText`]).

mod show;
mod text;
mod tree;
mod walk;

use serde_json::Value;

pub use show::show;
pub use text::{Form, JsonText};

use crate::blob::Btf;
use crate::error::BtfError;
use crate::ty::TypeId;

/// The value of type `id` in `bytes` as JSON, with the numbers and strings `bpftool -j` prints.
///
/// Where bpftool's text repeats a name in one object (two anonymous members), the last one stays,
/// as with other readers of JSON.
pub fn value(btf: &Btf, id: TypeId, bytes: &[u8]) -> Result<Value, BtfError> {
    let mut tree = tree::Tree::default();
    walk::walk(btf, id, bytes, &mut tree)?;
    Ok(tree.into_value())
}

/// Appends the value of type `id` in `bytes` to text that may already hold what surrounds it.
pub fn write(btf: &Btf, id: TypeId, bytes: &[u8], out: &mut JsonText) -> Result<(), BtfError> {
    walk::walk(btf, id, bytes, out)
}

/// The value of type `id` in `bytes` as `bpftool map dump` prints it without `-j`.
pub fn plain(btf: &Btf, id: TypeId, bytes: &[u8]) -> Result<String, BtfError> {
    let mut text = JsonText::new(Form::PLAIN);
    write(btf, id, bytes, &mut text)?;
    Ok(text.into_string())
}
