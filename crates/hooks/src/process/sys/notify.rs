//! Seccomp's user notifications: calls that wait for our word, without a stop.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::check;

/// The end of a filter that its notifications come out of.
pub(crate) struct Listener {
    fd: OwnedFd,
    /// Waiting for a notification does not tell that nobody is left; asking does.
    ask: bool,
}

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Notif {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    ip: u64,
    args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// A system call that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    id: u64,
    pub(crate) tid: i32,
    pub(crate) number: u32,
    pub(crate) ip: u64,
    pub(crate) args: [u64; 6],
}

/// What waiting came to.
pub(crate) enum News {
    Call(Call),
    /// Nothing in this time.
    Nothing,
    /// Nobody has the filter any more.
    Over,
}

const RECV: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
const SET_FLAGS: u64 = 0x4008_2104;
const SYNC_WAKE_UP: u64 = 1;
const CONTINUE: u32 = 1;
/// Since this version waiting ends when nobody is left.
const ENDS: (u32, u32) = (6, 11);

/// The name of a listener among a process's files.
const LINK: &str = "anon_inode:seccomp notify";

impl Listener {
    /// The listener of a stopped process, if it has one.
    pub(crate) fn of(pid: i32) -> io::Result<Option<Listener>> {
        let mut found = None;
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
            let entry = entry?;
            let link = std::fs::read_link(entry.path());
            if link.is_ok_and(|link| link.as_os_str() == LINK) {
                found = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            }
        }
        let Some(number) = found else { return Ok(None) };
        // SAFETY: the call takes numbers; what it returns is a descriptor of ours.
        let process = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        // SAFETY: as above: nobody else has it.
        let process = unsafe { OwnedFd::from_raw_fd(process as i32) };
        let own = process.as_raw_fd();
        // SAFETY: as above.
        let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, own, number, 0) })?;
        // SAFETY: as above.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // Older kernels do not know it and wake as they like.
        // SAFETY: takes a number.
        unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
        Ok(Some(Listener { fd, ask: version() < ENDS }))
    }

    /// The next call; waits for it, at most this long if a time is given.
    pub(crate) fn next(&self, at_most: Option<Duration>) -> io::Result<News> {
        if self.ask || at_most.is_some() {
            let time = at_most.map_or(-1, |time| time.as_millis() as i32);
            match self.poll(time)? {
                0 => return Ok(News::Nothing),
                events if events & libc::POLLIN == 0 => return Ok(News::Over),
                _ => {}
            }
        }
        let mut notif = Notif::default();
        // SAFETY: writes a `seccomp_notif`, as which `Notif` is laid out.
        let received =
            check(unsafe { libc::ioctl(self.fd.as_raw_fd(), RECV, &raw mut notif) }.into());
        match received {
            Ok(_) => Ok(News::Call(Call {
                id: notif.id,
                tid: notif.pid as i32,
                number: notif.number as u32,
                ip: notif.ip,
                args: notif.args,
            })),
            // Who called is gone, or everybody is.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                let over = self.poll(0)? & libc::POLLHUP != 0;
                Ok(if over { News::Over } else { News::Nothing })
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(News::Nothing),
            Err(error) => Err(error),
        }
    }

    fn poll(&self, milliseconds: i32) -> io::Result<i16> {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: writes the events.
        match check(unsafe { libc::poll(&mut poll, 1, milliseconds) }.into()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            other => other.map(|_| poll.revents),
        }
    }

    /// Lets a call happen.
    pub(crate) fn go_on(&self, call: &Call) {
        let answer = Answer { id: call.id, value: 0, error: 0, flags: CONTINUE };
        // Whoever was killed meanwhile needs no answer.
        // SAFETY: reads a `seccomp_notif_resp`, as which `Answer` is laid out.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), SEND, &raw const answer) };
    }
}

fn version() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
