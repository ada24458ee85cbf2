//! The process that holds a network's namespaces: the first one of a process namespace, so that
//! everything in the network ends when it does, and it ends when the thread that started it does.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::check;
use super::pass;

/// What the holder could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Stage {
    Mount,
    Namespace,
    Socket,
}

/// The bytes that it says: a network's switch, a host, all done; others are stages that failed.
pub(in super::super) const SWITCH: u8 = 1;
pub(in super::super) const HOST: u8 = 2;
pub(in super::super) const READY: u8 = 3;
const STAGES: [(u8, Stage); 3] = [(10, Stage::Mount), (11, Stage::Namespace), (12, Stage::Socket)];
/// In the holder, the namespace of the host with number 0; the others follow.
pub(in super::super) const FIRST_NETNS_FD: i32 = 100;

/// The process, until this is dropped.
pub(in super::super) struct Holder {
    pub(in super::super) pid: i32,
    control: UnixStream,
    /// It has a user namespace of its own.
    pub(in super::super) own_users: bool,
}

/// What it is to make.
pub(in super::super) struct Wanted<'a> {
    pub(in super::super) hosts: u32,
    /// Packet sockets for each host.
    pub(in super::super) sockets: u32,
    /// What `/etc/hosts` holds.
    pub(in super::super) names: &'a [u8],
}

const NAMESPACES: i32 =
    libc::CLONE_NEWNET | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC;

impl Holder {
    /// Starts it. Its descriptors come over [`Holder::control`].
    pub(in super::super) fn start(wanted: &Wanted<'_>) -> io::Result<Holder> {
        let (control, theirs) = UnixStream::pair()?;
        let mut own_users = true;
        let mut pid = clone(NAMESPACES | libc::CLONE_NEWUSER);
        if pid.is_err() && rustix::process::geteuid().is_root() {
            own_users = false;
            // The first error says more.
            pid = clone(NAMESPACES).or(pid);
        }
        match pid? {
            0 => hold(theirs.as_raw_fd(), wanted),
            pid => {
                drop(theirs);
                let holder = Holder { pid, control, own_users };
                if own_users {
                    holder.map_users()?;
                }
                io::Write::write_all(&mut &holder.control, &[1])?;
                Ok(holder)
            }
        }
    }

    pub(in super::super) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    pub(in super::super) fn stream(&self) -> &UnixStream {
        &self.control
    }

    /// A stage that failed, from its byte.
    pub(in super::super) fn stage(byte: u8) -> Option<Stage> {
        STAGES.iter().find(|(code, _)| *code == byte).map(|(_, stage)| *stage)
    }

    /// Who starts a network is root in it; root itself keeps all users.
    fn map_users(&self) -> io::Result<()> {
        let file = |name: &str| format!("/proc/{}/{name}", self.pid);
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let all = "0 0 4294967295";
        let root = uid.is_root() && fs::write(file("uid_map"), all).is_ok();
        if root && fs::write(file("gid_map"), all).is_ok() {
            return Ok(());
        }
        if !root {
            fs::write(file("uid_map"), format!("0 {} 1", uid.as_raw()))?;
        }
        fs::write(file("setgroups"), "deny")?;
        fs::write(file("gid_map"), format!("0 {} 1", gid.as_raw()))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // SAFETY: the child is ours and not waited for yet.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// As fork, into new namespaces.
fn clone(flags: i32) -> io::Result<i32> {
    let flags = i64::from(flags | libc::SIGCHLD);
    // SAFETY: without a stack of its own the child goes on here with a copy of the memory; it only
    // makes async-signal-safe calls.
    check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) }).map(|pid| pid as i32)
}

/// The holder's life. It takes no memory of the heap and no locks.
fn hold(control: i32, wanted: &Wanted<'_>) -> ! {
    // SAFETY: async-signal-safe calls with valid pointers, in a process of one thread.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::dup2(control, 0);
        libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0);
        let mut byte = 0_u8;
        if libc::read(0, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(1);
        }
        libc::setsid();
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        libc::prctl(libc::PR_SET_NAME, c"ring3-net".as_ptr());
        if let Err((stage, errno)) = make(wanted) {
            let code = STAGES.iter().find(|(_, known)| *known == stage).map_or(0, |row| row.0);
            let _ = pass::send(0, code, &[]);
            let errno = errno.to_ne_bytes();
            libc::write(0, errno.as_ptr().cast(), 4);
            libc::_exit(1);
        }
        // Others of the same user may look for its namespaces.
        libc::prctl(libc::PR_SET_DUMPABLE, 1);
        let _ = pass::send(0, READY, &[]);
        while libc::read(0, (&raw mut byte).cast(), 1) > 0 {}
        libc::_exit(0)
    }
}

