//! What all users of one runtime may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use uapi::{Errno, MapDef, MapType};

/// Limits of a [`crate::Runtime`], as resource limits are a user's in Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Descriptors of one process; EMFILE above.
    pub fds: usize,
    /// Objects of one kind; ENOSPC above.
    pub objects: usize,
    /// Pins and their folders; ENOSPC above.
    pub pins: usize,
    /// Bytes of all maps together; EPERM above, as of RLIMIT_MEMLOCK.
    pub map_memory: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { fds: 1 << 16, objects: usize::MAX, pins: usize::MAX, map_memory: u64::MAX }
    }
}

/// Bytes that maps hold.
#[derive(Default)]
pub(crate) struct Account {
    bytes: Arc<AtomicU64>,
}

impl Account {
    /// Takes what the map needs, now or when full; EPERM if it is more than `limit` leaves.
    pub(crate) fn charge(&self, now: u64, def: &MapDef, limit: u64) -> Result<Charge, Errno> {
        let need = now.max(bytes(def));
        let add = |held: u64| held.checked_add(need).filter(|sum| *sum <= limit);
        let added = self.bytes.fetch_update(Relaxed, Relaxed, add);
        added.map_err(|_| Errno::EPERM)?;
        Ok(Charge { account: self.bytes.clone(), bytes: need })
    }
}

/// Taken from an account until it is dropped.
pub(crate) struct Charge {
    account: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.fetch_sub(self.bytes, Relaxed);
    }
}

/// Keys and values of a full map of this kind, in bytes.
fn bytes(def: &MapDef) -> u64 {
    let entries = u64::from(def.max_entries);
    match def.map_type {
        MapType::Ringbuf => entries,
        MapType::Arena => entries.saturating_mul(4096),
        _ => (u64::from(def.key_size) + u64::from(def.value_size)).saturating_mul(entries),
    }
}
