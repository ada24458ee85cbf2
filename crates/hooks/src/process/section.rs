//! Places out of sections' names.

use super::control::Control;
use super::point::{Form, Function, Place, Point, Usdt, When};
use super::syscalls;

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
    ("kprobe.multi", |name| kernel_multi(name, When::Entry)),
    ("kretprobe.multi", |name| kernel_multi(name, When::Return)),
    ("kprobe.session", |name| kernel_multi(name, When::Both)),
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
    ("uprobe.multi", |at| user_multi(at, When::Entry)),
    ("uprobe.multi.s", |at| user_multi(at, When::Entry)),
    ("uretprobe.multi", |at| user_multi(at, When::Return)),
    ("uretprobe.multi.s", |at| user_multi(at, When::Return)),
    ("uprobe.session", |at| user_multi(at, When::Both)),
    ("uprobe.session.s", |at| user_multi(at, When::Both)),
    ("usdt", usdt),
    ("usdt.s", usdt),
    ("perf_event", sample),
    ("cgroup", control),
    ("sockops", |_| control("sock_ops")),
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

/// Calls whose kernel function matches a pattern.
fn kernel_multi(pattern: &str, when: When) -> Result<Place, String> {
    let numbers: Vec<u32> = (0..syscalls::COUNT as u32)
        .filter(|number| {
            let function = syscalls::function(*number);
            function.is_some_and(|name| matches(pattern, &format!("__x64_sys_{name}")))
        })
        .collect();
    if numbers.is_empty() {
        let whole = !pattern.contains(['*', '?']);
        let unknown = format!("no function of a command's system calls is like '{pattern}'");
        return if whole { kernel(pattern, Form::Regs, false) } else { Err(unknown) };
    }
    Ok(Place { point: Point::Calls(numbers, when), form: Form::Regs })
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

fn user_multi(at: &str, when: When) -> Result<Place, String> {
    Ok(Place { point: Point::Functions(Function::parse(at)?, when), form: Form::Regs })
}

fn usdt(at: &str) -> Result<Place, String> {
    let wrong = || format!("'{at}' names no probe: write PATH:PROVIDER:NAME");
    let (rest, name) = at.rsplit_once(':').ok_or_else(wrong)?;
    let (file, provider) = rest.rsplit_once(':').ok_or_else(wrong)?;
    if [file, provider, name].iter().any(|part| part.is_empty()) {
        return Err(wrong());
    }
    let [file, provider, name] = [file, provider, name].map(str::to_owned);
    Ok(Place { point: Point::Usdt(Usdt { file, provider, name }), form: Form::Regs })
}

/// Samples a second where nobody says how many, and at most.
const FREQUENCY: u32 = 99;
const FREQUENCIES: std::ops::RangeInclusive<u32> = 1..=10_000;

fn sample(frequency: &str) -> Result<Place, String> {
    let wrong = || format!("'{frequency}' is no number of samples a second (1 to 10000)");
    let frequency = match frequency {
        "" => FREQUENCY,
        text => text.parse().ok().filter(|n| FREQUENCIES.contains(n)).ok_or_else(wrong)?,
    };
    Ok(Place { point: Point::Sample(frequency), form: Form::Regs })
}

/// Whether a name matches a pattern in which `*` stands for any text and `?` for any character.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last star was, and what it stands for so far.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, end)) = star else { return false };
                star = Some((at, end + 1));
                (p, n) = (at + 1, end + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
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
    fn patterns_match_as_in_shells() {
        let yes = [("*", ""), ("a*c", "abcbc"), ("a?c", "abc"), ("*b*", "abc"), ("abc", "abc")];
        let no = [("?", ""), ("a*c", "abcb"), ("a?c", "ac"), ("", "a"), ("ab", "abc")];
        yes.iter().for_each(|(p, n)| assert!(matches(p, n), "{p} {n}"));
        no.iter().for_each(|(p, n)| assert!(!matches(p, n), "{p} {n}"));
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
        is(
            "kprobe.multi/__x64_sys_pread*",
            Point::Calls(vec![17, 295, 327], When::Entry),
            Form::Regs,
        );
        is("kretprobe.multi/__x64_sys_kill", Point::Calls(vec![62], When::Return), Form::Regs);
        let function = Function { file: "./a".into(), symbol: "g_*".into(), offset: 0 };
        is("uprobe.session/./a:g_*", Point::Functions(function, When::Both), Form::Regs);
        let [file, provider, name] = ["/lib/c.so", "libc", "setjmp"].map(str::to_owned);
        is("usdt//lib/c.so:libc:setjmp", Point::Usdt(Usdt { file, provider, name }), Form::Regs);
        is("perf_event", Point::Sample(99), Form::Regs);
        is("perf_event/1000", Point::Sample(1000), Form::Regs);
        for none in ["kprobe.multi/vfs_*", "usdt/a:b", "usdt/:b:c", "perf_event/0"] {
            assert_eq!(place(none), None, "{none}");
        }
        for none in
            ["xdp", "kprobe/vfs_open", "tp/syscalls/sys_enter_nosuch", "uprobe", "uprobe/a:"]
        {
            assert_eq!(place(none), None, "{none}");
        }
    }
}
