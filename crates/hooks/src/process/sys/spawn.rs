//! Starting the command: a child that waits to be traced, filters itself and becomes it.

use std::ffi::{CStr, CString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;

use super::check;
use crate::process::filter::Insn;

/// A child that waits for the word to go.
pub(crate) struct Waiting {
    /// Its process id.
    pub(crate) pid: i32,
    go: PipeWriter,
    said: PipeReader,
}

/// What the child could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Filter,
    Exec,
}

/// What is run, and how.
pub(crate) struct Image {
    pub(crate) path: CString,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
}

impl Waiting {
    /// Lets the child go on.
    pub(crate) fn go(&mut self) -> io::Result<()> {
        self.go.write_all(&[1])
    }

    /// What it could not do, once it has become the command or has ended.
    pub(crate) fn failure(mut self) -> Option<(Stage, io::Error)> {
        let mut said = [0; 5];
        self.said.read_exact(&mut said).ok()?;
        let [stage, errno @ ..] = said;
        let stage = if stage == 0 { Stage::Filter } else { Stage::Exec };
        Some((stage, io::Error::from_raw_os_error(i32::from_ne_bytes(errno))))
    }
}

/// Makes the child.
///
/// The first filter has a listener; the second one, without, takes its place where there cannot be
/// one. Without a first one there is no listener.
pub(crate) fn spawn(image: &Image, filters: [&[Insn]; 2]) -> io::Result<Waiting> {
    let (ready, go) = io::pipe()?;
    let (said, say) = io::pipe()?;
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(&image.argv), pointers(&image.env));
    let shell = script(image);
    let script = shell.as_ref().map(|shell| pointers(shell)).unwrap_or_default();
    // SAFETY: the child only makes async-signal-safe calls on memory that was made before.
    let pid = check(unsafe { libc::fork() }.into())? as i32;
    if pid != 0 {
        return Ok(Waiting { pid, go, said });
    }
    let (ready, say) = (ready.as_raw_fd(), say.as_raw_fd());
    // SAFETY: as above; `become_command` does not come back.
    unsafe {
        become_command(ready, [go.as_raw_fd(), say], &image.path, [&argv, &env, &script], filters)
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
unsafe fn become_command(
    ready: i32,
    [go, say]: [i32; 2],
    path: &CStr,
    [argv, env, script]: [&Vec<*const libc::c_char>; 3],
    filters: [&[Insn]; 2],
) -> ! {
    // SAFETY: async-signal-safe calls with valid pointers.
    unsafe {
        libc::close(go);
        let mut byte = 0_u8;
        // No word: the tracer is gone.
        if libc::read(ready, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(1);
        }
        // Rust ignores SIGPIPE; commands expect the default.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if !restrict(filters) {
            fail(say, Stage::Filter);
        }
        libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
        if *libc::__errno_location() == libc::ENOEXEC && !script.is_empty() {
            libc::execve(c"/bin/sh".as_ptr(), script.as_ptr(), env.as_ptr());
        }
        fail(say, Stage::Exec)
    }
}

/// # Safety
/// As [`become_command`].
unsafe fn fail(say: i32, stage: Stage) -> ! {
    // SAFETY: writes a local buffer.
    unsafe {
        let [a, b, c, d] = (*libc::__errno_location()).to_ne_bytes();
        let said = [u8::from(stage == Stage::Exec), a, b, c, d];
        libc::write(say, said.as_ptr().cast(), said.len());
        libc::_exit(127)
    }
}

/// Installs a filter; only without the right to administer it costs set-user-ID programs theirs.
///
/// # Safety
/// As [`become_command`].
unsafe fn restrict(filters: [&[Insn]; 2]) -> bool {
    const LISTENER: libc::c_ulong = 1 << 3;
    const WAIT_KILLABLE: libc::c_ulong = 1 << 5;
    let set = |filter: &[Insn], flags: libc::c_ulong| {
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_ptr().cast_mut().cast::<libc::sock_filter>(),
        };
        // SAFETY: the kernel reads the program, whose instructions are laid out as its own.
        unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        }
    };
    let any = || {
        let [notify, plain] = filters;
        let listened = !notify.is_empty() && set(notify, LISTENER | WAIT_KILLABLE) >= 0;
        listened || set(plain, 0) == 0
    };
    // SAFETY: the calls take numbers.
    unsafe { any() || (libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && any()) }
}
