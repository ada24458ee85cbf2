//! Where a user's daemon is found: a folder that nobody else may enter.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A folder with the daemon's socket, lock and log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// The user's: `$XDG_RUNTIME_DIR/ring3`, or `/tmp/ring3-UID` where there is no such folder.
    pub fn of_user() -> Place {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let usable = |dir: &PathBuf| dir.is_absolute() && dir.is_dir();
        match runtime.filter(usable) {
            Some(dir) => Place::at(dir.join("ring3")),
            None => Place::at(format!("/tmp/ring3-{}", rustix::process::getuid().as_raw())),
        }
    }

    /// This folder.
    pub fn at(dir: impl Into<PathBuf>) -> Place {
        Place { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// The socket before it listens.
    pub(crate) fn new_socket(&self) -> PathBuf {
        self.dir.join("socket.new")
    }

    /// Locked by the running daemon, whose process number it holds; empty after an orderly end.
    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// Locked by who is starting a daemon.
    pub(crate) fn start_lock(&self) -> PathBuf {
        self.dir.join("start.lock")
    }

    /// What the daemon says on standard error.
    pub fn log(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    /// Makes the folder if it is missing.
    pub(crate) fn make(&self) -> Result<(), Error> {
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::Folder { path: self.dir.clone(), error });
            }
            _ => {}
        }
        self.check().map(|_| ())
    }

    /// Whether the folder is there; an error if it is not the user's alone.
    pub(crate) fn check(&self) -> Result<bool, Error> {
        let found = match fs::symlink_metadata(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::Folder { path: self.dir.clone(), error }),
            Ok(found) => found,
        };
        let why = match () {
            () if !found.is_dir() => "not a folder",
            () if found.uid() != rustix::process::getuid().as_raw() => "belongs to another user",
            () if found.mode() & 0o077 != 0 => "others may enter it (chmod 700 closes it)",
            () => return Ok(true),
        };
        Err(Error::NotOurs { path: self.dir.clone(), why })
    }

    /// The process number in the lock file, if there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.lock()).ok()?.trim().parse().ok()
    }
}
