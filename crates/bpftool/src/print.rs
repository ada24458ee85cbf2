//! Answers as text or JSON.

use btf::print::JsonText;

use crate::answer::{Body, Done};
use crate::fail::Fail;
use crate::help;
use crate::options::Options;

/// Collects what goes to standard output and standard error.
pub(crate) struct Printer {
    json: Option<JsonText>,
    out: Vec<u8>,
    err: String,
    name: String,
}

impl Printer {
    pub(crate) fn new(options: &Options) -> Printer {
        Printer {
            json: options.json.then(|| JsonText::new(options.form())),
            out: Vec::new(),
            err: String::new(),
            name: options.name.clone(),
        }
    }

    /// The JSON writer, if JSON is what is written.
    pub(crate) fn json(&mut self) -> Option<&mut JsonText> {
        self.json.as_mut()
    }

    /// Adds lines for people only.
    pub(crate) fn info(&mut self, text: &str) {
        if self.json.is_none() {
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    /// Shows a command's result; what the command returns.
    pub(crate) fn show(&mut self, done: Done) -> i32 {
        let answer = match done {
            Ok(answer) => answer,
            Err(fail) => return self.fail(&fail),
        };
        match answer.body {
            Body::None => {}
            Body::Null => self.null(),
            Body::Help(usage) => self.help(usage),
            Body::Data(data) => match &mut self.json {
                Some(json) => data.json(json),
                None => data.plain(&mut self.out),
            },
        }
        answer.fail.map_or(0, |fail| self.fail(&fail))
    }

    fn null(&mut self) {
        if let Some(json) = &mut self.json {
            json.raw(format_args!("null"));
        }
    }

    fn help(&mut self, noun: Option<&str>) {
        match &mut self.json {
            Some(json) => json.raw(format_args!("null")),
            None => self.err.push_str(&help::usage(&self.name, noun)),
        }
    }

    fn fail(&mut self, fail: &Fail) -> i32 {
        self.err.push_str(&fail.before);
        for error in &fail.errors {
            match &mut self.json {
                Some(json) => {
                    json.begin_object();
                    json.name("error");
                    json.string(error);
                    json.end_object();
                }
                None => {
                    self.err.push_str("Error: ");
                    self.err.push_str(error);
                    self.err.push('\n');
                }
            }
        }
        match (fail.usage, fail.null) {
            (Some(noun), true) => self.help(noun),
            (Some(noun), false) => self.err.push_str(&help::usage(&self.name, noun)),
            (None, true) => self.null(),
            (None, false) => {}
        }
        fail.code
    }

    /// Standard output and standard error.
    pub(crate) fn finish(mut self) -> (Vec<u8>, String) {
        if let Some(json) = self.json {
            self.out.extend_from_slice(json.into_string().as_bytes());
            self.out.push(b'\n');
        }
        (self.out, self.err)
    }
}
