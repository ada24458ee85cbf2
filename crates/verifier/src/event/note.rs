//! What happens on the walk, for the log: notes without a verdict.

use std::fmt::{self, Display};

use super::{CallChain, LoopChain, Reason, RegMask, SlotMask};

/// One thing that happened; its `Display` is the log's line without the line break.
pub(crate) enum Note<'a> {
    /// A function begins.
    Func { func: usize, start: usize },
    /// A global function is verified on its own.
    Validating { func: usize, name: &'a str },
    /// A global function was verified.
    SafeForAnyArgs { func: usize, name: &'a str },
    /// A global function is called.
    AssumedValid { func: usize, name: &'a str },
    /// The state of the frame that calls follows.
    Caller,
    /// The state of the frame that is called follows.
    Callee,
    /// The state of the frame that ends follows.
    Returning,
    /// The state of the frame that goes on follows.
    BackAt { insn: usize },
    /// A path may be refused without refusing the program.
    Refused(&'a Reason),
    /// The rest of the path was walked before; `state` where it came from elsewhere.
    Safe { insn: usize, from: Option<&'a str> },
    /// A path goes on elsewhere, with all it knows.
    From { origin: &'a str, state: &'a str },
    /// A state on a line of its own.
    State { text: &'a str },
    /// A source line.
    Source { text: &'a str, file: &'a str, line: u32 },
    /// A socket map cannot be changed here.
    SocketMapFrozen,
    /// An argument of the function that is traced.
    HookArg { name: &'a str, arg: u32, id: u32, kind: &'a str, ty: &'a str },
    /// An argument of the hook that cannot be read so.
    HookRefused(HookArg<'a>),
    /// A pointer that may be an error number counts as a number.
    MaybeError { arg: u32 },
    /// bpf_loop cannot run more often.
    LoopLimit { frame: usize },
    /// Precision wanted for these linked numbers.
    Propagating { frame: usize, regs: RegMask, slots: SlotMask },
    /// The backward walk begins.
    Backtrack { frame: usize, last: i32, first: usize, subsequent: i32 },
    /// The backward walk reaches a stored state.
    BacktrackState { frame: usize, regs: RegMask, slots: SlotMask, state: &'a str },
    /// The backward walk goes over an instruction.
    BacktrackInsn { frame: usize, regs: RegMask, slots: SlotMask, insn: usize, text: &'a str },
    /// The backward walk cannot go on.
    ForcesAll { frame: usize },
    /// A register is made precise without a walk.
    ForcesReg { frame: usize, reg: usize },
    /// A stack slot is made precise without a walk.
    ForcesSlot { frame: usize, off: i32 },
    /// A loop is entered.
    LoopEnter { chain: LoopChain<'a> },
    /// A loop's end waits for its beginning.
    LoopBackedge { chain: LoopChain<'a> },
    /// A loop is done.
    LoopExit { chain: LoopChain<'a> },
    /// What is known of the use of stack slots grows.
    SlotUse(SlotChange<'a>),
    /// That is known of all instructions of a function.
    SlotsDone { chain: CallChain<'a>, rounds: u32 },
    /// The table of live registers begins.
    LiveRegs,
    /// Registers that are read after an instruction; 0 is no component.
    LiveRegsAt { component: u32, insn: usize, live: RegMask, text: &'a str },
}

/// How the slots that are read or written around an instruction change.
pub(crate) struct SlotChange<'a> {
    pub(crate) chain: CallChain<'a>,
    pub(crate) frame: usize,
    pub(crate) insn: usize,
    /// `live` or `written`.
    pub(crate) what: &'static str,
    pub(crate) gained: SlotMask,
    pub(crate) lost: SlotMask,
}

impl Display for SlotChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlotChange { chain, frame, insn, what, gained, lost } = self;
        write!(f, "{chain} frame {frame} insn {insn} ")?;
        if gained.0 != 0 {
            write!(f, "+{what} {gained} ")?;
        }
        if lost.0 != 0 {
            write!(f, "-{what} {lost}")?;
        }
        Ok(())
    }
}

/// Why an argument of a hook cannot be read so.
pub(crate) enum HookArg<'a> {
    /// Between two arguments.
    Unaligned { name: &'a str, off: i32 },
    /// Beyond the last one.
    Missing { name: &'a str, nth: u32 },
    /// The argument is no number and no pointer.
    NotPointer { name: &'a str, arg: u32, ty: &'a str, kind: &'a str },
    /// A part of a pointer.
    Size { name: &'a str, size: i32 },
    /// The hook's result has a type that programs may not see.
    Result { kind: &'a str },
    /// The pointer does not point to a structure.
    NotStruct { name: &'a str, arg: u32, kind: &'a str },
}

impl Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Func { func, start } => write!(f, "func#{func} @{start}"),
            Note::Validating { func, name } => write!(f, "Validating {name}() func#{func}..."),
            Note::SafeForAnyArgs { func, name } => {
                write!(f, "Func#{func} ('{name}') is safe for any args that match its prototype")
            }
            Note::AssumedValid { func, name } => {
                write!(f, "Func#{func} ('{name}') is global and assumed valid.")
            }
            Note::Caller => write!(f, "caller:"),
            Note::Callee => write!(f, "callee:"),
            Note::Returning => write!(f, "returning from callee:"),
            Note::BackAt { insn } => write!(f, "to caller at {insn}:"),
            Note::Refused(reason) => reason.fmt(f),
            Note::Safe { from: Some(origin), .. } => write!(f, "{origin} safe"),
            Note::Safe { insn, from: None } => write!(f, "{insn}: safe"),
            Note::From { origin, state } => write!(f, "{origin}{state}"),
            Note::State { text } => f.write_str(text),
            Note::Source { text, file, line } => write!(f, "; {text} @ {file}:{line}"),
            Note::SocketMapFrozen => write!(f, "cannot update sockmap in this context"),
            Note::HookArg { name, arg, id, kind, ty } => {
                write!(f, "func '{name}' arg{arg} has btf_id {id} type {kind} '{ty}'")
            }
            Note::HookRefused(why) => why.fmt(f),
            Note::MaybeError { arg } => {
                write!(f, "marking pointer arg{arg} as scalar as it may encode error")
            }
            Note::LoopLimit { frame } => write!(f, "frame{frame} bpf_loop iteration limit reached"),
            _ => self.fmt_precision(f),
        }
    }
}

impl Note<'_> {
    /// Whether a line break follows: Linux forgot one.
    pub(crate) fn ends_line(&self) -> bool {
        !matches!(self, Note::MaybeError { .. })
    }

    /// Steps of the search for numbers that must be precise, and of loops.
    fn fmt_precision(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Propagating { frame, regs, slots } => {
                write!(f, "frame {frame}: propagating {regs}")?;
                let comma = if regs.0 != 0 && slots.0 != 0 { "," } else { "" };
                write!(f, "{comma}{}", slots.to_string().replace('-', "fp-"))
            }
            Note::Backtrack { frame, last, first, subsequent } => write!(
                f,
                "mark_precise: frame{frame}: last_idx {last} first_idx {first} subseq_idx {subsequent} "
            ),
            Note::BacktrackState { frame, regs, slots, state } => write!(
                f,
                "mark_precise: frame{frame}: parent state regs={regs} stack={slots}: {state}"
            ),
            Note::BacktrackInsn { frame, regs, slots, insn, text } => write!(
                f,
                "mark_precise: frame{frame}: regs={regs} stack={slots} before {insn}: {text}"
            ),
            Note::ForcesAll { frame } => {
                write!(f, "mark_precise: frame{frame}: falling back to forcing all scalars precise")
            }
            Note::ForcesReg { frame, reg } => {
                write!(f, "force_precise: frame{frame}: forcing r{reg} to be precise")
            }
            Note::ForcesSlot { frame, off } => {
                write!(f, "force_precise: frame{frame}: forcing fp{off} to be precise")
            }
            Note::LoopEnter { chain } => write!(f, "SCC enter {chain}"),
            Note::LoopBackedge { chain } => write!(f, "SCC backedge {chain}"),
            Note::LoopExit { chain } => write!(f, "SCC exit {chain}"),
            Note::SlotUse(change) => change.fmt(f),
            Note::SlotsDone { chain, rounds } => {
                write!(f, "{chain} live stack update done in {rounds} iterations")
            }
            Note::LiveRegs => write!(f, "Live regs before insn:"),
            Note::LiveRegsAt { component, insn, live, text } => {
                match component {
                    0 => write!(f, "    ")?,
                    component => write!(f, "{component:3} ")?,
                }
                let mark = |n: u8| if live.0 & 1 << n != 0 { char::from(b'0' + n) } else { '.' };
                write!(f, "{insn:3}: {} {text}", (0..10).map(mark).collect::<String>())
            }
            _ => Ok(()),
        }
    }
}

impl Display for HookArg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HookArg::Unaligned { name, off } => {
                write!(f, "func '{name}' offset {off} is not multiple of 8")
            }
            HookArg::Missing { name, nth } => {
                write!(f, "func '{name}' doesn't have {nth}-th argument")
            }
            HookArg::NotPointer { name, arg, ty, kind } => write!(
                f,
                "func '{name}' arg{arg} '{ty}' has type {kind}. Only pointer access is allowed"
            ),
            HookArg::Size { name, size } => write!(f, "func '{name}' size {size} must be 8"),
            HookArg::Result { kind } => write!(f, "ret type {kind} not allowed for fmod_ret"),
            HookArg::NotStruct { name, arg, kind } => {
                write!(f, "func '{name}' arg{arg} type {kind} is not a struct")
            }
        }
    }
}
