//! The tracer: runs the command, follows everything that comes of it, runs programs at events.

mod calls;
mod fire;
mod follow;
mod life;
mod sample;
mod signal;
mod ticker;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use btf::Btf;
use runtime::Runner;

use crate::process::addresses::Addresses;
use crate::process::command::Command;
use crate::process::control::Controls;
use crate::process::error::HookError;
use crate::process::fast;
use crate::process::filter::{Stop, filter};
use crate::process::here::World;
use crate::process::kernel::Kernel;
use crate::process::notifier::{self, Job, MakeRunner, Shared};
use crate::process::point::{Place, Point, When};
use crate::process::sampler::Sampler;
use crate::process::sys::interrupt;
use crate::process::sys::notify::Listener;
use crate::process::sys::ptrace;
use crate::process::sys::spawn;
use crate::process::table::Table;
use crate::process::thread::Thread;
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
    /// It asks for the address of the function that it is at.
    pub asks_ip: bool,
    /// Where it goes.
    pub place: Place,
    /// What `bpf_get_attach_cookie` tells it.
    pub cookie: u64,
}

impl Attach {
    fn is_session(&self) -> bool {
        matches!(self.place.point, Point::Calls(_, When::Both))
    }
}

/// Told while the command runs.
pub trait Watcher {
    /// Programs have run; `idle` if nothing else is waiting. Whether there is something that can
    /// wait until then; an error ends the command.
    fn ran(&mut self, idle: bool) -> io::Result<bool>;
    /// Something that the user should know, one line.
    fn note(&mut self, text: &str);
}

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
    sampler: Sampler,
    controls: Controls,
    world: World,
    /// Where the kernel's functions are, if a program asks.
    addresses: Option<Addresses>,
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
        let sampler = Sampler::new(programs.iter().map(|program| &program.place.point));
        let kernel = Kernel::new(types)?;
        let world = World { threads: HashMap::new(), kernel };
        let addresses = programs.iter().any(|program| program.asks_ip).then(Addresses::default);
        let (shared, notifier) = (Arc::default(), None);
        let (root, live, started, ended, ran) = (0, false, false, None, false);
        Ok(Tracer {
            programs,
            table,
            probes,
            sampler,
            controls,
            world,
            addresses,
            root,
            live,
            started,
            ended,
            ran,
            shared,
            notifier,
        })
    }

    /// Lets programs run in the command itself where they can; the others, by name, and why they
    /// cannot.
    pub fn speed_up(&mut self) -> Vec<(String, String)> {
        self.probes.speed_up(&self.programs)
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
        let ticker = self.tick().map_err(system("starting a thread"))?;
        let followed = self.follow(watcher);
        drop(ticker);
        if let Some(missed) = self.probes.fast().map(|fast| fast.missed()).filter(|n| *n > 0) {
            watcher.note(&format!("{missed} events were missed: the machine's CPUs were taken"));
        }
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
        let injected = self.probes.fast().map_or(&[][..], |_| &fast::INJECTED);
        let plain = |number, index| plain(index) && !injected.contains(&number);
        self.table.stops(self.probes.watched(), self.controls.calls(), &plain)
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
}

fn refused(source: io::Error) -> HookError {
    HookError::System {
        what: "tracing the command",
        source,
        hint: "; another tracer (strace, a debugger) follows this process already, or the system \
               forbids ptrace (Yama, a container)",
    }
}
