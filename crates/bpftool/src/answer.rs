//! What a command gives back: data, and how it ended.

use btf::print::JsonText;

use crate::fail::Fail;

/// Data that can be shown as bpftool shows them.
pub(crate) trait Show {
    /// Text for people.
    fn plain(&self, out: &mut Vec<u8>);
    /// The same as JSON.
    fn json(&self, out: &mut JsonText);
}

/// The result of a command that was carried out, at least in part.
pub(crate) struct Answer {
    pub(crate) body: Body,
    /// What went wrong after the data.
    pub(crate) fail: Option<Fail>,
}

/// What there is to show.
pub(crate) enum Body {
    /// Nothing.
    None,
    /// Nothing in text, `null` in JSON.
    Null,
    /// Data.
    Data(Box<dyn Show>),
    /// Help: standard error in text, `null` in JSON.
    Help(Option<&'static str>),
}

/// What a command returns.
pub(crate) type Done = Result<Answer, Fail>;

impl Answer {
    /// Done, nothing to show.
    pub(crate) fn null() -> Answer {
        Answer { body: Body::Null, fail: None }
    }

    /// Done, nothing to show even in JSON.
    pub(crate) fn none() -> Answer {
        Answer { body: Body::None, fail: None }
    }

    /// Data to show.
    pub(crate) fn data(data: impl Show + 'static) -> Answer {
        Answer { body: Body::Data(Box::new(data)), fail: None }
    }

    /// The same with an end that is no success.
    pub(crate) fn ends(mut self, fail: Option<Fail>) -> Answer {
        self.fail = fail;
        self
    }
}

/// Bytes that are the same in either form.
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Show for Raw {
    fn plain(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn json(&self, out: &mut JsonText) {
        out.raw(format_args!("{}", String::from_utf8_lossy(&self.0)));
    }
}
