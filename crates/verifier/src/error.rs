//! Why the walk stops: an errno and what is wrong, as events.

use std::fmt;

use uapi::Errno;

use crate::event::{Needs, Reason};

/// A rejection on its way out. Boxed: results of checks stay one word.
#[derive(Clone, Debug)]
pub(crate) struct Reject(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    errno: Errno,
    reasons: Vec<Reason>,
    needs: Option<&'static str>,
    insn: Option<usize>,
}

impl Reject {
    /// A rejection for this reason.
    #[cold]
    pub(crate) fn new(errno: Errno, reason: impl Into<Reason>) -> Reject {
        Reject::silent(errno).then(reason)
    }

    /// A rejection of which Linux says nothing.
    #[cold]
    pub(crate) fn silent(errno: Errno) -> Reject {
        Reject(Box::new(Inner { errno, reasons: Vec::new(), needs: None, insn: None }))
    }

    /// The program uses a feature whose rules are not modelled.
    #[cold]
    pub(crate) fn needs(feature: &'static str) -> Reject {
        let mut reject = Reject::new(Errno::EOPNOTSUPP, Needs::Rules { feature });
        reject.0.needs = Some(feature);
        reject
    }

    /// The same with one more thing to say.
    #[cold]
    pub(crate) fn then(mut self, reason: impl Into<Reason>) -> Reject {
        self.0.reasons.push(reason.into());
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

    /// What is wrong, in the order that Linux tells it.
    pub(crate) fn reasons(&self) -> &[Reason] {
        &self.0.reasons
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
        write!(f, "{:?}", self.0.errno)?;
        self.0.reasons.iter().try_for_each(|reason| write!(f, " / {reason}"))
    }
}

/// Result of a check.
pub(crate) type Checked<T = ()> = Result<T, Reject>;

/// `reject!(EACCES, BadReg::NotReadable { reg })`: an `Err`; without a reason Linux is silent.
macro_rules! reject {
    ($errno:ident) => {
        Err($crate::error::Reject::silent(uapi::Errno::$errno))
    };
    ($errno:ident, $reason:expr) => {
        Err($crate::error::Reject::new(uapi::Errno::$errno, $reason))
    };
}
pub(crate) use reject;
