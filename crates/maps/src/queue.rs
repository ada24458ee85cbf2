//! Queues and stacks.

use parking_lot::Mutex;
use uapi::{Errno, MapDef, MapType};

use crate::Env;
use crate::ops::{EXIST, NOEXIST, Ops};
use crate::raw::{Slab, View};

/// A ring of values; a stack takes from the end that a queue adds to.
pub(crate) struct Queue {
    slab: Slab,
    stride: usize,
    value_size: usize,
    max: u32,
    lifo: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Index of the oldest value.
    oldest: u32,
    count: u32,
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
            state: Mutex::default(),
        })
    }

    fn at(&self, oldest: u32, nth: u32) -> usize {
        let index = (u64::from(oldest) + u64::from(nth)) % u64::from(self.max);
        index as usize * self.stride
    }
}

impl Ops for Queue {
    fn push(&self, value: View<'_>, flags: u64) -> Result<(), Errno> {
        if flags & NOEXIST != 0 || flags > EXIST {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        if state.count == self.max {
            if flags & EXIST == 0 {
                return Err(Errno::E2BIG);
            }
            state.oldest = if state.oldest + 1 == self.max { 0 } else { state.oldest + 1 };
            state.count -= 1;
        }
        self.slab.write(self.at(state.oldest, state.count), value.part(0, self.value_size));
        state.count += 1;
        Ok(())
    }

    fn pop(&self, out: &mut [u8], take: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let Some(last) = state.count.checked_sub(1) else {
            out.fill(0);
            return Err(Errno::ENOENT);
        };
        let nth = if self.lifo { last } else { 0 };
        self.slab.read(self.at(state.oldest, nth), out);
        if take {
            state.count = last;
            if !self.lifo {
                state.oldest = if state.oldest + 1 == self.max { 0 } else { state.oldest + 1 };
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
