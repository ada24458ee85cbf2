//! One process's breakpoints, and the memory that it was made to map for them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use super::inject::Caller;
use super::insn::{COPY, Step};
use super::{Quick, Target};
use crate::process::fast::{self, Displaced, Fast, Inside};
use crate::process::thread::Thread;

/// Breakpoints of a process, by address.
#[derive(Clone, Default)]
pub(super) struct Space {
    breakpoints: Vec<Breakpoint>,
    pages: Vec<Page>,
    /// Counters that were raised: their addresses, and for which targets.
    raised: Vec<(u64, usize)>,
    /// Places that jump to trampolines.
    jumps: Vec<u64>,
    agent: Agent,
}

/// Whether the agent is in the process.
#[derive(Clone, Copy, Default)]
enum Agent {
    #[default]
    Outside,
    Inside(Inside),
    /// It cannot be.
    Refused,
}

#[derive(Clone, Copy)]
struct Breakpoint {
    at: u64,
    target: usize,
    copy: Option<u64>,
}

/// Memory of ours in the process: an `int3`, then copies of instructions.
#[derive(Clone, Copy)]
struct Page {
    start: u64,
    used: usize,
}

const PAGE: usize = 4096;
/// Trampolines start at multiples of this.
const ALIGN: usize = 16;
const INT3: u8 = 0xcc;

/// A piece of a file in a process's memory.
struct Mapping {
    code: bool,
    /// The process may write its own copy of it.
    data: bool,
    start: u64,
    end: u64,
    offset: u64,
    device: u64,
    inode: u64,
    path: String,
}

impl Mapping {
    /// Where a place of its file is.
    fn address(&self, offset: u64) -> Option<u64> {
        let at = self.start.checked_add(offset.checked_sub(self.offset)?)?;
        (at < self.end).then_some(at)
    }
}

impl Space {
    pub(super) fn target_at(&self, at: u64) -> Option<usize> {
        let found = self.breakpoints.binary_search_by_key(&at, |known| known.at).ok()?;
        Some(self.breakpoints[found].target)
    }

    pub(super) fn copy_of(&self, target: usize) -> Option<u64> {
        self.breakpoints.iter().find(|known| known.target == target)?.copy
    }

    /// Whether this is where watched functions return to.
    pub(super) fn is_way_back(&self, at: u64) -> bool {
        self.pages.iter().any(|page| page.start == at)
    }

    pub(super) fn way_back(&self) -> Option<u64> {
        self.pages.first().map(|page| page.start)
    }

