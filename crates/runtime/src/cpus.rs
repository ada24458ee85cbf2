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

    /// Exchanges the thread's CPU for this one, after whoever has it; `false` if there is no such
    /// CPU, or if others of the thread's guards hold the one it has.
    fn exchange(&self, cpu: u32) -> bool {
        let mut busy = self.busy.lock();
        let wanted = cpu as usize;
        if wanted >= busy.len() {
            return false;
        }
        let held = HELD.with_borrow_mut(|list| {
            let held = list.iter_mut().find(|h| h.key == self.key && h.count == 1)?;
            Some(std::mem::replace(&mut held.cpu, cpu))
        });
        let Some(before) = held else { return false };
        busy[before as usize] = false;
        self.freed.notify_all();
        while busy[wanted] {
            self.freed.wait(&mut busy);
        }
        busy[wanted] = true;
        true
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
            // Some wait for any CPU, some for this one.
            self.freed.notify_all();
        }
    }
}

impl CpuGuard {
    pub(crate) fn id(&self) -> u32 {
        self.cpu
    }

    /// Moves the thread to this CPU; whether it is there now.
    pub(crate) fn move_to(&mut self, cpu: u32) -> bool {
        let there = self.cpu == cpu || self.cpus.exchange(cpu);
        if there {
            self.cpu = cpu;
        }
        there
    }
}

impl Drop for CpuGuard {
    fn drop(&mut self) {
        self.cpus.release(self.cpu);
    }
}
