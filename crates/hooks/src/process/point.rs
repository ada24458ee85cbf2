//! Places of a command's life that programs attach to.

use super::control::Control;

/// How a program sees an event: what its context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The record of a tracepoint.
    Record,
    /// The tracepoint's arguments, a word each (`raw_tp`, `tp_btf`).
    Args,
    /// The registers at a kernel function's entry or return (`kprobe`, `kretprobe`).
    Regs,
    /// A kernel function's arguments, and its result behind them (`fentry`, `fexit`).
    Call,
    /// The structure of the hook itself, which it may change.
    Own,
}

/// A moment of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// A system call begins: this one, or any.
    Enter(Option<u32>),
    /// A system call ends.
    Leave(Option<u32>),
    /// A process or thread was made.
    Fork,
    /// A process runs another program from now on.
    Exec,
    /// A thread ends.
    Exit,
    /// A function of a program or library is entered.
    Function(Function),
    /// It returns.
    Return(Function),
    /// Several system calls, by number.
    Calls(Vec<u32>, When),
    /// All functions of a file whose names match a pattern of `*` and `?`.
    Functions(Function, When),
    /// All places of a probe that a file's makers have put there.
    Usdt(Usdt),
    /// These places of a file, which is named as in [`Function`].
    Sites(String, Vec<Site>),
    /// So often in a second that a thread is on a CPU.
    Sample(u32),
    /// A control group's hook at a system call.
    Control(Control),
}

/// Which ends of a call or function a program is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Its beginning.
    Entry,
    /// Its end.
    Return,
    /// Both: a session. What the beginning's run returns says whether there is one at the end.
    Both,
}

impl When {
    pub(crate) fn entry(self) -> bool {
        self != When::Return
    }

    pub(crate) fn back(self) -> bool {
        self != When::Entry
    }
}

/// A probe by its names, as `PATH:PROVIDER:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usdt {
    /// The program or library, as in [`Function`].
    pub file: String,
    /// Who made it.
    pub provider: String,
    /// What it is.
    pub name: String,
}

/// One place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Offset in the file.
    pub offset: u64,
    /// Offset in the file of a counter of 16 bits that says how many watch the place.
    pub semaphore: Option<u64>,
    /// What `bpf_get_attach_cookie` tells there.
    pub cookie: u64,
}

/// A place in a file of machine code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The program or library; a name without `/` is looked for where the dynamic linker does, or
    /// in PATH.
    pub file: String,
    /// The symbol; empty: the offset alone counts.
    pub symbol: String,
    /// Bytes from the symbol on, or from the start of the file.
    pub offset: u64,
}

/// Where a program goes, and what it sees there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The moment.
    pub point: Point,
    /// The context.
    pub form: Form,
}
