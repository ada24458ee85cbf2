//! The file system of pins as folders and files of the machine, by FUSE.
//!
//! Names are looked up in the runtime each time; nothing is cached but their numbers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno as Refused, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, Request,
};
use parking_lot::Mutex;
use runtime::Runtime;
use runtime::door::Bpf;
use rustix::fs::OFlags;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{getgid, getuid};
use uapi::Errno;

/// The folder that is shown.
const ROOT: &str = "/sys/fs/bpf";
/// Names change by other ways than this one: the kernel shall ask again.
const TTL: Duration = Duration::ZERO;
/// Begins the source of our mounts in /proc/mounts.
const SOURCE: &str = "ring3:";
/// Files that may be open at a time.
const MAX_OPEN: usize = 1024;
/// Bytes of their text together.
const MAX_TEXT: usize = 256 << 20;

/// A folder that shows the pins; it ends when it is dropped.
pub(crate) struct Mount {
    dir: PathBuf,
    session: Option<BackgroundSession>,
}

impl Mount {
    /// Shows `door`'s pins at `dir`; `place` tells whose daemon it is.
    pub(crate) fn new(door: Runtime, dir: &Path, place: &str) -> Result<Mount, String> {
        let failed = |error: io::Error| why(dir, &error);
        // One that a killed daemon left answers ENOTCONN.
        match fs::metadata(dir) {
            Err(error) if error.raw_os_error() == Some(ENOTCONN) => drop(detach(dir)),
            Ok(found) if !found.is_dir() || !dir.is_absolute() => {
                return Err(format!("{}: not a folder", dir.display()));
            }
            Err(error) => return Err(failed(error)),
            Ok(_) => {}
        }
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName(format!("{SOURCE}{place}").replace(',', "_")),
            MountOption::Subtype("bpf".into()),
            MountOption::DefaultPermissions,
            MountOption::NoDev,
            MountOption::NoSuid,
            MountOption::NoExec,
        ];
        let session = fuser::spawn_mount(Pins::new(door), dir, &config).map_err(failed)?;
        Ok(Mount { dir: dir.to_owned(), session: Some(session) })
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Who has files open keeps them; the name goes at once.
        let _ = detach(&self.dir);
        drop(self.session.take());
    }
}

/// Takes away what a daemon of this place left mounted when it was killed.
pub(crate) fn clear(place: &str) {
    let ours = format!("{SOURCE}{place}").replace(',', "_");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut columns = line.split(' ').map(unescaped);
        if let (Some(source), Some(dir)) = (columns.next(), columns.next())
            && source == ours
        {
            // It stays if it must.
            let _ = detach(Path::new(&dir));
        }
    }
}

