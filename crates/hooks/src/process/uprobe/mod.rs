//! User functions: breakpoints at their entries, and at the places that they return to.
//!
//! A breakpoint is an `int3` in the process's private copy of the page. The instruction under it
//! is never put back: it is emulated, or runs as a copy in memory that the process was made to
//! map. A function's return is seen by a return address that leads to another `int3`.

mod argument;
mod elf;
mod inject;
mod insn;
mod resolve;
mod space;
mod symbols;
mod usdt;

use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use super::point::Point;
use super::session::Sessions;
use super::sys::ptrace::{Regs, reg};
use super::table::Watched;
use super::thread::Thread;
use insn::Step;
use space::Space;
pub use usdt::UsdtProbe;

/// A place in a file and the programs on it.
pub(crate) struct Target {
    file: Rc<elf::Image>,
    /// Offset in the file.
    offset: u64,
    /// Offset in the file of a counter of those who watch.
    semaphore: Option<u64>,
    /// Programs at the entry, and at the return.
    entry: Rc<[Use]>,
    back: Rc<[Use]>,
    step: Step,
}

/// A program at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) program: usize,
    /// What it is attached with there, if not with the program's own cookie.
    pub(crate) cookie: Option<u64>,
    /// It is at both ends.
    pub(crate) session: bool,
}

/// A function that was entered and whose return is watched.
#[derive(Clone, Debug)]
pub(crate) struct Return {
    /// The stack pointer at the entry, where the return address is.
    sp: u64,
    /// Where it really returns to.
    to: u64,
    func_ip: u64,
    target: usize,
    /// What its sessions keep.
    sessions: Sessions,
}

/// A program's hit: which programs run, and what `bpf_get_func_ip` tells them.
pub(crate) struct Hit {
    pub(crate) programs: Rc<[Use]>,
    pub(crate) func_ip: u64,
    /// What sessions keep from the entry; `None` at one.
    pub(crate) sessions: Option<Sessions>,
}

/// All breakpoints.
#[derive(Default)]
pub(crate) struct Probes {
    targets: Vec<Target>,
    /// By process.
    spaces: HashMap<i32, Space>,
}

impl Probes {
    /// The breakpoints of these places; the error says which program's is wrong, and why.
    pub(crate) fn new<'p>(
        points: impl Iterator<Item = &'p Point>,
    ) -> Result<Probes, (usize, String)> {
        Ok(Probes { targets: resolve::targets(points)?, spaces: HashMap::new() })
    }

    /// What of files there are breakpoints in.
    pub(crate) fn watched(&self) -> Watched {
        let counted = self.targets.iter().any(|target| target.semaphore.is_some());
        match (self.targets.is_empty(), counted) {
            (true, _) => Watched::Nothing,
            (false, false) => Watched::Code,
            (false, true) => Watched::CodeAndData,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// A process has mapped code: sets the breakpoints that are missing. The thread is at the end
    /// of a system call.
    pub(crate) fn mapped(&mut self, thread: &Thread, execed: bool) -> io::Result<Vec<String>> {
        let space = self.spaces.entry(thread.tgid).or_default();
        space.update(thread, &self.targets, execed)
    }

    /// A process runs another program: its breakpoints are gone.
    pub(crate) fn execed(&mut self, tgid: i32) {
        self.spaces.remove(&tgid);
    }

    /// A new process has a copy of its parent's memory, breakpoints and all.
    pub(crate) fn forked(&mut self, parent: i32, child: i32) {
        if parent != child
            && let Some(space) = self.spaces.get(&parent).cloned()
        {
            self.spaces.insert(child, space);
        }
    }

    /// A process has ended.
    pub(crate) fn gone(&mut self, tgid: i32) {
        self.spaces.remove(&tgid);
    }

    /// What the breakpoint is that a thread has run into, if it is one of ours; the registers are
    /// set to where it is.
    pub(crate) fn hit(&self, thread: &mut Thread, regs: &mut Regs) -> Option<Hit> {
        let space = self.spaces.get(&thread.tgid)?;
        let at = regs[reg::RIP].wrapping_sub(1);
        if space.is_way_back(at) {
            return self.came_back(thread, regs);
        }
        let index = space.target_at(at)?;
        regs[reg::RIP] = at;
        let programs = self.targets[index].entry.clone();
        Some(Hit { programs, func_ip: at, sessions: None })
    }

    /// After the programs of an entry: watches the return if it is asked for, and takes the step
    /// over the instruction.
    ///
    /// `sessions` is what those of the entry keep for the return.
    pub(crate) fn step(
        &self,
        thread: &mut Thread,
        regs: &mut Regs,
        sessions: Sessions,
    ) -> io::Result<()> {
        let at = regs[reg::RIP];
        let space = self.spaces.get(&thread.tgid);
        let Some((space, index)) = space.and_then(|s| Some((s, s.target_at(at)?))) else {
            return Ok(());
        };
        let target = &self.targets[index];
        if sessions.any_of(&target.back)
            && let Some(way_back) = space.way_back()
        {
            let sp = regs[reg::RSP];
            let mut word = [0; 8];
            if super::sys::memory::read(thread.tid, sp, &mut word) == word.len() {
                let to = u64::from_ne_bytes(word);
                thread.returns.retain(|known| known.sp >= sp);
                thread.returns.push(Return { sp, to, func_ip: at, target: index, sessions });
                super::sys::memory::write(thread.tid, sp, &way_back.to_ne_bytes());
            }
        }
        target.step.take(thread.tid, regs, space.copy_of(index))
    }

    fn came_back(&self, thread: &mut Thread, regs: &mut Regs) -> Option<Hit> {
        let sp = regs[reg::RSP].wrapping_sub(8);
        // Functions that were left by longjmp never came here.
        thread.returns.retain(|known| known.sp >= sp);
        let last = thread.returns.pop()?;
        regs[reg::RIP] = last.to;
        let programs = self.targets[last.target].back.clone();
        Some(Hit { programs, func_ip: last.func_ip, sessions: Some(last.sessions) })
    }
}
