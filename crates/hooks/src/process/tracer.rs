//! The tracer: runs the command, follows everything that comes of it, runs programs at events.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use btf::Btf;
use runtime::{Event, Runner};

use super::command::Command;
use super::context::{self, Context};
use super::error::HookError;
use super::filter::{Stop, filter};
use super::here::{Here, World};
use super::kernel::{Kernel, Sched, Values};
use super::notifier::{self, Job, MakeRunner, Shared};
use super::point::{Form, Place};
use super::sys::interrupt::{self, Interrupts};
use super::sys::notify::Listener;
use super::sys::ptrace::{self, Regs, Status, reg};
use super::sys::{memory, spawn};
use super::table::Table;
use super::thread::{self, Thread};
use super::uprobe::Probes;

/// A program and where it goes.
pub struct Attach {
    /// Its name, for messages.
    pub name: String,
    /// It, ready to run on the thread that traces.
    pub runner: Runner,
    /// Makes it ready to run on another thread.
    pub make: MakeRunner,
    /// It asks only for what an event tells of itself: ids, names, memory, time.
    pub plain: bool,
    /// Where it goes.
    pub place: Place,
    /// What `bpf_get_attach_cookie` tells it.
    pub cookie: u64,
}

/// Told while the command runs.
pub trait Watcher {
    /// Programs have run; `idle` if nothing else is waiting. Whether there is something that can
    /// wait until then; an error ends the command.
    fn ran(&mut self, idle: bool) -> io::Result<bool>;
    /// Something that the user should know, one line.
    fn note(&mut self, text: &str);
}

/// Interrupts of the terminal that a command may ignore.
const INTERRUPTS: u32 = 3;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this status.
    Exited(u8),
    /// By this signal.
    Killed(i32),
}

/// Programs attached to a command's life.
pub struct Tracer {
    programs: Vec<Attach>,
    table: Table,
    probes: Probes,
    world: World,
    /// The command's first thread.
    root: i32,
    /// The command has been started: what the child did before is not told.
    live: bool,
    /// It has become the command.
    started: bool,
    ended: Option<Ended>,
    /// Programs have run since the watcher was told.
    ran: bool,
    /// With the thread that answers notifications.
    shared: Arc<Shared>,
    notifier: Option<JoinHandle<io::Result<()>>>,
}

impl Tracer {
    /// Attaches programs; `types` are the target kernel's, without which there is no task
    /// structure.
    pub fn new(programs: Vec<Attach>, types: Option<&Btf>) -> Result<Tracer, HookError> {
        let table = Table::new(programs.iter().map(|program| &program.place.point));
        let probes = Probes::new(programs.iter().map(|program| &program.place.point));
        let probes = probes.map_err(|(index, why)| HookError::NoPlace {
            program: programs[index].name.clone(),
            why,
        })?;
        let kernel = Kernel::new(types)?;
        let world = World { threads: HashMap::new(), kernel };
        let (shared, notifier) = (Arc::default(), None);
        let (root, live, started, ended, ran) = (0, false, false, None, false);
        Ok(Tracer {
            programs,
            table,
            probes,
            world,
            root,
            live,
            started,
            ended,
            ran,
            shared,
            notifier,
        })
    }

