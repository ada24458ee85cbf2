//! Places of a command's life that programs attach to, out of sections' names.

use super::control::Control;
use super::syscalls;

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
    /// A control group's hook at a system call.
    Control(Control),
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

type Parse = fn(&str) -> Result<Place, String>;

/// First part of a section's name, and what it says of the rest.
const SECTIONS: &[(&str, Parse)] = &[
    ("tracepoint", tracepoint),
    ("tp", tracepoint),
    ("raw_tracepoint", raw),
    ("raw_tp", raw),
    ("raw_tracepoint.w", raw),
    ("raw_tp.w", raw),
    ("tp_btf", raw),
    ("kprobe", |name| kernel(name, Form::Regs, false)),
    ("kretprobe", |name| kernel(name, Form::Regs, true)),
    ("ksyscall", |name| call(name, false)),
    ("kretsyscall", |name| call(name, true)),
    ("fentry", |name| kernel(name, Form::Call, false)),
    ("fentry.s", |name| kernel(name, Form::Call, false)),
    ("fexit", |name| kernel(name, Form::Call, true)),
    ("fexit.s", |name| kernel(name, Form::Call, true)),
    ("uprobe", |at| user(at, false)),
    ("uprobe.s", |at| user(at, false)),
    ("uretprobe", |at| user(at, true)),
    ("uretprobe.s", |at| user(at, true)),
    ("cgroup", control),
];

impl Place {
    /// The place that a section's name says; else why it is none of a command.
    pub fn parse(section: &str) -> Result<Place, String> {
        let (kind, target) = section.split_once('/').unwrap_or((section, ""));
        match SECTIONS.iter().find(|(name, _)| *name == kind) {
            Some((_, parse)) => parse(target),
            None => Err("programs of this type have no hook on a command".into()),
        }
    }
}

const TRACEPOINTS: &str = "a command has syscalls/sys_enter_* and sys_exit_*, raw_syscalls/sys_enter \
                           and sys_exit, sched/sched_process_fork, _exec and _exit";

fn tracepoint(name: &str) -> Result<Place, String> {
    let form = Form::Record;
    let unknown = || format!("no tracepoint '{name}' here: {TRACEPOINTS}");
    let (category, event) = name.split_once('/').ok_or_else(unknown)?;
    let point = match category {
        "syscalls" => {
            let (point, function): (fn(_) -> _, _) = match event.strip_prefix("sys_enter_") {
                Some(function) => (Point::Enter, function),
                None => (Point::Leave, event.strip_prefix("sys_exit_").ok_or_else(unknown)?),
            };
            point(Some(syscalls::number(function).ok_or_else(unknown)?))
        }
        "raw_syscalls" | "sched" => moment(event).ok_or_else(unknown)?,
        _ => return Err(unknown()),
    };
    Ok(Place { point, form })
}

fn moment(event: &str) -> Option<Point> {
    Some(match event {
        "sys_enter" => Point::Enter(None),
        "sys_exit" => Point::Leave(None),
        "sched_process_fork" => Point::Fork,
        "sched_process_exec" => Point::Exec,
        "sched_process_exit" => Point::Exit,
        _ => return None,
    })
}

fn raw(event: &str) -> Result<Place, String> {
    let unknown = || {
        format!(
            "no tracepoint '{event}' here: a command has sys_enter, sys_exit, sched_process_fork, \
             sched_process_exec, sched_process_exit"
        )
    };
    Ok(Place { point: moment(event).ok_or_else(unknown)?, form: Form::Args })
}

fn at(number: u32, end: bool) -> Point {
    if end { Point::Leave(Some(number)) } else { Point::Enter(Some(number)) }
}

fn kernel(name: &str, form: Form, end: bool) -> Result<Place, String> {
    let refuse = || {
        format!(
            "the kernel's function '{name}' cannot be probed without the kernel: what a command \
             shows of it are its system calls, __x64_sys_NAME"
        )
    };
    let function = name.strip_prefix("__x64_sys_").ok_or_else(refuse)?;
    let number =
        syscalls::number(function).ok_or_else(|| format!("no system call '{function}'"))?;
    Ok(Place { point: at(number, end), form })
}

fn call(name: &str, end: bool) -> Result<Place, String> {
    let number = syscalls::number(name).ok_or_else(|| format!("no system call '{name}'"))?;
    Ok(Place { point: at(number, end), form: Form::Regs })
}

fn control(name: &str) -> Result<Place, String> {
    let unknown = || {
        format!("a command has no hook cgroup/{name}; packets of control groups are not its calls")
    };
    let point = Point::Control(Control::parse(name).ok_or_else(unknown)?);
    Ok(Place { point, form: Form::Own })
}

fn user(at: &str, end: bool) -> Result<Place, String> {
    let function = Function::parse(at)?;
    let point = if end { Point::Return(function) } else { Point::Function(function) };
    Ok(Place { point, form: Form::Regs })
}

impl Function {
    /// `PATH:FUNC`, `PATH:FUNC+OFF` or `PATH:OFF`.
    fn parse(text: &str) -> Result<Function, String> {
        let wrong = || {
            format!("'{text}' names no function: write PATH:FUNC, PATH:FUNC+OFFSET or PATH:OFFSET")
        };
        let (file, place) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (symbol, offset) = match place.rsplit_once('+') {
            Some((symbol, offset)) => (symbol, number(offset).ok_or_else(wrong)?),
            None => number(place).map_or((place, 0), |offset| ("", offset)),
        };
        let file = file.to_owned();
        if file.is_empty() || place.is_empty() {
            return Err(wrong());
        }
        Ok(Function { file, symbol: symbol.to_owned(), offset })
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(section: &str) -> Option<Place> {
        Place::parse(section).ok()
    }

    #[test]
    fn sections_name_places() {
        let is = |section, point, form| {
            assert_eq!(place(section), Some(Place { point, form }), "{section}");
        };
        is("tracepoint/syscalls/sys_enter_openat", Point::Enter(Some(257)), Form::Record);
        is("tp/syscalls/sys_exit_newstat", Point::Leave(Some(4)), Form::Record);
        is("tracepoint/raw_syscalls/sys_exit", Point::Leave(None), Form::Record);
        is("raw_tp/sys_enter", Point::Enter(None), Form::Args);
        is("tp_btf/sched_process_exec", Point::Exec, Form::Args);
        is("kprobe/__x64_sys_kill", Point::Enter(Some(62)), Form::Regs);
        is("kretsyscall/unlinkat", Point::Leave(Some(263)), Form::Regs);
        is("fexit/__x64_sys_close", Point::Leave(Some(3)), Form::Call);
        let function = Function { file: "/lib/c.so".into(), symbol: "malloc".into(), offset: 0x10 };
        is("uprobe//lib/c.so:malloc+0x10", Point::Function(function), Form::Regs);
        let plain = Function { file: "./a:b".into(), symbol: String::new(), offset: 0x1234 };
        is("uretprobe/./a:b:0x1234", Point::Return(plain), Form::Regs);
        for none in
            ["xdp", "kprobe/vfs_open", "tp/syscalls/sys_enter_nosuch", "uprobe", "uprobe/a:"]
        {
            assert_eq!(place(none), None, "{none}");
        }
    }
}
