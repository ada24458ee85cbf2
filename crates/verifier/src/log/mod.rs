//! Linux's log, made from the walk's events: what was walked, what is known, why it failed.

mod lines;
mod print_state;

use std::fmt::Write as _;

use crate::error::Reject;
use crate::event::Note;
use crate::input::LogOptions;

pub(crate) use print_state::{tnum_text, type_name};

/// Print the failing path.
pub(crate) const LEVEL1: u32 = 1;
/// Print every path.
pub(crate) const LEVEL2: u32 = 2;
/// Print statistics.
pub(crate) const STATS: u32 = 4;

/// The text so far and what of the state has changed since it was last printed.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) level: u32,
    pub(crate) text: String,
    capacity: usize,
    /// Registers and slots to print after the next instruction.
    pub(crate) scratched_regs: u32,
    pub(crate) scratched_slots: u64,
    /// Where the text of the last instruction line begins and ends.
    pub(crate) insn_print_start: usize,
    pub(crate) insn_print_end: usize,
    /// The last source line printed.
    pub(crate) last_line: Option<usize>,
}

/// Bytes kept when the caller does not say.
const DEFAULT_CAPACITY: usize = 16 << 20;

impl Log {
    pub(crate) fn new(options: &LogOptions) -> Log {
        let capacity = if options.capacity == 0 { DEFAULT_CAPACITY } else { options.capacity };
        Log { level: options.level, capacity, ..Log::default() }
    }

    /// Whether anything but statistics is printed.
    pub(crate) fn on(&self) -> bool {
        self.level & (LEVEL1 | LEVEL2) != 0
    }

    /// Whether every path is printed.
    pub(crate) fn all_paths(&self) -> bool {
        self.level & LEVEL2 != 0
    }

    /// Prints a note as a line.
    pub(crate) fn say(&mut self, note: &Note<'_>) {
        let end = if note.ends_line() { "\n" } else { "" };
        self.put(format_args!("{note}{end}"));
    }

    /// Prints why the program or path is refused.
    pub(crate) fn say_reject(&mut self, reject: &Reject) {
        for reason in reject.reasons() {
            self.put(format_args!("{reason}\n"));
        }
    }

    /// Appends formatted text; keeps the tail when it grows past the capacity.
    pub(crate) fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
        if self.text.len() > self.capacity.saturating_mul(2) {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let mut cut = self.text.len().saturating_sub(self.capacity);
        while !self.text.is_char_boundary(cut) {
            cut += 1;
        }
        self.text.drain(..cut);
        self.insn_print_start = self.insn_print_start.saturating_sub(cut);
        self.insn_print_end = self.insn_print_end.saturating_sub(cut);
    }

    /// Forgets what was said so far: the paths were fine.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        (self.insn_print_start, self.insn_print_end) = (0, 0);
    }

    /// The text, cut to its capacity.
    pub(crate) fn finish(&mut self) -> String {
        if self.text.len() > self.capacity {
            self.trim();
        }
        std::mem::take(&mut self.text)
    }

    /// The register was touched: print it after this instruction.
    pub(crate) fn scratch_reg(&mut self, n: usize) {
        self.scratched_regs |= 1 << n;
    }

    /// The stack slot was touched.
    pub(crate) fn scratch_slot(&mut self, spi: usize) {
        self.scratched_slots |= 1 << (spi & 63);
    }

    /// Print everything next time.
    pub(crate) fn scratch_all(&mut self) {
        self.scratched_regs = u32::MAX;
        self.scratched_slots = u64::MAX;
    }
}

/// `say!(env, Note::…)` at levels 1 and 2; nothing is made while the log is off.
macro_rules! say {
    ($env:expr, $note:expr) => {
        if $env.log.on() {
            let note = $note;
            $env.log.say(&note);
        }
    };
}
/// `say2!(env, Note::…)` at level 2 only.
macro_rules! say2 {
    ($env:expr, $note:expr) => {
        if $env.log.all_paths() {
            let note = $note;
            $env.log.say(&note);
        }
    };
}
pub(crate) use {say, say2};