    /// Runs the command until it and all that it started have ended.
    pub fn run(
        &mut self,
        command: &Command,
        watcher: &mut dyn Watcher,
    ) -> Result<Ended, HookError> {
        let image = command.image()?;
        let stops = self.stops(true);
        let notify = if stops.contains(&Stop::Notify) { filter(&stops) } else { Vec::new() };
        let plain = filter(&self.stops(false));
        let system = |what| move |source| HookError::System { what, source, hint: "" };
        let mut child =
            spawn::spawn(&image, [&notify, &plain]).map_err(system("starting a process"))?;
        self.root = child.pid;
        if let Err(source) = ptrace::seize(child.pid) {
            // Without the word to go it ends by itself.
            drop(child);
            let _ = ptrace::wait(self.root, true);
            return Err(refused(source));
        }
        let mut first = Thread::new(child.pid, child.pid);
        (first.announced, first.arrived) = (true, true);
        first.ppid = std::process::id() as i32;
        first.born = now();
        self.world.threads.insert(child.pid, first);
        child.go().map_err(system("starting a process"))?;
        let followed = self.follow(watcher);
        if followed.is_err() {
            self.kill_all();
        }
        if let Some(notifier) = self.notifier.take() {
            // It ends with the last process.
            let _ = notifier.join();
        }
        watcher.ran(true).map_err(system("showing records"))?;
        if !self.started
            && let Some((stage, error)) = child.failure()
        {
            return Err(match stage {
                spawn::Stage::Exec => command.error(&error),
                spawn::Stage::Filter => HookError::System {
                    what: "installing a seccomp filter",
                    source: error,
                    hint: "; hooks on system calls need seccomp, which this system or container \
                           refuses",
                },
            });
        }
        followed.map_err(system("following the command"))?;
        Ok(self.ended.unwrap_or(Ended::Killed(libc::SIGKILL)))
    }

    fn stops(&self, notify: bool) -> [Stop; super::syscalls::COUNT] {
        let plain = |index: usize| notify && self.programs[index].plain;
        self.table.stops(!self.probes.is_empty(), &plain)
    }

    /// The command is about to begin: if its filter has a listener, its calls are answered from
    /// now on.
    fn listen(&mut self, tid: i32) -> io::Result<()> {
        let Some(listener) = Listener::of(tid)? else { return Ok(()) };
        let plain = self.programs.iter().enumerate().filter(|(_, program)| program.plain);
        let job = |program: &Attach| Job {
            make: program.make.clone(),
            form: program.place.form,
            cookie: program.cookie,
        };
        let jobs: Vec<(usize, Job)> = plain.map(|(index, p)| (index, job(p))).collect();
        let (enter, shared) = (self.table.entries().to_vec(), self.shared.clone());
        let tracer = interrupt::this_thread();
        let serve = move || {
            let served = notifier::serve(&listener, &jobs, &enter, &shared, tracer);
            if served.is_err() {
                // Calls would fail without an answer: the command is ended.
                shared.fail();
                interrupt::wake(tracer);
            }
            served
        };
        self.notifier = Some(std::thread::Builder::new().name("notifier".into()).spawn(serve)?);
        Ok(())
    }

    /// Ends whatever is left, and waits for it.
    fn kill_all(&mut self) {
        for thread in self.world.threads.values() {
            let _ = ptrace::kill(thread.tgid, libc::SIGKILL);
        }
        while let Ok(Some((tid, status))) = ptrace::wait(-1, true) {
            match status {
                Status::Exited(_) | Status::Killed(_) => {}
                _ => drop(ptrace::resume(tid, 0)),
            }
        }
        self.world.threads.clear();
    }

