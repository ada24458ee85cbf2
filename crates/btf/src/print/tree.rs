//! The sink that builds a `serde_json::Value`.

use serde_json::{Map, Number, Value};

use super::walk::{Group, Scalar, Sink};

/// An unfinished value: open groups, outermost first.
#[derive(Default)]
pub(crate) struct Tree {
    open: Vec<Open>,
    done: Value,
}

enum Open {
    Object { fields: Map<String, Value>, name: String },
    Array(Vec<Value>),
}

impl Tree {
    pub(crate) fn into_value(self) -> Value {
        self.done
    }

    fn push(&mut self, value: Value) {
        match self.open.last_mut() {
            Some(Open::Object { fields, name }) => {
                fields.insert(std::mem::take(name), value);
            }
            Some(Open::Array(items)) => items.push(value),
            None => self.done = value,
        }
    }
}

impl Sink for Tree {
    fn begin(&mut self, group: Group) {
        self.open.push(match group {
            Group::Object => Open::Object { fields: Map::new(), name: String::new() },
            Group::Array => Open::Array(Vec::new()),
        });
    }

    fn end(&mut self, _: Group) {
        let value = match self.open.pop() {
            Some(Open::Object { fields, .. }) => Value::Object(fields),
            Some(Open::Array(items)) => Value::Array(items),
            None => return,
        };
        self.push(value);
    }

    fn name(&mut self, new: &str) {
        if let Some(Open::Object { name, .. }) = self.open.last_mut() {
            new.clone_into(name);
        }
    }

    fn scalar(&mut self, scalar: Scalar<'_>) {
        self.push(match scalar {
            Scalar::Unsigned(number) | Scalar::Pointer(number) => number.into(),
            Scalar::Signed(number) => number.into(),
            Scalar::Bool(value) => value.into(),
            Scalar::Char(byte) => char::from(byte).to_string().into(),
            Scalar::Hex(number) => format!("{number:#x}").into(),
            Scalar::Text(text) => text.into(),
            Scalar::Note(note) => note.into(),
            Scalar::Float(number) => float(number, number.to_string()),
            // Through its shortest text, so that 0.1 does not become 0.10000000149.
            Scalar::Float32(number) => {
                float(number.to_string().parse().unwrap_or(f64::NAN), number.to_string())
            }
        });
    }
}

/// A number where JSON has one, else (infinities, NaN) its name.
fn float(number: f64, text: String) -> Value {
    Number::from_f64(number).map_or(Value::String(text), Value::Number)
}
