//! The tracer: runs the command, follows everything that comes of it, runs programs at events.

mod calls;
mod life;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use btf::Btf;
use runtime::{Event, Runner};

use crate::process::command::Command;
use crate::process::context::Context;
use crate::process::control::Controls;
use crate::process::error::HookError;
use crate::process::filter::{Stop, filter};
use crate::process::here::{Here, World};
use crate::process::kernel::Kernel;
use crate::process::notifier::{self, Job, MakeRunner, Shared};
use crate::process::point::{Form, Place};
use crate::process::sys::interrupt::{self, Interrupts};
use crate::process::sys::notify::Listener;
use crate::process::sys::ptrace::{self, Regs, Status};
use crate::process::sys::spawn;
use crate::process::table::Table;
use crate::process::thread::{self, Thread};
use crate::process::uprobe::Probes;

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
    controls: Controls,
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
        let controls = Controls::new(programs.iter().map(|program| &program.place.point));
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
            controls,
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
        first.born = life::now();
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

    fn stops(&self, notify: bool) -> [Stop; crate::process::syscalls::COUNT] {
        let plain = |index: usize| notify && self.programs[index].plain;
        self.table.stops(!self.probes.is_empty(), self.controls.calls(), &plain)
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
            while let Some(finished) = self.controls.workers.finished() {
                done(self.finish(&finished))?;
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
            Ok(tid) if self.waits(tid) => Ok(()),
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
}

/// A thread that is killed meanwhile answers ESRCH; its end is told later.
fn done(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
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
    let here = Here::new(world, thread, regs);
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

fn refused(source: io::Error) -> HookError {
    HookError::System {
        what: "tracing the command",
        source,
        hint: "; another tracer (strace, a debugger) follows this process already, or the system \
               forbids ptrace (Yama, a container)",
    }
}
