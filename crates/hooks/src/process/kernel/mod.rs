//! The synthetic kernel: `task_struct` and what it leads to, as the target kernel lays them out.
//!
//! Each thread has a block of memory with its registers and structures in it, filled when a
//! program first asks for its task. Pointers lead into these blocks only, and what is not known
//! is zero; the memory is this process's own, so that loads of verified programs reach it.

mod facts;
mod fill;
mod layout;

use std::cell::RefCell;
use std::collections::HashMap;

use btf::Btf;
use maps::View;
use maps::raw::Slab;

use super::error::HookError;
use super::sys::ptrace::{Regs, reg};
use super::thread::Thread;
pub(crate) use fill::{Sched, Values};
use layout::Layout;

/// Blocks of one piece of memory.
const BLOCKS: usize = 64;
/// Bytes for the registers, at the start of a block.
const REGS: usize = 256;

/// The kernel's memory as programs see it.
pub(crate) struct Kernel {
    layout: Option<Layout>,
    block: usize,
    memory: RefCell<Memory>,
}

#[derive(Default)]
struct Memory {
    slabs: Vec<Slab>,
    free: Vec<usize>,
    /// Blocks of processes that are not traced: ancestors.
    others: HashMap<i32, usize>,
}

impl Kernel {
    /// A kernel of these types; without, it has registers only.
    pub(crate) fn new(types: Option<&Btf>) -> Result<Kernel, HookError> {
        let layout = types.map(Layout::new).transpose()?;
        let block = REGS + layout.as_ref().map_or(0, |layout| layout.size);
        let block = block.next_multiple_of(64);
        Ok(Kernel { layout, block, memory: RefCell::default() })
    }

    /// The block around an address: its start and end.
    pub(crate) fn region(&self, addr: u64) -> Option<(u64, u64)> {
        let memory = self.memory.borrow();
        let (slab, at) = memory.slabs.iter().find_map(|s| s.offset(addr).map(|at| (s, at)))?;
        let start = at / self.block * self.block;
        Some((slab.addr(start), slab.addr(start) + self.block as u64))
    }

    /// The address of a block.
    fn addr(&self, slot: usize) -> u64 {
        let memory = self.memory.borrow();
        memory.slabs[slot / BLOCKS].addr(slot % BLOCKS * self.block)
    }

    fn write(&self, slot: usize, at: usize, bytes: &[u8]) {
        let memory = self.memory.borrow();
        memory.slabs[slot / BLOCKS].write(slot % BLOCKS * self.block + at, View::from(bytes));
    }

    fn take_slot(&self) -> Option<usize> {
        let mut memory = self.memory.borrow_mut();
        if let Some(slot) = memory.free.pop() {
            let at = slot % BLOCKS * self.block;
            memory.slabs[slot / BLOCKS].zero(at, self.block);
            return Some(slot);
        }
        let slab = Slab::new(self.block * BLOCKS).ok()?;
        let first = memory.slabs.len() * BLOCKS;
        memory.slabs.push(slab);
        memory.free.extend((first + 1..first + BLOCKS).rev());
        Some(first)
    }

    fn slot(&self, thread: &Thread) -> Option<usize> {
        if thread.slot.get().is_none() {
            thread.slot.set(self.take_slot());
        }
        thread.slot.get()
    }

    /// A thread is gone: its block may be another's.
    pub(crate) fn forget(&self, thread: &Thread) {
        if let Some(slot) = thread.slot.take() {
            self.memory.borrow_mut().free.push(slot);
        }
    }

    /// Stores a thread's registers; the address of its `pt_regs`, 0 if there is no memory.
    pub(crate) fn set_regs(&self, thread: &Thread, regs: &Regs) -> u64 {
        let Some(slot) = self.slot(thread) else { return 0 };
        self.write(slot, 0, regs.0[..reg::COUNT].as_flattened_bytes().as_slice());
        self.addr(slot)
    }
}

/// Words as bytes.
trait FlattenedBytes {
    fn as_flattened_bytes(&self) -> Vec<u8>;
}

impl FlattenedBytes for [u64] {
    fn as_flattened_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }
}
