//! An explanation as data: its parts, for printers to lay out.

use uapi::Errno;

/// Why a program was rejected, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Which kind of mistake it is: a stable word such as `packet-bounds`.
    pub cause: &'static str,
    /// What the verifier met, finer than the cause: `mem-max-outside`; empty where Linux is silent.
    pub reason: String,
    /// What is wrong, in plain words and without particulars.
    pub title: String,
    /// What BPF_PROG_LOAD returns.
    pub errno: Errno,
    /// Linux's own message.
    pub message: String,
    /// The instruction at fault.
    pub place: Option<Place>,
    /// What that instruction does: `reads 2 bytes at packet offset 12`.
    pub label: String,
    /// What the rule asks for.
    pub required: String,
    /// What is known about the registers involved.
    pub known: Vec<Fact>,
    /// How the program gets there, in the order it happens.
    pub path: Vec<Event>,
    /// What usually helps.
    pub suggestion: Option<String>,
}

/// An instruction, and the source it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its slot.
    pub insn: usize,
    /// The instruction as Linux's log writes it, without its opcode.
    pub text: String,
    /// From line information.
    pub source: Option<Source>,
}

/// A line of source as line information records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Path of the file as the compiler was given it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
    /// The line with the white space before it.
    pub text: String,
}

/// What is known about one register or stack slot before the instruction at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// `R1` or `fp-8`.
    pub name: String,
    /// Type, range, offset, null-ness in plain words.
    pub text: String,
    /// The range of a number, or of the variable part of a pointer's offset.
    pub range: Option<Range>,
    /// Where it got its value.
    pub origin: Option<Origin>,
}

/// Smallest and largest value as a signed and as an unsigned number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Signed.
    pub smin: i64,
    /// Signed.
    pub smax: i64,
    /// Unsigned.
    pub umin: u64,
    /// Unsigned.
    pub umax: u64,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The instruction that made it; `None` at the start of the program.
    pub place: Option<Place>,
    /// `returned by bpf_map_lookup_elem`, `read from the packet`.
    pub text: String,
}

/// One step on the way to the instruction at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub place: Place,
    /// What happens there.
    pub kind: EventKind,
    /// The register or slot it happens to, if it is one of those involved.
    pub subject: Option<String>,
    /// In plain words: `R2 becomes a number from 0 to 100`.
    pub text: String,
}

/// Kinds of [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A conditional jump is taken.
    Taken,
    /// A conditional jump is not taken.
    NotTaken,
    /// A jump tells more about a value involved.
    Bounded,
    /// A value involved is made.
    Created,
    /// Arithmetic on a value involved.
    Arithmetic,
    /// After this less is known than before.
    Lost,
    /// A value involved goes to the stack or comes back.
    Moved,
    /// A subprogram is entered or left.
    Call,
}

impl EventKind {
    /// A stable word for machines.
    pub fn word(self) -> &'static str {
        match self {
            EventKind::Taken => "taken",
            EventKind::NotTaken => "not-taken",
            EventKind::Bounded => "bounded",
            EventKind::Created => "created",
            EventKind::Arithmetic => "arithmetic",
            EventKind::Lost => "lost",
            EventKind::Moved => "moved",
            EventKind::Call => "call",
        }
    }
}
