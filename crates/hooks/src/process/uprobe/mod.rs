//! User functions: breakpoints at their entries, and at the places that they return to.
//!
//! A breakpoint is an `int3` in the process's private copy of the page. The instruction under it
//! is never put back: it is emulated, or runs as a copy in memory that the process was made to
//! map. A function's return is seen by a return address that leads to another `int3`.

mod argument;
mod elf;
pub(crate) mod inject;
mod insn;
mod resolve;
mod space;
mod symbols;
mod usdt;

use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use super::fast::{self, Calls, Displaced, Fast, Slow};
use super::point::Point;
use super::session::Sessions;
use super::sys::ptrace::{Regs, reg};
use super::table::Watched;
use super::thread::Thread;
use super::tracer::Attach;
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
    quick: Option<Quick>,
}

/// How a place's programs run in the process itself.
pub(crate) struct Quick {
    calls: Calls,
    displaced: Displaced,
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
    fast: Option<fast::Shared>,
}

impl Probes {
    /// The breakpoints of these places; the error says which program's is wrong, and why.
    pub(crate) fn new<'p>(
        points: impl Iterator<Item = &'p Point>,
    ) -> Result<Probes, (usize, String)> {
        let (targets, spaces) = (resolve::targets(points)?, HashMap::new());
        Ok(Probes { targets, spaces, fast: None })
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

    /// Lets programs run in processes where they can; says which cannot, and why.
    pub(crate) fn speed_up(&mut self, programs: &[Attach]) -> Vec<Slow> {
        let mut ids: Vec<usize> = Vec::new();
        for target in &self.targets {
            ids.extend(target.entry.iter().filter(|one| !one.session).map(|one| one.program));
        }
        let (fast, mut slow) = Fast::new(programs, &ids);
        let Some(mut fast) = fast else { return slow };
        for index in 0..self.targets.len() {
            match self.quick(index, &mut fast, programs) {
                Ok(quick) => self.targets[index].quick = Some(quick),
                Err(why) => {
                    for one in self.targets[index].entry.iter() {
                        let name = &programs[one.program].name;
                        if !slow.iter().any(|(known, _)| known == name) {
                            slow.push((name.clone(), why.to_owned()));
                        }
                    }
                }
            }
        }
        if let Err(error) = fast.seal() {
            slow.push(("all programs".into(), error.to_string()));
        } else if self.targets.iter().any(|target| target.quick.is_some()) {
            self.fast = Some(fast.into());
        }
        slow
    }

    fn quick(
        &self,
        index: usize,
        fast: &mut Fast,
        programs: &[Attach],
    ) -> Result<Quick, &'static str> {
        let target = &self.targets[index];
        if !target.back.is_empty() {
            return Err("another program wants to know when its function returns");
        }
        if target.file.is_go() {
            return Err("the stacks of Go programs are small");
        }
        let function = target.file.function(target.offset);
        let (code, at) = function.ok_or("no symbol tells where its function ends")?;
        let displaced = Displaced::new(code, at)?;
        let covered = target.offset..target.offset + displaced.len() as u64;
        /// No place can be covered by two jumps.
        const LONGEST: u64 = 24;
        let near = |other: &Target| {
            other.file.id == target.file.id
                && other.offset != target.offset
                && (covered.contains(&other.offset)
                    || other.offset < covered.start && covered.start - other.offset < LONGEST)
        };
        if self.targets.iter().any(near) {
            return Err("another program's place is too near");
        }
        let calls = fast.calls(&target.entry, programs);
        let calls = calls.ok_or("another program of its place runs in the tracer")?;
        Ok(Quick { calls, displaced })
    }

    /// The agent, if programs run in processes.
    pub(crate) fn fast(&self) -> Option<&fast::Shared> {
        self.fast.as_ref()
    }

    /// The agent in a process.
    pub(crate) fn inside(&self, tgid: i32) -> Option<(&Fast, fast::Inside)> {
        Some((self.fast.as_deref()?, self.spaces.get(&tgid)?.inside()?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// A process has mapped code: sets the breakpoints that are missing. The thread is at the end
    /// of a system call.
    pub(crate) fn mapped(&mut self, thread: &Thread, execed: bool) -> io::Result<Vec<String>> {
        let space = self.spaces.entry(thread.tgid).or_default();
        space.update(thread, &self.targets, self.fast.as_deref(), execed)
    }

    /// A process runs another program: its breakpoints are gone.
    pub(crate) fn execed(&mut self, tgid: i32) {
        self.gone(tgid);
    }

    /// A new process has a copy of its parent's memory, breakpoints and all.
    pub(crate) fn forked(&mut self, parent: i32, child: i32) {
        if parent != child
            && let Some(mut space) = self.spaces.get(&parent).cloned()
        {
            if let Some(fast) = &self.fast {
                space.forked(fast, (parent, child));
            }
            self.spaces.insert(child, space);
        }
    }

    /// A process has ended.
    pub(crate) fn gone(&mut self, tgid: i32) {
        let space = self.spaces.remove(&tgid);
        if let (Some(fast), Some(inside)) = (&self.fast, space.and_then(|space| space.inside())) {
            fast.gone(inside);
        }
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
