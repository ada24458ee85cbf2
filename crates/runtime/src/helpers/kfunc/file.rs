//! Files: paths and extended attributes of those that the event's process or this machine has.

use std::path::PathBuf;

use interp::Trap;
use uapi::Errno;

use super::super::dynptr::Dynptr;
use super::super::{Call, count, mem};
use super::task;
use crate::iter::member_offset;
use crate::kernel_objects::{self as objects, FILE};

/// Attributes that programs may read.
const READABLE: [&[u8]; 2] = [b"user.", b"security.bpf."];
/// Bytes of a name.
const MAX_NAME: usize = 256;
/// Bytes of a value (`XATTR_SIZE_MAX`).
const MAX_VALUE: usize = 1 << 16;

/// The path of a `struct file`.
fn path_of(c: &Call<'_, '_>, file: u64) -> Option<PathBuf> {
    if let Some((FILE, _, path)) = c.run.core.kernel_object_at(file) {
        return Some(path.into());
    }
    let btf = c.run.core.config.kernel_btf.as_deref()?;
    let ty = btf.find_by_name(FILE, btf::Kind::Struct)?;
    let at = member_offset(btf, ty, "f_path")?;
    let path = c.run.event?.process.path(file + at as u64)?;
    Some(String::from_utf8(path).ok()?.into())
}

/// The value of an attribute into a dynptr; how long it is.
fn attribute(c: &mut Call<'_, '_>, path: Option<PathBuf>, name: u64, to: u64) -> Result<u64, Trap> {
    let name = c.probe_str(name, MAX_NAME).unwrap_or_default();
    if !READABLE.iter().any(|start| name.starts_with(start)) {
        return Ok(Errno::EPERM.as_ret());
    }
    let (Some(path), Some(to)) = (path, Dynptr::at(c, to)?) else {
        return Ok(Errno::EINVAL.as_ret());
    };
    let mut value = vec![0; (to.size as usize).min(MAX_VALUE)];
    let read = rustix::fs::getxattr(&path, name, &mut value);
    Ok(match read {
        Ok(len) => {
            let stored = to.write(c, 0, &value[..len.min(value.len())])?;
            count(stored.map(|()| len as u64))
        }
        Err(errno) => Errno(errno.raw_os_error()).as_ret(),
    })
}

pub(super) fn file_attribute(
    c: &mut Call<'_, '_>,
    [file, name, to, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let path = path_of(c, file);
    attribute(c, path, name, to)
}

pub(super) fn group_attribute(
    c: &mut Call<'_, '_>,
    [group, name, to, ..]: [u64; 5],
) -> Result<u64, Trap> {
    let path = task::group_at(c, group).map(|(_, path)| objects::group_folder(&path));
    attribute(c, path, name, to)
}

/// The file that a task runs; null for one without.
pub(super) fn program(c: &mut Call<'_, '_>, [task, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    let path = task::number(c, task).and_then(|pid| objects::program_of(pid).ok());
    Ok(path.map_or(0, |path| c.run.core.file_object(&path)))
}

/// The path that a `struct path` names, with its zero; how long it is.
pub(super) fn path(c: &mut Call<'_, '_>, [path, to, size, ..]: [u64; 5]) -> Result<u64, Trap> {
    let size = size as u32 as usize;
    if size == 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    let text = match c.run.core.kernel_object_at(path) {
        Some((FILE, _, path)) => Some(path.into_bytes()),
        _ => c.run.event.and_then(|event| event.process.path(path)),
    };
    let Some(mut text) = text else { return Ok(Errno::EINVAL.as_ret()) };
    text.push(0);
    if text.len() > size {
        return Ok(Errno::ENAMETOOLONG.as_ret());
    }
    c.writable(to, size)?;
    mem::write(to, &text);
    Ok(text.len() as u64)
}