fn unescaped(word: &str) -> String {
    word.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

fn detach(dir: &Path) -> io::Result<()> {
    if unmount(dir, UnmountFlags::DETACH).is_ok() {
        return Ok(());
    }
    let mut command = std::process::Command::new("fusermount3");
    command.args(["-u", "-z", "-q", "--"]).arg(dir);
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.status().map(drop)
}

const ENOTCONN: i32 = 107;

fn why(dir: &Path, error: &io::Error) -> String {
    let text = format!("can't mount at {}: {error}", dir.display());
    match fs::metadata("/dev/fuse") {
        Err(_) => format!("{text} (there is no /dev/fuse here)"),
        Ok(_) if error.kind() == io::ErrorKind::NotFound && dir.exists() => {
            format!("{text} (users other than root need fusermount3)")
        }
        Ok(_) => text,
    }
}

/// The runtime's pins as a file system.
struct Pins {
    door: Runtime,
    numbers: Mutex<Numbers>,
    open: Mutex<BTreeMap<u64, Vec<u8>>>,
    since: SystemTime,
}

/// Numbers of paths: the kernel knows files by them.
struct Numbers {
    paths: BTreeMap<u64, (String, u64)>,
    known: BTreeMap<String, u64>,
    next: u64,
}

impl Numbers {
    /// The number of a path; `looked` counts that the kernel remembers it.
    fn of(&mut self, path: &str, looked: bool) -> u64 {
        let number = *self.known.entry(path.to_owned()).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let (_, count) = self.paths.entry(number).or_insert_with(|| (path.to_owned(), 0));
        *count += u64::from(looked);
        number
    }

    fn forget(&mut self, number: u64, times: u64) {
        let Some((path, count)) = self.paths.get_mut(&number) else { return };
        *count = count.saturating_sub(times);
        if *count == 0 && number != u64::from(INodeNo::ROOT) {
            if self.known.get(path) == Some(&number) {
                self.known.remove(path);
            }
            self.paths.remove(&number);
        }
    }

    /// A path has another name, and all below it.
    fn rename(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        for (number, (path, _)) in &mut self.paths {
            if path == from || path.starts_with(&below) {
                let new = format!("{to}{}", &path[from.len()..]);
                if self.known.get(path) == Some(number) {
                    self.known.remove(path);
                }
                self.known.insert(new.clone(), *number);
                *path = new;
            }
        }
    }

    /// A path names nothing any more; its number is not used for what gets the name next.
    fn gone(&mut self, path: &str) {
        self.known.remove(path);
    }
}

impl Pins {
    fn new(door: Runtime) -> Pins {
        let mut numbers = Numbers { paths: BTreeMap::new(), known: BTreeMap::new(), next: 0 };
        numbers.of(ROOT, true);
        Pins {
            door,
            numbers: Mutex::new(numbers),
            open: Mutex::default(),
            since: SystemTime::now(),
        }
    }

    fn path(&self, ino: INodeNo) -> Result<String, Errno> {
        let numbers = self.numbers.lock();
        let found = numbers.paths.get(&u64::from(ino)).map(|(path, _)| path.clone());
        found.ok_or(Errno::ENOENT)
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Result<String, Errno> {
        let name = name.to_str().ok_or(Errno::EINVAL)?;
        Ok(format!("{}/{name}", self.path(parent)?))
    }

    fn attributes(&self, path: &str, looked: bool) -> Result<FileAttr, Errno> {
        let (kind, perm, nlink) = match self.door.fs_list(path) {
            Ok(entries) => {
                let folders = entries.iter().filter(|entry| entry.object.is_none()).count();
                let perm = if path == ROOT { 0o1777 } else { 0o755 };
                (FileType::Directory, perm, 2 + folders as u32)
            }
            Err(Errno::ENOTDIR) => (FileType::RegularFile, 0o600, 1),
            Err(errno) => return Err(errno),
        };
        Ok(FileAttr {
            ino: INodeNo(self.numbers.lock().of(path, looked)),
            size: 0,
            blocks: 0,
            atime: self.since,
            mtime: self.since,
            ctime: self.since,
            crtime: self.since,
            kind,
            perm,
            nlink,
            uid: getuid().as_raw(),
            gid: getgid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn entry(&self, path: Result<String, Errno>, reply: ReplyEntry) {
        match path.and_then(|path| self.attributes(&path, true)) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(errno) => reply.error(refused(errno)),
        }
    }

    fn removed(
        &self,
        path: Result<String, Errno>,
        remove: impl Fn(&str) -> Result<(), Errno>,
        reply: ReplyEmpty,
    ) {
        let done = path.and_then(|path| {
            remove(&path)?;
            self.numbers.lock().gone(&path);
            Ok(())
        });
        answer(done, reply);
    }

    fn list(&self, ino: INodeNo) -> Result<Vec<(u64, FileType, String)>, Errno> {
        let path = self.path(ino)?;
        let entries = self.door.fs_list(&path)?;
        let mut numbers = self.numbers.lock();
        let own = u64::from(ino);
        let mut rows = vec![
            (own, FileType::Directory, ".".to_owned()),
            (own, FileType::Directory, "..".to_owned()),
        ];
        rows.extend(entries.into_iter().map(|entry| {
            let kind = match entry.object {
                Some(_) => FileType::RegularFile,
                None => FileType::Directory,
            };
            (numbers.of(&format!("{path}/{}", entry.name), false), kind, entry.name)
        }));
        Ok(rows)
    }
}

fn answer(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(refused(errno)),
    }
}

fn refused(errno: Errno) -> Refused {
    Refused::from(io::Error::from_raw_os_error(errno.0))
}

impl Filesystem for Pins {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(self.child(parent, name), reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, times: u64) {
        self.numbers.lock().forget(u64::from(ino), times);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.path(ino).and_then(|path| self.attributes(&path, false)) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(errno) => reply.error(refused(errno)),
        }
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        // Pins are made by bpf(2) only.
        reply.error(Refused::EPERM);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made = self.child(parent, name).and_then(|path| {
            self.door.fs_mkdir(&path)?;
            Ok(path)
        });
        self.entry(made, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.removed(self.child(parent, name), |path| self.door.fs_unlink(path), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.removed(self.child(parent, name), |path| self.door.fs_rmdir(path), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Refused::EINVAL);
        }
        let done = self.child(parent, name).and_then(|from| {
            let to = self.child(to, new)?;
            self.door.fs_rename(&from, &to)?;
            let mut numbers = self.numbers.lock();
            numbers.gone(&to);
            numbers.rename(&from, &to);
            Ok(())
        });
        answer(done, reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let writes = OFlags::from_bits_retain(flags.0 as u32) & OFlags::RWMODE != OFlags::RDONLY;
        let text = self.path(ino).and_then(|path| match writes {
            true => Err(Errno::EIO),
            false => self.door.fs_read(&path),
        });
        let mut open = self.open.lock();
        match text {
            Ok(_) if open.len() >= MAX_OPEN => reply.error(Refused::ENFILE),
            Ok(text) if open.values().map(Vec::len).sum::<usize>() + text.len() > MAX_TEXT => {
                reply.error(Refused::ENOMEM);
            }
            Ok(text) => {
                let handle = open.last_key_value().map_or(1, |(last, _)| last + 1);
                open.insert(handle, text);
                reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(errno) => reply.error(refused(errno)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let open = self.open.lock();
        match open.get(&u64::from(handle)) {
            Some(text) => {
                let start = text.len().min(offset as usize);
                let end = text.len().min(start + size as usize);
                reply.data(&text[start..end]);
            }
            None => reply.error(Refused::EBADF),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.open.lock().remove(&u64::from(handle));
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let rows = match self.list(ino) {
            Ok(rows) => rows,
            Err(errno) => return reply.error(refused(errno)),
        };
        for (at, (number, kind, name)) in rows.into_iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(number), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
