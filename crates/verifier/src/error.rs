//! Why the walk stops: an errno and Linux's text.

use std::fmt;

use uapi::Errno;

/// A rejection on its way out. Boxed: results of checks stay one word.
#[derive(Clone, Debug)]
pub(crate) struct Reject(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    errno: Errno,
    lines: Vec<String>,
    needs: Option<&'static str>,
    insn: Option<usize>,
}

impl Reject {
    /// A rejection with one line of text (no newline at its end); empty where Linux is silent.
    #[cold]
    pub(crate) fn new(errno: Errno, text: impl Into<String>) -> Reject {
        let text = text.into();
        let lines = if text.is_empty() { Vec::new() } else { vec![text] };
        Reject(Box::new(Inner { errno, lines, needs: None, insn: None }))
    }

    /// The program uses a feature whose rules are not modelled.
    #[cold]
    pub(crate) fn needs(feature: &'static str) -> Reject {
        let mut reject = Reject::new(Errno::EOPNOTSUPP, format!("ring3 does not model {feature}"));
        reject.0.needs = Some(feature);
        reject
    }

    /// The same with one more line of text.
    #[cold]
    pub(crate) fn then(mut self, text: impl Into<String>) -> Reject {
        self.0.lines.push(text.into());
        self
    }

    /// The same with another errno.
    #[cold]
    pub(crate) fn with_errno(mut self, errno: Errno) -> Reject {
        self.0.errno = errno;
        self
    }

    /// The same, blamed on this instruction unless one is blamed already.
    #[cold]
    pub(crate) fn at(mut self, insn: usize) -> Reject {
        self.0.insn.get_or_insert(insn);
        self
    }

    pub(crate) fn errno(&self) -> Errno {
        self.0.errno
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.0.lines
    }

    pub(crate) fn feature(&self) -> Option<&'static str> {
        self.0.needs
    }

    pub(crate) fn insn(&self) -> Option<usize> {
        self.0.insn
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.errno, self.0.lines.join(" / "))
    }
}

/// Result of a check.
pub(crate) type Checked<T = ()> = Result<T, Reject>;

/// `reject!(EACCES, "R{} !read_ok", 1)`: an `Err` with Linux's text.
macro_rules! reject {
    ($errno:ident) => {
        Err($crate::error::Reject::new(uapi::Errno::$errno, String::new()))
    };
    ($errno:ident, $($text:tt)+) => {
        Err($crate::error::Reject::new(uapi::Errno::$errno, format!($($text)+)))
    };
}
pub(crate) use reject;