    fn follow(&mut self, watcher: &mut dyn Watcher) -> io::Result<()> {
        let interrupts = Interrupts::watch();
        let mut waits = false;
        let mut lingering = false;
        loop {
            match ptrace::wait(-1, !waits) {
                Ok(Some((tid, status))) => self.news(tid, status, watcher)?,
                Ok(None) => waits = watcher.ran(true)?,
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if std::mem::take(&mut self.ran) | self.shared.take_ran() {
                waits = watcher.ran(false)?;
            }
            // The command gets interrupts of the terminal itself; one that takes no notice of
            // several is ended, and so is what it left behind.
            let count = interrupts.count();
            if self.shared.failed() {
                return Err(io::Error::other("the thread that answers its system calls has ended"));
            }
            if count >= INTERRUPTS || (count > 0 && self.ended.is_some()) {
                self.kill_all();
                break;
            }
            if self.ended.is_some() && !lingering {
                lingering = true;
                self.tell_left(watcher);
            }
        }
        Ok(())
    }

    fn tell_left(&self, watcher: &mut dyn Watcher) {
        let threads = self.world.threads.values();
        let left = threads.filter(|thread| thread.tid == thread.tgid).count();
        if left > 0 {
            let s = if left == 1 { " goes" } else { "es go" };
            watcher.note(&format!(
                "the command has ended, {left} process{s} on in the background: waiting for them \
                 (Ctrl-C ends them)"
            ));
        }
    }

    fn news(&mut self, tid: i32, status: Status, watcher: &mut dyn Watcher) -> io::Result<()> {
        match status {
            Status::Exited(status) => return self.gone(tid, Ended::Exited(status)),
            Status::Killed(signal) => return self.gone(tid, Ended::Killed(signal)),
            _ => {}
        }
        if let Entry::Vacant(unknown) = self.world.threads.entry(tid) {
            // A child whose parent's fork comes later: it waits.
            let tgid = thread::proc_tgid(tid).unwrap_or(tid);
            unknown.insert(Thread::new(tid, tgid)).arrived = true;
            return Ok(());
        }
        // A thread may be killed at any moment, also while it is stopped: its end comes then.
        let step = match status {
            Status::Event(ptrace::EVENT_SECCOMP) => self.entered(tid),
            Status::SyscallExit => self.left(tid, watcher),
            Status::Event(ptrace::EVENT_FORK | ptrace::EVENT_VFORK | ptrace::EVENT_CLONE) => {
                self.forked(tid)
            }
            Status::Event(ptrace::EVENT_EXEC) => self.execed(tid, watcher),
            Status::Event(ptrace::EVENT_EXIT) => self.exits(tid),
            Status::Stop(signal) => return self.stopped(tid, signal),
            Status::Signal(libc::SIGTRAP) if !self.probes.is_empty() => {
                let signal = match self.breakpoint(tid) {
                    Ok(ours) => {
                        if ours {
                            0
                        } else {
                            libc::SIGTRAP
                        }
                    }
                    Err(error) => return done(Err(error)),
                };
                return done(self.resume(tid, signal));
            }
            Status::Signal(signal) => return done(self.resume(tid, signal)),
            _ => Ok(tid),
        };
        match step {
            Ok(tid) => done(self.resume(tid, 0)),
            Err(error) => done(Err(error)),
        }
    }

    /// Lets a thread go on, to the end of its call if that is waited for.
    fn resume(&self, tid: i32, signal: i32) -> io::Result<()> {
        match self.world.threads.get(&tid) {
            Some(thread) if thread.in_call.is_some() => ptrace::resume_in_syscall(tid, signal),
            _ => ptrace::resume(tid, signal),
        }
    }

    fn stopped(&mut self, tid: i32, signal: i32) -> io::Result<()> {
        const GROUP: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
        if let Some(thread) = self.world.threads.get_mut(&tid) {
            if !thread.announced {
                thread.arrived = true;
                return Ok(());
            }
            if !thread.arrived {
                thread.arrived = true;
                return done(self.first_stop(tid));
            }
        }
        if GROUP.contains(&signal) {
            return done(ptrace::listen(tid));
        }
        done(self.resume(tid, 0))
    }

    /// A new thread comes back from the call that made it.
    fn first_stop(&mut self, tid: i32) -> io::Result<()> {
        let regs = ptrace::regs(tid)?;
        let number = regs[reg::ORIG_RAX] as u32;
        if self.live && !self.table.leave(number).is_empty() {
            self.leave_programs(tid, number, &regs);
        }
        self.resume(tid, 0)
    }

    /// A system call begins.
    fn entered(&mut self, tid: i32) -> io::Result<i32> {
        let mut regs = ptrace::regs(tid)?;
        let number = regs[reg::ORIG_RAX] as u32;
        if let Some(path) = Table::exec_path(number) {
            if !std::mem::replace(&mut self.live, true) {
                self.listen(tid)?;
            }
            let path = self.string(tid, regs[context::ARGS[path]]);
            if let Some(thread) = self.world.threads.get_mut(&tid) {
                thread.exec_path = path;
            }
        }
        if Table::changes_ids(number)
            && let Some(thread) = self.world.threads.get(&tid)
        {
            thread.forget_cred();
            self.shared.forget(tid);
        }
        if !self.live {
            return Ok(tid);
        }
        let ids = self.table.enter(number);
        let result =
            fire(&mut self.programs, ids, &self.world, tid, &regs, 0, &|form, thread, world| {
                let pt_regs =
                    if form == Form::Record { 0 } else { world.kernel.set_regs(thread, &regs) };
                Some(context::enter(form, tid, &regs, pt_regs))
            });
        self.ran |= !ids.is_empty();
        if let Some(value) = result {
            // No such call: the kernel skips it, and the result stays as set here.
            regs[reg::ORIG_RAX] = u64::MAX;
            regs[reg::RAX] = value;
            ptrace::set_regs(tid, &regs)?;
        }
        let maps_code = !self.probes.is_empty() && Table::maps_code(number);
        if (maps_code || !self.table.leave(number).is_empty())
            && let Some(thread) = self.world.threads.get_mut(&tid)
        {
            thread.in_call = Some(number);
        }
        Ok(tid)
    }

    /// A system call ends.
    fn left(&mut self, tid: i32, watcher: &mut dyn Watcher) -> io::Result<i32> {
        let thread = self.world.threads.get_mut(&tid);
        let Some(number) = thread.and_then(|thread| thread.in_call.take()) else { return Ok(tid) };
        let regs = ptrace::regs(tid)?;
        self.leave_programs(tid, number, &regs);
        if !self.probes.is_empty()
            && Table::maps_code(number)
            && let Some(thread) = self.world.threads.get(&tid)
        {
            let execed = Table::exec_path(number).is_some();
            for note in self.probes.mapped(thread, execed)? {
                watcher.note(&note);
            }
        }
        Ok(tid)
    }

    fn leave_programs(&mut self, tid: i32, number: u32, regs: &Regs) {
        let ids = self.table.leave(number);
        fire(&mut self.programs, ids, &self.world, tid, regs, 0, &|form, thread, world| {
            let pt_regs =
                if form == Form::Record { 0 } else { world.kernel.set_regs(thread, regs) };
            Some(context::leave(form, tid, number, regs, pt_regs))
        });
        self.ran |= !ids.is_empty();
    }

    /// A thread has run into an `int3`; whether it is one of ours.
    fn breakpoint(&mut self, tid: i32) -> io::Result<bool> {
        let mut regs = ptrace::regs(tid)?;
        let Some(thread) = self.world.threads.get_mut(&tid) else { return Ok(false) };
        let Some(hit) = self.probes.hit(thread, &mut regs) else { return Ok(false) };
        let ids = hit.programs.as_slice();
        fire(&mut self.programs, ids, &self.world, tid, &regs, hit.func_ip, &|_, _, _| {
            Some(context::user(&regs))
        });
        self.ran |= !ids.is_empty();
        if let Some(thread) = self.world.threads.get_mut(&tid) {
            self.probes.step(thread, &mut regs)?;
        }
        ptrace::set_regs(tid, &regs)?;
        Ok(true)
    }

    fn string(&self, tid: i32, addr: u64) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let read = memory::read(tid, addr, &mut bytes);
        bytes.truncate(read);
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(read));
        bytes
    }

    /// A thread has made another one, which is stopped or will be before it runs.
    fn forked(&mut self, tid: i32) -> io::Result<i32> {
        let child = ptrace::message(tid)? as i32;
        let child_id = child;
        let tgid = thread::proc_tgid(child).unwrap_or(child);
        let parent = self.world.threads.get(&tid).map_or(0, |parent| parent.tgid);
        let threads = &mut self.world.threads;
        let thread = threads.entry(child).or_insert_with(|| Thread::new(child, tgid));
        thread.announced = true;
        (thread.tgid, thread.ppid, thread.born) = (tgid, parent, now());
        let arrived = thread.arrived;
        let returns = self.world.threads.get(&tid).map(|parent| parent.returns.clone());
        if let (Some(child), Some(returns)) = (self.world.threads.get_mut(&child), returns)
            && child.tgid != parent
        {
            child.returns = returns;
        }
        self.probes.forked(parent, tgid);
        self.shared.forget(child_id);
        if self.live && !self.table.fork.is_empty() {
            let regs = ptrace::regs(tid)?;
            let ids = self.table.fork.as_slice();
            fire(&mut self.programs, ids, &self.world, tid, &regs, 0, &|form, thread, world| {
                let child = world.threads.get(&child)?;
                let find = |tid| world.threads.get(&tid);
                if form == Form::Args {
                    let tasks = [thread, child].map(|thread| world.kernel.task(thread, &find));
                    return Some(context::args(&tasks));
                }
                let (comm, child_comm) = (thread.comm(), child.comm());
                let texts = [("comm", trim(&comm)), ("child_comm", trim(&child_comm))];
                let numbers = [("pid", tid.into()), ("child_pid", child.tid.into())];
                record(world, Sched::Fork, tid, &numbers, &texts)
            });
            self.ran = true;
        }
        if arrived {
            done(self.first_stop(child))?;
        }
        Ok(tid)
    }

    /// A thread runs another program from now on; the other threads of its process are gone.
    fn execed(&mut self, tid: i32, watcher: &mut dyn Watcher) -> io::Result<i32> {
        (self.live, self.started) = (true, true);
        let former = ptrace::message(tid)? as i32;
        if former != tid
            && let Some(mut thread) = self.world.threads.remove(&former)
        {
            // It takes the id of its process; that thread's end will not be told.
            if let Some(leader) = self.world.threads.remove(&tid) {
                self.world.kernel.forget(&leader);
            }
            self.world.kernel.forget(&thread);
            thread = thread.renamed(tid);
            self.world.threads.insert(tid, thread);
        }
        let Some(thread) = self.world.threads.get_mut(&tid) else { return Ok(tid) };
        thread.forget_cred();
        thread.returns.clear();
        self.probes.execed(tid);
        self.shared.forget(tid);
        let path = std::mem::take(&mut thread.exec_path);
        check_image(tid, watcher);
        if !self.table.exec.is_empty() {
            let regs = ptrace::regs(tid)?;
            let ids = self.table.exec.as_slice();
            fire(&mut self.programs, ids, &self.world, tid, &regs, 0, &|form, thread, world| {
                if form == Form::Args {
                    let task = world.kernel.task(thread, &|tid| world.threads.get(&tid));
                    let bprm = world.kernel.binprm(thread, &path);
                    return Some(context::args(&[task, former as u64, bprm]));
                }
                let numbers = [("pid", tid.into()), ("old_pid", former.into())];
                record(world, Sched::Exec, tid, &numbers, &[("filename", &path)])
            });
            self.ran = true;
        }
        Ok(tid)
    }

    /// A thread ends; its memory is still there.
    fn exits(&mut self, tid: i32) -> io::Result<i32> {
        let code = ptrace::message(tid)?;
        let regs = ptrace::regs(tid).unwrap_or_default();
        self.tell_exit(tid, code, &regs);
        Ok(tid)
    }

    fn tell_exit(&mut self, tid: i32, code: u64, regs: &Regs) {
        let threads = &mut self.world.threads;
        let Some(thread) = threads.get_mut(&tid) else { return };
        if std::mem::replace(&mut thread.exit_told, true) || !self.live {
            return;
        }
        let tgid = thread.tgid;
        let dead = !threads.values().any(|other| other.tgid == tgid && !other.exit_told);
        let ids = self.table.exit.as_slice();
        fire(&mut self.programs, ids, &self.world, tid, regs, 0, &|form, thread, world| {
            let task = world.kernel.task(thread, &|tid| world.threads.get(&tid));
            world.kernel.set_exit_code(thread, code);
            if form == Form::Args {
                return Some(context::args(&[task, dead.into()]));
            }
            let comm = thread.comm();
            let numbers = [("pid", tid.into()), ("prio", 120), ("group_dead", dead.into())];
            record(world, Sched::Exit, tid, &numbers, &[("comm", trim(&comm))])
        });
        self.ran |= !ids.is_empty();
    }

    /// A thread has ended.
    fn gone(&mut self, tid: i32, how: Ended) -> io::Result<()> {
        let code = match how {
            Ended::Exited(status) => u64::from(status) << 8,
            Ended::Killed(signal) => signal as u64,
        };
        self.tell_exit(tid, code, &Regs::default());
        self.shared.forget(tid);
        if let Some(thread) = self.world.threads.remove(&tid) {
            self.world.kernel.forget(&thread);
            if tid == thread.tgid {
                self.probes.gone(tid);
            }
        }
        if tid == self.root {
            self.ended = Some(how);
        }
        Ok(())
    }
}

