//! Which programs run when.

use super::filter::Stop;
use super::point::{Point, When};
use super::syscalls;

/// What of a process's files breakpoints need to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    Nothing,
    Code,
    CodeAndData,
}

/// Indexes of programs by moment, in the order of attachment.
pub(crate) struct Table {
    enter: Vec<Vec<usize>>,
    leave: Vec<Vec<usize>>,
    pub(crate) fork: Vec<usize>,
    pub(crate) exec: Vec<usize>,
    pub(crate) exit: Vec<usize>,
}

const EXECVE: [u32; 2] = [59, 322];
/// The call that maps files, which of its arguments is the protection, and that of code.
const MMAP: u32 = 9;
const MMAP_PROT: u8 = 2;
const PROT_EXEC: u32 = 4;
const PROT_WRITE: u32 = 2;
/// Calls that change users or groups.
const SET_IDS: [u32; 9] = [105, 106, 113, 114, 117, 119, 122, 123, 308];

impl Table {
    pub(crate) fn new<'p>(points: impl Iterator<Item = &'p Point>) -> Table {
        let none = || vec![Vec::new(); syscalls::COUNT];
        let (fork, exec, exit) = (Vec::new(), Vec::new(), Vec::new());
        let mut table = Table { enter: none(), leave: none(), fork, exec, exit };
        for (index, point) in points.enumerate() {
            match point {
                Point::Enter(which) => add(&mut table.enter, *which, index),
                Point::Leave(which) => add(&mut table.leave, *which, index),
                Point::Fork => table.fork.push(index),
                Point::Exec => table.exec.push(index),
                Point::Exit => table.exit.push(index),
                Point::Calls(numbers, when) => table.calls(numbers, *when, index),
                Point::Function(_)
                | Point::Return(_)
                | Point::Functions(..)
                | Point::Usdt(_)
                | Point::Sites(..)
                | Point::Sample(_)
                | Point::Control(_) => {}
            }
        }
        table
    }

    fn calls(&mut self, numbers: &[u32], when: When, index: usize) {
        for number in numbers {
            if when.entry() {
                add(&mut self.enter, Some(*number), index);
            }
            if when.back() {
                add(&mut self.leave, Some(*number), index);
            }
        }
    }

    pub(crate) fn enter(&self, number: u32) -> &[usize] {
        self.enter.get(number as usize).map_or(&[], |list| list)
    }

    /// Programs at entries, by call.
    pub(crate) fn entries(&self) -> &[Vec<usize>] {
        &self.enter
    }

    pub(crate) fn leave(&self, number: u32) -> &[usize] {
        self.leave.get(number as usize).map_or(&[], |list| list)
    }

    /// What stops: calls that programs ask for, and those that change what they are told.
    ///
    /// With breakpoints, also those that bring code into a process; with counters of those who
    /// watch, those that bring data.
    /// Calls that programs decide on stop in any case (`controlled`, sorted).
    /// Entries without an end to tell may wait for a word instead, if all their programs are
    /// `plain` at this call.
    pub(crate) fn stops(
        &self,
        watched: Watched,
        controlled: &[u32],
        plain: &dyn Fn(u32, usize) -> bool,
    ) -> [Stop; syscalls::COUNT] {
        let mut stops = [Stop::Never; syscalls::COUNT];
        for (number, stop) in stops.iter_mut().enumerate() {
            let number = number as u32;
            let decided = controlled.binary_search(&number).is_ok();
            let asked = decided || !self.enter(number).is_empty() || !self.leave(number).is_empty();
            let exec = EXECVE.contains(&number);
            if asked || exec || SET_IDS.contains(&number) {
                let entry = self.leave(number).is_empty() && !exec && !SET_IDS.contains(&number);
                let apart = !decided
                    && Self::exec_path(number).is_none()
                    && !(watched != Watched::Nothing && number == MMAP);
                let plain = self.enter(number).iter().all(|index| plain(number, *index));
                *stop = if entry && apart && plain { Stop::Notify } else { Stop::Always };
            } else if number == MMAP {
                *stop = match watched {
                    Watched::Nothing => Stop::Never,
                    Watched::Code => Stop::IfBits(MMAP_PROT, PROT_EXEC),
                    Watched::CodeAndData => Stop::IfAny(MMAP_PROT, PROT_EXEC | PROT_WRITE),
                };
            }
        }
        stops
    }

    /// Whether a call may bring code into a process.
    pub(crate) fn maps_code(number: u32) -> bool {
        number == MMAP || EXECVE.contains(&number)
    }

    pub(crate) fn changes_ids(number: u32) -> bool {
        SET_IDS.contains(&number)
    }

    /// The argument that is an exec's path, if the call is one.
    pub(crate) fn exec_path(number: u32) -> Option<usize> {
        EXECVE.iter().position(|known| *known == number)
    }
}

fn add(lists: &mut [Vec<usize>], which: Option<u32>, index: usize) {
    match which {
        Some(number) => lists[number as usize].push(index),
        None => lists.iter_mut().for_each(|list| list.push(index)),
    }
}
