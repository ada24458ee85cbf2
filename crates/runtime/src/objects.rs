//! Objects by id: what lives as long as something holds it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use uapi::Errno;

/// Objects of one kind; an id is not used twice in a row.
pub(crate) struct Ids<T> {
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    live: BTreeMap<u32, Weak<T>>,
    next: u32,
}

impl<T> Default for Ids<T> {
    fn default() -> Ids<T> {
        Ids { inner: Mutex::new(Inner { live: BTreeMap::new(), next: 1 }) }
    }
}

impl<T> Ids<T> {
    /// Makes an object that knows its id.
    pub(crate) fn add(&self, make: impl FnOnce(u32) -> T) -> Arc<T> {
        let mut inner = self.inner.lock();
        let mut id = inner.next;
        while inner.live.get(&id).is_some_and(|w| w.strong_count() > 0) {
            id = id.checked_add(1).unwrap_or(1);
        }
        let object = Arc::new(make(id));
        inner.live.insert(id, Arc::downgrade(&object));
        inner.next = id.checked_add(1).unwrap_or(1);
        if inner.next.is_multiple_of(256) {
            inner.live.retain(|_, w| w.strong_count() > 0);
        }
        object
    }

    /// ENOSPC when `limit` objects are alive.
    pub(crate) fn below(&self, limit: usize) -> Result<(), Errno> {
        let mut inner = self.inner.lock();
        if inner.live.len() >= limit {
            inner.live.retain(|_, w| w.strong_count() > 0);
        }
        if inner.live.len() >= limit { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    /// The object with this id.
    pub(crate) fn get(&self, id: u32) -> Option<Arc<T>> {
        self.inner.lock().live.get(&id)?.upgrade()
    }

    /// The smallest id above `after`; ENOENT after the last.
    pub(crate) fn next(&self, after: u32) -> Result<u32, Errno> {
        let inner = self.inner.lock();
        let mut above = inner.live.range((Bound::Excluded(after), Bound::Unbounded));
        above.find(|(_, w)| w.strong_count() > 0).map(|(id, _)| *id).ok_or(Errno::ENOENT)
    }
}