/// What failed, and the error's number.
type Failed = (Stage, i32);

fn at(stage: Stage) -> impl Fn(io::Error) -> Failed {
    move |error| (stage, error.raw_os_error().unwrap_or(libc::EIO))
}

/// Makes what is wanted and says so.
fn make(wanted: &Wanted<'_>) -> Result<(), Failed> {
    mounts(wanted.names).map_err(at(Stage::Mount))?;
    let netns = open(c"/proc/self/ns/net").map_err(at(Stage::Namespace))?;
    let mut sockets = [0; pass::MOST];
    for _ in 0..wanted.hosts {
        for slot in sockets.iter_mut().take(wanted.sockets as usize) {
            *slot = socket(libc::AF_PACKET, libc::SOCK_RAW, 0).map_err(at(Stage::Socket))?;
        }
        say(SWITCH, &sockets[..(wanted.sockets as usize).min(pass::MOST)])?;
    }
    let netlink = || socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE);
    say(SWITCH, &[netns, netlink().map_err(at(Stage::Socket))?])?;
    for host in 0..wanted.hosts as i32 {
        // SAFETY: takes a number.
        let new = check(unsafe { libc::unshare(libc::CLONE_NEWNET) }.into());
        new.map_err(at(Stage::Namespace))?;
        // Ping without privileges; no harm if it cannot be set.
        let _ = write(c"/proc/sys/net/ipv4/ping_group_range", b"0 2147483647");
        let netns = open(c"/proc/self/ns/net").map_err(at(Stage::Namespace))?;
        // SAFETY: takes numbers.
        let kept = check(unsafe { libc::dup2(netns, FIRST_NETNS_FD + host) }.into());
        kept.map_err(at(Stage::Namespace))?;
        say(HOST, &[netns, netlink().map_err(at(Stage::Socket))?])?;
        close(netns);
    }
    Ok(())
}

/// Hands descriptors on; those of sockets are closed here.
fn say(byte: u8, fds: &[i32]) -> Result<(), Failed> {
    pass::send(0, byte, fds).map_err(at(Stage::Socket))?;
    let sockets = if fds.len() == 2 && byte == HOST { &fds[1..] } else { fds };
    sockets.iter().for_each(|fd| close(*fd));
    Ok(())
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<i32> {
    // SAFETY: takes numbers.
    check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) }.into())
        .map(|fd| fd as i32)
}

fn open(path: &CStr) -> io::Result<i32> {
    // SAFETY: a C string.
    check(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) }.into())
        .map(|fd| fd as i32)
}

fn close(fd: i32) {
    // SAFETY: a descriptor that nobody uses any more.
    unsafe { libc::close(fd) };
}

fn write(path: &CStr, bytes: &[u8]) -> io::Result<()> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: a C string and a slice.
    unsafe {
        let fd = check(libc::open(path.as_ptr(), flags, 0o644).into())? as i32;
        let wrote = check(libc::write(fd, bytes.as_ptr().cast(), bytes.len()) as i64);
        libc::close(fd);
        wrote.map(drop)
    }
}

fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    let nothing = std::ptr::null();
    // SAFETY: C strings.
    let done =
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, nothing) };
    check(done.into()).map(drop)
}

/// Mounts of the network's own: `/etc/hosts` with its names, `/proc` of its processes.
fn mounts(names: &[u8]) -> io::Result<()> {
    mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(c"ring3", c"/tmp", c"tmpfs", libc::MS_NOSUID | libc::MS_NODEV)?;
    let named = write(c"/tmp/hosts", names)
        .and_then(|()| mount(c"/tmp/hosts", c"/etc/hosts", c"none", libc::MS_BIND));
    // SAFETY: a C string.
    unsafe { libc::umount2(c"/tmp".as_ptr(), libc::MNT_DETACH) };
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // Where /proc is covered in part, a new one is refused; the old one shows other processes.
    let _ = mount(c"proc", c"/proc", c"proc", flags);
    named
}
