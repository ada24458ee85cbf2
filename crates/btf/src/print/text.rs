//! Text laid out as bpftool's JSON writer does, compact or indented.

use std::fmt::{self, Write};

use super::walk::{Group, Scalar, Sink};

/// How values and layout look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Newlines and indents of four spaces.
    pub indented: bool,
    /// Hexadecimal without quotes, pointers in hexadecimal: not quite JSON.
    pub plain: bool,
    /// In plain form, pointers are quoted all the same (seen in bpftool 7.8, not in 7.1).
    pub quoted_pointers: bool,
}

impl Form {
    /// `bpftool -j`.
    pub const COMPACT: Form = Form { indented: false, plain: false, quoted_pointers: false };
    /// `bpftool -p`.
    pub const PRETTY: Form = Form { indented: true, plain: false, quoted_pointers: false };
    /// `bpftool` without `-j`, current versions.
    pub const PLAIN: Form = Form { indented: true, plain: true, quoted_pointers: true };
    /// `bpftool` 7.1 without `-j`.
    pub const PLAIN_OLD: Form = Form { indented: true, plain: true, quoted_pointers: false };
}

/// A text writer with the layout of bpftool's: `"name": value`, `[{`, a newline before each close.
#[derive(Debug, Clone)]
pub struct JsonText {
    form: Form,
    text: String,
    depth: usize,
    /// Whether a value precedes at this level, so that the next one needs a comma.
    follows: bool,
}

impl JsonText {
    /// An empty text.
    #[must_use]
    pub fn new(form: Form) -> JsonText {
        JsonText { form, text: String::new(), depth: 0, follows: false }
    }

    /// The text so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The finished text, without a newline at its end.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }

    /// Opens `{`.
    pub fn begin_object(&mut self) {
        self.open('{');
    }

    /// Closes `}`.
    pub fn end_object(&mut self) {
        self.close('}');
    }

    /// Opens `[`.
    pub fn begin_array(&mut self) {
        self.open('[');
    }

    /// Closes `]`.
    pub fn end_array(&mut self) {
        self.close(']');
    }

    /// The name of the next value of an object.
    pub fn name(&mut self, name: &str) {
        self.separate();
        self.newline();
        self.follows = false;
        self.quote(name);
        self.text.push_str(if self.form.indented { ": " } else { ":" });
    }

    /// A quoted string.
    pub fn string(&mut self, text: &str) {
        self.separate();
        self.quote(text);
    }

    /// A value as it stands: a number, `true`, or text quoted by the caller.
    pub fn raw(&mut self, value: fmt::Arguments<'_>) {
        self.separate();
        // Writing to a String does not fail.
        let _ = self.text.write_fmt(value);
    }

    fn open(&mut self, bracket: char) {
        self.separate();
        self.text.push(bracket);
        self.depth += 1;
        self.follows = false;
    }

    fn close(&mut self, bracket: char) {
        self.depth = self.depth.saturating_sub(1);
        if self.follows {
            self.newline();
        }
        self.text.push(bracket);
        self.follows = true;
    }

    fn separate(&mut self) {
        if self.follows {
            self.text.push(',');
        }
        self.follows = true;
    }

    fn newline(&mut self) {
        if self.form.indented {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n("    ", self.depth));
        }
    }

    fn quote(&mut self, text: &str) {
        self.text.push('"');
        for character in text.chars() {
            match character {
                '\t' => self.text.push_str("\\t"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\u{c}' => self.text.push_str("\\f"),
                '\u{8}' => self.text.push_str("\\b"),
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                other if other < ' ' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(other));
                }
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    fn char(&mut self, byte: u8) {
        match byte {
            0x20..=0x7e => self.string(char::from(byte).encode_utf8(&mut [0; 4])),
            _ if self.form.plain => self.raw(format_args!("{byte:#x}")),
            _ => self.raw(format_args!("\"\\u00{byte:02x}\"")),
        }
    }

    fn pointer(&mut self, address: u64) {
        let Form { plain, quoted_pointers, .. } = self.form;
        match (plain, quoted_pointers, address) {
            (false, ..) => self.raw(format_args!("{address}")),
            (true, false, 0) => self.raw(format_args!("(nil)")),
            (true, true, 0) => self.raw(format_args!("\"(nil)\"")),
            (true, false, _) => self.raw(format_args!("{address:#x}")),
            (true, true, _) => self.raw(format_args!("\"{address:#x}\"")),
        }
    }

    fn float(&mut self, is_finite: bool, number: fmt::Arguments<'_>) {
        if is_finite { self.raw(number) } else { self.raw(format_args!("\"{number}\"")) }
    }
}

impl Sink for JsonText {
    fn begin(&mut self, group: Group) {
        match group {
            Group::Object => self.begin_object(),
            Group::Array => self.begin_array(),
        }
    }

    fn end(&mut self, group: Group) {
        match group {
            Group::Object => self.end_object(),
            Group::Array => self.end_array(),
        }
    }

    fn name(&mut self, name: &str) {
        JsonText::name(self, name);
    }

    fn scalar(&mut self, scalar: Scalar<'_>) {
        match scalar {
            Scalar::Unsigned(number) => self.raw(format_args!("{number}")),
            Scalar::Signed(number) => self.raw(format_args!("{number}")),
            Scalar::Bool(value) => self.raw(format_args!("{value}")),
            Scalar::Char(byte) => self.char(byte),
            Scalar::Hex(number) if self.form.plain => self.raw(format_args!("{number:#x}")),
            Scalar::Hex(number) => self.raw(format_args!("\"{number:#x}\"")),
            Scalar::Pointer(address) => self.pointer(address),
            Scalar::Text(text) => self.string(text),
            Scalar::Float(number) => self.float(number.is_finite(), format_args!("{number}")),
            Scalar::Float32(number) => self.float(number.is_finite(), format_args!("{number}")),
            Scalar::Note(note) if self.form.plain => self.raw(format_args!("{note}")),
            Scalar::Note(note) => self.string(note),
        }
    }
}
