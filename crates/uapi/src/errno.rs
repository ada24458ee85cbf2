//! Linux's error numbers.

use std::fmt;

/// An error number as bpf(2) gives it, positive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $value:literal;)*) => {
        #[allow(missing_docs, reason = "the names are Linux's")]
        impl Errno {
            $(pub const $name: Errno = Errno($value);)*

            /// The symbol, `EACCES`; `None` for a number that bpf(2) does not use.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

errnos! {
    EPERM = 1;
    ENOENT = 2;
    ESRCH = 3;
    EINTR = 4;
    EIO = 5;
    ENXIO = 6;
    E2BIG = 7;
    EBADF = 9;
    EAGAIN = 11;
    ENOMEM = 12;
    EACCES = 13;
    EFAULT = 14;
    EBUSY = 16;
    EEXIST = 17;
    ENODEV = 19;
    ENOTDIR = 20;
    EISDIR = 21;
    EINVAL = 22;
    ENFILE = 23;
    EMFILE = 24;
    ENOTTY = 25;
    EFBIG = 27;
    ENOSPC = 28;
    EROFS = 30;
    EPIPE = 32;
    EDOM = 33;
    ERANGE = 34;
    EDEADLK = 35;
    ENAMETOOLONG = 36;
    ENOSYS = 38;
    ENOTEMPTY = 39;
    ELOOP = 40;
    ENOMSG = 42;
    ENODATA = 61;
    ENOLINK = 67;
    EPROTO = 71;
    EBADMSG = 74;
    EOVERFLOW = 75;
    EBADFD = 77;
    EILSEQ = 84;
    EMSGSIZE = 90;
    EPROTONOSUPPORT = 93;
    ENOTSOCK = 88;
    EOPNOTSUPP = 95;
    EAFNOSUPPORT = 97;
    EADDRINUSE = 98;
    ENETUNREACH = 101;
    ENOBUFS = 105;
    EISCONN = 106;
    ETIMEDOUT = 110;
    ECONNREFUSED = 111;
    EHOSTUNREACH = 113;
    EALREADY = 114;
    ESTALE = 116;
    EDQUOT = 122;
    ECANCELED = 125;
    ENOKEY = 126;
    ENOTSUPP = 524;
}

impl Errno {
    /// The value a helper returns for this error.
    pub const fn as_ret(self) -> u64 {
        -(self.0 as i64) as u64
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}