/// A thread that is killed meanwhile answers ESRCH; its end is told later.
fn done(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}

fn trim(comm: &[u8; 16]) -> &[u8] {
    &comm[..comm.iter().position(|byte| *byte == 0).unwrap_or(15)]
}

fn record(
    world: &World,
    event: Sched,
    tid: i32,
    numbers: &[(&'static str, i64)],
    texts: &[(&'static str, &[u8])],
) -> Option<Context> {
    let mut bytes = world.kernel.record(event, &Values { numbers, texts })?;
    context::set_common(&mut bytes, tid);
    Some(Context { bytes, args: 0 })
}

/// Runs programs on one event; what `bpf_override_return` asked for.
fn fire(
    programs: &mut [Attach],
    ids: &[usize],
    world: &World,
    tid: i32,
    regs: &Regs,
    func_ip: u64,
    context: &dyn Fn(Form, &Thread, &World) -> Option<Context>,
) -> Option<u64> {
    if ids.is_empty() {
        return None;
    }
    let thread = world.threads.get(&tid)?;
    let here = Here { world, thread, regs, result: Cell::new(None) };
    for &index in ids {
        let program = &mut programs[index];
        let Some(context) = context(program.place.form, thread, world) else { continue };
        let event = Event {
            process: &here,
            pid: tid as u32,
            tgid: thread.tgid as u32,
            cookie: program.cookie,
            func_ip,
            args: context.args,
        };
        // A run that was stopped has had its effects so far; there is nobody to answer to.
        let _ = program.runner.run_event(&context.bytes, &event);
    }
    here.result.get()
}

/// CLOCK_MONOTONIC in nanoseconds.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Says what cannot be seen of a program.
fn check_image(tid: i32, watcher: &mut dyn Watcher) {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let Ok(mut file) = std::fs::File::open(format!("/proc/{tid}/exe")) else { return };
    let name = || {
        let path = std::fs::read_link(format!("/proc/{tid}/exe"));
        path.map_or_else(|_| "a program".into(), |path| path.display().to_string())
    };
    let mut head = [0; 5];
    const ELF32: &[u8] = b"\x7fELF\x01";
    if file.read_exact(&mut head).is_ok() && head == ELF32 {
        watcher.note(&format!("{}: a 32-bit program: its system calls are not seen", name()));
    }
    const SET_ID: u32 = 0o6000;
    let root = rustix::process::geteuid().is_root();
    if !root && file.metadata().is_ok_and(|meta| meta.permissions().mode() & SET_ID != 0) {
        watcher.note(&format!(
            "{}: a set-user-ID program, which runs without its rights while it is traced",
            name()
        ));
    }
}

fn refused(source: io::Error) -> HookError {
    HookError::System {
        what: "tracing the command",
        source,
        hint: "; another tracer (strace, a debugger) follows this process already, or the system \
               forbids ptrace (Yama, a container)",
    }
}
