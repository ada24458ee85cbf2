//! Level 2: programs that run in the traced process itself, as machine code over shared memory.
//!
//! What is mapped into a process once it maps a probed file: the shared memory with the maps, at the
//! addresses that it has here; the agent with the compiled programs; a page of its own. A probed
//! function's first instructions give way to a jump into a trampoline near it, which saves what the
//! function may need, goes to the agent, does the displaced instructions and jumps back. Threads
//! need not stop for the change: it is made when the file has just been mapped.
//!
//! A thread that runs a program holds a slot, which is a logical CPU with a stack. Signals for it wait
//! until it has given the slot back; faults end the program's run, not the process.

mod displaced;
mod inside;
mod memory;
mod signal;
mod vdso;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use agent::abi::Call;

use super::sys::ptrace;
use super::tracer::Attach;
use super::uprobe::Use;
pub(crate) use displaced::Displaced;
pub(crate) use inside::{INJECTED, Inside, room, trampoline};
use memory::Memory;
pub(crate) use signal::{Fate, Waiting};

/// The agent and what it needs.
pub(crate) struct Fast {
    memory: Memory,
    /// By program: where its code is and whether it may change vector registers.
    programs: Vec<Option<(u64, bool)>>,
    /// Number of the last process.
    last: AtomicU16,
    /// `clock_gettime` in the vdso, from its start.
    clock: Option<u64>,
}

/// The programs of a place, ready to run in a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    at: u64,
    count: u32,
    vectors: bool,
}

/// Why programs run in the tracer, by name.
pub(crate) type Slow = (String, String);

impl Fast {
    /// Compiles what can run in other processes, and says why the others cannot; none if nothing
    /// can.
    ///
    /// `entries` are the indexes of those at entries of functions.
    pub(crate) fn new(programs: &[Attach], entries: &[usize]) -> (Option<Fast>, Vec<Slow>) {
        let all = |why: &str| {
            let slow = programs.iter().map(|p| (p.name.clone(), why.to_owned()));
            (None, slow.collect())
        };
        let Some(first) = entries.first().map(|index| &programs[*index]) else {
            return all(ENTRIES);
        };
        if rustix::param::linux_hwcap().1 & FSGSBASE == 0 {
            return all("this machine or kernel has no instructions for the fs base");
        }
        let Some(region) = first.runner.region() else {
            return all("its maps are not in shared memory");
        };
        let memory = match Memory::new(region, first.runner.cpus()) {
            Ok(memory) => memory,
            Err(error) => return all(&error.to_string()),
        };
        let (last, clock) = (AtomicU16::new(0), vdso::clock());
        let mut fast = Fast { memory, programs: Vec::new(), last, clock };
        let mut slow = Vec::new();
        for (index, program) in programs.iter().enumerate() {
            let done = match entries.contains(&index) {
                true => fast.compile(program),
                false => Err(ENTRIES.to_owned()),
            };
            if let Err(why) = &done {
                slow.push((program.name.clone(), why.clone()));
            }
            fast.programs.push(done.ok());
        }
        if fast.programs.iter().all(Option::is_none) {
            return (None, slow);
        }
        (Some(fast), slow)
    }

    fn compile(&mut self, program: &Attach) -> Result<(u64, bool), String> {
        let code = program.runner.foreign(&mut self.memory)?;
        self.memory.add(&code).map_err(|error| error.to_string())
    }

    /// The programs of a place, if all of them run in the process.
    pub(crate) fn calls(&mut self, uses: &[Use], programs: &[Attach]) -> Option<Calls> {
        let mut list = Vec::new();
        let mut any = false;
        for one in uses.iter().copied() {
            let (entry, vectors) = (*self.programs.get(one.program)?)?;
            any |= vectors;
            let own = programs.get(one.program)?.cookie;
            list.push(Call { entry, cookie: one.cookie.unwrap_or(own) });
        }
        let at = self.memory.list(&list).filter(|_| !list.is_empty())?;
        Some(Calls { at, count: list.len() as u32, vectors: any })
    }

    /// Nothing is added from now on.
    pub(crate) fn seal(&self) -> std::io::Result<()> {
        self.memory.seal()
    }

    /// Programs run in processes so far.
    pub(crate) fn runs(&self) -> u64 {
        self.memory.runs()
    }

    /// Events that were missed because all slots were held for long.
    pub(crate) fn missed(&self) -> u32 {
        self.memory.missed()
    }

    /// A number for a process.
    fn tag(&self) -> u16 {
        let next = |last: u16| Some(last.checked_add(1).unwrap_or(1));
        let before = self.last.fetch_update(Relaxed, Relaxed, next).unwrap_or(0);
        next(before).unwrap_or(1)
    }

    /// A process has ended, or runs another program.
    pub(crate) fn gone(&self, inside: Inside) {
        if !inside.borrowed {
            self.memory.free(inside.tag);
        }
    }

    /// What a new process has of its parent's.
    pub(crate) fn forked(&self, parent: Inside, (from, child): (i32, i32)) -> Inside {
        if ptrace::same_memory(from, child) {
            return Inside { borrowed: true, ..parent };
        }
        let inside = Inside { tag: self.tag(), borrowed: false };
        inside.tell(self, child);
        inside
    }
}

const ENTRIES: &str = "only programs at entries of user functions run in the command itself";
/// In the second word of what the hardware can: user code may read the fs base.
const FSGSBASE: usize = 1 << 1;

/// A tracer's agent, shared with its processes' breakpoints.
pub(crate) type Shared = Arc<Fast>;
