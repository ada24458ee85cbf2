//! Hooks at files: devices that are opened or made, and settings under `/proc/sys`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use super::address::put;
use super::decide::{Context, Decider};
use super::{Begun, Control};

/// Longest path.
const PATH: usize = 4096;
const AT_FDCWD: i32 = libc::AT_FDCWD;
/// `BPF_DEVCG_DEV_*` and `BPF_DEVCG_ACC_*`.
const BLOCK: u32 = 1;
const CHAR: u32 = 2;
const MAKE: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;

impl Decider<'_> {
    fn path(&self, at: u64) -> Option<PathBuf> {
        let mut bytes = vec![0; PATH];
        let read = crate::process::sys::memory::read(self.thread.tid, at, &mut bytes);
        let end = bytes[..read].iter().position(|byte| *byte == 0)?;
        Some(PathBuf::from(OsStr::from_bytes(&bytes[..end])))
    }

    /// A path of the process as one of ours.
    fn here(&self, folder: i32, path: &Path) -> PathBuf {
        let tid = self.thread.tid;
        let base = |rest: &str| PathBuf::from(format!("/proc/{tid}/{rest}"));
        if path.is_absolute() {
            let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
            let whole = !path.components().any(|part| part == Component::ParentDir);
            return if whole { base("root").join(parts.collect::<PathBuf>()) } else { path.into() };
        }
        let folder = if folder == AT_FDCWD { base("cwd") } else { base(&format!("fd/{folder}")) };
        folder.join(path)
    }

    fn ask_device(&mut self, kind: u32, access: u32, device: u64) -> Begun {
        let mut memory = vec![0; 12];
        put(&mut memory, 0, kind | access << 16);
        put(&mut memory, 4, rustix::fs::major(device));
        put(&mut memory, 8, rustix::fs::minor(device));
        let context = Context { memory: &mut memory, pointers: &[], retval: None };
        match self.run(Control::Dev, context, 0).retval {
            0 => Begun::GoesOn,
            refused => Begun::Done(refused.into()),
        }
    }

    fn opens(&mut self, folder: i32, path: u64, flags: u64) -> Begun {
        const PATH_ONLY: u64 = libc::O_PATH as u64;
        let Some(path) = self.path(path).filter(|_| flags & PATH_ONLY == 0) else {
            return Begun::GoesOn;
        };
        let Ok(file) = fs::metadata(self.here(folder, &path)) else { return Begun::GoesOn };
        let kind = match file.file_type() {
            kind if kind.is_char_device() => CHAR,
            kind if kind.is_block_device() => BLOCK,
            _ => return Begun::GoesOn,
        };
        let access = match flags as i32 & libc::O_ACCMODE {
            libc::O_RDONLY => READ,
            libc::O_WRONLY => WRITE,
            _ => READ | WRITE,
        };
        self.ask_device(kind, access, file.rdev())
    }

    fn makes(&mut self, mode: u64, device: u64) -> Begun {
        match mode as u32 & libc::S_IFMT {
            libc::S_IFCHR => self.ask_device(CHAR, MAKE, device),
            libc::S_IFBLK => self.ask_device(BLOCK, MAKE, device),
            _ => Begun::GoesOn,
        }
    }

    /// A setting is read or written.
    fn setting(&mut self, write: bool) -> Begun {
        let link = fs::read_link(format!("/proc/{}/fd/{}", self.thread.tid, self.arg(0) as i32));
        let Some(file) = link.ok().filter(|path| path.starts_with("/proc/sys")) else {
            return Begun::GoesOn;
        };
        drop(file);
        let mut memory = vec![0; 8];
        put(&mut memory, 0, write.into());
        put(&mut memory, 4, self.position());
        let context = Context { memory: &mut memory, pointers: &[], retval: None };
        match self.run(Control::Sysctl, context, 0).retval {
            0 => Begun::GoesOn,
            refused => Begun::Done(refused.into()),
        }
    }

    /// Where in the file the call reads or writes.
    fn position(&self) -> u32 {
        use super::nr;
        use crate::process::sys::ptrace::reg;
        if [nr::PREAD, nr::PWRITE].contains(&(self.regs[reg::ORIG_RAX] as u32)) {
            return self.arg(3) as u32;
        }
        let info = format!("/proc/{}/fdinfo/{}", self.thread.tid, self.arg(0) as i32);
        let text = fs::read_to_string(info).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("pos:"));
        line.and_then(|at| at.trim().parse::<u64>().ok()).unwrap_or(0) as u32
    }
}

/// read(2), pread64(2).
pub(super) fn read(d: &mut Decider<'_>) -> Begun {
    d.setting(false)
}

/// write(2), pwrite64(2).
pub(super) fn write(d: &mut Decider<'_>) -> Begun {
    d.setting(true)
}

/// open(2).
pub(super) fn open(d: &mut Decider<'_>) -> Begun {
    d.opens(AT_FDCWD, d.arg(0), d.arg(1))
}

/// openat(2).
pub(super) fn openat(d: &mut Decider<'_>) -> Begun {
    d.opens(d.arg(0) as i32, d.arg(1), d.arg(2))
}

/// openat2(2), whose flags begin its structure.
pub(super) fn openat2(d: &mut Decider<'_>) -> Begun {
    match d.word(d.arg(2)) {
        Some(flags) => d.opens(d.arg(0) as i32, d.arg(1), flags),
        None => Begun::GoesOn,
    }
}

/// creat(2).
pub(super) fn creat(d: &mut Decider<'_>) -> Begun {
    d.opens(AT_FDCWD, d.arg(0), libc::O_WRONLY as u64)
}

/// mknod(2).
pub(super) fn mknod(d: &mut Decider<'_>) -> Begun {
    d.makes(d.arg(1), d.arg(2))
}

/// mknodat(2).
pub(super) fn mknodat(d: &mut Decider<'_>) -> Begun {
    d.makes(d.arg(2), d.arg(3))
}
