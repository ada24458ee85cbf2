//! Sockets of another process, by a descriptor of our own for the same socket.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// A file of another process, as a descriptor of ours.
#[derive(Debug)]
pub(crate) struct Borrowed(OwnedFd);

/// Room for every address that a socket has.
const ADDRESS: usize = 128;

/// What is sent in one message.
#[derive(Default)]
pub(crate) struct Message {
    pub(crate) address: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) control: Vec<u8>,
    pub(crate) flags: i32,
}

impl Borrowed {
    /// The file behind a descriptor of a process that this one traces.
    pub(crate) fn of(pid: i32, fd: i32) -> io::Result<Borrowed> {
        // SAFETY: the call takes numbers; what it returns is a descriptor of ours.
        let process = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        // SAFETY: as above: nobody else has it.
        let process = unsafe { OwnedFd::from_raw_fd(process as i32) };
        // SAFETY: as above.
        let fd =
            check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })?;
        // SAFETY: as above.
        Ok(Borrowed(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Whether calls on it do not wait.
    pub(crate) fn is_nonblocking(&self) -> bool {
        // SAFETY: takes numbers.
        let flags = unsafe { libc::fcntl(self.raw(), libc::F_GETFL) };
        flags & libc::O_NONBLOCK != 0
    }

    /// An option's bytes; how many there are.
    pub(crate) fn option(&self, level: i32, name: i32, out: &mut [u8]) -> io::Result<usize> {
        let mut len = out.len() as libc::socklen_t;
        // SAFETY: writes at most `len` bytes to `out`.
        let done =
            unsafe { libc::getsockopt(self.raw(), level, name, out.as_mut_ptr().cast(), &mut len) };
        check(done.into())?;
        Ok((len as usize).min(out.len()))
    }

    /// An option that is a number.
    pub(crate) fn number(&self, level: i32, name: i32) -> io::Result<i32> {
        let mut bytes = [0; 4];
        self.option(level, name, &mut bytes).map(|_| i32::from_ne_bytes(bytes))
    }

    /// Sets an option, whose bytes must not be addresses.
    pub(crate) fn set_option(&self, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
        let len = value.len() as libc::socklen_t;
        // SAFETY: reads `value`.
        let done = unsafe { libc::setsockopt(self.raw(), level, name, value.as_ptr().cast(), len) };
        check(done.into()).map(drop)
    }

    /// The socket's own address.
    pub(crate) fn local(&self) -> io::Result<Vec<u8>> {
        self.name(libc::getsockname)
    }

    /// The address at the other end.
    pub(crate) fn peer(&self) -> io::Result<Vec<u8>> {
        self.name(libc::getpeername)
    }

    fn name(
        &self,
        call: unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut libc::socklen_t) -> i32,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; ADDRESS];
        let mut len = ADDRESS as libc::socklen_t;
        // SAFETY: writes at most `len` bytes to `bytes`, which is as long.
        check(unsafe { call(self.raw(), bytes.as_mut_ptr().cast(), &mut len) }.into())?;
        bytes.truncate(len as usize);
        Ok(bytes)
    }

    /// connect(2).
    pub(crate) fn connect(&self, address: &[u8]) -> io::Result<()> {
        let len = address.len() as libc::socklen_t;
        // SAFETY: reads `address`.
        check(unsafe { libc::connect(self.raw(), address.as_ptr().cast(), len) }.into()).map(drop)
    }

    /// bind(2).
    pub(crate) fn bind(&self, address: &[u8]) -> io::Result<()> {
        let len = address.len() as libc::socklen_t;
        // SAFETY: reads `address`.
        check(unsafe { libc::bind(self.raw(), address.as_ptr().cast(), len) }.into()).map(drop)
    }

    /// sendmsg(2); how many bytes went.
    pub(crate) fn send(&self, message: &Message, flags: i32) -> io::Result<usize> {
        let mut data = libc::iovec {
            iov_base: message.data.as_ptr().cast_mut().cast(),
            iov_len: message.data.len(),
        };
        // SAFETY: all-zero is a valid `msghdr`.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = message.address.as_ptr().cast_mut().cast();
        header.msg_namelen = message.address.len() as libc::socklen_t;
        (header.msg_iov, header.msg_iovlen) = (&mut data, 1);
        if !message.control.is_empty() {
            header.msg_control = message.control.as_ptr().cast_mut().cast();
            header.msg_controllen = message.control.len();
        }
        // SAFETY: reads what the header names: memory of `message`.
        let sent = unsafe { libc::sendmsg(self.raw(), &header, message.flags | flags) };
        check(sent as i64).map(|sent| sent as usize)
    }
}

/// A socket of our own, to learn whether there can be one of this kind.
pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<Borrowed> {
    // SAFETY: takes numbers; what it returns is a descriptor of ours.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) }.into())?;
    // SAFETY: as above.
    Ok(Borrowed(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
}

/// The rights that a thread uses (`CapEff`), as bits; 0 if they are not known.
pub(crate) fn capabilities(tid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// Gives up, on this thread, all rights that are not among these.
pub(crate) fn keep_capabilities(kept: u64) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    // Effective, permitted, inheritable, of the lower and the upper 32.
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: writes the two triples.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    for (half, shift) in data.iter_mut().zip([0, 32]) {
        half[0] &= (kept >> shift) as u32;
    }
    // SAFETY: reads the two triples.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}
