//! Logical CPUs: a thread that runs programs owns one.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::{Condvar, Mutex};

/// The CPUs of one runtime.
pub(crate) struct Cpus {
    /// Tells runtimes apart in a thread's list.
    key: u64,
    busy: Mutex<Vec<bool>>,
    freed: Condvar,
}

struct Held {
    key: u64,
    cpu: u32,
    count: u32,
}

thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

/// A CPU, held by this thread until all its guards are dropped.
pub(crate) struct CpuGuard {
    cpus: Arc<Cpus>,
    cpu: u32,
    not_send: PhantomData<*const ()>,
}

impl Cpus {
    pub(crate) fn new(count: u32) -> Arc<Cpus> {
        Arc::new(Cpus {
            key: NEXT_KEY.fetch_add(1, Relaxed),
            busy: Mutex::new(vec![false; count as usize]),
            freed: Condvar::new(),
        })
    }

    /// The thread's CPU; waits for a free one if it has none.
    pub(crate) fn enter(self: &Arc<Cpus>) -> CpuGuard {
        let held = HELD.with_borrow_mut(|list| {
            let held = list.iter_mut().find(|h| h.key == self.key)?;
            held.count += 1;
            Some(held.cpu)
        });
        let cpu = held.unwrap_or_else(|| self.take());
        CpuGuard { cpus: self.clone(), cpu, not_send: PhantomData }
    }

    fn take(&self) -> u32 {
        let mut busy = self.busy.lock();
        let cpu = loop {
            match busy.iter().position(|b| !b) {
                Some(cpu) => break cpu,
                None => self.freed.wait(&mut busy),
            }
        };
        busy[cpu] = true;
        let cpu = cpu as u32;
        HELD.with_borrow_mut(|list| list.push(Held { key: self.key, cpu, count: 1 }));
        cpu
    }

    fn release(&self, cpu: u32) {
        let last = HELD.with_borrow_mut(|list| {
            let at = list.iter().position(|h| h.key == self.key)?;
            list[at].count -= 1;
            let last = list[at].count == 0;
            if last {
                list.swap_remove(at);
            }
            Some(last)
        });
        if last == Some(true) {
            self.busy.lock()[cpu as usize] = false;
            self.freed.notify_one();
        }
    }
}

impl CpuGuard {
    pub(crate) fn id(&self) -> u32 {
        self.cpu
    }
}

impl Drop for CpuGuard {
    fn drop(&mut self) {
        self.cpus.release(self.cpu);
    }
}
