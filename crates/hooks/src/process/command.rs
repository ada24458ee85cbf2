//! The command: what is run, found as a shell finds it.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::HookError;
use super::sys::spawn::Image;

/// A command and its arguments; it inherits this process's environment, folder and files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, by path or as PATH has it, and its arguments.
    pub argv: Vec<OsString>,
}

/// Statuses of a shell.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

impl Command {
    fn name(&self) -> &OsStr {
        self.argv.first().map_or(OsStr::new(""), |name| name)
    }

    /// An error about it.
    pub(crate) fn error(&self, error: &io::Error) -> HookError {
        let found = error.kind() != io::ErrorKind::NotFound;
        let status = if found { NOT_RUNNABLE } else { NOT_FOUND };
        self.wrong(error.to_string(), status)
    }

    fn wrong(&self, why: String, status: u8) -> HookError {
        HookError::Command { command: self.name().display().to_string(), why, status }
    }

    /// The file that is run.
    pub(crate) fn path(&self) -> Result<PathBuf, HookError> {
        let name = self.name();
        if name.is_empty() {
            return Err(self.wrong("a command without a name".into(), NOT_FOUND));
        }
        if name.as_bytes().contains(&b'/') {
            let path = PathBuf::from(name);
            return self.runnable(&path).map(|()| path);
        }
        let folders = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        let mut why = None;
        for folder in std::env::split_paths(&folders) {
            let path = folder.join(name);
            match self.runnable(&path) {
                Ok(()) => return Ok(path),
                Err(error) if path.exists() => why = why.or(Some(error)),
                Err(_) => {}
            }
        }
        Err(why.unwrap_or_else(|| self.wrong("no such command in PATH".into(), NOT_FOUND)))
    }

    fn runnable(&self, path: &Path) -> Result<(), HookError> {
        let file = path.metadata().map_err(|error| self.error(&error))?;
        if file.is_dir() {
            return Err(self.wrong("this is a folder".into(), NOT_RUNNABLE));
        }
        if file.permissions().mode() & 0o111 == 0 {
            return Err(
                self.wrong("this is no program: it cannot be executed".into(), NOT_RUNNABLE)
            );
        }
        Ok(())
    }

    pub(crate) fn image(&self) -> Result<Image, HookError> {
        let path = self.path()?;
        let text = |bytes: &OsStr| {
            let zero = |_| self.wrong("there is a zero byte in an argument".into(), NOT_RUNNABLE);
            CString::new(bytes.as_bytes()).map_err(zero)
        };
        let argv = self.argv.iter().map(|arg| text(arg)).collect::<Result<_, _>>()?;
        let variable = |(mut name, value): (OsString, OsString)| {
            name.push("=");
            name.push(value);
            text(&name)
        };
        let env = std::env::vars_os().map(variable).collect::<Result<_, _>>()?;
        Ok(Image { path: text(path.as_os_str())?, argv, env })
    }
}
