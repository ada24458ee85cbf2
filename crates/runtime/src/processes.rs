//! The tables of descriptors behind one runtime, to tell who holds what.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::door::Holder;
use crate::fds::Fds;

/// Tables with the processes that they belong to.
#[derive(Default)]
pub(crate) struct Processes(Mutex<Vec<(Weak<Fds>, u32)>>);

impl Processes {
    /// A table for a process.
    pub(crate) fn add(&self, limit: usize, pid: u32) -> Arc<Fds> {
        let fds = Arc::new(Fds::new(limit));
        let mut all = self.0.lock();
        all.retain(|(table, _)| table.strong_count() > 0);
        all.push((Arc::downgrade(&fds), pid));
        fds
    }

    /// What other processes than that of `asking` hold, each once.
    pub(crate) fn holders(&self, asking: &Arc<Fds>) -> Vec<Holder> {
        // Taken out of the lock: the last hold on a table drops what is in it.
        let tables: Vec<_> = self
            .0
            .lock()
            .iter()
            .filter_map(|(table, pid)| Some((table.upgrade()?, *pid)))
            .collect();
        let own = tables.iter().find(|(table, _)| Arc::ptr_eq(table, asking)).map(|row| row.1);
        let mut found = Vec::new();
        for (table, pid) in tables.iter().filter(|(_, pid)| Some(*pid) != own) {
            let comm = comm(*pid);
            let objects = table.objects().into_iter();
            found.extend(objects.map(|(kind, id)| Holder {
                kind,
                id,
                pid: *pid,
                comm: comm.clone(),
            }));
        }
        found.sort_by_key(|held| (held.kind, held.id, held.pid));
        found.dedup();
        found
    }
}

/// A process's name; empty when it has gone.
fn comm(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}
