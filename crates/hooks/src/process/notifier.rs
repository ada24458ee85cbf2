//! The fast way for entries of system calls: a thread that answers seccomp's notifications.
//!
//! It serves programs that only ask for what the call itself tells: ids, names, memory. Others
//! need the thread stopped, which the tracer does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runtime::{Event, Runner};
use uapi::Errno;

use super::context;
use super::here::{Here, World};
use super::kernel::Kernel;
use super::point::Form;
use super::sys::interrupt;
use super::sys::notify::{Call, Listener, News};
use super::sys::ptrace::{Regs, reg};
use super::thread::{self, Thread};

/// Makes a program ready to run on the thread that asks.
pub type MakeRunner = Arc<dyn Fn() -> Result<Runner, Errno> + Send + Sync>;

/// A program for this thread.
pub(crate) struct Job {
    pub(crate) make: MakeRunner,
    pub(crate) form: Form,
    pub(crate) cookie: u64,
}

/// What the tracer and this thread tell each other.
#[derive(Default)]
pub(crate) struct Shared {
    /// Programs have run since the tracer looked.
    ran: AtomicBool,
    changed: AtomicBool,
    failed: AtomicBool,
    /// Threads that are new, gone, or not what they were.
    threads: Mutex<Vec<i32>>,
}

impl Shared {
    /// A thread is not what it was; told before it goes on.
    pub(crate) fn forget(&self, tid: i32) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(tid);
        self.changed.store(true, Ordering::Release);
    }

    /// Nobody answers any more.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Programs have run.
    pub(crate) fn tell_ran(&self) {
        self.ran.store(true, Ordering::Release);
    }

    pub(crate) fn take_ran(&self) -> bool {
        self.ran.swap(false, Ordering::AcqRel)
    }
}

/// How long records may wait for the tracer to show them.
const SHOW: Duration = Duration::from_millis(20);

struct Program {
    runner: Runner,
    form: Form,
    cookie: u64,
}

/// Answers until nobody has the filter any more. `enter` are indexes of jobs by call; `tracer` is
/// the thread that shows records.
pub(crate) fn serve(
    listener: &Listener,
    jobs: &[(usize, Job)],
    enter: &[Vec<usize>],
    shared: &Shared,
    tracer: i32,
) -> io::Result<()> {
    let mut programs = HashMap::new();
    for (index, job) in jobs {
        let runner = (job.make)();
        let runner = runner.map_err(|errno| io::Error::other(errno.to_string()))?;
        programs.insert(*index, Program { runner, form: job.form, cookie: job.cookie });
    }
    let kernel = Kernel::new(None).map_err(io::Error::other)?;
    let mut world = World { threads: HashMap::new(), kernel };
    let mut told = Instant::now();
    let mut untold = false;
    loop {
        match listener.next(untold.then_some(SHOW))? {
            News::Call(call) => {
                if shared.changed.swap(false, Ordering::AcqRel) {
                    forget(&mut world, shared);
                }
                let ids = enter.get(call.number as usize).map_or(&[][..], |ids| ids);
                run(&mut programs, ids, &mut world, &call);
                listener.go_on(&call);
                untold = true;
                shared.ran.store(true, Ordering::Release);
                if told.elapsed() < SHOW {
                    continue;
                }
            }
            News::Nothing if untold => {}
            News::Nothing => continue,
            News::Over => return Ok(()),
        }
        interrupt::wake(tracer);
        (told, untold) = (Instant::now(), false);
    }
}

fn forget(world: &mut World, shared: &Shared) {
    let mut threads = shared.threads.lock().unwrap_or_else(PoisonError::into_inner);
    for tid in threads.drain(..) {
        if let Some(thread) = world.threads.remove(&tid) {
            world.kernel.forget(&thread);
        }
    }
}

/// The registers as far as a notification tells them.
fn regs(call: &Call) -> Regs {
    const ENOSYS: u64 = 38;
    let mut regs = Regs::default();
    for (register, value) in context::ARGS.iter().zip(call.args) {
        regs[*register] = value;
    }
    regs[reg::ORIG_RAX] = call.number.into();
    regs[reg::RAX] = ENOSYS.wrapping_neg();
    regs[reg::RIP] = call.ip;
    regs
}

fn run(programs: &mut HashMap<usize, Program>, ids: &[usize], world: &mut World, call: &Call) {
    if let Entry::Vacant(unknown) = world.threads.entry(call.tid) {
        let tgid = thread::proc_tgid(call.tid).unwrap_or(call.tid);
        unknown.insert(Thread::new(call.tid, tgid));
    }
    let world = &*world;
    let Some(thread) = world.threads.get(&call.tid) else { return };
    let regs = regs(call);
    let here = Here::new(world, thread, &regs);
    for id in ids {
        let Some(program) = programs.get_mut(id) else { continue };
        let needs_regs = program.form != Form::Record;
        let pt_regs = if needs_regs { world.kernel.set_regs(thread, &regs) } else { 0 };
        let context = context::enter(program.form, call.tid, &regs, pt_regs);
        let event = Event {
            process: &here,
            pid: call.tid as u32,
            tgid: thread.tgid as u32,
            cookie: program.cookie,
            func_ip: 0,
            args: context.args,
        };
        // A run that was stopped has had its effects so far; there is nobody to answer to.
        let _ = program.runner.run_event(&context.bytes, &event);
    }
}
