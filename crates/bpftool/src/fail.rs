//! Why a command failed, in bpftool's words and with its exit status.

use uapi::Errno;

/// A command that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fail {
    /// What the command returns; the process' status is its low byte.
    pub(crate) code: i32,
    /// What libraries say before, line by line; standard error even in JSON.
    pub(crate) before: String,
    /// Messages, each after `Error: `.
    pub(crate) errors: Vec<String>,
    /// The help that is shown.
    pub(crate) usage: Option<Option<&'static str>>,
    /// JSON gets a `null`, and no help.
    pub(crate) null: bool,
}

impl Fail {
    /// bpftool's own error: status 255.
    pub(crate) fn new(message: impl Into<String>) -> Fail {
        Fail { code: -1, errors: vec![message.into()], ..Fail::default() }
    }

    /// `what: strerror`, status 255.
    pub(crate) fn of(what: impl std::fmt::Display, errno: Errno) -> Fail {
        Fail::new(format!("{what}: {}", strerror(errno)))
    }

    /// `what: strerror`, with the error's number as status.
    pub(crate) fn errno(what: impl std::fmt::Display, errno: Errno) -> Fail {
        Fail::of(what, errno).code(-errno.0)
    }

    /// No message at all.
    pub(crate) fn silent(code: i32) -> Fail {
        Fail { code, ..Fail::default() }
    }

    /// The same with another result.
    pub(crate) fn code(mut self, code: i32) -> Fail {
        self.code = code;
        self
    }

    /// The same after lines of libraries.
    pub(crate) fn after(mut self, before: String) -> Fail {
        self.before = before;
        self
    }

    /// The same with one more message.
    pub(crate) fn and(mut self, message: impl Into<String>) -> Fail {
        self.errors.push(message.into());
        self
    }
}

/// `strerror(3)`.
pub(crate) fn strerror(errno: Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.0).to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// The errno of a failed file operation.
pub(crate) fn io_errno(error: &std::io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(Errno::EIO.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_by_the_c_library() {
        assert_eq!(strerror(Errno::ENOENT), "No such file or directory");
        assert_eq!(strerror(Errno::ENOTSUPP), "Unknown error 524");
    }
}
