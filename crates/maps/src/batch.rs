//! The batch commands: many elements in one call.

use uapi::Errno;

use crate::map::{Map, Perms};
use crate::ops::{BatchKind, LOCK};
use crate::raw::View;
use crate::refs::Held;

/// How far a batch came: `count` elements, then the error that ended it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Where the next call goes on.
    pub next: Vec<u8>,
    /// Keys, one after the other.
    pub keys: Vec<u8>,
    /// Values in user layout, one after the other.
    pub values: Vec<u8>,
    /// Elements done.
    pub count: u32,
    /// What ended it; ENOENT after the last element.
    pub errno: Option<Errno>,
}

impl Batch {
    fn end(mut self, result: Result<(), Errno>) -> Batch {
        self.errno = result.err();
        self
    }
}

impl Map {
    /// BPF_MAP_LOOKUP_BATCH, or BPF_MAP_LOOKUP_AND_DELETE_BATCH with `take`.
    pub fn lookup_batch(
        &self,
        perms: Perms,
        from: Option<&[u8]>,
        count: u32,
        take: bool,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        self.allow(perms, true, take)?;
        let by_bucket = match self.ops().batch() {
            BatchKind::Buckets => true,
            BatchKind::Keys { take: known, .. } if known || !take => false,
            _ => return Err(Errno::ENOTSUPP),
        };
        self.plain(elem_flags)?;
        let locked = elem_flags & LOCK != 0;
        let mut out = Batch::default();
        if count == 0 {
            return Ok(out);
        }
        let result = if by_bucket {
            self.by_bucket(from, count, (take, locked), &mut out)
        } else {
            self.by_key(from, count, (take, locked), &mut out)
        };
        Ok(out.end(result))
    }

    /// No flag but BPF_F_LOCK where values have a spin lock.
    fn plain(&self, elem_flags: u64) -> Result<(), Errno> {
        if elem_flags & !LOCK != 0 { Err(Errno::EINVAL) } else { self.may_lock(elem_flags) }
    }

    fn by_bucket(
        &self,
        from: Option<&[u8]>,
        count: u32,
        how: (bool, bool),
        out: &mut Batch,
    ) -> Result<(), Errno> {
        let mut bucket = match from {
            Some(f) => View::from(f.get(..4).ok_or(Errno::EFAULT)?).u32(0),
            None => 0,
        };
        let buckets = self.ops().buckets();
        while bucket < buckets {
            let to = (&mut out.keys, &mut out.values);
            match self.ops().bucket(bucket, count - out.count, how, to) {
                Ok(n) => out.count += n,
                Err(Errno::ENOSPC) if out.count > 0 => break,
                Err(errno) => return Err(errno),
            }
            bucket += 1;
        }
        out.next = bucket.to_ne_bytes().to_vec();
        if bucket >= buckets { Err(Errno::ENOENT) } else { Ok(()) }
    }

    fn by_key(
        &self,
        from: Option<&[u8]>,
        count: u32,
        (take, locked): (bool, bool),
        out: &mut Batch,
    ) -> Result<(), Errno> {
        let mut last = from.map(|f| self.key(f).map(<[u8]>::to_vec)).transpose()?;
        let (key_size, value_size) = (self.def().key_size as usize, self.user_value_size());
        let (mut key, mut value) = (zeroes(key_size)?, zeroes(value_size)?);
        while out.count < count {
            self.ops().next_key(last.as_deref(), &mut key)?;
            let found = if locked {
                self.ops().locked_lookup(&key, &mut value)
            } else {
                self.ops().user_lookup(&key, &mut value)
            };
            match found {
                Ok(()) => {
                    if take {
                        self.ops().delete(View::from(&key[..]))?;
                    }
                    append(&mut out.keys, &key)?;
                    append(&mut out.values, &value)?;
                    out.count += 1;
                }
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
            out.next.clone_from(&key);
            // What is taken leaves another one first.
            last = if take { None } else { Some(key.clone()) };
        }
        Ok(())
    }

    /// BPF_MAP_UPDATE_BATCH.
    pub fn update_batch(
        &self,
        perms: Perms,
        keys: &[u8],
        values: &[u8],
        count: u32,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        self.allow(perms, false, true)?;
        if self.ops().batch() == BatchKind::None {
            return Err(Errno::ENOTSUPP);
        }
        self.plain(elem_flags)?;
        let size = self.user_value_size();
        each(count, |i| {
            let value = slice(values, i, size)?;
            self.ops().user_update(slice(keys, i, self.def().key_size as usize)?, value, elem_flags)
        })
    }

    /// BPF_MAP_UPDATE_BATCH of a map of objects; `object` turns a value into what it stands for.
    pub fn update_batch_refs(
        &self,
        perms: Perms,
        (keys, values): (&[u8], &[u8]),
        count: u32,
        elem_flags: u64,
        mut object: impl FnMut(&[u8]) -> Result<Held, Errno>,
    ) -> Result<Batch, Errno> {
        self.allow(perms, false, true)?;
        if self.ops().batch() == BatchKind::None {
            return Err(Errno::ENOTSUPP);
        }
        self.plain(elem_flags)?;
        let (key_size, value_size) = (self.def().key_size as usize, self.user_value_size());
        each(count, |i| {
            let (key, value) = (slice(keys, i, key_size)?, slice(values, i, value_size)?);
            self.update_ref(perms, key, elem_flags, || object(value))
        })
    }

    /// BPF_MAP_DELETE_BATCH.
    pub fn delete_batch(
        &self,
        perms: Perms,
        keys: &[u8],
        count: u32,
        elem_flags: u64,
    ) -> Result<Batch, Errno> {
        self.allow(perms, false, true)?;
        if matches!(self.ops().batch(), BatchKind::None | BatchKind::Keys { delete: false, .. }) {
            return Err(Errno::ENOTSUPP);
        }
        self.plain(elem_flags)?;
        each(count, |i| {
            let key = slice(keys, i, self.def().key_size as usize)?;
            self.ops().delete(View::from(key))
        })
    }
}

fn each(count: u32, mut step: impl FnMut(usize) -> Result<(), Errno>) -> Result<Batch, Errno> {
    let mut out = Batch::default();
    while out.count < count {
        if let Err(errno) = step(out.count as usize) {
            return Ok(out.end(Err(errno)));
        }
        out.count += 1;
    }
    Ok(out)
}

fn slice(bytes: &[u8], i: usize, size: usize) -> Result<&[u8], Errno> {
    let start = i.checked_mul(size).ok_or(Errno::EFAULT)?;
    bytes.get(start..).and_then(|rest| rest.get(..size)).ok_or(Errno::EFAULT)
}

pub(crate) fn zeroes(len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

fn append(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Errno> {
    to.try_reserve(bytes.len()).map_err(|_| Errno::ENOMEM)?;
    to.extend_from_slice(bytes);
    Ok(())
}