    /// Sets the breakpoints of files that are mapped now; notes about those that cannot be set.
    pub(super) fn update(
        &mut self,
        thread: &Thread,
        targets: &[Target],
        fast: Option<&Fast>,
        execed: bool,
    ) -> io::Result<Vec<String>> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", thread.tid))?;
        let mappings: Vec<Mapping> = maps.lines().filter_map(Mapping::parse).collect();
        let mut notes = Vec::new();
        let mut memory = Memory { tid: thread.tid, file: None };
        for (index, target) in targets.iter().enumerate() {
            let file = &target.file;
            for mapping in mappings.iter().filter(|m| file.is(m.device, m.inode, &m.path)) {
                if mapping.data
                    && let Some(at) = target.semaphore.and_then(|offset| mapping.address(offset))
                {
                    self.raise(memory.open()?, at, index)?;
                }
                let Some(at) = mapping.address(target.offset).filter(|_| mapping.code) else {
                    continue;
                };
                if self.target_at(at).is_some() || self.jumps.contains(&at) {
                    continue;
                }
                let place = (at, mapping.start);
                let caller = Caller { thread, memory: memory.open()?, execed };
                if let (Some(fast), Some(quick)) = (fast, &target.quick) {
                    match self.jump(&caller, fast, quick, place) {
                        Ok(()) => continue,
                        Err(why) => notes.push(format!(
                            "{}: programs at {at:#x} run in the tracer: {why}",
                            file.path.display()
                        )),
                    }
                }
                if let Err(why) = self.set(&caller, place, (index, target)) {
                    notes.push(format!("{}: no breakpoint at {at:#x}: {why}", file.path.display()));
                }
            }
        }
        Ok(notes)
    }

    /// Counts us among those who watch a place, once.
    fn raise(&mut self, memory: &File, at: u64, target: usize) -> io::Result<()> {
        if self.raised.contains(&(at, target)) {
            return Ok(());
        }
        let mut count = [0; 2];
        memory.read_exact_at(&mut count, at)?;
        let count = u16::from_le_bytes(count).wrapping_add(1);
        memory.write_all_at(&count.to_le_bytes(), at)?;
        self.raised.push((at, target));
        Ok(())
    }

    fn set(
        &mut self,
        caller: &Caller<'_>,
        (at, near): (u64, u64),
        (index, target): (usize, &Target),
    ) -> io::Result<()> {
        let mut copy = None;
        if let Step::Copy(moved) = &target.step {
            let fits = |page: &Page| page.used + COPY <= PAGE;
            let place = |page: &Page| page.start + page.used as u64;
            let found = self
                .pages
                .iter()
                .position(|page| fits(page) && moved.copy(at, place(page)).is_some());
            let found = match found {
                Some(found) => found,
                None => self.new_page(caller, near)?,
            };
            let to = place(&self.pages[found]);
            let Some(code) = moved.copy(at, to) else {
                return Err(io::Error::other("there is no memory near enough"));
            };
            caller.memory.write_all_at(&code, to)?;
            self.pages[found].used += COPY;
            copy = Some(to);
        }
        if !target.back.is_empty() && self.pages.is_empty() {
            self.new_page(caller, near)?;
        }
        caller.memory.write_all_at(&[INT3], at)?;
        let after = self.breakpoints.partition_point(|known| known.at < at);
        self.breakpoints.insert(after, Breakpoint { at, target: index, copy });
        Ok(())
    }

    /// Makes a place jump to where its programs run in the process.
    fn jump(
        &mut self,
        caller: &Caller<'_>,
        fast: &Fast,
        quick: &Quick,
        (at, near): (u64, u64),
    ) -> io::Result<()> {
        match self.agent {
            Agent::Inside(_) => {}
            Agent::Refused => return Err(io::Error::other("the agent is not in the process")),
            Agent::Outside => {
                self.agent = Agent::Refused;
                self.agent = Agent::Inside(Inside::enter(fast, caller)?);
            }
        }
        let room = fast::room(&quick.displaced);
        let place = |page: &Page| page.start + page.used.next_multiple_of(ALIGN) as u64;
        let fits = |page: &Page| page.used.next_multiple_of(ALIGN) + room <= PAGE;
        let write = |page: &Page| {
            let (code, entry) =
                fast::trampoline(fast, quick.calls, &quick.displaced, at, place(page))?;
            Some((code, Displaced::jump(at, entry)?))
        };
        let found = self.pages.iter().position(|page| fits(page) && write(page).is_some());
        let found = match found {
            Some(found) => found,
            None => self.new_page(caller, near)?,
        };
        let page = &mut self.pages[found];
        let far = || io::Error::other("there is no memory near enough");
        let (code, jump) = write(page).ok_or_else(far)?;
        caller.memory.write_all_at(&code, place(page))?;
        page.used = page.used.next_multiple_of(ALIGN) + code.len();
        caller.memory.write_all_at(&jump, at)?;
        self.jumps.push(at);
        Ok(())
    }

    /// The agent, if it is in the process.
    pub(super) fn inside(&self) -> Option<Inside> {
        match self.agent {
            Agent::Inside(inside) => Some(inside),
            _ => None,
        }
    }

    /// The space is a new process's copy of its parent's.
    pub(super) fn forked(&mut self, fast: &Fast, (parent, child): (i32, i32)) {
        if let Agent::Inside(inside) = self.agent {
            self.agent = Agent::Inside(fast.forked(inside, (parent, child)));
        }
    }

    /// A page of executable memory below `near`.
    fn new_page(&mut self, caller: &Caller<'_>, near: u64) -> io::Result<usize> {
        let start = caller.map(near, PAGE as u64)?;
        caller.memory.write_all_at(&[INT3], start)?;
        self.pages.push(Page { start, used: COPY });
        Ok(self.pages.len() - 1)
    }
}

/// A process's memory, opened when it is wanted.
struct Memory {
    tid: i32,
    file: Option<File>,
}

impl Memory {
    fn open(&mut self) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let path = format!("/proc/{}/mem", self.tid);
                OpenOptions::new().read(true).write(true).open(path)?
            }
        };
        Ok(self.file.insert(file))
    }
}

impl Mapping {
    /// A line of `/proc/PID/maps`, if it is of a file's code or data.
    fn parse(line: &str) -> Option<Mapping> {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let rights = words.next()?.as_bytes();
        let code = rights.get(2) == Some(&b'x');
        let data = rights.get(1) == Some(&b'w') && rights.get(3) == Some(&b'p');
        let offset = hex(words.next()?)?;
        let (major, minor) = words.next()?.split_once(':')?;
        let device = rustix::fs::makedev(hex(major)? as u32, hex(minor)? as u32);
        let inode = words.next()?.parse().ok()?;
        let path = words.next().unwrap_or("").trim_start().to_owned();
        let (start, end) = (hex(start)?, hex(end)?);
        let some = (code || data) && inode != 0;
        some.then_some(Mapping { code, data, start, end, offset, device, inode, path })
    }
}
