//! Queues and stacks.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use uapi::{Errno, MapDef, MapType};

use crate::Env;
use crate::ops::{EXIST, NOEXIST, Ops};
use crate::raw::{Slab, View};
use crate::spin::Spin;

/// A ring of values; a stack takes from the end that a queue adds to.
pub(crate) struct Queue {
    slab: Slab,
    stride: usize,
    value_size: usize,
    max: u32,
    lifo: bool,
    lock: AtomicU32,
    /// Under the lock: index of the oldest value, values.
    oldest: AtomicU32,
    count: AtomicU32,
}

impl Queue {
    pub(crate) fn new(def: &MapDef, env: &Env) -> Result<Queue, Errno> {
        let value_size = def.value_size as usize;
        let stride = value_size.next_multiple_of(8);
        Ok(Queue {
            slab: env.slab(stride, def.max_entries as usize)?,
            stride,
            value_size,
            max: def.max_entries,
            lifo: def.map_type == MapType::Stack,
            lock: AtomicU32::new(0),
            oldest: AtomicU32::new(0),
            count: AtomicU32::new(0),
        })
    }

    fn at(&self, nth: u32) -> usize {
        let (index, max) = (u64::from(self.oldest.load(Relaxed)) + u64::from(nth), self.max.into());
        (if index >= max { index - max } else { index }) as usize * self.stride
    }

    fn drop_oldest(&self) {
        let next = self.oldest.load(Relaxed) + 1;
        self.oldest.store(if next == self.max { 0 } else { next }, Relaxed);
    }
}

impl Ops for Queue {
    fn push(&self, value: View<'_>, flags: u64) -> Result<(), Errno> {
        if flags & NOEXIST != 0 || flags > EXIST {
            return Err(Errno::EINVAL);
        }
        let _lock = Spin::lock(&self.lock, false);
        let mut count = self.count.load(Relaxed);
        if count == self.max {
            if flags & EXIST == 0 {
                return Err(Errno::E2BIG);
            }
            self.drop_oldest();
            count -= 1;
        }
        self.slab.write(self.at(count), value.part(0, self.value_size));
        self.count.store(count + 1, Relaxed);
        Ok(())
    }

    fn pop(&self, out: &mut [u8], take: bool) -> Result<(), Errno> {
        let lock = Spin::lock(&self.lock, false);
        let Some(last) = self.count.load(Relaxed).checked_sub(1) else {
            drop(lock);
            out.fill(0);
            return Err(Errno::ENOENT);
        };
        self.slab.read(self.at(if self.lifo { last } else { 0 }), out);
        if take {
            self.count.store(last, Relaxed);
            if !self.lifo {
                self.drop_oldest();
            }
        }
        Ok(())
    }

    fn delete(&self, _: View<'_>) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn next_key(&self, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
}
