//! Descriptors of one runtime.

use std::sync::Arc;

use maps::Perms;
use parking_lot::Mutex;
use uapi::Errno;

use crate::attach::link::Link;
use crate::btf_obj::BtfObj;
use crate::counting::Asking;
use crate::door::{Fd, ObjKind};
use crate::map_obj::User;
use crate::outside::OutsideObj;
use crate::prog::Prog;

/// The first number: 0 to 2 look like a process's standard streams.
const FIRST: usize = 3;

/// What a descriptor holds.
#[derive(Clone)]
pub(crate) enum Object {
    Prog(Arc<Prog>),
    Map(Arc<User>, Perms),
    Btf(Arc<BtfObj>),
    Link(Arc<Link>),
    Outside(Arc<OutsideObj>),
    Stats(#[expect(dead_code, reason = "it counts while it is held")] Arc<Asking>),
}

impl Object {
    /// `None` for what has no id.
    pub(crate) fn kind(&self) -> Option<ObjKind> {
        match self {
            Object::Prog(_) => Some(ObjKind::Prog),
            Object::Map(..) => Some(ObjKind::Map),
            Object::Btf(_) => Some(ObjKind::Btf),
            Object::Link(_) => Some(ObjKind::Link),
            Object::Stats(_) | Object::Outside(_) => None,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        match self {
            Object::Prog(prog) => prog.id,
            Object::Map(map, _) => map.id,
            Object::Btf(btf) => btf.id,
            Object::Link(link) => link.id,
            Object::Stats(_) | Object::Outside(_) => 0,
        }
    }
}

/// The table: lowest free number first, as open(2) does.
pub(crate) struct Fds {
    slots: Mutex<Vec<Option<Object>>>,
    /// Descriptors that may be open.
    limit: usize,
}

impl Fds {
    pub(crate) fn new(limit: usize) -> Fds {
        Fds { slots: Mutex::default(), limit }
    }

    pub(crate) fn open(&self, object: Object) -> Result<Fd, Errno> {
        let mut slots = self.slots.lock();
        let free = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        if free >= self.limit {
            return Err(Errno::EMFILE);
        }
        if free == slots.len() {
            slots.push(None);
        }
        slots[free] = Some(object);
        Ok(Fd((free + FIRST) as i32))
    }

    pub(crate) fn get(&self, fd: Fd) -> Result<Object, Errno> {
        let slot = usize::try_from(fd.0).ok().and_then(|n| n.checked_sub(FIRST));
        let slots = self.slots.lock();
        slot.and_then(|s| slots.get(s)).cloned().flatten().ok_or(Errno::EBADF)
    }

    pub(crate) fn close(&self, fd: Fd) -> Result<(), Errno> {
        let slot = usize::try_from(fd.0).ok().and_then(|n| n.checked_sub(FIRST));
        // Dropped after the lock is released: objects hold other objects.
        let object = {
            let mut slots = self.slots.lock();
            slot.and_then(|s| slots.get_mut(s)).and_then(Option::take)
        };
        object.map(drop).ok_or(Errno::EBADF)
    }

    /// What it holds, as often as it does.
    pub(crate) fn objects(&self) -> Vec<(ObjKind, u32)> {
        let slots = self.slots.lock();
        slots.iter().flatten().filter_map(|object| Some((object.kind()?, object.id()))).collect()
    }

    pub(crate) fn prog(&self, fd: Fd) -> Result<Arc<Prog>, Errno> {
        match self.get(fd)? {
            Object::Prog(prog) => Ok(prog),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn map(&self, fd: Fd) -> Result<(Arc<User>, Perms), Errno> {
        match self.get(fd)? {
            Object::Map(map, perms) => Ok((map, perms)),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn link(&self, fd: Fd) -> Result<Arc<Link>, Errno> {
        match self.get(fd)? {
            Object::Link(link) => Ok(link),
            _ => Err(Errno::EINVAL),
        }
    }

    /// EBADF for an object of bpf(2).
    pub(crate) fn outside(&self, fd: Fd) -> Result<Arc<OutsideObj>, Errno> {
        match self.get(fd)? {
            Object::Outside(what) => Ok(what),
            _ => Err(Errno::EBADF),
        }
    }

    pub(crate) fn btf(&self, fd: Fd) -> Result<Arc<BtfObj>, Errno> {
        match self.get(fd)? {
            Object::Btf(btf) => Ok(btf),
            _ => Err(Errno::EINVAL),
        }
    }
}
