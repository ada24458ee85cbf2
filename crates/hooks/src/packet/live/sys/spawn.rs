//! Starting a command in a host of a network.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};

use super::check;

/// What the terminal's keys send is for commands from now on, as with system(3).
pub fn leave_signals() {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: no handler of ours is replaced.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// What is run, found before.
pub(in super::super) struct Image {
    pub(in super::super) path: CString,
    pub(in super::super) argv: Vec<CString>,
    pub(in super::super) env: Vec<CString>,
    /// The folder that it works in.
    pub(in super::super) folder: CString,
}

/// Namespaces to enter, in order.
pub(in super::super) struct Enter<'a> {
    pub(in super::super) namespaces: &'a [OwnedFd],
}

/// Why the command does not run.
#[derive(Debug)]
pub(in super::super) enum Failed {
    /// The namespaces cannot be entered.
    Enter(io::Error),
    /// The command cannot be run.
    Exec(io::Error),
    /// There is no process for it.
    Fork(io::Error),
}

const ENTER: u8 = 0;
const EXEC: u8 = 1;
const FORK: u8 = 2;

/// A process that waits for the command, outside its namespaces.
pub(in super::super) struct Running {
    pid: i32,
}

/// Starts it with this process's standard files.
pub(in super::super) fn spawn(image: &Image, enter: &Enter<'_>) -> Result<Running, Failed> {
    let (mut said, say) = io::pipe().map_err(Failed::Fork)?;
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(&image.argv), pointers(&image.env));
    let shell = script(image);
    let script = shell.as_ref().map(|shell| pointers(shell)).unwrap_or_default();
    // SAFETY: the child only makes async-signal-safe calls on memory that was made before.
    let pid = check(unsafe { libc::fork() }.into()).map_err(Failed::Fork)? as i32;
    if pid == 0 {
        // SAFETY: as above; it does not come back.
        unsafe { go_in(image, enter, [&argv, &env, &script], say.as_raw_fd()) }
    }
    drop(say);
    let running = Running { pid };
    let mut told = [0; 5];
    if said.read_exact(&mut told).is_err() {
        return Ok(running);
    }
    let [stage, errno @ ..] = told;
    let error = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
    let _ = running.wait();
    Err(match stage {
        ENTER => Failed::Enter(error),
        EXEC => Failed::Exec(error),
        _ => Failed::Fork(error),
    })
}

impl Running {
    /// Its end as a shell tells it.
    pub(in super::super) fn wait(&self) -> io::Result<u8> {
        loop {
            if let Some(status) = self.wait_with(0)? {
                return Ok(status);
            }
        }
    }

    /// The same, if it has come.
    pub(in super::super) fn ended(&self) -> io::Result<Option<u8>> {
        self.wait_with(libc::WNOHANG)
    }

    /// Ends what waits; the command ends with it.
    pub(in super::super) fn kill(&self) {
        // SAFETY: a child of ours.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }

    fn wait_with(&self, flags: i32) -> io::Result<Option<u8>> {
        let mut status = 0;
        // SAFETY: a local takes the status.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, flags) };
        match check(pid.into()) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(told(status))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Something that can be polled for its end.
    pub(in super::super) fn watch(&self) -> io::Result<OwnedFd> {
        let pid = rustix::process::Pid::from_raw(self.pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
    }
}

/// As shells tell it.
fn told(status: i32) -> u8 {
    if libc::WIFSIGNALED(status) {
        128_u8.saturating_add(libc::WTERMSIG(status) as u8)
    } else {
        libc::WEXITSTATUS(status) as u8
    }
}

/// `/bin/sh PATH ARGS...`: what files that are no programs are to shells.
fn script(image: &Image) -> Option<Vec<CString>> {
    let args = image.argv.get(1..)?.iter().cloned();
    let head = [CString::new("/bin/sh").ok()?, image.path.clone()];
    Some(head.into_iter().chain(args).collect())
}

/// # Safety
/// Runs in a child after fork; the arrays are lists of C strings that end in null.
unsafe fn go_in(
    image: &Image,
    enter: &Enter<'_>,
    lists: [&Vec<*const libc::c_char>; 3],
    say: i32,
) -> ! {
    // SAFETY: async-signal-safe calls with valid pointers.
    unsafe {
        // The terminal's signals are for the command.
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGQUIT, libc::SIG_IGN);
        for namespace in enter.namespaces {
            if libc::setns(namespace.as_raw_fd(), 0) != 0 {
                fail(say, ENTER);
            }
        }
        // Entering users' namespaces forgot it.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let pid = libc::fork();
        match pid {
            -1 => fail(say, FORK),
            0 => wait_inside(image, lists, say),
            _ => wait_for(pid),
        }
    }
}

/// Within the namespaces somebody waits too: the command's parent is one that it sees, and may kill.
///
/// # Safety
/// As [`go_in`].
unsafe fn wait_inside(image: &Image, lists: [&Vec<*const libc::c_char>; 3], say: i32) -> ! {
    // SAFETY: async-signal-safe calls with valid pointers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        match libc::fork() {
            -1 => fail(say, FORK),
            0 => become_command(image, lists, say),
            pid => wait_for(pid),
        }
    }
}

/// # Safety
/// As [`go_in`].
unsafe fn wait_for(pid: i32) -> ! {
    // SAFETY: async-signal-safe calls with valid pointers.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
        let mut status = 0;
        while libc::waitpid(pid, &raw mut status, 0) < 0 {
            if *libc::__errno_location() != libc::EINTR {
                libc::_exit(1);
            }
        }
        libc::_exit(told(status).into())
    }
}

/// # Safety
/// As [`go_in`].
unsafe fn become_command(
    image: &Image,
    [argv, env, script]: [&Vec<*const libc::c_char>; 3],
    say: i32,
) -> ! {
    // SAFETY: async-signal-safe calls with valid pointers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // Rust ignores SIGPIPE; commands expect the default.
        for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_DFL);
        }
        // The mounts are others; the folder may be gone from view.
        libc::chdir(image.folder.as_ptr());
        libc::execve(image.path.as_ptr(), argv.as_ptr(), env.as_ptr());
        if *libc::__errno_location() == libc::ENOEXEC && !script.is_empty() {
            libc::execve(c"/bin/sh".as_ptr(), script.as_ptr(), env.as_ptr());
        }
        fail(say, EXEC)
    }
}

/// # Safety
/// As [`go_in`].
unsafe fn fail(say: i32, stage: u8) -> ! {
    // SAFETY: writes a local buffer.
    unsafe {
        let [a, b, c, d] = (*libc::__errno_location()).to_ne_bytes();
        let said = [stage, a, b, c, d];
        libc::write(say, said.as_ptr().cast(), said.len());
        libc::_exit(127)
    }
}

/// The namespaces that a holder's process is in.
pub(in super::super) fn namespaces(pid: i32, own_users: bool) -> io::Result<Vec<OwnedFd>> {
    let kinds: &[&str] = if own_users { &["user", "mnt", "pid"] } else { &["mnt", "pid"] };
    let open =
        |kind: &&str| Ok(OwnedFd::from(std::fs::File::open(format!("/proc/{pid}/ns/{kind}"))?));
    kinds.iter().map(open).collect()
}
